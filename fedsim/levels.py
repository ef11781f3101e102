"""How hard a device's network is pruned: Eq. 4 of REFT (arXiv 2308.13662), whose form is not public, by four readings.

A level is the share that goes, 0 to p_max < 1. Rates are believed ones, in FLOP/s. The last reading, by time, is ours.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

from fedsim.errors import InputError
from fedsim.fleet import Device
from fedsim.seeds import uniforms
from fedsim.work import OpClass

GRID = 100  # levels are hundredths, so that much the same devices share a network
_TRIES = 8


def estimated_rate(device: Device, *, error: float, seed: int) -> float:
    """Return the FLOP/s that *device* is believed to do now, off by a log-normal factor of deviation *error*.

    The description's part is the harmonic mean of its rates of convolutions and of matrix products: as if half the
    work were each. Memory traffic and calls, which the clock bills as well, are left out. A class without a rate of
    arithmetic takes no time here; inf if neither has one.
    """
    rates = [device.profile.rate(kind) for kind in ("conv.forward.3x3", OpClass.MATMUL)]
    per_flop_s = sum(1.0 / rate.flops_per_s for rate in rates) / 2
    u, v, *_ = uniforms(seed)
    normal = math.sqrt(-2.0 * math.log(1.0 - u)) * math.cos(2.0 * math.pi * v)
    return device.now.speed * math.exp(error * normal) / per_flop_s if per_flop_s else math.inf


@dataclass(frozen=True, slots=True)
class Eq4:
    """The level of a device that is believed to do F FLOP/s, by one of four readings.

    A: what F lacks of *f_lambda*, the rate that earns the whole network. B: *p_max* at *f_min* and below, 0 at *f_max*
    and above, between them by the power *gamma*. C: the least level whose training takes at most *limit_s* seconds,
    as many as its FLOP take at F. D: likewise, by seconds predicted without F.

    >>> [Eq4("A", p_max=0.9, f_lambda=100.0).level(rate) for rate in (25.0, 1.0, 200.0)]
    [0.75, 0.9, 0.0]
    >>> Eq4("B", p_max=0.8, f_min=10.0, f_max=50.0, gamma=2.0).level(30.0)
    0.2
    >>> Eq4("C", p_max=0.8, limit_s=7.0).level(1.0, lambda level: 10.0 * (1.0 - level))
    0.3
    """

    reading: str
    p_max: float
    f_lambda: float = math.inf
    f_min: float = 0.0
    f_max: float = 0.0
    gamma: float = 1.0
    limit_s: float = 0.0

    def check(self) -> None:
        """Raise InputError if the reading lacks what it goes by."""
        if self.reading == "B" and not self.f_min < self.f_max:
            raise InputError(
                f"f_min is {self.f_min:g} and f_max {self.f_max:g} FLOP/s: reading B asks where a device's rate "
                f"lies in the fleet; give its slowest and its fastest"
            )
        if self.reading in "CD" and not self.limit_s:
            raise InputError(
                f"reading {self.reading} prunes until training takes at most tau: set tau, or the schedule's deadline"
            )

    def level(self, rate: float, seconds: Callable[[float], float] | None = None) -> float | None:
        """Return the level at *rate* FLOP/s; None: not even p_max will do.

        *seconds*: the time of training at a level; only readings C and D ask. Where it grows with the level here and
        there, the level still takes at most *limit_s*, but may not be the least.
        """
        if self.reading == "A":
            return min(max(1.0 - rate / self.f_lambda, 0.0), self.p_max)
        if self.reading == "B":
            place = (rate - self.f_min) / (self.f_max - self.f_min)
            return float(self.p_max * (1.0 - min(max(place, 0.0), 1.0)) ** self.gamma)
        assert seconds is not None
        grid = [*(n / GRID for n in range(math.ceil(self.p_max * GRID - 1e-9))), self.p_max]
        at = bisect_left(grid, True, key=lambda level: seconds(level) <= self.limit_s)
        return grid[at] if at < len(grid) else None


def from_level_on(level: float, p_max: float) -> tuple[float, ...]:
    """Return *level*, and harder ones up to *p_max* for a device too small for it, on the grid.

    >>> from_level_on(0.512, 0.9)
    (0.51, 0.56, 0.61, 0.66, 0.71, 0.75, 0.8, 0.85, 0.9)
    """
    steps = (level + (p_max - level) * n / _TRIES for n in range(_TRIES + 1))
    return tuple(dict.fromkeys(min(round(step * GRID) / GRID, p_max) for step in steps))
