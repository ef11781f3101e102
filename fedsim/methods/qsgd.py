"""QSGD: Alistarh et al., NeurIPS 2017 (arXiv 1610.02132), on whole updates: FedPAQ (arXiv 1909.13014).

The update of a local training is rounded at random to ``levels`` fractions of its bucket's norm,
right in the mean; the model goes down in full precision, as in FedPAQ. Departs from QSGD in that
levels are written at a fixed width, not in Elias codes, so that the length follows from the
options; and from FedPAQ in that updates are weighted by examples, as FedAvg's models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Le

from fedsim.fleet import Device
from fedsim.learn.aggregate import add_scaled, difference
from fedsim.learn.updates import dequantised, quantised
from fedsim.method import Context
from fedsim.methods.fedavg import FedAvg, State
from fedsim.training import Train
from fedsim.work import Ref, Reply, Work


@dataclass(frozen=True, slots=True)
class Qsgd:
    """FedAvg with quantised updates; 7 levels and their signs are 4 bits an entry."""

    levels: Annotated[int, Ge(1), Le(32767)] = 7
    bucket: Annotated[int, Ge(1)] = 512
    train: Train = field(default_factory=Train)

    def init(self, ctx: Context) -> State:
        return FedAvg(self.train).init(ctx)

    def plan(self, ctx: Context, state: State, device: Device) -> Work | None:
        work = FedAvg(self.train).plan(ctx, state, device)
        seed = ctx.seed("quantise", device.key, state.version)
        update = difference(work.up[0], state.model)
        return Work(down=work.down, up=(quantised(update, levels=self.levels, bucket=self.bucket, seed=seed),))

    def merge(self, ctx: Context, state: State, replies: Sequence[Reply]) -> State:
        updates = tuple(dequantised(reply.up[0], levels=self.levels, bucket=self.bucket) for reply in replies)
        total = sum(reply.samples for reply in replies)
        shares = tuple(reply.samples / total for reply in replies)
        return State(add_scaled(state.model, updates, shares), state.version + 1)

    def models(self, state: State) -> Mapping[str, Ref]:
        return FedAvg(self.train).models(state)
