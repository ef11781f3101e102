"""SCAFFOLD: Karimireddy et al., ICML 2020 (arXiv 1910.06378), algorithm 1 with option II.

Departs from it in two things. With momentum, (x - y) is divided by how far the steps go along a
constant gradient, which without it is the paper's K * lr. The server's variate is the mean over
the devices heard so far, unless ``devices`` says how many there are: the paper's N. It is their mean
only if no device is asked again before its reply is merged, as it may be under async.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Gt

from fedsim.errors import InputError
from fedsim.fleet import Device
from fedsim.learn.adaptive import filled
from fedsim.learn.aggregate import add_scaled, difference
from fedsim.learn.control import corrected_sgd, next_variate, reach
from fedsim.method import Context
from fedsim.training import Train
from fedsim.work import Local, Ref, Reply, Work


@dataclass(frozen=True, slots=True)
class State:
    """The model, the server's variate, each device's own, which stays there, and the merges so far."""

    model: Ref
    variate: Ref
    local: Local = field(default_factory=Local)
    version: int = 0


@dataclass(frozen=True, slots=True)
class Scaffold:
    """Correct every local step by the difference of two variates; both travel with the model."""

    server_lr: Annotated[float, Gt(0)] = 1.0
    devices: Annotated[int, Ge(0)] = 0
    train: Train = field(default_factory=Train)

    def __post_init__(self) -> None:
        if self.train.optimizer != "sgd":
            raise InputError(f"train.optimizer = {self.train.optimizer!r}: scaffold corrects SGD's steps; choose 'sgd'")

    def init(self, ctx: Context) -> State:
        return State(ctx.initial, filled(ctx.initial, value=0.0))

    def plan(self, ctx: Context, state: State, device: Device) -> Work | None:
        settings = self.train.at(state.version, ctx.rounds)
        own = state.local.get(device.id) or filled(state.model, value=0.0)
        seed = ctx.seed("train", device.key, state.version)
        trained = corrected_sgd(state.model, ctx.shard(device), state.variate, own, **settings, seed=seed)
        steps = self.train.epochs * -(-device.samples // self.train.batch_size)
        distance = reach(settings["lr"], settings["momentum"], steps)
        new = next_variate(own, state.variate, state.model, trained, distance=distance)
        up = difference(trained, state.model), difference(new, own)
        return Work(down=(state.model, state.variate), up=up, keep=(new,))

    def merge(self, ctx: Context, state: State, replies: Sequence[Reply]) -> State:
        steps, moves = zip(*(reply.up for reply in replies), strict=True)
        model = add_scaled(state.model, steps, (self.server_lr / len(replies),) * len(replies))
        local = state.local.replace({reply.device: reply.keep[0] for reply in replies})
        before, after = self.devices or len(state.local), self.devices or len(local)
        shares = (before / after - 1.0, *(1.0 / after for _ in moves))
        variate = add_scaled(state.variate, (state.variate, *moves), shares)
        return State(model, variate, local, state.version + 1)

    def models(self, state: State) -> Mapping[str, Ref]:
        return {"global": state.model}
