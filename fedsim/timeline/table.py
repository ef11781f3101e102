"""The timeline as an Arrow table: one row per span, in one canonical order."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_WORD = pa.dictionary(pa.int32(), pa.string())

SCHEMA = pa.schema(
    [
        ("place", pa.string()),
        ("device", pa.int64()),
        ("kind", _WORD),
        ("link", _WORD),
        ("job", _WORD),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("bytes", pa.int64()),
        ("energy_j", pa.float64()),
        ("version", pa.int64()),
        ("outcome", _WORD),
        ("bottleneck", _WORD),
        ("waited_s", pa.float64()),
    ]
)
COLUMNS = tuple(SCHEMA.names)
_ORDER = (
    "start_s", "end_s", "device", "kind", "job", "version", "outcome", "bytes", "link", "energy_j", "place",
    "bottleneck", "waited_s",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """The spans of one run, sorted by start, end, device and kind; times in virtual seconds."""

    table: pa.Table

    def digest(self) -> str:
        """Return a digest of all rows, times rounded to 1e-9 s and joules to 1e-9 J."""
        whole = hashlib.sha256()
        for name in COLUMNS:
            whole.update(name.encode() + b"\0" + _column_bytes(self.table[name]))
        return whole.hexdigest()[:16]


def canonical(table: pa.Table) -> pa.Table:
    """Sort spans so that their order does not depend on how they were recorded."""
    words = [n for n in _ORDER if pa.types.is_dictionary(table.schema.field(n).type)]
    plain = table.select(_ORDER)
    for n in words:
        plain = plain.set_column(plain.schema.get_field_index(n), n, plain[n].cast(pa.string()))
    order = pc.sort_indices(plain, sort_keys=[(n, "ascending") for n in _ORDER])
    return table.take(order)


def write_table(table: pa.Table, path: Path) -> None:
    """Write a Parquet file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    pq.write_table(table, temporary, compression="zstd")
    temporary.replace(path)


def read_table(path: Path) -> pa.Table:
    """Read a Parquet file; no memory is shared with it."""
    return pq.read_table(path)


def _column_bytes(column: pa.ChunkedArray) -> bytes:
    if pa.types.is_floating(column.type):
        rounded = np.round(column.to_numpy(), 9) + 0.0
        return bytes(rounded.tobytes())
    if pa.types.is_integer(column.type):
        return bytes(column.to_numpy().tobytes())
    words = column.cast(pa.string())
    return b"".join(hashlib.sha256("\0".join(chunk.to_pylist()).encode()).digest() for chunk in _chunks(words))


def _chunks(column: pa.ChunkedArray) -> list[pa.Array]:
    """Cut a column at fixed rows, so that the digest does not depend on how it was chunked."""
    whole = column.combine_chunks()
    whole = whole if isinstance(whole, pa.Array) else whole.chunk(0)
    return [whole.slice(at, 1 << 16) for at in range(0, len(whole), 1 << 16)]
