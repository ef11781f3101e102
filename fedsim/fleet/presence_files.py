"""Reads recorded comings and goings: tables of intervals (.csv, .csv.gz), and FedScale's and FLASH's records.

Tables come in two kinds, with seconds from midnight, local time, of some first day, and any other columns besides.
``device, start_s, end_s``: a row is an interval online, and all else is offline.
``user`` (or ``device``), ``start_s, end_s, charging, network``: a row is a stretch of one state. charging is 1, 0 or -1
(not known), network wifi, no_wifi or unknown, and what no row is about was not recorded: see `fedsim.fleet.holes`.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import pickle
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

from fedsim.errors import InputError, unknown
from fedsim.fleet.holes import PRESENCE_HOLES, Reading, Stretch, life_of
from fedsim.fleet.presence import DAY_S, PRESENCE_DRAWS, PRESENCE_OFFSETS, Interval, Life, Presence, lived
from fedsim.fleet.presence_records import lives_of_records
from fedsim.fleet.text_file import TextFile, number, open_text

Need = Literal["charging", "wifi", "idle", "screen_off"]
PRESENCE_NEEDS: tuple[str, ...] = get_args(Need)

_LATEST_S = 3660 * DAY_S
_COLUMNS: Mapping[str, tuple[str, Mapping[str, bool | None]]] = {
    "charging": ("charging", {"1": True, "0": False, "-1": None}),
    "wifi": ("network", {"wifi": True, "no_wifi": False, "unknown": None}),
}


Row = tuple[Interval, bool | None, int]
"""(from and until, whether all needs hold or None where that is not known, line of the file)"""

_BROKEN = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    MemoryError,
)


def read_presence(
    path: Path,
    *,
    seed: int,
    needs: tuple[str, ...] | None = None,
    offset: str = "days",
    loop: bool = True,
    holes: str = "borrow",
    draw: str = "random",
) -> Presence:
    """Return the lives of a file's devices, in its order; raises InputError.

    *needs*: the conditions (`PRESENCE_NEEDS`) under which a device is online, where a file has them apart; by default
    charging and wifi, for FLASH its authors' idle too. Without *loop* devices are offline after the end of the record
    for ever. Loops are rounded up to whole days, so that hours of the day stay, but not with *offset* "any".
    """
    _check(offset, holes, draw)
    _check_needs(needs)
    file = open_text(str(path), Path(), holds="comings and goings")
    lives = _lives(file, Reading(holes, loop, offset != "any", needs))
    if not any(life.changes_s for life in lives):
        raise InputError(f"{path}: none of its {len(lives)} devices is ever online: give another file, or need less")
    content = (hashlib.sha256(file.data).hexdigest(), file.is_table, needs, loop, holes, offset)
    digest = hashlib.sha256(repr(content).encode()).hexdigest()[:16]
    return Presence(lives, digest, seed, offset, draw, loop)


def _check(offset: str, holes: str, draw: str) -> None:
    known = {"offset": (offset, PRESENCE_OFFSETS), "holes": (holes, PRESENCE_HOLES), "draw": (draw, PRESENCE_DRAWS)}
    for what, (word, words) in known.items():
        if word not in words:
            raise InputError(unknown(what, word, words))


def _check_needs(needs: Sequence[str] | None) -> None:
    if needs is not None and not needs:
        raise InputError(f"needs is empty: name one or more of {', '.join(PRESENCE_NEEDS)}, or leave it out")
    for need in needs or ():
        if need not in PRESENCE_NEEDS:
            raise InputError(unknown("need", need, PRESENCE_NEEDS))


@lru_cache(maxsize=4)
def _lives(file: TextFile, reading: Reading) -> tuple[Life, ...]:
    if file.is_table:
        states = {column for column, _ in _COLUMNS.values()} & {*file.head()}
        return _states(file, reading) if states else _intervals(file, reading)
    start = file.data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start not in (b"{", b"\x80"):
        raise InputError(
            f"{file.path}: is no record of comings and goings: a table ends in .csv (or .csv.gz), "
            "FLASH's states are JSON, FedScale's a pickle or JSON; packed ones end in .gz"
        )
    records = _json(file) if start == b"{" else _pickle(file)
    return lives_of_records(file.path, records, reading)


def _intervals(file: TextFile, reading: Reading) -> tuple[Life, ...]:
    """Return lives as long as the whole record: no device says for itself until when it was watched."""
    head = _columns(file, ["device", "start_s", "end_s"])
    if reading.needs is not None:
        raise InputError(
            f"{file.path}: says only when devices are online, so it cannot tell {' and '.join(reading.needs)}: "
            "leave needs out, or give a file with the columns charging and network"
        )
    found: dict[str, list[Interval]] = {}
    for line, cells in file.cells(head):
        found.setdefault(cells["device"], []).append(_span(file, line, cells))
    length_s = reading.length_s(max((end_s for parts in found.values() for _, end_s in parts), default=0.0))
    return tuple(lived(parts, length_s=length_s, loops=reading.loops) for parts in found.values())


def _states(file: TextFile, reading: Reading) -> tuple[Life, ...]:
    needs = reading.needs or tuple(_COLUMNS)
    if missing := [need for need in needs if need not in _COLUMNS]:
        raise InputError(f"{file.path}: does not tell {' and '.join(missing)}, only {', '.join(_COLUMNS)}: need those")
    name = "device" if "device" in file.head() else "user"
    head = _columns(file, [name, "start_s", "end_s", *(_COLUMNS[need][0] for need in needs)])
    found: dict[str, list[Row]] = {}
    for line, cells in file.cells(head):
        state = _all(_state(file, line, (need, cells)) for need in needs)
        found.setdefault(cells[name], []).append((_span(file, line, cells), state, line))
    return tuple(life_of(_known(file, device, rows), reading) for device, rows in found.items())


def _columns(file: TextFile, names: Sequence[str]) -> list[str]:
    head = file.head()
    for name in names:
        if name not in head:
            raise file.without([name])
    return head


def _span(file: TextFile, line: int, cells: Mapping[str, str]) -> Interval:
    start_s, end_s = number(cells["start_s"]), number(cells["end_s"])
    for name, at_s in (("start_s", start_s), ("end_s", end_s)):
        if not 0 <= at_s < math.inf:
            raise file.wrong(line, f"{name} is {cells[name]!r}: write seconds from the first midnight, 0 or more")
        if at_s > _LATEST_S:
            raise file.wrong(
                line, f"{name} is {cells[name]}, over ten years: times count from 0, so subtract the first"
            )
    if end_s < start_s:
        raise file.wrong(line, f"end_s is {end_s:g}, before start_s {start_s:g}: exchange them, or remove the line")
    return start_s, end_s


def _state(file: TextFile, line: int, asked: tuple[str, Mapping[str, str]]) -> bool | None:
    need, cells = asked
    column, words = _COLUMNS[need]
    if cells[column] not in words:
        raise file.wrong(line, f"{column} is {cells[column]!r}: write one of {', '.join(words)}")
    return words[cells[column]]


def _all(states: Iterable[bool | None]) -> bool | None:
    """Return whether all hold, None where that is not known."""
    found = [*states]
    return False if False in found else None if None in found else True


def _known(file: TextFile, device: str, rows: list[Row]) -> list[Stretch]:
    """Return in order what is known of a device."""
    rows.sort()
    for (before, _, _), (span, _, line) in pairwise(rows):
        if span[0] < before[1]:
            raise file.wrong(
                line, f"{device!r} is told of twice, from {span[0]:g} and until {before[1]:g}: mend one of them"
            )
    found = [(*span, state) for span, state, _ in rows if state is not None and span[1] > span[0]]
    if not found:
        raise file.wrong(rows[0][2], f"of {device!r} nothing is known of what is needed: remove it, or need less")
    return found


def _json(file: TextFile) -> object:
    try:
        return json.loads(file.text())
    except json.JSONDecodeError as error:
        raise file.wrong(error.lineno, f"is no JSON ({error.msg}): fetch or write it again") from None
    except (RecursionError, ValueError) as error:
        raise InputError(f"{file.path}: is no record of comings and goings ({error}): give another") from None


class _Plain(pickle.Unpickler):
    """Makes dicts, lists, texts and numbers; a pickle that asks for anything else could run code, and is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, and so could run anything")


def _pickle(file: TextFile) -> object:
    try:
        return _Plain(io.BytesIO(file.data)).load()
    except _BROKEN as error:
        raise InputError(
            f"{file.path}: is no pickle of plain dicts, lists and numbers ({error}): "
            "fetch it again, or write the same records as JSON"
        ) from None
