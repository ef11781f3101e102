"""What happened when: spans on places, their table and its digest."""

from fedsim.timeline.recorder import Recorder, Totals
from fedsim.timeline.table import COLUMNS, SCHEMA, Timeline, read_table, write_table

__all__ = ["COLUMNS", "SCHEMA", "Recorder", "Timeline", "Totals", "read_table", "write_table"]
