"""FedBuff: Nguyen et al., AISTATS 2022 (arXiv 2106.06639), algorithm 1.

Devices send updates; the server adds the mean of a buffer of them, each scaled down by its
staleness as (1 + staleness)^-1/2. Departs from it in nothing but secure aggregation, which is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Gt

from fedsim.fleet import Device
from fedsim.learn.aggregate import add_scaled, difference
from fedsim.method import Context
from fedsim.methods.fedavg import FedAvg, State
from fedsim.training import Train
from fedsim.work import Ref, Reply, Work


@dataclass(frozen=True, slots=True)
class FedBuff:
    """Add server_lr times the buffer's mean update, discounted by staleness."""

    server_lr: Annotated[float, Gt(0)] = 1.0
    decay: Annotated[float, Ge(0)] = 0.5
    train: Train = field(default_factory=Train)

    def init(self, ctx: Context) -> State:
        return FedAvg(self.train).init(ctx)

    def plan(self, ctx: Context, state: State, device: Device) -> Work:
        work = FedAvg(self.train).plan(ctx, state, device)
        return Work(down=work.down, up=(difference(work.up[0], state.model),))

    def merge(self, ctx: Context, state: State, replies: Sequence[Reply]) -> State:
        share = self.server_lr / len(replies)
        weights = tuple(share * (1.0 + reply.staleness) ** -self.decay for reply in replies)
        return State(add_scaled(state.model, tuple(reply.up[0] for reply in replies), weights), state.version + 1)

    def models(self, state: State) -> Mapping[str, Ref]:
        return FedAvg(self.train).models(state)
