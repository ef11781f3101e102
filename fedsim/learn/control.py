"""SCAFFOLD's control variates: what steers local steps back to where all devices would go together.

A variate is a model-shaped estimate of a gradient; its running statistics are zero. Source:
Karimireddy et al. 2020, arXiv 1910.06378.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from fedsim.learn import loads
from fedsim.learn.data import DataSize, Examples
from fedsim.learn.parameters import parameter_names
from fedsim.learn.train import batches, optimiser, step, training_load
from fedsim.learn.values import Model, ModelSize
from fedsim.work import Load, job


def reach(lr: float, momentum: float, steps: int) -> float:
    """Return how far *steps* of SGD go along a constant gradient of 1: lr * steps without momentum.

    >>> reach(0.5, 0.0, 4), reach(1.0, 0.5, 2)
    (2.0, 2.5)
    """
    velocity = distance = 0.0
    for _ in range(steps):
        velocity = momentum * velocity + 1.0
        distance += lr * velocity
    return distance


def _corrected_load(
    model: ModelSize, data: DataSize, *_: ModelSize, epochs: int, batch_size: int, **settings: Any
) -> Load:
    """Count the training, the shift, and adding it to each gradient; the shift stays in memory."""
    steps = epochs * -(-data.n // batch_size)
    load = training_load(model, data, epochs=epochs, batch_size=batch_size, **settings)
    load = load + loads.vector(model.entries, reads=2) * (steps + 1)
    return replace(load, memory_bytes=load.memory_bytes + 4.0 * model.entries)


@job(size=lambda model, *_, **__: model, load=_corrected_load)
def corrected_sgd(
    model: Model,
    data: Examples,
    server: Model,
    own: Model,
    *,
    epochs: int,
    batch_size: int,
    optimizer: str,
    lr: float,
    momentum: float,
    weight_decay: float,
    clip_norm: float,
    seed: int,
) -> Model:
    """Train as local_sgd does, with server - own added to every gradient (algorithm 1)."""
    module = model.module().train()
    shift = [server.state[name] - own.state[name] for name, _ in module.named_parameters()]

    def correct() -> None:
        for p, by in zip(module.parameters(), shift, strict=True):
            assert p.grad is not None
            p.grad.add_(by)

    update = optimiser(module, optimizer, lr=lr, momentum=momentum, weight_decay=weight_decay)
    for x, y in batches(data, batch_size, epochs, seed=seed):
        step(module, x, y, update=update, clip_norm=clip_norm, adjust=correct)
    return Model(model.spec, dict(module.state_dict()))


@job(
    size=lambda own, *_, distance: own,
    load=lambda own, *_, distance: loads.vector(own.entries, reads=4, flops=4),
)
def next_variate(own: Model, server: Model, before: Model, after: Model, *, distance: float) -> Model:
    """Return own - server + (before - after) / distance (option II); see reach."""
    trained = parameter_names(own.spec)

    def moved(name: str, t: Tensor) -> Tensor:
        gone = before.state[name].double() - after.state[name].double()
        return (t.double() - server.state[name].double() + gone / distance).to(t.dtype)

    return Model(own.spec, {name: moved(name, t) if name in trained else t for name, t in own.state.items()})
