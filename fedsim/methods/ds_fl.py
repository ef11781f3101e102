"""DS-FL: Itahara et al., IEEE TMC (arXiv 2008.06180).

Devices keep their models and send predictions for a batch of the public set, which the server
averages, sharpens and sends back; all distil them. Departs from it in that a device distils what was agreed
last when it is next asked, the first model being on it already, whether drawn or from a folder, and in that
replies to different versions, which are about different examples, are agreed on apart. Aggregation "mean" leaves
the sharpening out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt

from fedsim.errors import InputError
from fedsim.fleet import Device
from fedsim.learn.distil import distil, mean_probabilities, predict, sharpened
from fedsim.learn.train import local_sgd
from fedsim.method import Context
from fedsim.training import Train
from fedsim.work import Local, Ref, Reply, Work


@dataclass(frozen=True, slots=True)
class State:
    """The server's model, what was agreed last, the devices' own models, which stay there, and the merges so far."""

    model: Ref
    agreed: tuple[Ref, ...] = ()
    local: Local = field(default_factory=Local)
    version: int = 0


@dataclass(frozen=True, slots=True)
class DsFl:
    """Exchange predictions for *open_batch* public examples (0: all), never models; they are distilled by SGD."""

    open_batch: Annotated[int, Ge(0)] = 1000
    aggregation: Literal["era", "mean"] = "era"
    temperature: Annotated[float, Gt(0)] = 0.1
    distil_epochs: Annotated[int, Ge(1)] = 5
    distil_lr: Annotated[float, Gt(0)] = 0.1
    train: Train = field(default_factory=Train)

    def init(self, ctx: Context) -> State:
        if ctx.public is None:
            raise InputError("ds-fl exchanges predictions for public examples: set task.public, such as public = 200")
        return State(ctx.initial)

    def plan(self, ctx: Context, state: State, device: Device) -> Work | None:
        assert ctx.public is not None
        mine = self._taught(ctx, state, state.local.get(device.id) or ctx.initial, who=device.key)
        settings, seed = self.train.at(state.version, ctx.rounds), ctx.seed("train", device.key, state.version)
        trained = local_sgd(mine, ctx.shard(device), **settings, seed=seed)
        told = predict(trained, ctx.public, n=self.open_batch, seed=ctx.seed("open batch", state.version))
        return Work(down=(ctx.public, *state.agreed), up=(told,), keep=(trained,))

    def merge(self, ctx: Context, state: State, replies: Sequence[Reply]) -> State:
        local = state.local.replace({reply.device: reply.keep[0] for reply in replies})
        versions = sorted({reply.version for reply in replies})
        agreed = tuple(self._agreed([r.up[0] for r in replies if r.version == version]) for version in versions)
        new = State(state.model, agreed, local, state.version + 1)
        return State(self._taught(ctx, new, state.model, who="server"), agreed, local, new.version)

    def models(self, state: State) -> Mapping[str, Ref]:
        return {"global": state.model}

    def _agreed(self, told: Sequence[Ref]) -> Ref:
        mean = mean_probabilities(tuple(told), (1,) * len(told))
        return sharpened(mean, temperature=self.temperature) if self.aggregation == "era" else mean

    def _taught(self, ctx: Context, state: State, model: Ref, *, who: object) -> Ref:
        settings = {**self.train.at(state.version, ctx.rounds), "epochs": self.distil_epochs}
        settings |= {"optimizer": "sgd", "lr": self.distil_lr}
        seed = ctx.seed("distil", who, state.version)
        return distil(model, ctx.public, state.agreed, **settings, seed=seed) if state.agreed else model
