"""Magnitude-pruned messages: Grativol Ribeiro et al., ICECS 2023 (arXiv 2310.14693).

At rate theta the smallest floor(theta * N) of all N entries of the state_dict are dropped from a message by one
global threshold, nothing exempt. Departs from the authors' code, which only counts non-zeros, in that ties go by
index and a real coder writes the message. Beyond the paper: scope, payload, error_feedback, bits < 32 (see qat).
Updates are of the model as received, and are added to the server's, whose own cut so loses nothing for good. Under an
asynchronous schedule a device asked again before its reply is merged sends what was left out before twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Lt

from fedsim.errors import InputError
from fedsim.fleet import Device
from fedsim.learn.aggregate import add_scaled, average, difference, merged
from fedsim.learn.messages import decode, encode
from fedsim.learn.prune import drop_small, restore
from fedsim.learn.qat import trained
from fedsim.learn.quantise import in_use, quantised
from fedsim.method import Context
from fedsim.training import Train
from fedsim.work import Local, Ref, Reply, Work


@dataclass(frozen=True, slots=True)
class State:
    """The global model, how many merges made it, and what each device has not yet sent."""

    model: Ref
    version: int = 0
    unsent: Local = field(default_factory=Local)


@dataclass(frozen=True, slots=True)
class MessagePruning:
    """FedAvg with pruned, coded messages; the model is evaluated before the server's cut.

    payload: what goes up. error_feedback: an upload adds what the last merged one left out (Seide et al. 2014).
    """

    rate: Annotated[float, Ge(0), Lt(1)] = 0.5
    scope: Literal["global", "layer"] = "global"
    direction: Literal["both", "up", "down"] = "both"
    payload: Literal["weights", "updates"] = "weights"
    coder: Literal["bitmask", "none", "gaps", "zlib", "lzma", "zstd", "huffman"] = "bitmask"
    bits: Literal[32, 8, 4, 2, 1] = 32
    scale: Literal["float", "pow2"] = "float"
    error_feedback: bool = False
    train: Train = field(default_factory=Train)

    def init(self, ctx: Context) -> State:
        if self.error_feedback and self.direction == "down":
            raise InputError("error_feedback is of uploads, which direction 'down' leaves whole: set 'up' or 'both'")
        return State(ctx.initial)

    def plan(self, ctx: Context, state: State, device: Device) -> Work | None:
        down = state.model if self.direction == "up" else encode(self._cut(state.model), coder=self.coder)
        start = down if self.direction == "up" else decode(down)
        how = {**self.train.at(state.version, ctx.rounds), "seed": ctx.seed("train", device.key, state.version)}
        full = trained(start, ctx.shard(device), bits=self.bits, scale=self.scale, **how)
        full = difference(full, start) if self.payload == "updates" else full
        if self.direction == "down":
            return Work(down=(down,), up=(full,))
        full = add_scaled(full, (state.unsent[device.id],), (1.0,)) if device.id in state.unsent else full
        kept = self._cut(full)
        unsent = (difference(full, restore(kept)),) if self.error_feedback else ()
        return Work(down=(down,), up=(encode(kept, coder=self.coder),), keep=unsent)

    def merge(self, ctx: Context, state: State, replies: Sequence[Reply]) -> State:
        found, samples = tuple(map(self._received, replies)), tuple(r.samples for r in replies)
        model = merged(state.model, found, samples, updates=self.payload == "updates")
        unsent = state.unsent.replace({r.device: r.keep[0] for r in replies if r.keep})
        return State(model, state.version + 1, unsent)

    def combine(self, ctx: Context, state: State, replies: Sequence[Reply]) -> tuple[Ref, ...]:
        if self.error_feedback:
            raise InputError("error_feedback follows each device's merged messages, which edges combine: set it false")
        mean = average(tuple(map(self._received, replies)), tuple(r.samples for r in replies))
        return (mean if self.direction == "down" else encode(self._cut(mean), coder=self.coder),)

    def models(self, state: State) -> Mapping[str, Ref]:
        return {"global": in_use(state.model, bits=self.bits, scale=self.scale)}

    def _received(self, reply: Reply) -> Ref:
        return reply.up[0] if self.direction == "down" else decode(reply.up[0])

    def _cut(self, model: Ref) -> Ref:
        return quantised(drop_small(model, rate=self.rate, scope=self.scope), bits=self.bits, scale=self.scale)
