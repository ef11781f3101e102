"""Batteries of a fleet: when devices are plugged in, how charged they begin, and below what they do not work."""

from __future__ import annotations

from dataclasses import dataclass

from fedsim.fleet.availability import Availability, Key
from fedsim.fleet.battery import BatteryLaw
from fedsim.fleet.profile import Profile
from fedsim.seeds import uniforms

_START = 0xBA77
DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class Charging:
    """Shares of a battery: one at *floor* or below works only while plugged in, until it has come to *resume*.

    ``plugged`` is on while a device is plugged in. Nobody has watched a device before it is first asked: its charge at
    the midnight before is then drawn, between the shares ``start``. charge_per_h, use_per_h: shares an hour, what the
    charger gives an empty battery and what the owner's use takes of it, ours apart.
    """

    plugged: Availability
    floor: float
    resume: float
    start: tuple[float, float]
    charge_per_h: float
    use_per_h: float
    seed: int

    def law(self, profile: Profile) -> BatteryLaw | None:
        """Return the law of a device's battery; None if it has none."""
        if profile.battery_j is None:
            return None
        watts = profile.battery_j / 3600.0
        return BatteryLaw(profile.battery_j, charger_w=self.charge_per_h * watts, use_w=self.use_per_h * watts)

    def at_midnight(self, key: Key, day: int) -> float:
        """Return the share that a device nobody has watched has at the start of *day*."""
        low, high = self.start
        u, *_ = uniforms(self.seed, *key, _START, day)
        return low + (high - low) * u
