"""Local training: SGD with momentum, Adam or AdamW on one shard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from fedsim.learn import loads
from fedsim.learn.data import DataSize, Examples
from fedsim.learn.models import ModelSpec
from fedsim.learn.values import Model, ModelSize, model_size
from fedsim.work import Load, job

Loss = Callable[[Tensor, Tensor], Tensor]


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


@job(size=_same_model, load=training_load)
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

    def pull(gradients: list[Tensor]) -> None:
        for gradient, p, p0 in zip(gradients, module.parameters(), start, strict=True):
            gradient.add_(p.detach() - p0, alpha=mu)

    update = optimizer_of(module, optimizer, lr=lr, momentum=momentum, weight_decay=weight_decay)
    batches = shuffled(data, batch_size, epochs, seed=seed)
    fit(module, batches, update=update, adjust=pull if mu else None, clip_norm=clip_norm)
    return Model(model.spec, dict(module.state_dict()))


def fit(
    module: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    update: torch.optim.Optimizer,
    loss: Loss = nn.functional.cross_entropy,
    adjust: Callable[[list[Tensor]], None] | None = None,
    clip_norm: float = 0.0,
) -> None:
    """Take one step per batch (x, target); *adjust* changes the gradients, in the parameters' order, before a clip."""
    for x, target in batches:  # (B, C, H, W), (B,) or (B, classes)
        update.zero_grad()
        loss(module(x), target).backward()  # type: ignore[no-untyped-call]
        if adjust:
            adjust([p.grad for p in module.parameters() if p.grad is not None])
        if clip_norm:
            nn.utils.clip_grad_norm_(module.parameters(), clip_norm)
        update.step()


def shuffled(data: Examples, batch_size: int, epochs: int, *, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches (x, y) of every epoch, each in an order of its own."""
    return (data.batch(index) for index in batches_of(data.n, batch_size, epochs, seed=seed))


def batches_of(n: int, batch_size: int, epochs: int, *, seed: int) -> Iterator[Tensor]:
    """Yield the indices of each batch; every epoch has an order of its own."""
    draws = torch.Generator("cpu").manual_seed(seed)
    for _ in range(epochs):
        order = torch.randperm(n, generator=draws, device="cpu")
        yield from (order[at : at + batch_size] for at in range(0, n, batch_size))


def optimizer_of(
    module: nn.Module, name: str, *, lr: float, momentum: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Return a fresh optimiser of *module* by its name: sgd, adam or adamw."""
    if name == "sgd":
        return torch.optim.SGD(module.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay)
    kind = torch.optim.Adam if name == "adam" else torch.optim.AdamW
    return kind(module.parameters(), lr=lr, weight_decay=weight_decay)
