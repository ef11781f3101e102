"""What training, predicting and vector arithmetic ask of a processor."""

from __future__ import annotations

from functools import cache
from typing import Any

from fedsim.learn.data import DataSize
from fedsim.learn.models import ModelSpec
from fedsim.learn.trace import AffineLoad, affine_forward, affine_load
from fedsim.work import Load, Op, OpClass


@cache
def training(spec: tuple[Any, ...], data: DataSize, *, epochs: int, batch_size: int, optimizer: str) -> Load:
    """Return the Load of *epochs* over *data*, its last, smaller batch included."""
    return repeated(_step(spec, optimizer), data.n, batch_size) * epochs


def repeated(step: AffineLoad, n: int, batch_size: int) -> Load:
    """Return the Load of *step* over *n* examples, its last, smaller batch included."""
    full, rest = divmod(n, batch_size)
    load = step.at(batch_size) * full if full else Load()
    return load + step.at(rest) if rest else load


@cache
def vector(n: int, *, reads: int = 1, flops: int = 1) -> Load:
    """Return the Load of a pass over vectors of *n* fp32 entries: *reads* read, one written."""
    return Load({OpClass.MEMORY: Op(flops * n, 4.0 * n * (reads + 1), 1)}, 4.0 * n * (reads + 1))


@cache
def proximal(n: int, steps: int) -> Load:
    """Return the Load of adding mu * (w - w0) to the gradient of *n* parameters, *steps* times."""
    return (vector(n, reads=2) + vector(n, reads=2, flops=2)) * steps


@cache
def predicting(spec: tuple[Any, ...], data: DataSize, *, batch_size: int = 64) -> Load:
    """Return the Load of one forward pass over *data*."""
    return repeated(_forward(spec), data.n, batch_size)


@cache
def _step(spec: tuple[Any, ...], optimizer: str) -> AffineLoad:
    model = ModelSpec.from_params(spec)
    kind, _, momentum = optimizer.partition("+")
    rate = 0.9 if momentum else 0.0
    return affine_load(model.build, model.shape, model.classes, optimizer=kind, momentum=rate, dtype=model.dtype)


@cache
def _forward(spec: tuple[Any, ...]) -> AffineLoad:
    model = ModelSpec.from_params(spec)
    return affine_forward(model.build, model.shape, dtype=model.dtype)
