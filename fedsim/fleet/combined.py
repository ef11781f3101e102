"""Availability put together from parts: what must hold at once, what differs by group, what holds for a while."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fedsim.fleet.availability import Always, Availability, Key, Zoned, zone_in

_HORIZON_S = 366 * 86400.0


@dataclass(frozen=True, slots=True)
class All:
    """On while every part is: idle and charging and on WiFi, say.

    Parts that are not on together within a year are taken as never on together again.
    """

    parts: tuple[Availability, ...]

    def online(self, key: Key, at_s: float) -> bool:
        return all(part.online(key, at_s) for part in self.parts)

    def next_change(self, key: Key, at_s: float) -> float:
        """Return the first change of any part while all are on, else the first instant at which all are."""
        if self.online(key, at_s):
            return min((part.next_change(key, at_s) for part in self.parts), default=math.inf)
        now_s = at_s
        while now_s < at_s + _HORIZON_S:
            off = [part for part in self.parts if not part.online(key, now_s)]
            if not off:
                return now_s
            now_s = max(part.next_change(key, now_s) for part in off)
        return math.inf

    def zone_of(self, key: Key) -> float:
        """Return the time zone that the first part with any says; raises InputError where none does."""
        return zone_in(next((part for part in self.parts if isinstance(part, Zoned)), self.parts[0]), key)


def all_of(*parts: Availability) -> Availability:
    """Return what is on while every part is, as simply as can be."""
    binding = tuple(part for part in parts if not isinstance(part, Always))
    return All(binding) if len(binding) > 1 else binding[0] if binding else Always()


@dataclass(frozen=True, slots=True)
class ByGroup:
    """A law of its own for each group of the fleet, so that device class and availability may go together."""

    laws: tuple[Availability, ...]

    def online(self, key: Key, at_s: float) -> bool:
        return self.laws[key[0]].online(key, at_s)

    def next_change(self, key: Key, at_s: float) -> float:
        return self.laws[key[0]].next_change(key, at_s)

    def zone_of(self, key: Key) -> float:
        """Return the time zone of a device; raises InputError where its law knows none."""
        return zone_in(self.laws[key[0]], key)


@dataclass(frozen=True, slots=True)
class Absent:
    """Off from *start_s* until just before *end_s*, on else."""

    start_s: float
    end_s: float = math.inf

    def online(self, key: Key, at_s: float) -> bool:
        return not self.start_s <= at_s < self.end_s

    def next_change(self, key: Key, at_s: float) -> float:
        changes = (self.start_s, self.end_s) if self.start_s < self.end_s else ()
        return next((change_s for change_s in changes if at_s < change_s), math.inf)
