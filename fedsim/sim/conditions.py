"""What devices have left for work, and when that may have changed."""

from __future__ import annotations

from fedsim.fleet import NOMINAL, STILL, Availability, Condition, Device, Dynamics, Hop, Level
from fedsim.sim.batteries import Batteries
from fedsim.sim.machines import Machines


class Conditions:
    """The present condition of each device, as *dynamics*, its past work and its battery have it."""

    def __init__(
        self, availability: Availability, dynamics: Dynamics, *, machines: Machines, batteries: Batteries, seed: int
    ) -> None:
        self._availability, self._dynamics, self._seed = availability, dynamics, seed
        self._machines, self._batteries = machines, batteries

    def of(self, device: Device, now_s: float) -> Condition:
        """Return what *device* has left for work now."""
        laws, key = self._dynamics, device.key
        if laws is STILL and device.link.varies is None:
            return NOMINAL
        return Condition(
            speed=self._machines.speed(device, now_s),
            memory=laws.memory.share(key, now_s),
            storage=laws.storage.share(key, now_s),
            charge=self._batteries.share(device, now_s),
            plugged=self._batteries.plugged(device, now_s),
            down=self._share(device, now_s, up=False),
            up=self._share(device, now_s, up=True),
        )

    def _share(self, device: Device, now_s: float, *, up: bool) -> float:
        """Return what the device's own link has of its nominal rate."""
        link = device.link
        if link.varies is None:
            return 1.0
        hop = Hop(link.name, device.key, link)
        return hop.capacity(self._seed, up=up, own=True).rate(now_s) / link.rate(up=up)

    def next_change(self, device: Device, now_s: float) -> float:
        """Return when *device* comes or goes, or what it has left jumps; inf: never. Heat and charge creep."""
        laws = self._dynamics
        changing: list[Availability | Level] = [self._availability]
        if laws is not STILL:
            changing += [laws.speed, laws.clock.full, laws.memory, laws.storage]
            changing += [laws.charging.plugged] if laws.charging else []
        return min(law.next_change(device.key, now_s) for law in changing)
