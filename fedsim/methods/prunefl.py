"""PruneFL: Jiang et al., IEEE TNNLS (arXiv 1909.12326), and the authors' code: one mask for all that adapts.

First one device works alone and prunes; then, every so often, all do: the smallest weights go, and those come back
whose squared gradients are worth their time. Departs from the code in one time for every weight instead of one per
layer, and in gradients of the whole shard at the model that was received, taken in the rounds that end in a new mask.
Replies to an earlier mask are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

from fedsim.fleet import Device
from fedsim.learn.masks import SharedNet
from fedsim.learn.reconfigure import reconfigured, squared_gradients
from fedsim.method import Context
from fedsim.training import Train
from fedsim.work import Ref, Reply, Work


@dataclass(frozen=True, slots=True)
class PruneFl:
    """Drop *prune_share* of the kept weights *every* so many merges, halved every *half_life*, and take back the best.

    first_rounds: merges at the start in which device *first_device* is alone and reconfigures after every
    *first_every*. overhead: the fixed time of a round over what all weights together take (the authors' for CIFAR-10).
    density: the share of weights to keep, exactly; 0: as many as are worth their time, which values tell.
    """

    first_rounds: Annotated[int, Ge(0)] = 10
    first_device: Annotated[int, Ge(0)] = 0
    first_every: Annotated[int, Ge(1)] = 5
    every: Annotated[int, Ge(1)] = 50
    prune_share: Annotated[float, Gt(0), Lt(1)] = 0.3
    half_life: Annotated[float, Gt(0)] = 10_000
    overhead: Annotated[float, Ge(0)] = 0.7
    density: Annotated[float, Ge(0), Le(1)] = 0.0
    train: Train = field(default_factory=Train)

    def init(self, ctx: Context) -> SharedNet:
        return SharedNet(ctx.initial)

    def plan(self, ctx: Context, state: SharedNet, device: Device) -> Work | None:
        if state.version < self.first_rounds and device.id != self.first_device:
            return None
        shard, seed = ctx.shard(device), ctx.seed("train", device.key, state.version)
        work = state.round(shard, **self.train.at(state.version, ctx.rounds), seed=seed)
        if not self._due(state):
            return work
        squares = squared_gradients(state.received(), shard, batch_size=self.train.batch_size, seed=seed)
        return replace(work, up=(*work.up, squares))

    def merge(self, ctx: Context, state: SharedNet, replies: Sequence[Reply]) -> SharedNet:
        net, told = state.merged(replies), [reply for reply in state.fresh(replies) if len(reply.up) > 1]
        if not told:
            return net
        squares, samples = tuple(reply.up[1] for reply in told), tuple(reply.samples for reply in told)
        how = {"share": self.prune_share * 0.5 ** (net.version / self.half_life), "overhead": self.overhead}
        mask = reconfigured(net.model, squares, samples, net.masks, **how, density=self.density)
        return net.under(mask, net.model)

    def models(self, state: SharedNet) -> Mapping[str, Ref]:
        return {"global": state.model}

    def _due(self, state: SharedNet) -> bool:
        """Say whether the next merge is to make a new mask; once due it stays so until a merge has gradients."""
        ended = state.version + 1
        every = self.first_every if ended <= self.first_rounds else self.every
        return ended - state.since >= every or ended == self.first_rounds
