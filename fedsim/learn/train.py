"""Local training: SGD with momentum, Adam or AdamW on one shard."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from fedsim.learn import loads
from fedsim.learn.data import DataSize, Examples
from fedsim.learn.models import MODELS, ModelSpec, make_spec
from fedsim.learn.values import Model, ModelSize, model_size
from fedsim.work import Load, Ref, job


def training_load(
    model: ModelSize,
    data: DataSize,
    *,
    epochs: int,
    batch_size: int,
    optimizer: str,
    momentum: float,
    mu: float = 0.0,
    **_: object,
) -> Load:
    """Return the Load of local_sgd."""
    kind = "sgd+momentum" if optimizer == "sgd" and momentum else optimizer
    load = loads.training(model.spec, data, epochs=epochs, batch_size=batch_size, optimizer=kind)
    return load + loads.proximal(model.entries, epochs * -(-data.n // batch_size)) if mu else load


def _same_model(model: ModelSize, *_: object, **__: object) -> ModelSize:
    return model


@job(size=lambda *, spec, seed: model_size(spec), load=lambda *, spec, seed: loads.vector(model_size(spec).entries))
def init_model(*, spec: tuple[Any, ...], seed: int) -> Model:  # noqa: ARG001 - every job starts from its seed
    """Return a network with PyTorch's default initialisation under *seed*."""
    module = ModelSpec.from_params(spec).build()
    return Model(spec, {name: t.detach() for name, t in module.state_dict().items()})


def spec_like(spec: tuple[Any, ...], name: str) -> tuple[Any, ...]:
    """Return the spec of model *name*, default options, for the data that *spec* takes; raises InputError."""
    _, classes, shape, options, *_ = spec
    takes = inspect.signature(MODELS[name]).parameters if name in MODELS else {}
    of_tokens = {key: value for key, value in options if key in {"vocab", "pad", "sep"} & takes.keys()}
    return make_spec(name, classes, shape, **of_tokens).as_params()


def spec_of(initial: Ref) -> tuple[Any, ...]:
    """Return the spec of the network that a job init_model makes."""
    found: tuple[Any, ...] = dict(initial.params)["spec"]
    return found


@job(size=_same_model, load=training_load, passes="epochs")
def local_sgd(
    model: Model,
    data: Examples,
    *,
    epochs: int,
    batch_size: int,
    optimizer: str,
    lr: float,
    momentum: float,
    weight_decay: float,
    clip_norm: float,
    seed: int,
    mu: float = 0.0,
) -> Model:
    """Train on one shard by cross-entropy, with FedProx's (mu/2)||w - w0||^2 in the loss if mu > 0."""
    module = model.module().train()
    start = [p.detach().clone() for p in module.parameters()] if mu else []

    def pull() -> None:
        for p, p0 in zip(module.parameters(), start, strict=False):
            assert p.grad is not None
            p.grad.add_(p.detach() - p0, alpha=mu)

    update = optimiser(module, optimizer, lr=lr, momentum=momentum, weight_decay=weight_decay)
    for x, y in batches(data, batch_size, epochs, seed=seed):
        step(module, x, y, update=update, clip_norm=clip_norm, adjust=pull)
    return Model(model.spec, dict(module.state_dict()))


def step(
    module: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    update: torch.optim.Optimizer,
    clip_norm: float,
    adjust: Callable[[], None] = lambda: None,
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
) -> None:
    """Take one step of *loss* on x (B, C, H, W) and y (B, ...); *adjust* may change the gradients."""
    update.zero_grad()
    loss(module(x), y).backward()  # type: ignore[no-untyped-call]
    adjust()
    if clip_norm:
        nn.utils.clip_grad_norm_(module.parameters(), clip_norm)
    update.step()


def batches(data: Examples, batch_size: int, epochs: int, *, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of every epoch: x (B, C, H, W) and y (B,)."""
    for index in batch_indices(data.n, batch_size, epochs, seed=seed):
        yield data.batch(index)


def batch_indices(n: int, batch_size: int, epochs: int, *, seed: int) -> Iterator[Tensor]:
    """Yield the indices of each batch; every epoch has an order of its own."""
    draws = torch.Generator("cpu").manual_seed(seed)
    for _ in range(epochs):
        order = torch.randperm(n, generator=draws, device="cpu")
        yield from (order[at : at + batch_size] for at in range(0, n, batch_size))


def optimiser(
    module: nn.Module, name: str, *, lr: float, momentum: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Return the optimiser *name* over the parameters of *module*."""
    if name == "sgd":
        return torch.optim.SGD(module.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay)
    kind = torch.optim.Adam if name == "adam" else torch.optim.AdamW
    return kind(module.parameters(), lr=lr, weight_decay=weight_decay)
