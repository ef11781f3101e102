"""Heat: one temperature that follows the watts, and clocks that drop while it is too high.

With the watts constant the temperature approaches its steady value exponentially, so that the time at which the clocks
drop or come back is a logarithm. What the device does meanwhile, and so its watts, is its simulation's to say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from fedsim.errors import InputError
from fedsim.fleet.packaged import packaged
from fedsim.fleet.source import Source, sources_in
from fedsim.fleet.table import Table, read_toml
from fedsim.units import short_time


@dataclass(frozen=True, slots=True)
class Thermal:
    """How a device warms: *kelvin_per_w* above *ambient_c* for each watt that all of it draws, idle watts included.

    At *limit_c* it throttles, until it has cooled to *resume_c*: it then runs at the share *speed* of its speed and
    draws the share *power* of its busy watts.
    """

    ambient_c: float
    kelvin_per_w: float
    tau_s: float
    limit_c: float
    resume_c: float
    speed: float
    power: float
    sources: tuple[Source, ...] = field(default=(), repr=False, compare=False)

    def steady_c(self, watts: float) -> float:
        """Return the temperature that constant *watts* lead to.

        >>> Thermal(25.0, 10.0, 60.0, 80.0, 75.0, 0.5, 0.4).steady_c(3.0)
        55.0
        """
        return self.ambient_c + self.kelvin_per_w * watts

    def after_c(self, temp_c: float, watts: float, seconds: float) -> float:
        """Return the temperature after *seconds* at constant *watts*, whatever the clocks do."""
        steady = self.steady_c(watts)
        return steady + (temp_c - steady) * math.exp(-seconds / self.tau_s)


class Heat(NamedTuple):
    """How hot a device is at a time, and whether it throttles."""

    at_s: float
    temp_c: float
    throttled: bool


def at_rest(law: Thermal, idle_w: float, at_s: float = 0.0) -> Heat:
    """Return the heat of a device that has idled for long."""
    steady = law.steady_c(idle_w)
    return Heat(at_s, steady, steady >= law.limit_c)


def watts_of(law: Thermal, power: tuple[float, float], *, throttled: bool) -> float:
    """Return what a device draws while it computes; *power* is its idle watts and the busy ones above them."""
    idle_w, busy_w = power
    return idle_w + busy_w * (law.power if throttled else 1.0)


def next_flip_s(law: Thermal, heat: Heat, watts: float) -> float:
    """Return when throttling begins or ends if the device goes on at *watts*; inf: never."""
    to_c, steady = _flips_at(law, heat), law.steady_c(watts)
    warms = not heat.throttled
    if heat.temp_c >= to_c if warms else heat.temp_c <= to_c:
        return heat.at_s
    if steady <= to_c if warms else steady >= to_c:
        return math.inf
    # log1p, as a temperature just short of its level leaves a quotient just above 1
    return heat.at_s + law.tau_s * math.log1p((to_c - heat.temp_c) / (steady - to_c))


def advance(law: Thermal, heat: Heat, watts: float, *, to_s: float) -> Heat:
    """Return the heat at *to_s* after constant *watts*.

    From the very time of :func:`next_flip_s` on, it has flipped and lies exactly at its level, so that what is asked
    next is the flip back. Watts change at a flip, so none may be passed: raises ValueError, but for rounding.
    """
    flip_s = next_flip_s(law, heat, watts)
    if to_s < flip_s:
        return Heat(to_s, law.after_c(heat.temp_c, watts, to_s - heat.at_s), heat.throttled)
    if to_s - flip_s > 1e-9 * max(1.0, to_s):
        raise ValueError(f"the clocks change at {flip_s} s, before {to_s} s; advance to that first")
    return Heat(to_s, _flips_at(law, heat) if heat.at_s < flip_s else heat.temp_c, not heat.throttled)


def sustained_speed(law: Thermal, power: tuple[float, float]) -> float:
    """Return the mean share of its speed at which a device computes for ever; *power* as of :func:`watts_of`.

    It is 1 where full speed never reaches the limit, ``law.speed`` where even throttled it does not cool to resume,
    and else the mean over one turn between the two.
    """
    full_w, slow_w = (watts_of(law, power, throttled=throttled) for throttled in (False, True))
    full_s = next_flip_s(law, Heat(0.0, law.resume_c, throttled=False), full_w)
    slow_s = next_flip_s(law, Heat(0.0, law.limit_c, throttled=True), slow_w)
    if math.isinf(full_s):
        return 1.0
    return law.speed if math.isinf(slow_s) else (full_s + law.speed * slow_s) / (full_s + slow_s)


def said_of_heat(law: Thermal, power: tuple[float, float]) -> str:
    """Return what there is to say of a device's heat; *power* as of :func:`watts_of`.

    >>> said_of_heat(Thermal(25.0, 10.0, 60.0, 80.0, 75.0, 0.5, 0.4), (1.0, 5.0))
    'heat: 35 C idle, in the end 85 C busy (10 K/W, 1 min); at 80 C x0.5 speed until 75 C, in the long run x0.88'
    """
    idle_c, busy_c = law.steady_c(power[0]), law.steady_c(sum(power))
    return (
        f"heat: {idle_c:.0f} C idle, in the end {busy_c:.0f} C busy ({law.kelvin_per_w:.2g} K/W, "
        f"{short_time(law.tau_s)}); at {law.limit_c:g} C x{law.speed:.2g} speed until {law.resume_c:g} C, "
        f"in the long run x{sustained_speed(law, power):.2g}"
    )


def thermal_from(table: Table, idle_w: float) -> Thermal:
    """Read a [thermal] table of a device that idles at *idle_w*; raises InputError."""
    law = Thermal(
        ambient_c=table.quantity("ambient", "temperature"),
        kelvin_per_w=table.quantity("rise", "rise"),
        tau_s=table.quantity("tau", "time"),
        limit_c=table.quantity("limit", "temperature"),
        resume_c=table.quantity("resume", "temperature"),
        speed=table.factor("speed", 1.0),
        power=table.factor("power", 1.0),
        sources=sources_in(table) if table.has("source") else (),
    )
    table.close()
    return checked(law, table.where, idle_w)


@cache
def shared_thermals() -> Mapping[str, Table]:
    """Return the [thermal] tables by kind of device that a profile without one of its own has."""
    return read_toml(packaged("device_profiles") / "thermals.toml").parts()


def checked(law: Thermal, where: str, idle_w: float) -> Thermal:
    """Return *law* if a device that idles at *idle_w* can live by it; raises InputError, which begins with *where*."""
    if not law.tau_s:
        raise InputError(f"{where}: tau is 0 s; write how long 63 % of a change of temperature takes")
    if law.resume_c >= law.limit_c:
        raise InputError(f"{where}: resume is {law.resume_c:g} C; allowed is less than limit, {law.limit_c:g} C")
    if law.steady_c(idle_w) >= law.resume_c:
        raise InputError(
            f"{where}: at its idle {idle_w:g} W the device is at {law.steady_c(idle_w):.1f} C, so that it would never "
            f"cool to resume, {law.resume_c:g} C; raise resume or lower ambient or rise"
        )
    return law


def _flips_at(law: Thermal, heat: Heat) -> float:
    return law.resume_c if heat.throttled else law.limit_c
