"""When devices are reachable: functions of (seed, device, time) alone.

A device's state and its next change never depend on what was asked before, so asking does not
change the world, and cost O(1) however late it is.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple, Protocol, runtime_checkable

from fedsim.errors import InputError
from fedsim.seeds import words

Key = tuple[int, int]
"""(group, index in the group)"""


class Availability(Protocol):
    """Says for a device whether it is online and when that next changes (inf: never again)."""

    def online(self, key: Key, at_s: float) -> bool: ...
    def next_change(self, key: Key, at_s: float) -> float: ...


@runtime_checkable
class Zoned(Protocol):
    """An availability that knows in which time zone a device lives: seconds, rising eastwards."""

    def zone_of(self, key: Key) -> float: ...


def zone_in(law: Availability, key: Key) -> float:
    """Return the time zone in which *law* lets a device live; raises InputError where it knows none."""
    if not isinstance(law, Zoned):
        where = f"device {key[1]} of group {key[0]}"
        raise InputError(f"{where} lives in no time zone: give its availability kind = 'diurnal'")
    return law.zone_of(key)


@dataclass(frozen=True, slots=True)
class Always:
    """Every device is always online."""

    def online(self, key: Key, at_s: float) -> bool:
        return True

    def next_change(self, key: Key, at_s: float) -> float:
        return math.inf


@dataclass(frozen=True, slots=True)
class Markov:
    """On and off for exponential times with the given means, in the stationary state from the start.

    Two Poisson processes of marks, "on" at rate 1/mean_offline and "off" at rate 1/mean_online,
    are drawn window by window from the key; the state is the kind of the last mark. That is
    exactly the two-state Markov chain, since marks that repeat the state change nothing.
    """

    mean_online_s: float
    mean_offline_s: float
    seed: int

    def online(self, key: Key, at_s: float) -> bool:
        """Tell whether the last mark up to *at_s* said "on"."""
        since_s = Marks((self.seed, *key, 1), self.mean_offline_s).last(at_s)
        return not Marks((self.seed, *key, 0), self.mean_online_s).any_since(since_s, at_s)

    def next_change(self, key: Key, at_s: float) -> float:
        """Return the first time after *at_s* with the opposite mark."""
        return self.change_from(key, at_s, online=self.online(key, at_s))

    def change_from(self, key: Key, at_s: float, *, online: bool) -> float:
        """Return the same where the state is known."""
        mean_s = self.mean_online_s if online else self.mean_offline_s
        return Marks((self.seed, *key, int(not online)), mean_s).following(at_s)


class Marks(NamedTuple):
    """A keyed Poisson process with *mean_s* between marks, over all of time: windows go back beyond 0.

    A window is one mean long.
    """

    labels: tuple[int, ...]
    mean_s: float

    def last(self, at_s: float) -> float:
        """Return the last mark at or before *at_s*."""
        labels, mean_s = self
        window = math.floor(at_s / mean_s)
        while True:
            for mark in reversed(unit_marks(labels, window)):
                if mark * mean_s <= at_s:
                    return mark * mean_s
            window -= 1

    def any_since(self, since_s: float, at_s: float) -> bool:
        """Tell whether there is a mark from *since_s* to *at_s*, which takes fewer draws than to find the last."""
        labels, mean_s = self
        for window in range(math.floor(at_s / mean_s), math.floor(since_s / mean_s) - 1, -1):
            for mark in unit_marks(labels, window):
                if since_s <= mark * mean_s <= at_s:
                    return True
        return False

    def following(self, at_s: float) -> float:
        """Return the first mark after *at_s*."""
        labels, mean_s = self
        window = math.floor(at_s / mean_s)
        while True:
            for mark in unit_marks(labels, window):
                if mark * mean_s > at_s:
                    return mark * mean_s
            window += 1


_POISSON_ONE = tuple(accumulate(math.exp(-1.0) / math.factorial(count) for count in range(19)))  # its distribution


@lru_cache(1 << 14)
def unit_marks(labels: tuple[int, ...], window: int) -> tuple[float, ...]:
    """Return, in order, a keyed Poisson process's marks of rate 1 in [*window*, *window* + 1): Poisson(1) many."""
    first, *draws = words(*labels, window, 0)
    count = bisect_left(_POISSON_ONE, (first >> 11) * 2.0**-53)
    for page in range(1, 1 - (7 - count) // 8):
        draws += words(*labels, window, page)
    return tuple(sorted([window + (word >> 11) * 2.0**-53 for word in draws[:count]]))
