"""Training for weights of few bits: quantised on the way forward, updated as real numbers."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fedsim.learn import loads
from fedsim.learn.data import DataSize, Examples
from fedsim.learn.models import ModelSpec
from fedsim.learn.parts import layout, weight_entries, weight_names
from fedsim.learn.quantise import straight_through
from fedsim.learn.trace import AffineLoad, affine_load
from fedsim.learn.train import batches, local_sgd, optimiser, step
from fedsim.learn.values import Model, ModelSize
from fedsim.work import Load, Ref, job


class Quantised(nn.Module):
    """A network that computes with its convolutions' and linear layers' weights on a grid of *bits*."""

    def __init__(self, inner: nn.Module, *, bits: int, scale: str) -> None:
        super().__init__()
        self.inner, self.bits, self.scale = inner, bits, scale
        self.names = sorted(weight_names(inner) & dict(inner.named_parameters()).keys())

    def forward(self, x: Tensor) -> Tensor:
        """Return what the inner network makes of *x* with quantised weights."""
        found = {name: self.inner.get_parameter(name) for name in self.names}
        weights = {name: straight_through(p, bits=self.bits, scale=self.scale) for name, p in found.items()}
        out: Tensor = functional_call(self.inner, weights, (x,))
        return out

    @torch.no_grad()
    def clip(self) -> None:
        """Keep the real weights in [-1, 1], as BinaryConnect does."""
        for name in self.names:
            self.inner.get_parameter(name).clamp_(-1.0, 1.0)


@cache
def _step(spec: tuple[Any, ...], optimizer: str, *, bits: int, scale: str) -> AffineLoad:
    model = ModelSpec.from_params(spec)
    kind, _, momentum = optimizer.partition("+")

    def build() -> nn.Module:
        return Quantised(model.build(), bits=bits, scale=scale)

    rate = 0.9 if momentum else 0.0
    return affine_load(build, model.shape, model.classes, optimizer=kind, momentum=rate, dtype=model.dtype)


@cache
def _load(  # without what differs from task to task, so that equal loads are one object
    spec: tuple[Any, ...], optimizer: str, *, bits: int, scale: str, n: int, batch_size: int, epochs: int
) -> Load:
    """Return the traced cost of training with quantisation in every step, BinaryConnect's clipping included."""
    load = loads.repeated(_step(spec, optimizer, bits=bits, scale=scale), n, batch_size)
    clip = loads.vector(weight_entries(layout(spec))) * -(-n // batch_size)
    return (load + clip if bits == 1 else load) * epochs


def _training_load(
    model: ModelSize,
    data: DataSize,
    *,
    bits: int,
    scale: str,
    epochs: int,
    batch_size: int,
    optimizer: str,
    momentum: float,
    **_: object,
) -> Load:
    kind = "sgd+momentum" if optimizer == "sgd" and momentum else optimizer
    return _load(model.spec, kind, bits=bits, scale=scale, n=data.n, batch_size=batch_size, epochs=epochs)


@job(size=lambda model, *_, **__: model, load=_training_load, passes="epochs")
def local_qat(
    model: Model,
    data: Examples,
    *,
    bits: int,
    scale: str,
    epochs: int,
    batch_size: int,
    optimizer: str,
    lr: float,
    momentum: float,
    weight_decay: float,
    clip_norm: float,
    seed: int,
) -> Model:
    """Train on one shard by cross-entropy with weights of *bits* and straight-through gradients.

    Real copies are updated, at 1 bit clipped to [-1, 1], and returned; see fedsim.learn.quantise for the grid.
    """
    module = Quantised(model.module(), bits=bits, scale=scale).train()
    update = optimiser(module, optimizer, lr=lr, momentum=momentum, weight_decay=weight_decay)
    for x, y in batches(data, batch_size, epochs, seed=seed):
        step(module, x, y, update=update, clip_norm=clip_norm)
        if bits == 1:
            module.clip()
    return Model(model.spec, dict(module.inner.state_dict()))


def trained(model: Ref, data: Ref, *, bits: int, scale: str, **settings: Any) -> Ref:
    """Name *model* trained on *data* with weights of *bits*; at 32 bits that is plain training."""
    if bits == 32:
        return local_sgd(model, data, **settings)
    return local_qat(model, data, bits=bits, scale=scale, **settings)
