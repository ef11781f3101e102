"""Reads traces: tables of rates over time (.csv, .csv.gz), and Mahimahi's lists of packets (all else)."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from statistics import median

from fedsim.errors import InputError
from fedsim.fleet.text_file import TextFile, number, open_text
from fedsim.fleet.traces import Series, Traces, looped

WAYS = ("down", "up")
BIN_MS = 100  # Mahimahi's opportunities are counted over about so long
PACKET_BYTES = 1500  # of one Mahimahi opportunity
_LONGEST_MS = 31 * 86_400_000

_BYTES_PER_MBIT = 125_000.0
_ALONE = {"down": ("down_mbps", "mbps"), "up": ("up_mbps", "tcp_mbps")}  # a client's iPerf sends to the server
_GIVEN = {way: (f"{way}_mbps", "mbps", "tcp_mbps") for way in WAYS}
_NAMED = "trace = { down = 'FILE', up = 'FILE' }, or one of the two"

Row = tuple[int, float, float | None]
"""(line of the file, seconds, bytes per second or None where the cell is empty)"""


def read_traces(value: str | Mapping[str, str], folder: Path) -> Traces:
    """Return the traces of a table for both ways, or of one file for each way; raises InputError.

    A table alone gives down its column ``down_mbps`` or ``mbps``, up its ``up_mbps`` or ``tcp_mbps``; a file given for
    one way gives it any of these. A column ``trace`` parts the traces of a table. Paths start at *folder*.
    """
    files = {
        way: open_text(name, folder, holds="rates")
        for way, name in ({"": value} if isinstance(value, str) else value).items()
    }
    if not files or files.keys() - {"", *WAYS}:
        raise InputError(f"trace names {', '.join(files) or 'no file'}: write {_NAMED}")
    found = _both_ways(files[""]) if "" in files else {way: _one_way(file, way) for way, file in files.items()}
    contents = [(way, hashlib.sha256(file.data).hexdigest()) for way, file in sorted(files.items())]
    digest = hashlib.sha256(repr(contents).encode()).hexdigest()[:16]
    return Traces(found.get("down", ()), found.get("up", ()), digest)


def _both_ways(file: TextFile) -> Mapping[str, tuple[Series | None, ...]]:
    if not file.is_table:
        raise InputError(f"{file.path}: a Mahimahi trace serves one way: write {_NAMED}; a table of rates ends in .csv")
    found = {way: _table(file, names) for way, names in _ALONE.items()}
    if not any(found.values()):
        raise file.without([name for names in _ALONE.values() for name in names])
    return found


def _one_way(file: TextFile, way: str) -> tuple[Series | None, ...]:
    if not file.is_table:
        return (_opportunities(file),)
    found = _table(file, _GIVEN[way])
    if not found:
        raise file.without(_GIVEN[way])
    return found


@lru_cache(maxsize=8)
def _table(file: TextFile, names: tuple[str, ...]) -> tuple[Series | None, ...]:
    """Return the series of every trace in the first of the columns that is there, () if none is."""
    head = file.head()
    column = next((name for name in names if name in head), "")
    if "t_s" not in head:
        raise file.without(["t_s"])
    if not column:
        return ()
    traces: dict[str, list[Row]] = {}
    for line, cells in file.cells(head):
        traces.setdefault(cells.get("trace", ""), []).append(_row(file, line, (cells["t_s"], column, cells[column])))
    found = tuple(_series(file, name, rows) for name, rows in traces.items())
    if not any(found):
        raise InputError(f"{file.path}: its column {column} holds no rate at all: fill it, or remove it")
    return found


def _row(file: TextFile, line: int, values: tuple[str, str, str]) -> Row:
    time, column, rate = values
    at_s, mbps = number(time), number(rate) if rate.strip() else None
    if not math.isfinite(at_s):
        raise file.wrong(line, f"t_s is {time!r}: write the seconds as a finite number, or remove the line")
    if mbps is not None and not 0 <= mbps < math.inf:
        raise file.wrong(
            line, f"{column} is {rate!r}: write a finite number of at least 0, or nothing where it is not known"
        )
    return line, at_s, None if mbps is None else mbps * _BYTES_PER_MBIT


def _series(file: TextFile, name: str, rows: Sequence[Row]) -> Series | None:
    """Return a trace whose last rate holds for the median step; None where it has no rates in this column."""
    for (_, before_s, _), (line, at_s, _) in pairwise(rows):
        if at_s < before_s:
            raise file.wrong(
                line, f"t_s is {at_s:g} after {before_s:g}: sort each trace by time, or name it under trace"
            )
    rated = [(at_s, rate) for _, at_s, rate in rows if rate is not None]
    if not rated:
        return None
    times_s, rates = zip(*rated, strict=True)
    which = f"trace {name!r}" if name else "the trace"
    steps = [after[1] - before[1] for before, after in pairwise(rows) if after[1] > before[1]]
    if not steps:
        raise file.wrong(
            rows[0][0], f"{which} covers no time, all of it at t_s {times_s[0]:g}: give two instants or more"
        )
    series = looped(times_s, rates, end_s=times_s[-1] + median(steps))
    if not any(series.rates):
        raise file.wrong(rows[0][0], f"{which} is 0 throughout, so nothing would ever arrive: remove it")
    return series


@lru_cache(maxsize=8)
def _opportunities(file: TextFile) -> Series:
    """Count the packets that Mahimahi would deliver in equal parts of the period, its last timestamp.

    A packet at the very end of a part belongs to it, so that the parts have exactly the packets of the period.
    """
    times = list(_timestamps(file))
    period_ms = times[-1] if times else 0
    if not period_ms:
        raise InputError(
            f"{file.path}: covers no time: a Mahimahi trace has the ms of a packet on each line, the last above 0"
        )
    if period_ms > _LONGEST_MS:
        raise InputError(
            f"{file.path}: its last packet is at {period_ms} ms, over a month: "
            "times count from 0, so subtract the first"
        )
    parts = math.ceil(period_ms / BIN_MS)
    counts = [0] * parts
    for at_ms in times:
        counts[max(0, -(-at_ms * parts // period_ms) - 1)] += 1
    width_s = period_ms / 1000 / parts
    rates = [count * PACKET_BYTES / width_s for count in counts]
    return looped([part * period_ms / parts / 1000 for part in range(parts)], rates, end_s=period_ms / 1000)


def _timestamps(file: TextFile) -> Iterator[int]:
    before = 0
    for line, text in enumerate(file.text().splitlines(), 1):
        if not text.strip():
            continue
        if not re.fullmatch(r"\s*[0-9]{1,15}\s*", text):
            raise file.wrong(
                line,
                f"{text.strip()[:40]!r} is no whole number of ms, as Mahimahi has; a table of rates ends in .csv",
            )
        if int(text) < before:
            raise file.wrong(line, f"{text.strip()} ms comes after {before} ms: sort the packets by time")
        yield (before := int(text))
