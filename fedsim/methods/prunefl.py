"""PruneFL: Jiang et al., IEEE TNNLS (arXiv 1909.12326), and the authors' code: one mask for all that adapts.

First one device, of those that reply to the first model, works alone and prunes; then, every so often, all do: the
smallest weights go, and those come back whose squared gradients are worth their time. Departs from the code in one time
for every weight instead of one per layer, and in gradients of the whole shard at the model that was received, taken in
the rounds that end in a new mask. Replies to an earlier mask are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

from fedsim.errors import InputError
from fedsim.fleet import Device
from fedsim.learn.masks import SharedNet
from fedsim.learn.reconfigure import reconfigured, squared_gradients
from fedsim.method import Context
from fedsim.training import Train
from fedsim.work import Ref, Reply, Work


@dataclass(frozen=True, slots=True)
class State:
    """The network with its mask, and the device that works alone at first."""

    net: SharedNet
    first: int | None = None


@dataclass(frozen=True, slots=True)
class PruneFl:
    """Drop *prune_share* of the kept weights *every* so many merges, halved every *half_life*, and take back the best.

    first_rounds: merges at the start in which one device is alone and reconfigures after every *first_every*.
    overhead: the fixed time of a round over what all weights together take (the authors' for CIFAR-10). density: the
    share of weights to keep, exactly; 0: as many as are worth their time, which values tell.
    """

    first_rounds: Annotated[int, Ge(0)] = 10
    first_every: Annotated[int, Ge(1)] = 5
    every: Annotated[int, Ge(1)] = 50
    prune_share: Annotated[float, Gt(0), Lt(1)] = 0.3
    half_life: Annotated[float, Gt(0)] = 10_000
    overhead: Annotated[float, Ge(0)] = 0.7
    density: Annotated[float, Ge(0), Le(1)] = 0.0
    train: Train = field(default_factory=Train)

    def init(self, ctx: Context) -> State:
        if self.first_rounds >= ctx.rounds:
            raise InputError(f"first_rounds is {self.first_rounds} of {ctx.rounds} merges, all by one device: lower it")
        return State(SharedNet(ctx.initial))

    def plan(self, ctx: Context, state: State, device: Device) -> Work | None:
        net = state.net
        if net.version < self.first_rounds and state.first not in {None, device.id}:
            return None
        shard, seed = ctx.shard(device), ctx.seed("train", device.key, net.version)
        work = net.round(shard, **self.train.at(net.version, ctx.rounds), seed=seed)
        if not self._due(net):
            return work
        squares = squared_gradients(net.received(), shard, batch_size=self.train.batch_size, seed=seed)
        return replace(work, up=(*work.up, squares))

    def merge(self, ctx: Context, state: State, replies: Sequence[Reply]) -> State:
        alone = state.net.version < self.first_rounds
        first = replies[0].device if alone and state.first is None else state.first
        heard = [reply for reply in replies if not alone or reply.device == first]
        return State(self._merged(state.net, heard), first)

    def models(self, state: State) -> Mapping[str, Ref]:
        return {"global": state.net.model}

    def _merged(self, before: SharedNet, replies: Sequence[Reply]) -> SharedNet:
        net, told = before.merged(replies), [reply for reply in before.fresh(replies) if len(reply.up) > 1]
        if not told:
            return net
        squares, samples = tuple(reply.up[1] for reply in told), tuple(reply.samples for reply in told)
        how = {"share": self.prune_share * 0.5 ** (net.version / self.half_life), "overhead": self.overhead}
        mask = reconfigured(net.model, squares, samples, net.masks, **how, density=self.density)
        return net.under(mask, net.model)

    def _due(self, net: SharedNet) -> bool:
        """Say whether the next merge is to make a new mask; once due it stays so until a merge has gradients."""
        ended = net.version + 1
        every = self.first_every if ended <= self.first_rounds else self.every
        return ended - net.since >= every or ended == self.first_rounds
