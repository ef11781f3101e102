"""Magnitude-pruned messages: Grativol Ribeiro et al., ICECS 2023 (arXiv 2310.14693).

At rate theta the smallest floor(theta * N) of all N entries of the state_dict are dropped from a
message, by one global threshold with nothing exempt. Departs from the authors' code in that ties
are dropped by index, so that a bitmask message's length follows from theta, and in that a real
coder writes the message; the code only counts non-zeros.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Lt

from fedsim.fleet import Device
from fedsim.learn.aggregate import average
from fedsim.learn.compress import decode, drop_small, encode
from fedsim.learn.train import local_sgd
from fedsim.method import Context
from fedsim.methods.fedavg import State
from fedsim.training import Train
from fedsim.work import Ref, Reply, Work


@dataclass(frozen=True, slots=True)
class MessagePruning:
    """FedAvg with pruned, coded messages; the model is evaluated before the server's cut."""

    rate: Annotated[float, Ge(0), Lt(1)] = 0.5
    direction: Literal["both", "up", "down"] = "both"
    coder: Literal["bitmask", "zlib"] = "bitmask"
    train: Train = field(default_factory=Train)

    def init(self, ctx: Context) -> State:
        return State(ctx.initial)

    def plan(self, ctx: Context, state: State, device: Device) -> Work | None:
        if not device.samples:
            return None
        sent = self._message(state.model) if self.direction != "up" else state.model
        received = decode(sent) if self.direction != "up" else state.model
        trained = local_sgd(
            received,
            ctx.shard(device),
            **self.train.at(state.version, ctx.rounds),
            seed=ctx.seed("train", device.key, state.version),
        )
        return Work(down=(sent,), up=(self._message(trained) if self.direction != "down" else trained,))

    def merge(self, ctx: Context, state: State, replies: Sequence[Reply]) -> State:
        models = tuple(decode(r.up[0]) if self.direction != "down" else r.up[0] for r in replies)
        return State(average(models, tuple(r.samples for r in replies)), state.version + 1)

    def models(self, state: State) -> Mapping[str, Ref]:
        return {"global": state.model}

    def _message(self, model: Ref) -> Ref:
        return encode(drop_small(model, rate=self.rate), coder=self.coder)
