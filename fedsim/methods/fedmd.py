"""FedMD: Li and Wang 2019 (arXiv 1910.03581), algorithm 1, and the authors' code.

Devices with models of their own, of any architecture, send logits for a part of the public set; the server
averages them, and devices fit the mean (digest) before they train on their own data again (revisit). Departs
from it in that nobody is trained to convergence first, on public labels, for ours has none, or on its own; in that a
device digests what was agreed last when it is next asked, replies to different versions being averaged apart; and in a
server that has a model: it digests as devices do, and is what is evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge

from fedsim.errors import InputError
from fedsim.fleet import Device
from fedsim.learn.distil import distil, mean_logits, predict
from fedsim.learn.train import init_model, local_sgd, spec_like, spec_of
from fedsim.method import Context
from fedsim.methods.ds_fl import State
from fedsim.training import Train
from fedsim.work import Ref, Reply, Work


@dataclass(frozen=True, slots=True)
class FedMd:
    """Exchange logits for *alignment* public examples (0: all) between devices with models of their own.

    by_group: the model of each group of the fleet, in its order and over again, with its default options, instead
    of the scenario's. digest_lr: 0 for that of training.
    """

    alignment: Annotated[int, Ge(0)] = 5000
    by_group: tuple[str, ...] = ()
    digest_epochs: Annotated[int, Ge(1)] = 1
    digest_lr: Annotated[float, Ge(0)] = 0.0
    train: Train = field(default_factory=Train)

    def init(self, ctx: Context) -> State:
        if ctx.public is None:
            raise InputError("fedmd exchanges logits for public examples: set task.public, such as public = 200")
        return State(ctx.initial)

    def plan(self, ctx: Context, state: State, device: Device) -> Work | None:
        assert ctx.public is not None
        mine = self._digested(ctx, state, state.local.get(device.id) or self._first(ctx, device), who=device.key)
        settings, seed = self.train.at(state.version, ctx.rounds), ctx.seed("train", device.key, state.version)
        trained = local_sgd(mine, ctx.shard(device), **settings, seed=seed)
        told = predict(trained, ctx.public, n=self.alignment, seed=ctx.seed("alignment", state.version))
        return Work(down=(ctx.public, *state.agreed), up=(told,), keep=(trained,))

    def merge(self, ctx: Context, state: State, replies: Sequence[Reply]) -> State:
        local = state.local.replace({reply.device: reply.keep[0] for reply in replies})
        told = [[r.up[0] for r in replies if r.version == version] for version in sorted({r.version for r in replies})]
        agreed = tuple(mean_logits(tuple(logits), (1,) * len(logits)) for logits in told)
        new = State(state.model, agreed, local, state.version + 1)
        return State(self._digested(ctx, new, state.model, who="server"), agreed, local, new.version)

    def models(self, state: State) -> Mapping[str, Ref]:
        return {"global": state.model}

    def _first(self, ctx: Context, device: Device) -> Ref:
        if not self.by_group:
            return ctx.initial
        name = self.by_group[device.key[0] % len(self.by_group)]
        return init_model(spec=spec_like(spec_of(ctx.initial), name), seed=ctx.seed("first model", device.key))

    def _digested(self, ctx: Context, state: State, model: Ref, *, who: object) -> Ref:
        settings = {**self.train.at(state.version, ctx.rounds), "epochs": self.digest_epochs}
        settings["lr"] = self.digest_lr or settings["lr"]
        seed = ctx.seed("digest", who, state.version)
        return distil(model, ctx.public, state.agreed, **settings, seed=seed, loss="mae") if state.agreed else model
