"""Takes down spans as they end, and keeps the totals that the metrics quote."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import pyarrow as pa

from fedsim.timeline.table import SCHEMA, Timeline, canonical

_CHUNK = 1 << 16
BUSY = frozenset({"download", "compute", "upload"})
SERVER = -1
_OUTCOME = SCHEMA.get_field_index("outcome")


class Span(NamedTuple):
    """Something that took time somewhere; seconds, bytes that crossed the link, joules above idle.

    Of a transfer, ``bottleneck`` names the link that held it back longest, and ``waited_s`` are the seconds lost to
    others all along its way: the time taken, less what each moment's rate alone would have taken.
    """

    place: str
    device: int
    kind: str
    link: str
    job: str
    start_s: float
    end_s: float
    nbytes: int
    energy_j: float
    version: int
    bottleneck: str = ""
    waited_s: float = 0.0


@dataclass(slots=True)
class Totals:
    """Sums over the devices' spans so far; the server's energy stands apart.

    ``wasted_s`` adds up busy seconds (download, compute, upload), ``wasted_j`` all joules, of
    spans that no merge used.
    """

    up_bytes: int = 0
    down_bytes: int = 0
    energy_j: float = 0.0
    server_energy_j: float = 0.0
    wasted_s: float = 0.0
    wasted_bytes: int = 0
    wasted_j: float = 0.0

    def as_dict(self) -> dict[str, float]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


class Recorder:
    """Collects the spans of one run in columns."""

    def __init__(self) -> None:
        self.totals = Totals()
        self._rows: list[tuple[object, ...]] = []
        self._batches: list[pa.RecordBatch] = []

    def count(self, span: Span) -> None:
        """Add a span that has ended to the totals, before anyone knows whether it was of use."""
        totals = self.totals
        if span.device == SERVER:
            totals.server_energy_j += span.energy_j
            return
        totals.energy_j += span.energy_j
        if span.kind == "upload":
            totals.up_bytes += span.nbytes
        elif span.kind == "download":
            totals.down_bytes += span.nbytes

    def span(self, span: Span, outcome: str) -> None:
        """Write down a counted span, its outcome now known."""
        if outcome != "done" and span.device != SERVER:
            self.totals.wasted_bytes += span.nbytes
            self.totals.wasted_j += span.energy_j
            if span.kind in BUSY:
                self.totals.wasted_s += span.end_s - span.start_s
        self._rows.append((*span[:_OUTCOME], outcome, *span[_OUTCOME:]))
        if len(self._rows) >= _CHUNK:
            self._flush()

    def mark(self, device: int, at_s: float, outcome: str, *, version: int) -> None:
        """Write down an instant, such as a device that declined."""
        self._rows.append((f"device-{device}", device, "mark", "", "", at_s, at_s, 0, 0.0, version, outcome, "", 0.0))

    def close(self) -> Timeline:
        """Return all that was recorded, in canonical order."""
        self._flush()
        return Timeline(canonical(pa.Table.from_batches(self._batches, SCHEMA).unify_dictionaries()))

    def _flush(self) -> None:
        columns = zip(*self._rows, strict=True) if self._rows else [()] * len(SCHEMA)
        arrays = []
        for values, field in zip(columns, SCHEMA, strict=True):
            word = pa.types.is_dictionary(field.type)
            array = pa.array(values, pa.string() if word else field.type)
            arrays.append(array.dictionary_encode() if word else array)
        self._batches.append(pa.RecordBatch.from_arrays(arrays, schema=SCHEMA))
        self._rows = []
