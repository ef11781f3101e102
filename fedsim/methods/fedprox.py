"""FedProx: Li et al., MLSys 2020 (arXiv 1812.06127), algorithm 2.

The proximal term is the paper's. Its tolerance of partial work belongs to the schedule, which
merges what came by the deadline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge

from fedsim.fleet import Device
from fedsim.learn.train import local_sgd
from fedsim.method import Context
from fedsim.methods.fedavg import FedAvg, State
from fedsim.training import Train
from fedsim.work import Ref, Reply, Work


@dataclass(frozen=True, slots=True)
class FedProx:
    """FedAvg with (mu/2)||w - w_global||^2 in the local loss."""

    mu: Annotated[float, Ge(0)] = 0.01
    train: Train = field(default_factory=Train)

    def init(self, ctx: Context) -> State:
        return FedAvg(self.train).init(ctx)

    def plan(self, ctx: Context, state: State, device: Device) -> Work:
        trained = local_sgd(
            state.model,
            ctx.shard(device),
            **self.train.at(state.version, ctx.rounds),
            seed=ctx.seed("train", device.key, state.version),
            mu=self.mu,
        )
        return Work(down=(state.model,), up=(trained,))

    def merge(self, ctx: Context, state: State, replies: Sequence[Reply]) -> State:
        return FedAvg(self.train).merge(ctx, state, replies)

    def combine(self, ctx: Context, state: State, replies: Sequence[Reply]) -> tuple[Ref, ...]:
        return FedAvg(self.train).combine(ctx, state, replies)

    def models(self, state: State) -> Mapping[str, Ref]:
        return FedAvg(self.train).models(state)
