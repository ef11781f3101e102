"""Comings and goings that were recorded: a device lives the life of one that was watched, from some day of it on."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal, get_args

from fedsim.errors import InputError
from fedsim.fleet.availability import Key
from fedsim.seeds import uniforms

Offset = Literal["days", "any", "none"]
Draw = Literal["random", "order"]
PRESENCE_OFFSETS: tuple[str, ...] = get_args(Offset)
PRESENCE_DRAWS: tuple[str, ...] = get_args(Draw)

DAY_S = 86_400.0
SHORTEST_S = 1e-3
"""What lasts no longer is not told apart, so that rounding never makes one of two changes."""

_PRESENCE = 0x11FE  # keeps these draws apart from others of the same key

Interval = tuple[float, float]
"""(from, until) in seconds, online"""


@dataclass(frozen=True, slots=True)
class Life:
    """Instants at which one device comes (even places) and goes (odd ones), in seconds; made by `lived`.

    A life that loops has as many of both, all within *length_s* of the first one, and starts again after *length_s*;
    one that does not is offline before the first and stays as it is after the last. One always online comes at -inf.
    """

    changes_s: tuple[float, ...]
    length_s: float
    loops: bool


def lived(intervals: Iterable[Interval], *, length_s: float, loops: bool) -> Life:
    """Return the life of a device online in *intervals*, in any order; a loop goes on at its start where it ends.

    >>> lived([(5.0, 8.0), (8.0, 12.0)], length_s=10.0, loops=True)
    Life(changes_s=(5.0, 12.0), length_s=10.0, loops=True)
    """
    if not loops:
        return Life(tuple(chain.from_iterable(_union(intervals))), length_s, loops)
    parts = _union(chain.from_iterable(_folded(interval, length_s) for interval in intervals))
    if parts and parts[0][0] + length_s - parts[-1][1] <= SHORTEST_S:
        (_, until_s), *parts = parts
        if not parts:
            return Life((-math.inf,), length_s, loops=False)
        parts[-1] = (parts[-1][0], until_s + length_s)
    return Life(tuple(chain.from_iterable(parts)), length_s, loops)


def _folded(interval: Interval, length_s: float) -> Sequence[Interval]:
    """Return the parts of an interval within one loop."""
    start_s, end_s = interval
    if end_s - start_s >= length_s:
        return [(0.0, length_s)]
    first_s = start_s % length_s
    over_s = first_s + (end_s - start_s) - length_s
    return [(first_s, length_s), (0.0, over_s)] if over_s > 0 else [(first_s, first_s + (end_s - start_s))]


def _union(intervals: Iterable[Interval]) -> list[Interval]:
    """Return intervals in order and apart."""
    found: list[Interval] = []
    for start_s, end_s in sorted(intervals):
        if found and start_s - found[-1][1] <= SHORTEST_S:
            found[-1] = (found[-1][0], max(found[-1][1], end_s))
        else:
            found.append((start_s, end_s))
    return [(start_s, end_s) for start_s, end_s in found if end_s - start_s > SHORTEST_S]


@dataclass(frozen=True, slots=True)
class Living:
    """A life of which *offset_s* has passed at time 0.

    A change is a number that counts through all loops. Both questions look at the same rounded time of each, so that
    a state always holds from one `next_change` to the one after.
    """

    life: Life
    offset_s: float = 0.0

    def online(self, at_s: float) -> bool:
        return self._last(at_s) % 2 == 0

    def next_change(self, at_s: float) -> float:
        return self._when(self._last(at_s) + 1)

    def _when(self, number: int) -> float:
        changes = self.life.changes_s
        if self.life.loops and changes:
            cycle, place = divmod(number, len(changes))
            return cycle * self.life.length_s + (changes[place] - self.offset_s)
        if 0 <= number < len(changes):
            return changes[number] - self.offset_s
        return math.copysign(math.inf, number)

    def _last(self, at_s: float) -> int:
        """Return the last change up to *at_s*: a guess, put right where rounding went wrong."""
        life, passed_s = self.life, at_s + self.offset_s
        cycle = math.floor(passed_s / life.length_s) if life.loops else 0
        number = cycle * len(life.changes_s) + bisect_right(life.changes_s, passed_s - cycle * life.length_s) - 1
        while self._when(number) > at_s:
            number -= 1
        while self._when(number + 1) <= at_s:
            number += 1
        return number


@dataclass(frozen=True, slots=True)
class Presence:
    """Recorded lives: each device draws one by its key, and how much of it has passed at time 0.

    *offset*: whole days ("days", which keeps the time of day), anything within the life ("any"), or nothing ("none").
    *draw*: with "order" device i lives life i; where lives loop, life i modulo their number. ``digest`` is that of the
    file and of how it was read.
    """

    lives: tuple[Life, ...] = field(repr=False, compare=False)
    digest: str
    seed: int
    offset: str = "days"
    draw: str = "random"
    loops: bool = True

    def online(self, key: Key, at_s: float) -> bool:
        return self.living(key).online(at_s)

    def next_change(self, key: Key, at_s: float) -> float:
        return self.living(key).next_change(at_s)

    def living(self, key: Key) -> Living:
        """Return the life of a device; raises InputError where lives in order have run out."""
        which, start, *_ = uniforms(self.seed, *key, _PRESENCE)
        self.require(key[1] + 1)
        life = self.lives[key[1] % len(self.lives) if self.draw == "order" else int(which * len(self.lives))]
        return Living(life, self._offset_s(start, life.length_s))

    def require(self, devices: int) -> None:
        """Raise InputError if a group of so many devices has more of them than there are lives to go round."""
        if self.draw == "order" and not self.loops and devices > len(self.lives):
            raise InputError(
                f"there are {devices} devices and {len(self.lives)} recorded lives, taken in order and not looped: "
                f"have at most {len(self.lives)} devices in the group, or write loop = true or draw = 'random'"
            )

    def _offset_s(self, share: float, length_s: float) -> float:
        if self.offset == "days":
            return math.floor(share * length_s / DAY_S) * DAY_S
        return share * length_s if self.offset == "any" else 0.0
