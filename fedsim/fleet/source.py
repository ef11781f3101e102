"""Where a number of a data file comes from."""

from __future__ import annotations

from dataclasses import dataclass

from fedsim.fleet.table import Table

QUALITIES = ("measured", "maker", "secondary", "derived", "assumed")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a number comes from: *what* is a key of the file, *value* the number as read there.

    quality: measured, given by the maker, quoted by somebody else, derived from other numbers, or assumed; "": unsaid.
    """

    what: str
    value: str
    source: str
    year: int
    note: str = ""
    quality: str = ""


def sources_in(table: Table) -> tuple[Source, ...]:
    """Read the [[source]] tables of a table or file."""
    return tuple(_source(part) for part in table.tables("source"))


def _source(table: Table) -> Source:
    what, value, source = (table.text(key) for key in ("what", "value", "source"))
    quality = table.one_of("quality", QUALITIES) if "quality" in table.values else ""
    found = Source(what, value, source, table.year(), table.text("note", ""), quality)
    table.close()
    return found
