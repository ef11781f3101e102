"""Devices that come and go with the hour of their day, in long stays and short ones: docs/decisions/0012."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from fedsim.fleet.availability import Key, unit_marks
from fedsim.fleet.curve import MIDDLE_S, Curve
from fedsim.fleet.hourly import Hourly
from fedsim.seeds import uniforms

_ZONE = 0x20AE  # keeps these draws apart from others of the same key
_LIFE = 16  # numbers of chains in a life
_SLACK = 1e-9  # in marks: rounding takes no time further than this over the edge of a window


@dataclass(frozen=True, slots=True)
class Diurnal:
    """On in a long stay or a short one, each an independent chain whose rates follow the local time of day.

    Time 0 of the run is *starts_at_s* after midnight in zone 0. A device lives in one of *zones* (seconds ahead of
    zone 0, equal chances), and ahead of that by a normal deviate times *spread_s* of its own. Laws of one seed put it
    in the same place; of these, those of one *life* have the same marks, so that to charge and to be on WiFi are two.
    """

    curve: Curve
    seed: int
    zones: tuple[float, ...] = (0.0,)
    spread_s: float = 0.0
    starts_at_s: float = 0.0
    life: int = 0

    def online(self, key: Key, at_s: float) -> bool:
        """Tell whether any chain is on."""
        return any(stay.lasts(at_s) for stay in self._stays(key))

    def next_change(self, key: Key, at_s: float) -> float:
        """Return the first time after *at_s* when the last stay has ended, or the first begins."""
        stays, end_s = tuple(self._stays(key)), at_s
        while lasting := next((stay for stay in stays if stay.lasts(end_s)), None):
            end_s = lasting.ends.following(end_s)
        return end_s if end_s > at_s else min(stay.begins.following(at_s) for stay in stays)

    def change_from(self, key: Key, at_s: float, *, online: bool) -> float:
        """Return the same where the state is known."""
        return self.next_change(key, at_s) if online else min(s.begins.following(at_s) for s in self._stays(key))

    def zone_of(self, key: Key) -> float:
        """Return how far the device's zone is ahead of zone 0 (s), without what is its own."""
        return self.zones[int(_place(self.seed, *key)[0] * len(self.zones))]

    def local_s(self, key: Key, at_s: float) -> float:
        """Return the seconds since the midnight of the device's own first day."""
        return at_s + self._ahead_s(key)

    def _ahead_s(self, key: Key) -> float:
        if len(self.zones) == 1 and not self.spread_s:
            return self.starts_at_s + self.zones[0]
        return self.starts_at_s + self.zone_of(key) + self.spread_s * _place(self.seed, *key)[1]

    def _stays(self, key: Key) -> Iterator[_Stay]:
        ahead_s = self._ahead_s(key) - MIDDLE_S
        for number, chain in enumerate(self.curve.chains, _LIFE * self.life + 1):  # not 0: those marks are Markov's
            begins = _Marks(chain.on, ahead_s, (self.seed, *key, 2 * number + 1))
            yield _Stay(begins, _Marks(chain.off, ahead_s, (self.seed, *key, 2 * number)))


@lru_cache(1 << 14)
def _place(seed: int, group: int, index: int) -> tuple[float, float]:
    """Return a uniform and a normal number of the device's own."""
    zone, u, v, *_ = uniforms(seed, group, index, _ZONE)
    return zone, math.sqrt(-2 * math.log1p(-u)) * math.cos(2 * math.pi * v)


class _Marks(NamedTuple):
    """A keyed Poisson process, over all of time: one of rate 1, read by the clock that *rate* is.

    Times are those of the run, which that clock is *ahead_s* of; both questions compare the same rounded ones, of marks
    that by the clock may be meant.
    """

    rate: Hourly
    ahead_s: float
    labels: tuple[int, ...]

    def last(self, at_s: float) -> float:
        """Return the last mark at or before *at_s*; windows go back beyond time 0."""
        now = self.rate.integral(at_s + self.ahead_s) + _SLACK
        window = math.floor(now)
        while True:
            for mark in reversed(unit_marks(self.labels, window)):
                if mark <= now and (time_s := self.rate.when(mark) - self.ahead_s) <= at_s:
                    return time_s
            window -= 1

    def any_since(self, since_s: float, at_s: float) -> bool:
        """Tell whether there is a mark from *since_s* up to *at_s*."""
        now = self.rate.integral(at_s + self.ahead_s) + _SLACK
        since = self.rate.integral(since_s + self.ahead_s) - _SLACK
        for window in range(math.floor(now), math.floor(since) - 1, -1):
            for mark in unit_marks(self.labels, window):
                if since <= mark <= now and since_s <= self.rate.when(mark) - self.ahead_s <= at_s:
                    return True
        return False

    def following(self, at_s: float) -> float:
        """Return the first mark after *at_s*."""
        now = self.rate.integral(at_s + self.ahead_s) - _SLACK
        window = math.floor(now)
        while True:
            for mark in unit_marks(self.labels, window):
                if mark >= now and (time_s := self.rate.when(mark) - self.ahead_s) > at_s:
                    return time_s
            window += 1


class _Stay(NamedTuple):
    """One chain of a device."""

    begins: _Marks
    ends: _Marks

    def lasts(self, at_s: float) -> bool:
        return not self.ends.any_since(self.begins.last(at_s), at_s)
