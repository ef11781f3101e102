"""FL-PQSU: Xu et al., IEEE Access 2021, and the authors' code: pruning, quantisation, selective updating.

Once, before training, the server keeps the units of largest L1 norm; every message is at 8 bits an
entry; a device uploads only if the loss of its last batch is below that of its last upload. Departs
from the code in that one keep ratio does for a list of widths, and in that the loss is that of the
trained model on its last batch. Replies are averaged plainly, as there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Gt, Le

from fedsim.fleet import Device
from fedsim.learn.affine import at_8_bits, from_8_bits, last_loss, least, mean_of_sent, sent_if_better
from fedsim.learn.aggregate import average
from fedsim.learn.shrink import listed, shrink, uniform
from fedsim.learn.train import local_sgd, spec_of
from fedsim.method import Context
from fedsim.training import Train
from fedsim.work import Local, Ref, Reply, Work


@dataclass(frozen=True, slots=True)
class State:
    """The pruned model, the loss of each device's last upload, and the merges so far."""

    model: Ref
    local: Local = field(default_factory=Local)
    version: int = 0


@dataclass(frozen=True, slots=True)
class FlPqsu:
    """Prune to the share *keep* of the units, quantise, and with *selective* send only what got better.

    widths: the units left of each hidden layer, in order, instead of *keep*.
    """

    keep: Annotated[float, Gt(0), Le(1)] = 0.3
    widths: tuple[Annotated[int, Ge(1)], ...] = ()
    selective: bool = True
    train: Train = field(default_factory=Train)

    def init(self, ctx: Context) -> State:
        spec = spec_of(ctx.initial)
        widths = listed(spec, self.widths) if self.widths else uniform(spec, 1.0 - self.keep)
        return State(shrink(ctx.initial, widths=widths) if widths else ctx.initial)

    def plan(self, ctx: Context, state: State, device: Device) -> Work | None:
        sent, shard = at_8_bits(state.model), ctx.shard(device)
        settings, seed = self.train.at(state.version, ctx.rounds), ctx.seed("train", device.key, state.version)
        trained = local_sgd(from_8_bits(sent), shard, **settings, seed=seed)
        message = at_8_bits(trained)
        if not self.selective:
            return Work(down=(sent,), up=(message,))
        loss = last_loss(trained, shard, epochs=self.train.epochs, batch_size=self.train.batch_size, seed=seed)
        before = (state.local[device.id],) if device.id in state.local else ()
        return Work(down=(sent,), up=(sent_if_better(message, loss, before),), keep=(least((loss, *before)),))

    def merge(self, ctx: Context, state: State, replies: Sequence[Reply]) -> State:
        sent = tuple(reply.up[0] for reply in replies)
        if not self.selective:
            model = average(tuple(from_8_bits(message) for message in sent), (1,) * len(sent))
            return State(model, state.local, state.version + 1)
        local = state.local.replace({reply.device: reply.keep[0] for reply in replies})
        return State(mean_of_sent(state.model, sent), local, state.version + 1)

    def models(self, state: State) -> Mapping[str, Ref]:
        return {"global": state.model}
