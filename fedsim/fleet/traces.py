"""Capacities that were recorded: a trace is looped, and each link starts somewhere else in it."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from fedsim.fleet.capacity import Capacity, Constant, Key
from fedsim.seeds import uniforms

_TRACE = 0x7ACE  # keeps these draws apart from others of the same key


@dataclass(frozen=True, slots=True)
class Series:
    """Rates in bytes per second, each from its start in [0, period) on; looped, so that the last precedes the first.

    Neighbours differ, unless there is one rate alone. Made by `looped`.
    """

    starts_s: tuple[float, ...]
    rates: tuple[float, ...]
    period_s: float


def looped(times_s: Sequence[float], rates: Sequence[float], *, end_s: float) -> Series:
    """Return rates that hold from their time to the next one's, the last until *end_s*; of one instant the last holds.

    >>> looped([5.0, 6.0, 7.0], [1.0, 1.0, 3.0], end_s=9.0)
    Series(starts_s=(0.0, 2.0), rates=(1.0, 3.0), period_s=4.0)
    """
    ends = [*times_s[1:], end_s]
    lasting = [(start - times_s[0], rate) for start, rate, end in zip(times_s, rates, ends, strict=True) if end > start]
    changes = [lasting[i] for i in range(len(lasting)) if lasting[i][1] != lasting[i - 1][1]] or lasting[:1]
    return Series(tuple(start for start, _ in changes), tuple(rate for _, rate in changes), end_s - times_s[0])


@dataclass(frozen=True, slots=True)
class Trace:
    """A series without end, of which *offset_s* has passed at time 0.

    A change is a number that counts through all periods. Both questions look at the same rounded time of each, so
    that a rate always holds from one `next_change` to the one after.
    """

    series: Series
    offset_s: float = 0.0

    def rate(self, at_s: float) -> float:
        rates = self.series.rates
        return rates[self._last(at_s) % len(rates)]

    def next_change(self, at_s: float) -> float:
        return math.inf if len(self.series.rates) == 1 else self._when(self._last(at_s) + 1)

    def _when(self, number: int) -> float:
        cycle, place = divmod(number, len(self.series.starts_s))
        return cycle * self.series.period_s + (self.series.starts_s[place] - self.offset_s)

    def _last(self, at_s: float) -> int:
        """Return the last change up to *at_s*: a guess, put right where rounding went wrong."""
        starts, period_s = self.series.starts_s, self.series.period_s
        cycle = math.floor((at_s + self.offset_s) / period_s)
        number = cycle * len(starts) + bisect_right(starts, at_s + self.offset_s - cycle * period_s) - 1
        while self._when(number) > at_s:
            number -= 1
        while self._when(number + 1) <= at_s:
            number += 1
        return number


@dataclass(frozen=True, slots=True)
class Traces:
    """Recorded rates: each link draws one trace and where in it to start, uniform in its period.

    Both ways draw alike, so that what was recorded together stays together. A way without traces, or whose trace has
    none (None), keeps the nominal rate. ``digest`` is that of the files.
    """

    down: tuple[Series | None, ...] = field(repr=False, compare=False)
    up: tuple[Series | None, ...] = field(repr=False, compare=False)
    digest: str

    def capacity(self, bytes_per_s: float, key: Key, *, seed: int, up: bool) -> Capacity:
        which, start, *_ = uniforms(seed, *key, _TRACE)
        found = self.up if up else self.down
        series = found[int(which * len(found))] if found else None
        return Constant(bytes_per_s) if series is None else Trace(series, start * series.period_s)
