"""Server optimisers over the mean update of a round: the moments are models, and so are the steps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fedsim.learn import loads
from fedsim.learn.parameters import parameter_names
from fedsim.learn.values import Model, ModelSize
from fedsim.work import Load, job


def _pass(reads: int, flops: int) -> Callable[..., Load]:
    def load(model: ModelSize, *_: object, **__: object) -> Load:
        return loads.vector(model.entries, reads=reads, flops=flops)

    return load


def _like(model: ModelSize, *_: object, **__: object) -> ModelSize:
    return model


@job(size=_like, load=_pass(reads=0, flops=0))
def filled(model: Model, *, value: float) -> Model:
    """Return a model of the same shape whose every entry is *value*; whole numbers are kept."""
    state = {name: torch.full_like(t, value) if t.is_floating_point() else t for name, t in model.state.items()}
    return Model(model.spec, state)


@job(size=_like, load=_pass(reads=2, flops=4))
def second_moment(old: Model, update: Model, *, beta: float) -> Model:
    """Return beta * old + (1 - beta) * update^2, entry by entry."""

    def moved(name: str, t: Tensor) -> Tensor:
        return (beta * t.double() + (1.0 - beta) * update.state[name].double().square()).to(t.dtype)

    return Model(old.spec, {n: moved(n, t) if t.is_floating_point() else t for n, t in old.state.items()})


@job(size=_like, load=_pass(reads=4, flops=4))
def adam_step(model: Model, update: Model, first: Model, second: Model, *, lr: float, tau: float) -> Model:
    """Return model + lr * first / (sqrt(second) + tau); running statistics take the plain update."""
    trained = parameter_names(model.spec)

    def stepped(name: str, t: Tensor) -> Tensor:
        if name not in trained:
            return t + update.state[name] if t.is_floating_point() else update.state[name]
        step = first.state[name].double() / (second.state[name].double().sqrt() + tau)
        return (t.double() + lr * step).to(t.dtype)

    return Model(model.spec, {name: stepped(name, t) for name, t in model.state.items()})
