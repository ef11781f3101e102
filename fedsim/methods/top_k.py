"""Top-k sparsified updates with error feedback: Stich et al., NeurIPS 2018 (arXiv 1809.07599), algorithm 1.

What a device does not send it keeps and adds to its next update. Departs from it in that an update
is that of a whole local training, as FedAvg's, weighted by examples; and what was kept belongs to
the last merged update, since a lost message takes its remainder with it: a device that is asked again
before its reply is merged, as it may be under async, adds the same remainder twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Gt, Le

from fedsim.fleet import Device
from fedsim.learn.aggregate import add_scaled, difference
from fedsim.learn.updates import from_top_k, top_k
from fedsim.method import Context
from fedsim.methods import fedavg
from fedsim.training import Train
from fedsim.work import Local, Ref, Reply, Work


@dataclass(frozen=True, slots=True)
class State:
    """The global model, what each device has not sent yet, and how many merges made the model."""

    model: Ref
    local: Local = field(default_factory=Local)
    version: int = 0


@dataclass(frozen=True, slots=True)
class TopK:
    """Send the share *rate* of an update's entries that is largest; remember the rest."""

    rate: Annotated[float, Gt(0), Le(1)] = 0.01
    error_feedback: bool = True
    train: Train = field(default_factory=Train)

    def init(self, ctx: Context) -> State:
        return State(ctx.initial)

    def plan(self, ctx: Context, state: State, device: Device) -> Work | None:
        work = fedavg.FedAvg(self.train).plan(ctx, fedavg.State(state.model, state.version), device)
        update = difference(work.up[0], state.model)
        if device.id in state.local:
            update = add_scaled(update, (state.local[device.id],), (1.0,))
        message = top_k(update, rate=self.rate)
        unsent = difference(update, from_top_k(message, rate=self.rate))
        return Work(down=work.down, up=(message,), keep=(unsent,) if self.error_feedback else ())

    def merge(self, ctx: Context, state: State, replies: Sequence[Reply]) -> State:
        updates = tuple(from_top_k(reply.up[0], rate=self.rate) for reply in replies)
        total = sum(reply.samples for reply in replies)
        shares = tuple(reply.samples / total for reply in replies)
        local = state.local.replace({reply.device: reply.keep[0] for reply in replies if reply.keep})
        return State(add_scaled(state.model, updates, shares), local, state.version + 1)

    def models(self, state: State) -> Mapping[str, Ref]:
        return {"global": state.model}
