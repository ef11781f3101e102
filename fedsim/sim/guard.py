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
    that the task keeps on the device.
    """

    def __init__(
        self,
        device: Device,
        dynamics: Dynamics,
        batteries: Batteries,
        *,
        presence: Availability,
        stored: float,
        at_s: float,
    ) -> None:
        self.presence = presence
        self._device, self._key, self._dynamics, self._batteries = device, device.key, dynamics, batteries
        self._network = None if isinstance(dynamics.network, Always) else dynamics.network
        self._stored = stored
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
        if self._lacks_storage(at_s):
            return STORAGE
        if self.away:
            return CRASH if not self._dynamics.rebooting.online(self._key, self.off_s) else DROPOUT
        if step.link and self._network and not self._network.online(self._key, at_s):
            return OUTAGE
        if self._lacks_memory(step, at_s):
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

    def _lacks_memory(self, step: Step, at_s: float) -> bool:
        level, has = self._dynamics.memory, self._device.profile.memory_bytes
        return level is not FULL and step.memory_bytes > has * level.share(self._key, at_s)

    def _lacks_storage(self, at_s: float) -> bool:
        level, has = self._dynamics.storage, self._device.profile.storage_bytes
        return level is not FULL and self._stored > has * level.share(self._key, at_s)
