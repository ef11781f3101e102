"""What may keep a device from a step of its work, or cut it while it runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fedsim.fleet import FULL, Always, Availability, Device, Dynamics
from fedsim.sim.steps import Step

if TYPE_CHECKING:
    from fedsim.sim.batteries import Batteries

DROPOUT, CRASH, OUTAGE, OOM, STORAGE, BATTERY = "dropout", "crash", "outage", "oom", "storage", "battery"
SHORT = "short"  # no trouble: the deadline is so near that what is done must do
TROUBLES = frozenset({DROPOUT, CRASH, OUTAGE, OOM, STORAGE, BATTERY})
STARTS_OVER = frozenset({CRASH, OOM})  # what was in RAM is gone, so that the step begins anew


class Guard:
    """One device's *presence*, network, RAM, storage and battery, from one instant to the next.

    Instants are named rather than read from the clock, which may be a rounding away from them. *stored*: the bytes
    that the task keeps on the device; *needs*: the RAM that the largest of its jobs takes. Until ``_calm_s`` nothing is
    in the way of any step, its battery apart, so that most questions need no law.
    """

    def __init__(
        self,
        device: Device,
        dynamics: Dynamics,
        batteries: Batteries,
        *,
        presence: Availability,
        stored: float,
        needs: float,
        at_s: float,
    ) -> None:
        self.presence = presence
        self._device, self._key, self._dynamics, self._batteries = device, device.key, dynamics, batteries
        self._network = None if isinstance(dynamics.network, Always) else dynamics.network
        self._stored, self._needs = stored, needs
        self._calm_s = -math.inf
        self.come(at_s)

    def come(self, at_s: float) -> None:
        """Hear that the device is there at *at_s*, if only to leave at that very instant."""
        self.away = False
        self.off_s = self.presence.next_change(self._key, at_s) if self.presence.online(self._key, at_s) else at_s

    def look(self, at_s: float) -> None:
        """Take note of the return, or the departure, that has come by *at_s*."""
        if not self.away:
            self.away = at_s >= self.off_s
        elif self.presence.online(self._key, at_s):
            self.come(at_s)

    def trouble(self, step: Step, at_s: float) -> str | None:
        """Return what is in the way of *step* at *at_s*, if anything is."""
        if self._calm(at_s):
            return BATTERY if self._batteries.ready_s(self._device, at_s) > at_s else None
        if self._lacks_storage(at_s):
            return STORAGE
        if self.away:
            return CRASH if not self._dynamics.rebooting.online(self._key, self.off_s) else DROPOUT
        if step.link and self._network and not self._network.online(self._key, at_s):
            return OUTAGE
        if self._lacks(step.memory_bytes, at_s):
            return OOM
        return BATTERY if self._batteries.ready_s(self._device, at_s) > at_s else None

    def ready_s(self, trouble: str, at_s: float) -> float:
        """Return when *trouble*, in the way at *at_s*, is over, whatever else there may be then; inf: never."""
        if trouble in {DROPOUT, CRASH}:
            return self.presence.next_change(self._key, max(self.off_s, at_s))
        if trouble == OUTAGE:
            return self._dynamics.network.next_change(self._key, at_s)
        if trouble == OOM:
            return self._dynamics.memory.next_change(self._key, at_s)
        return self._batteries.ready_s(self._device, at_s) if trouble == BATTERY else math.inf

    def next_s(self, step: Step, at_s: float) -> float:
        """Return the first instant after *at_s* at which something may be in the way of *step*."""
        if self._calm(at_s):
            return min(self._calm_s, self._batteries.next_s(self._device, at_s))
        soonest = self.loss_s(at_s)
        if step.link and self._network:
            soonest = min(soonest, self._network.next_change(self._key, at_s))
        if step.memory_bytes and self._dynamics.memory is not FULL:
            soonest = min(soonest, self._dynamics.memory.next_change(self._key, at_s))
        return min(soonest, self._batteries.next_s(self._device, at_s))

    def loss_s(self, at_s: float) -> float:
        """Return the first instant after *at_s* at which the device may leave or crash, or lose what it stores."""
        soonest = math.inf if self.away else self.off_s
        if self._dynamics.storage is not FULL:
            soonest = min(soonest, self._dynamics.storage.next_change(self._key, at_s))
        return soonest

    def _calm(self, at_s: float) -> bool:
        """Tell whether nothing but the battery can be in the way of any step, at *at_s* and for a while."""
        if at_s < self._calm_s:
            return True
        there = not self.away and at_s < self.off_s and (self._network is None or self._network.online(self._key, at_s))
        if there and not self._lacks_storage(at_s) and not self._lacks(self._needs, at_s):
            laws = self._network, self._dynamics.memory, self._dynamics.storage
            changes = (law.next_change(self._key, at_s) for law in laws if law is not None and law is not FULL)
            self._calm_s = min((self.off_s, *changes))
        return at_s < self._calm_s

    def _lacks(self, memory_bytes: float, at_s: float) -> bool:
        level, has = self._dynamics.memory, self._device.profile.memory_bytes
        return level is not FULL and memory_bytes > has * level.share(self._key, at_s)

    def _lacks_storage(self, at_s: float) -> bool:
        level, has = self._dynamics.storage, self._device.profile.storage_bytes
        return level is not FULL and self._stored > has * level.share(self._key, at_s)
