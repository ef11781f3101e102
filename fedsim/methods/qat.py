"""Quantisation-aware training with messages of few bits, as compared with in arXiv 2310.14693.

Weights of convolutions and linear layers are on a per-tensor symmetric grid in forward and backward, at 1 bit their
signs (BinaryConnect, Courbariaux et al. 2015, arXiv 1511.00363); norms and biases stay fp32. Departs from the
authors' code in that a message holds the codes, bit-packed, and not real weights billed at few bits: what a device
starts from is on the grid, and at 1 bit each tensor's signs come with their mean size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from fedsim.fleet import Device
from fedsim.learn.aggregate import average
from fedsim.learn.messages import decode, encode
from fedsim.learn.qat import trained
from fedsim.learn.quantise import in_use, quantise
from fedsim.method import Context
from fedsim.methods.fedavg import State
from fedsim.training import Train
from fedsim.work import Ref, Reply, Work


@dataclass(frozen=True, slots=True)
class QAT:
    """FedAvg of quantised networks; the server averages in fp32, and what is evaluated is quantised.

    scale: of a tensor's step, any number or a power of two. direction: which messages are quantised.
    """

    bits: Literal[32, 8, 4, 2, 1] = 8
    scale: Literal["float", "pow2"] = "float"
    direction: Literal["both", "up", "down"] = "both"
    train: Train = field(default_factory=Train)

    def init(self, ctx: Context) -> State:
        return State(ctx.initial)

    def plan(self, ctx: Context, state: State, device: Device) -> Work | None:
        coded_down, coded_up = self._coded("down"), self._coded("up")
        down = self._message(state.model) if coded_down else state.model
        new = trained(
            decode(down) if coded_down else down,
            ctx.shard(device),
            bits=self.bits,
            scale=self.scale,
            seed=ctx.seed("train", device.key, state.version),
            **self.train.at(state.version, ctx.rounds),
        )
        return Work(down=(down,), up=(self._message(new) if coded_up else new,))

    def merge(self, ctx: Context, state: State, replies: Sequence[Reply]) -> State:
        models = tuple(decode(r.up[0]) if self._coded("up") else r.up[0] for r in replies)
        return State(average(models, tuple(r.samples for r in replies)), state.version + 1)

    def combine(self, ctx: Context, state: State, replies: Sequence[Reply]) -> tuple[Ref, ...]:
        mean = self.merge(ctx, state, replies).model
        return (self._message(mean) if self._coded("up") else mean,)

    def models(self, state: State) -> Mapping[str, Ref]:
        return {"global": in_use(state.model, bits=self.bits, scale=self.scale)}

    def _coded(self, way: str) -> bool:
        return self.bits < 32 and self.direction in (way, "both")

    def _message(self, model: Ref) -> Ref:
        return encode(quantise(model, bits=self.bits, scale=self.scale), coder="none")
