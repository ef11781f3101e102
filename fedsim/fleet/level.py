"""How much of itself a device has left for work over time: shares that are constant between changes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from fedsim.fleet.availability import Availability, Key


class Level(Protocol):
    """Says for a device a share of what its profile has, and when that next changes (inf: never again).

    Like an availability it is a function of (seed, device, time) alone.
    """

    def share(self, key: Key, at_s: float) -> float: ...
    def next_change(self, key: Key, at_s: float) -> float: ...


@dataclass(frozen=True, slots=True)
class Switched:
    """All of it while *process* is on, *low* of it while that is off: a background load, say, that comes and goes."""

    process: Availability
    low: float

    def share(self, key: Key, at_s: float) -> float:
        return 1.0 if self.process.online(key, at_s) else self.low

    def next_change(self, key: Key, at_s: float) -> float:
        return self.process.next_change(key, at_s)


@dataclass(frozen=True, slots=True)
class Product:
    """The product of the shares that the parts leave; without parts, all of it for ever."""

    parts: tuple[Level, ...] = ()

    def share(self, key: Key, at_s: float) -> float:
        return math.prod(part.share(key, at_s) for part in self.parts)

    def next_change(self, key: Key, at_s: float) -> float:
        """Return the first change of any part; what two parts change at once may leave the product as it was."""
        return min((part.next_change(key, at_s) for part in self.parts), default=math.inf)


FULL = Product()
