"""Rates that repeat every day, constant within each hour: how many marks until a time, and when the n-th comes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

HOUR_S = 3600.0
HOURS = 24
DAY_S = HOURS * HOUR_S


@dataclass(frozen=True, slots=True)
class Hourly:
    """A daily course of 24 rates (1/s), not all 0, and its integral over all of time. Made by `hourly`.

    ``until_hour`` (25) is the integral from 0 o'clock to each hour. ``lively`` are the hours whose rate is not 0, and
    ``until_lively`` the integral until each of them: there alone the integral can be inverted.
    """

    rates: tuple[float, ...]
    until_hour: tuple[float, ...]
    lively: tuple[int, ...]
    until_lively: tuple[float, ...]

    def integral(self, at_s: float) -> float:
        """Return the integral of the rate from 0 to *at_s*."""
        day, rest_s = divmod(at_s, DAY_S)
        hour = min(int(rest_s // HOUR_S), HOURS - 1)
        return day * self.until_hour[-1] + self.until_hour[hour] + (rest_s - hour * HOUR_S) * self.rates[hour]

    def when(self, integral: float) -> float:
        """Return the time until which the integral is *integral*."""
        day, rest = divmod(integral, self.until_hour[-1])
        place = bisect_right(self.until_lively, rest) - 1
        hour = self.lively[place]
        return day * DAY_S + hour * HOUR_S + (rest - self.until_lively[place]) / self.rates[hour]


def hourly(rates: Sequence[float]) -> Hourly:
    """Return the course of 24 *rates* in 1/s.

    >>> half_days = hourly([0.0] * 12 + [2.0 / 3600] * 12)
    >>> half_days.integral(13 * 3600.0), half_days.when(2.0) / 3600
    (2.0, 13.0)
    """
    assert len(rates) == HOURS
    assert any(rates)
    until = tuple(accumulate((rate * HOUR_S for rate in rates), initial=0.0))
    lively = tuple(hour for hour, rate in enumerate(rates) if rate)
    return Hourly(tuple(rates), until, lively, tuple(until[hour] for hour in lively))
