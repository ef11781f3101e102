"""What a run is given, and what it tells."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from fedsim.fleet import STILL, Availability, CostModel, Device, Dynamics, Fleet, Profile, Topology, Transport
from fedsim.work import Ref

OnDropout = Literal["discard", "restart", "resume", "partial"]


@dataclass(frozen=True, slots=True)
class World:
    """What methods compared in one scenario have in common."""

    fleet: Fleet
    availability: Availability
    on_dropout: OnDropout
    server: Profile
    topology: Topology
    initial: Ref
    public: Ref | None
    shard: Callable[[Device], Ref]
    cost: CostModel = field(default_factory=CostModel)
    transport: Transport = field(default_factory=Transport)
    dynamics: Dynamics = STILL
    stop_s: float = math.inf
    preinstalled: frozenset[str] = frozenset()  # keys of what every device holds from the start
    loss: Callable[[Ref, Ref], Ref] | None = None  # names a model's mean loss on a shard, a float


@dataclass(frozen=True, slots=True)
class Published:
    """A new version of the state: its models, and the totals up to this instant."""

    at_s: float
    version: int
    merged: int
    models: Mapping[str, Ref]
    totals: Mapping[str, float]


class Observer(Protocol):
    """Hears of every published version while the clock stands."""

    def published(self, news: Published) -> None: ...
