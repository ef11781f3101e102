"""How fast devices are from one instant to the next: other loads, clocks, and the heat of their own work."""

from __future__ import annotations

import math
from typing import NamedTuple

from fedsim.fleet import Device, Dynamics
from fedsim.fleet.level import FULL
from fedsim.fleet.thermal import Heat, Thermal, advance, at_rest, next_flip_s


class Pace(NamedTuple):
    """The share of its full speed that a job gets until *until_s*, and the share of its full watts."""

    speed: float = 1.0
    power: float = 1.0
    until_s: float = math.inf


_STEADY = Pace()


class Machines:
    """The devices' processors. What a device does heats it, so that a record is kept of each that has worked."""

    def __init__(self, dynamics: Dynamics) -> None:
        self._dynamics = dynamics
        self._heat: dict[int, Heat] = {}
        self._watts: dict[int, float] = {}

    def pace(self, device: Device, now_s: float, busy_w: float) -> Pace:
        """Return how fast a job of *busy_w* above idle goes from now on; it is taken to run until `ran` is called."""
        free, clock = self._free(device, now_s), self._clock(device, now_s)
        law = device.profile.thermal if self._dynamics.heat else None
        if law is None:
            return self._both(free, clock)
        heat = self._cooled(law, device, now_s)
        throttled = Pace(law.speed, law.power) if heat.throttled else _STEADY
        # other loads keep the processor as warm as this job would
        watts = device.profile.idle_w + busy_w * clock.power * throttled.power
        self._heat[device.id], self._watts[device.id] = heat, watts
        until_s = next_flip_s(law, heat, watts)
        return self._both(self._both(free, clock), throttled._replace(until_s=until_s))

    def ran(self, device: Device, now_s: float) -> None:
        """Hear that the job whose pace was asked for has run until now."""
        watts = self._watts.pop(device.id, None)
        if watts is not None:
            assert device.profile.thermal
            self._heat[device.id] = advance(device.profile.thermal, self._heat[device.id], watts, to_s=now_s)

    def speed(self, device: Device, now_s: float) -> float:
        """Return the share of its full speed that a job would start with."""
        law = device.profile.thermal if self._dynamics.heat else None
        hot = law is not None and self._cooled(law, device, now_s).throttled
        cool = self._free(device, now_s).speed * self._clock(device, now_s).speed
        return cool * law.speed if hot and law else cool

    def temperature_c(self, device: Device, now_s: float) -> float:
        """Return how hot the device is, having idled since its last job; nan without a law of its heat."""
        law = device.profile.thermal if self._dynamics.heat else None
        return math.nan if law is None else self._cooled(law, device, now_s).temp_c

    def _free(self, device: Device, now_s: float) -> Pace:
        level = self._dynamics.speed
        if level is FULL:
            return _STEADY
        share = level.share(device.key, now_s)
        return Pace(share, share, level.next_change(device.key, now_s))

    def _clock(self, device: Device, now_s: float) -> Pace:
        clock = self._dynamics.clock
        if clock.speed == clock.power == 1.0:
            return _STEADY
        slow = not clock.full.online(device.key, now_s)
        until_s = clock.full.next_change(device.key, now_s)
        return Pace(clock.speed, clock.power, until_s) if slow else Pace(until_s=until_s)

    def _cooled(self, law: Thermal, device: Device, now_s: float) -> Heat:
        """Return the heat now, after idling since the last record; what is due at this very instant has happened."""
        idle_w = device.profile.idle_w
        heat = self._heat.get(device.id) or at_rest(law, idle_w)
        while (flip_s := next_flip_s(law, heat, idle_w)) <= now_s:
            heat = advance(law, heat, idle_w, to_s=flip_s)
        return advance(law, heat, idle_w, to_s=now_s)

    @staticmethod
    def _both(one: Pace, other: Pace) -> Pace:
        return Pace(one.speed * other.speed, one.power * other.power, min(one.until_s, other.until_s))
