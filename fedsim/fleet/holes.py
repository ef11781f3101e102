"""What to make of the time in which a recorded device was not watched: a hole in the record is not "off"."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from fedsim.fleet.presence import DAY_S, Interval, Life, lived

Holes = Literal["borrow", "hold", "off"]
PRESENCE_HOLES: tuple[str, ...] = get_args(Holes)

HELD_S = 1800.0
"""A hole of up to so long is no reason to look at another day: the state before it holds."""

Stretch = tuple[float, float, bool]
"""(from, until) in seconds, and whether the device was online"""


@dataclass(frozen=True, slots=True)
class Reading:
    """How records become lives: what fills holes, whether lives loop and in whole days, and what it takes to be online.

    *needs* is None where that is left to the kind of file.
    """

    holes: str = "borrow"
    loops: bool = True
    whole_days: bool = True
    needs: tuple[str, ...] | None = None

    def length_s(self, recorded_s: float) -> float:
        return math.ceil(recorded_s / DAY_S) * DAY_S if self.whole_days else recorded_s


def life_of(stretches: Sequence[Stretch], reading: Reading) -> Life:
    """Return the life of a device watched in *stretches*, one at least, which are in order and do not overlap.

    "off" takes what was not recorded as offline. "hold" lets the state before a hole last through it. "borrow" does
    so for up to `HELD_S`; it leaves whole days without a record out, and takes what else is missing from the nearest
    day on which this device was watched at that time, the day before first; where there is none the state before holds.
    A life that does not loop is offline before and after its record.
    """
    known = _without_empty_days(stretches) if reading.holes == "borrow" else list(stretches)
    start_s, end_s = known[0][0], known[-1][1]
    length_s = reading.length_s(end_s - start_s if reading.loops else end_s)
    until_s = start_s + length_s if reading.loops else end_s
    if reading.holes == "borrow":
        known = sorted([*known, *_borrowed(known, until_s)])
    if reading.holes != "off":
        known = _held(known, until_s)
    return lived([(start, end) for start, end, online in known if online], length_s=length_s, loops=reading.loops)


def _without_empty_days(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Move what follows a hole of a day or more earlier by whole days, until the hole is shorter than a day."""
    found, earlier_s = [stretches[0]], 0.0
    for before, (start_s, end_s, online) in pairwise(stretches):
        earlier_s += (start_s - before[1]) // DAY_S * DAY_S
        found.append((start_s - earlier_s, end_s - earlier_s, online))
    return found


def _held(stretches: Sequence[Stretch], until_s: float) -> list[Stretch]:
    """Let each stretch last until the next one."""
    ends = [start_s for start_s, _, _ in stretches[1:]] + [until_s]
    return [(start_s, end_s, online) for (start_s, _, online), end_s in zip(stretches, ends, strict=True)]


def _borrowed(stretches: Sequence[Stretch], until_s: float) -> list[Stretch]:
    """Return what the nearest days say of every long hole."""
    days = math.ceil((until_s - stretches[0][0]) / DAY_S)
    shifts = [sign * day * DAY_S for day in range(1, days + 1) for sign in (-1, 1)]
    ends = [start_s for start_s, _, _ in stretches[1:]] + [until_s]
    found: list[Stretch] = []
    for (_, start_s, _), end_s in zip(stretches, ends, strict=True):
        missing = [(start_s, end_s)] if end_s - start_s > HELD_S else []
        for shift_s in shifts if missing else ():
            seen = [part for hole in missing for part in _within(stretches, hole, shift_s)]
            missing = [part for hole in missing for part in _rest(hole, seen)]
            found += seen
    return found


def _within(stretches: Sequence[Stretch], hole: Interval, shift_s: float) -> Iterator[Stretch]:
    """Yield what was recorded *shift_s* later than a hole, as if it had been in it."""
    start_s, end_s = hole[0] + shift_s, hole[1] + shift_s
    place = max(0, bisect_right(stretches, (start_s, math.inf, True)) - 1)
    while place < len(stretches) and stretches[place][0] < end_s:
        from_s, until_s, online = stretches[place]
        if until_s > start_s:
            yield max(from_s, start_s) - shift_s, min(until_s, end_s) - shift_s, online
        place += 1


def _rest(hole: Interval, seen: Sequence[Stretch]) -> Iterator[Interval]:
    """Yield the parts of a hole that nothing in *seen*, which is in order, is about."""
    start_s, end_s = hole
    for from_s, until_s, _ in seen:
        if from_s < end_s and until_s > start_s:
            if from_s > start_s:
                yield start_s, from_s
            start_s = until_s
    if start_s < end_s:
        yield start_s, end_s
