"""Equitable-FL: Sinha, Verma and Singh (arXiv 2309.00864): a network thins out until every device can carry it.

In phase p work the devices whose score is at least the density it begins with; at its end the server drops the smallest
weights. Readings: groups are densities, rounds merges, also those that brought replies to an older mask alone, which do
not count; no cut after the last; learning rates go on over a rewind. A mask shortens messages; time it saves only where
a profile has sparse kernels, and memory nowhere, so that one short of those may come in only to be late or refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, MinLen

from fedsim.capacity import limit_s, score
from fedsim.errors import InputError
from fedsim.fleet import Device
from fedsim.learn.masks import SharedNet, magnitude_mask
from fedsim.method import Context
from fedsim.phases import require_all, stage_at
from fedsim.training import Train
from fedsim.units import Seconds
from fedsim.work import Ref, Reply, Work


@dataclass(frozen=True, slots=True)
class State:
    """The network, what a cut sets the survivors back to, and who has worked since the last cut."""

    net: SharedNet
    anchor: Ref
    known: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class EquitableFl:
    """Prune by *densities*, of which there is one per phase; phase_rounds, steps: see `fedsim.phases`.

    rewind: survivors go back to the first model, that of merge *rewind_round*, or not. rescore: who has worked since a
    cut may until the next one, or all are scored (`fedsim.capacity`) when asked. round_budget: 0 s is the deadline.
    """

    densities: Annotated[tuple[Annotated[float, Gt(0), Le(1)], ...], MinLen(1)] = (1.0, 0.6, 0.2)
    phase_rounds: tuple[Annotated[int, Ge(1)], ...] = ()
    steps: Annotated[int, Ge(1)] = 1
    scope: Literal["global", "layer"] = "global"
    rewind: Literal["init", "round_k", "none"] = "init"
    rewind_round: Annotated[int, Ge(1)] = 1
    rescore: Literal["phase", "round"] = "phase"
    round_budget: Seconds = 0.0
    train: Train = field(default_factory=Train)

    def init(self, ctx: Context) -> State:
        limit_s(ctx, self.round_budget)
        require_all(self, ctx.rounds)
        if self.rewind == "round_k" and stage_at(self, self.rewind_round - 1, ctx.rounds).start:
            raise InputError(f"rewind_round is {self.rewind_round}: allowed is up to the first cut; lower it")
        return self._cut(ctx, State(SharedNet(ctx.initial), ctx.initial))

    def plan(self, ctx: Context, state: State, device: Device) -> Work | None:
        net, shard = state.net, ctx.shard(device)
        training = self.train.at(net.version, ctx.rounds) | {"seed": ctx.seed("train", device.key, net.version)}
        known = self.rescore == "phase" and device.id in state.known
        needs, dense = stage_at(self, net.version, ctx.rounds).admits, net.dense().round(shard, **training)
        able = known or score(ctx, device, dense, budget_s=self.round_budget) >= needs
        return net.round(shard, **training) if able else None

    def merge(self, ctx: Context, state: State, replies: Sequence[Reply]) -> State:
        net, known = state.net.merged(replies), state.known.union(r.device for r in state.net.fresh(replies))
        here = self.rewind == "round_k" and net.version == self.rewind_round
        return self._cut(ctx, State(net, net.model if here else state.anchor, known))

    def combine(self, ctx: Context, state: State, replies: Sequence[Reply]) -> tuple[Ref, ...]:
        return state.net.combined(replies)

    def models(self, state: State) -> Mapping[str, Ref]:
        return {"global": state.net.model}

    def _cut(self, ctx: Context, state: State) -> State:
        net, stage = state.net, stage_at(self, state.net.version, ctx.rounds)
        if stage.density == 1.0 or not stage.start == net.version < ctx.rounds:
            return state
        mask = magnitude_mask(net.model, net.masks, density=stage.density, scope=self.scope)
        return State(net.under(mask, net.model if self.rewind == "none" else state.anchor), state.anchor)
