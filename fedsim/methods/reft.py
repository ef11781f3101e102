"""REFT: Desai, Hilal and Eldardiry 2023 (arXiv 2308.13662): variable pruning, and logits that the server distils.

A device gets a dense network cut to its compute rate, trains it, and sends its logits for the public set. Eq. 4's form
and the weights are not public: see the options. Departs from what is: levels are hundredths; one device at a time is
seen, so that the ends of reading B are options; there is no labelled data to warm up on, hence *warmup*; a device too
small for its level gets a harder one. Devices' own networks never leave them, and so are not evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt

from fedsim.errors import InputError
from fedsim.fleet import Device
from fedsim.learn.distil import distil, predict
from fedsim.learn.loads import macs
from fedsim.learn.logits import pooled, teacher, tell
from fedsim.learn.shrink import Policy, cut
from fedsim.learn.train import init_model, local_sgd, spec_like, spec_of
from fedsim.levels import Eq4, estimated_rate, from_level_on
from fedsim.method import Context
from fedsim.training import Train
from fedsim.units import FlopRate, Seconds
from fedsim.work import Ref, Reply, Work

Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]


@dataclass(frozen=True, slots=True)
class State:
    """The server's networks by architecture, the one distilled at p_max if wanted, and the merges so far."""

    models: Mapping[str, Ref]
    smallest: Mapping[str, Ref] = field(default_factory=dict)
    version: int = 0


@dataclass(frozen=True, slots=True)
class Reft:
    """Prune by believed FLOP/s F: A, 1 - F / f_lambda; B, where F lies from f_min to f_max; C, to train within tau.

    Reading D, which is not the paper's: to be done within tau by predicted time, transfers included, whatever F is.
    tau: 0 s for the deadline. levels: fixed ones by group of the fleet, in its order and over again. Policy cap: to
    conv_cap and hidden_cap at p_max. estimate_error: log-normal, of F. importance: what replies weigh by.
    architectures: models by group, as levels, with their default options. warmup: versions that send whole networks.
    distil_lr: 0 for that of training. smallest: distil at p_max too.
    """

    reading: Literal["A", "B", "C", "D"] = "A"
    f_lambda: Annotated[FlopRate, Gt(0)] = 100e9
    f_min: FlopRate = 0.0
    f_max: FlopRate = 0.0
    gamma: Positive = 1.0
    tau: Seconds = 0.0
    p_max: Annotated[float, Gt(0), Lt(1)] = 0.9
    levels: tuple[Annotated[float, Ge(0), Lt(1)], ...] = ()
    estimate_error: NotNegative = 0.0
    policy: Literal["uniform", "global_l1", "cap"] = "uniform"
    conv_cap: Annotated[int, Ge(1)] = 64
    hidden_cap: Annotated[int, Ge(1)] = 128
    architectures: tuple[str, ...] = ()
    warmup: Annotated[int, Ge(0)] = 0
    logits: Literal["fp32", "fp16", "int8"] = "fp32"
    importance: Literal["data", "uniform", "capacity", "confidence"] = "data"
    temperature: Positive = 3.0
    distil_epochs: Annotated[int, Ge(1)] = 20
    distil_lr: NotNegative = 0.0
    distil_batch_size: Annotated[int, Ge(1)] = 64
    smallest: bool = False
    train: Train = field(default_factory=Train)

    def init(self, ctx: Context) -> State:
        if ctx.public is None:
            raise InputError("reft sends logits for public examples: set task.public, such as public = 200")
        if self.warmup >= ctx.rounds > 0 and self.warmup:
            raise InputError(f"warmup is {self.warmup} of {ctx.rounds} merges, so that nothing is pruned: lower it")
        self._eq4(ctx).check()
        named = {n: init_model(spec=self._spec(ctx, n), seed=ctx.seed("init", n)) for n in self.architectures}
        models = named or {"global": ctx.initial}
        for name in models:
            self._policy.check(self._spec(ctx, name), by_cost=self.reading in "CD" and not self.levels)
        return State(models, self._smallest(ctx, models))

    def plan(self, ctx: Context, state: State, device: Device) -> Work | None:
        for level in self._levels(ctx, state, device):
            work = self._work(ctx, state, device, level=level)
            if ctx.quote(device, work).fits:
                return work
        return None

    def merge(self, ctx: Context, state: State, replies: Sequence[Reply]) -> State:
        told, samples = tuple(reply.up[0] for reply in replies), tuple(reply.samples for reply in replies)
        labels = teacher(told, samples, importance=self.importance, temperature=self.temperature)
        models = self._taught(ctx, state, state.models, labels=labels)
        return State(models, self._taught(ctx, state, self._smallest(ctx, models), labels=labels), state.version + 1)

    def combine(self, ctx: Context, state: State, replies: Sequence[Reply]) -> tuple[Ref, ...]:
        if self.importance in {"uniform", "confidence"}:
            raise InputError(f"importance is {self.importance!r}, which edges cannot add up: set 'data' or 'capacity'")
        told, samples = tuple(reply.up[0] for reply in replies), tuple(reply.samples for reply in replies)
        return (pooled(told, samples, importance=self.importance, form=self.logits),)

    def models(self, state: State) -> Mapping[str, Ref]:
        return {**state.models, **state.smallest}

    def _levels(self, ctx: Context, state: State, device: Device) -> tuple[float, ...]:
        """Return the levels to try on *device*, in this order."""
        if state.version < self.warmup:
            return from_level_on(0.0, self.p_max)
        if self.levels:
            return from_level_on(self.levels[device.key[0] % len(self.levels)], self.p_max)
        rate = estimated_rate(device, error=self.estimate_error, seed=ctx.seed("estimate", device.key))
        level = self._eq4(ctx).level(rate, lambda p: self._seconds(ctx, state, device, level=p, rate=rate))
        return () if level is None else from_level_on(level, self.p_max)

    def _seconds(self, ctx: Context, state: State, device: Device, *, level: float, rate: float) -> float:
        """Return how long *device* is thought to take at *level*: by its *rate* in FLOP/s, or as predicted."""
        if self.reading == "D":
            return ctx.quote(device, self._work(ctx, state, device, level=level)).seconds
        spec = self._spec(ctx, self._name(device))
        flops = 3 * 2 * device.samples * self.train.epochs  # forward and twice backward, 2 a multiply-add
        return flops * macs(cut(spec, self._policy.widths(spec, level))) / rate

    def _eq4(self, ctx: Context) -> Eq4:
        ends = {"f_lambda": self.f_lambda, "f_min": self.f_min, "f_max": self.f_max, "gamma": self.gamma}
        reading = "A" if self.levels else self.reading
        return Eq4(reading, p_max=self.p_max, **ends, limit_s=self.tau or ctx.deadline_s or 0.0)

    def _work(self, ctx: Context, state: State, device: Device, *, level: float) -> Work:
        assert ctx.public is not None
        name = self._name(device)
        sent = self._policy.pruned(state.models[name], self._spec(ctx, name), level)
        settings, seed = self.train.at(state.version, ctx.rounds), ctx.seed("train", device.key, state.version)
        trained = local_sgd(sent, ctx.shard(device), **settings, seed=seed)
        told = tell(predict(trained, ctx.public), trained, form=self.logits)
        return Work(down=(sent, ctx.public), up=(told,))

    @property
    def _policy(self) -> Policy:
        return Policy(self.policy, self.p_max, conv_cap=self.conv_cap, hidden_cap=self.hidden_cap)

    def _name(self, device: Device) -> str:
        """Return the architecture that *device* gets."""
        by_group = self.architectures or ("global",)
        return by_group[device.key[0] % len(by_group)]

    def _spec(self, ctx: Context, name: str) -> tuple[Any, ...]:
        initial = spec_of(ctx.initial)
        return spec_like(initial, name) if self.architectures else initial

    def _smallest(self, ctx: Context, models: Mapping[str, Ref]) -> Mapping[str, Ref]:
        (name, model), *_ = models.items()
        return {"smallest": self._policy.pruned(model, self._spec(ctx, name), self.p_max)} if self.smallest else {}

    def _taught(self, ctx: Context, state: State, models: Mapping[str, Ref], *, labels: Ref) -> Mapping[str, Ref]:
        how = {**self.train.at(state.version, ctx.rounds), "seed": ctx.seed("distil", state.version)}
        how |= {"epochs": self.distil_epochs, "batch_size": self.distil_batch_size, "lr": self.distil_lr or how["lr"]}
        return {n: distil(m, ctx.public, (labels,), **how, temperature=self.temperature) for n, m in models.items()}
