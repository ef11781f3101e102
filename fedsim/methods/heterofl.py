"""HeteroFL: Diao, Ding and Tarokh, ICLR 2021 (arXiv 2010.01264), algorithm 1.

A device trains the leading share of every layer that its budget allows. Departs from it in that the
mean over the devices that hold an entry is weighted by examples, as FedAvg's; in that widths come
from prices, not by lot; and for batch normalisation, whose statistics are averaged, not made static.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Gt, Le, MinLen

from fedsim.fleet import Device
from fedsim.learn.heterofl import scaled_sgd
from fedsim.learn.slices import front_slice, labels_present, merge_slices
from fedsim.method import Context
from fedsim.methods.fedavg import State
from fedsim.training import Train
from fedsim.units import Seconds
from fedsim.work import Ref, Reply, Work

Ratio = Annotated[float, Gt(0), Le(1)]


@dataclass(frozen=True, slots=True)
class HeteroFl:
    """Give each device the largest of *ratios* it finishes within *budget* (0 s: the deadline).

    by_group: the ratio of each group of the fleet, in its order and over again, instead of the budget.
    masked: leave the labels that a device lacks out of its loss and out of the merge. scaler: multiply
    hidden outputs by one over the ratio while training, which only networks with normalisation bear.
    """

    ratios: Annotated[tuple[Ratio, ...], MinLen(1)] = (1.0, 0.5, 0.25, 0.125, 0.0625)
    budget: Seconds = 0.0
    by_group: tuple[Ratio, ...] = ()
    masked: bool = True
    scaler: bool = True
    train: Train = field(default_factory=Train)

    def init(self, ctx: Context) -> State:
        return State(front_slice(ctx.initial, width=1.0))  # the widest slice: refuses a model without widths

    def plan(self, ctx: Context, state: State, device: Device) -> Work | None:
        limit_s = math.inf if self.by_group else self.budget or ctx.deadline_s or math.inf
        fixed = (self.by_group[device.key[0] % len(self.by_group)],) if self.by_group else ()
        for ratio in fixed or sorted(self.ratios, reverse=True):
            work = self._work(ctx, state, device, ratio=ratio)
            quote = ctx.quote(device, work)
            if quote.fits and quote.seconds <= limit_s:
                return work
        return None

    def merge(self, ctx: Context, state: State, replies: Sequence[Reply]) -> State:
        parts, *present = zip(*(reply.up for reply in replies), strict=True)
        weights = tuple(reply.samples for reply in replies)
        return State(merge_slices(state.model, parts, weights, *present), state.version + 1)

    def models(self, state: State) -> Mapping[str, Ref]:
        return {"global": state.model}

    def _work(self, ctx: Context, state: State, device: Device, *, ratio: float) -> Work:
        sent = state.model if ratio == 1.0 else front_slice(state.model, width=ratio)
        present = (labels_present(ctx.shard(device), sent),) if self.masked else ()
        settings, seed = self.train.at(state.version, ctx.rounds), ctx.seed("train", device.key, state.version)
        scale = 1.0 / ratio if self.scaler else 1.0
        trained = scaled_sgd(sent, ctx.shard(device), *present, **settings, seed=seed, scale=scale)
        return Work(down=(sent,), up=(trained, *present))
