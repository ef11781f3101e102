"""Arithmetic on models: averages, mixtures, differences."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fedsim.learn import loads
from fedsim.learn.values import Model, ModelSize
from fedsim.work import Load, Ref, job


def _first(models: tuple[ModelSize, ...], *_: object, **__: object) -> ModelSize:
    return models[0]


def _sum_load(models: tuple[ModelSize, ...], *_: object, **__: object) -> Load:
    return loads.vector(models[0].entries, reads=2, flops=2) * len(models)


@job(size=_first, load=_sum_load)
def average(models: tuple[Model, ...], weights: tuple[float, ...]) -> Model:
    """Return the mean of *models* weighted by *weights*, such as their numbers of examples."""
    total = float(sum(weights))
    return _combined(models, [w / total for w in weights])


@job(size=lambda old, new, *, rate: old, load=lambda old, new, *, rate: loads.vector(old.entries, reads=2, flops=3))
def mix(old: Model, new: Model, *, rate: float) -> Model:
    """Return (1 - rate) * old + rate * new."""
    return _combined((old, new), [1.0 - rate, rate])


@job(size=lambda new, old: new, load=lambda new, old: loads.vector(new.entries, reads=2))
def difference(new: Model, old: Model) -> Model:
    """Return new - old, entry by entry; counters and other whole numbers are taken from *new*."""
    return _entrywise(new, lambda name, t: t - old.state[name])


@job(
    size=lambda model, deltas, weights: model,
    load=lambda model, deltas, weights: loads.vector(model.entries, reads=2, flops=2) * len(deltas),
)
def add_scaled(model: Model, deltas: tuple[Model, ...], weights: tuple[float, ...]) -> Model:
    """Return model + the sum of weight * delta."""
    return _combined((model, *deltas), [1.0, *weights])


def merged(model: Ref, found: tuple[Ref, ...], samples: tuple[int, ...], *, updates: bool) -> Ref:
    """Name the mean of *found* weighted by *samples*, or *model* plus that mean where *found* are updates."""
    if not updates:
        return average(found, samples)
    return add_scaled(model, found, tuple(n / sum(samples) for n in samples))


def _combined(models: tuple[Model, ...], factors: list[float]) -> Model:
    def weighted(name: str, t: Tensor) -> Tensor:
        total = torch.zeros_like(t, dtype=torch.float64)
        for model, factor in zip(models, factors, strict=True):
            total.add_(model.state[name].double(), alpha=factor)
        return total.to(t.dtype)

    return _entrywise(models[0], weighted)


def _entrywise(model: Model, change: Callable[[str, Tensor], Tensor]) -> Model:
    state = {name: change(name, t) if t.is_floating_point() else t for name, t in model.state.items()}
    return Model(model.spec, state)
