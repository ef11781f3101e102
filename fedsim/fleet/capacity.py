"""What a link can carry over time: rates that are constant between the instants at which they change."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

Key = tuple[int, ...]
"""(group, index in the group) of the link's device; of a link that devices share, (tier, index in the tier)"""


class Capacity(Protocol):
    """Says what a link carries in one direction, bytes per second, and when that next changes (inf: never again).

    Both are functions of the time alone: asking changes nothing, in whatever order.
    """

    def rate(self, at_s: float) -> float: ...
    def next_change(self, at_s: float) -> float: ...


class Variation(Protocol):
    """How the rates of a link change: one of a kind, from which each link draws its own by key."""

    def capacity(self, bytes_per_s: float, key: Key, *, seed: int, up: bool) -> Capacity:
        """Return the capacity of the link of *key* whose rate is nominally *bytes_per_s*."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """One rate for ever."""

    bytes_per_s: float

    def rate(self, at_s: float) -> float:
        return self.bytes_per_s

    def next_change(self, at_s: float) -> float:
        return math.inf
