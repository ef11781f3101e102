"""FedAsync: Xie, Koyejo and Gupta, 2019 (arXiv 1903.03934), algorithm 1 with polynomial staleness.

Departs from it in that local training has no proximal term (the paper's rho = 0 case); under a
schedule that merges several replies at once they are mixed in one after another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Gt, Le

from fedsim.fleet import Device
from fedsim.learn.aggregate import mix
from fedsim.method import Context
from fedsim.methods.fedavg import FedAvg, State
from fedsim.training import Train
from fedsim.work import Ref, Reply, Work


@dataclass(frozen=True, slots=True)
class FedAsync:
    """Mix each reply into the model at rate * (1 + staleness)^-decay."""

    rate: Annotated[float, Gt(0), Le(1)] = 0.6
    decay: Annotated[float, Ge(0)] = 0.5
    train: Train = field(default_factory=Train)

    def init(self, ctx: Context) -> State:
        return FedAvg(self.train).init(ctx)

    def plan(self, ctx: Context, state: State, device: Device) -> Work:
        return FedAvg(self.train).plan(ctx, state, device)

    def merge(self, ctx: Context, state: State, replies: Sequence[Reply]) -> State:
        model = state.model
        for reply in replies:
            model = mix(model, reply.up[0], rate=self.rate * (1.0 + reply.staleness) ** -self.decay)
        return State(model, state.version + 1)

    def models(self, state: State) -> Mapping[str, Ref]:
        return FedAvg(self.train).models(state)
