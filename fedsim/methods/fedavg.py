"""Federated averaging: McMahan et al., AISTATS 2017 (arXiv 1602.05629), algorithm 1.

Departs from it in nothing; the cohort and the rounds are the schedule's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fedsim.fleet import Device
from fedsim.learn.aggregate import average
from fedsim.learn.train import local_sgd
from fedsim.method import Context
from fedsim.training import Train
from fedsim.work import Ref, Reply, Work


@dataclass(frozen=True, slots=True)
class State:
    """The global model and how many merges made it."""

    model: Ref
    version: int = 0


@dataclass(frozen=True, slots=True)
class FedAvg:
    """Average locally trained models, weighted by their numbers of examples."""

    train: Train = field(default_factory=Train)

    def init(self, ctx: Context) -> State:
        return State(ctx.initial)

    def plan(self, ctx: Context, state: State, device: Device) -> Work:
        trained = local_sgd(
            state.model,
            ctx.shard(device),
            **self.train.at(state.version, ctx.rounds),
            seed=ctx.seed("train", device.key, state.version),
        )
        return Work(down=(state.model,), up=(trained,))

    def merge(self, ctx: Context, state: State, replies: Sequence[Reply]) -> State:
        models = tuple(reply.up[0] for reply in replies)
        weights = tuple(reply.samples for reply in replies)
        return State(average(models, weights), state.version + 1)

    def combine(self, ctx: Context, state: State, replies: Sequence[Reply]) -> tuple[Ref, ...]:
        return (self.merge(ctx, state, replies).model,)

    def models(self, state: State) -> Mapping[str, Ref]:
        return {"global": state.model}
