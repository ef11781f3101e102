"""What of a device changes over time, beside its being there and its link's rates: the laws of one scenario."""

from __future__ import annotations

from dataclasses import dataclass, field

from fedsim.fleet.availability import Always, Availability
from fedsim.fleet.charging import Charging
from fedsim.fleet.failures import Failures
from fedsim.fleet.level import FULL, Level


@dataclass(frozen=True, slots=True)
class Clock:
    """A processor that runs at *speed* times its full speed, for *power* times the watts, while *full* is off."""

    full: Availability = field(default_factory=Always)
    speed: float = 1.0
    power: float = 1.0


@dataclass(frozen=True, slots=True)
class Dynamics:
    """The laws; by default nothing ever changes.

    speed: what other loads leave of the processor, at their own expense. clock: what of it there is. heat: processors
    throttle as their profiles say. memory, storage: what of both is free. network: off while a device's link is down.
    rebooting: off while a device that crashed is away, which its availability says too. charging: the batteries.
    reported: devices tell their present condition when asked; else methods see what their profiles say.
    """

    speed: Level = FULL
    clock: Clock = field(default_factory=Clock)
    heat: bool = False
    memory: Level = FULL
    storage: Level = FULL
    network: Availability = field(default_factory=Always)
    rebooting: Availability = field(default_factory=Always)
    failures: Failures = field(default_factory=Failures)
    charging: Charging | None = None
    reported: bool = True


STILL = Dynamics()
