"""A battery's charge over time: a straight line, and an exponential where a charger slows down near full.

While plugged in, the charger serves what the device draws first; the battery takes what is left of its watts, but no
more than it accepts: all of them up to the knee, and linearly less from there to full. A full one on its charger stays
full. All of it is closed forms of the time, however long that is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

USE_PER_H = 0.107
"""The share of its battery that a phone draws per hour in its owner's hands, unplugged.

The median over 522 stretches of at least an hour, of 37 phones of ExtraSensory (Vaizman, Ellis, Lanckriet, IEEE
Pervasive Computing 2017); an app that records all sensors ran in all of them, so that it is an upper bound.
"""
USE_QUANTILES = (0.049, 0.058, 0.079, 0.107, 0.144, 0.187, 0.226)
"""The same, 5, 10, 25, 50, 75, 90 and 95 % of the stretches."""
CHARGE_PER_H = 0.44
"""The share of a battery that its charger gives per hour up to the knee, what is used meanwhile included.

This, KNEE and FULL are fitted by tools/fit_battery.py to 188 hours of charging of the same phones: they gain 0.33 an
hour up to three quarters full (measured by tenths: 0.30 to 0.38), then less, 0.14 at 97 % (0.11).
"""
KNEE = 0.64
FULL = 0.25


@dataclass(frozen=True, slots=True)
class BatteryLaw:
    """A battery of *capacity_j* on a charger of *charger_w*.

    From *knee*, a share of the capacity, on it accepts ever fewer of the charger's watts, at full the share *full* of
    them. *use_w* is what the owner's use draws, to be added to what else is drawn.
    """

    capacity_j: float
    charger_w: float
    knee: float = KNEE
    full: float = FULL
    use_w: float = 0.0


class Charged(NamedTuple):
    """A charge, and what went in and out on the way: charge_j is the one before, plus in_j, minus out_j."""

    charge_j: float
    in_j: float
    out_j: float


def typical(capacity_j: float) -> BatteryLaw:
    """Return the battery of a phone as its median owner charges and uses it.

    >>> round(typical(12 * 3600.0).use_w, 2), round(typical(12 * 3600.0).charger_w, 2)
    (1.28, 5.28)
    """
    return BatteryLaw(capacity_j, CHARGE_PER_H * capacity_j / 3600, use_w=USE_PER_H * capacity_j / 3600)


def charge_after(law: BatteryLaw, charge_j: float, seconds: float, *, plugged: bool, out_w: float) -> Charged:
    """Return the charge after *seconds* of drawing *out_w* in all; an empty battery gives what the charger does."""
    net_w = (law.charger_w if plugged else 0.0) - out_w
    if net_w <= 0:
        charge = max(0.0, charge_j + net_w * seconds)
        in_j = law.charger_w * seconds if plugged else 0.0
        return Charged(charge, in_j, charge_j - charge + in_j)
    charge = _charging(law, charge_j, seconds, net_w=net_w)
    return Charged(charge, charge - charge_j + out_w * seconds, out_w * seconds)


def time_to(law: BatteryLaw, charge_j: float, level_j: float, *, plugged: bool, out_w: float) -> float:
    """Return how long it takes from *charge_j* to *level_j*; inf: it never comes there."""
    net_w = (law.charger_w if plugged else 0.0) - out_w
    if level_j == charge_j:
        return 0.0
    if not net_w or (level_j > charge_j) != (net_w > 0) or not 0 <= level_j <= law.capacity_j:
        return math.inf
    return (level_j - charge_j) / net_w if net_w < 0 else _time_up(law, charge_j, level_j, net_w=net_w)


def _charging(law: BatteryLaw, charge_j: float, seconds: float, *, net_w: float) -> float:
    bend, slope, beyond = _slows(law, net_w)
    straight_s = max(0.0, bend - charge_j) / net_w
    if seconds <= straight_s:
        return min(law.capacity_j, charge_j + net_w * seconds)
    start = max(bend, charge_j)
    return min(law.capacity_j, start + (beyond - start) * -math.expm1(-slope * (seconds - straight_s)))


def _time_up(law: BatteryLaw, charge_j: float, level_j: float, *, net_w: float) -> float:
    bend, slope, beyond = _slows(law, net_w)
    straight_s = max(0.0, min(bend, level_j) - charge_j) / net_w
    if level_j <= bend:
        return straight_s
    if level_j >= beyond:
        return math.inf
    return straight_s + math.log1p((level_j - max(bend, charge_j)) / (beyond - level_j)) / slope


def _slows(law: BatteryLaw, net_w: float) -> tuple[float, float, float]:
    """Return the charge from which on less than *net_w* is accepted, and then the rate (1/s) and what it tends to.

    The first lies beyond the capacity where that much is accepted to the end.
    """
    above_j = (1 - law.knee) * law.capacity_j
    falls_w = (1 - law.full) * law.charger_w
    if not above_j * falls_w:
        return math.inf, 0.0, math.inf
    slope = falls_w / above_j
    beyond = law.capacity_j + law.full * law.charger_w / slope
    return beyond - net_w / slope, slope, beyond
