"""What training, predicting and vector arithmetic ask of a processor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from torch import nn

from fedsim.learn.blocks import find_blocks
from fedsim.learn.data import DataSize
from fedsim.learn.groups import Group
from fedsim.learn.models import ModelSpec
from fedsim.learn.trace import AffineLoad, affine_forward, affine_load, built, mean_load
from fedsim.work import Load, Op, OpClass, class_of


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
def macs(spec: tuple[Any, ...]) -> float:
    """Return the multiply-adds, 2 FLOP each, of one example's forward pass in layers with weights; biases are none."""
    ops = _forward(spec).each.ops
    return sum(op.flops for kind, op in ops.items() if class_of(kind) not in (OpClass.MEMORY, OpClass.NORM)) / 2


@cache
def _step(spec: tuple[Any, ...], optimizer: str) -> AffineLoad:
    alike = uniform_specs(spec)
    if alike:
        return mean_load([_step(each, optimizer) for each in alike])
    model = ModelSpec.from_params(spec)
    return replace(traced(model, optimizer), network=_known_as(model), way=optimizer)


def traced(model: ModelSpec, optimizer: str, *, build: Callable[[], nn.Module] | None = None) -> AffineLoad:
    """Return the training step's Load of the network *model*, or of what *build* makes of it.

    optimizer: sgd, adam or adamw; "sgd+momentum" with a momentum.
    """
    kind, _, momentum = optimizer.partition("+")
    rate = 0.9 if momentum else 0.0
    trained = build or model.build
    return affine_load(trained, model.shape, model.classes, optimizer=kind, momentum=rate, dtype=model.dtype)


@cache
def _forward(spec: tuple[Any, ...]) -> AffineLoad:
    alike = uniform_specs(spec)
    if alike:
        return mean_load([_forward(each) for each in alike])
    model = ModelSpec.from_params(spec)
    line = affine_forward(model.build, model.shape, dtype=model.dtype)
    return replace(line, network=_known_as(model), way="forward")


def _known_as(model: ModelSpec) -> str:
    """Return the name under which profiles may know the times of *model*: none for a part of a network."""
    return "" if model.widths else model.in_full


def uniform_specs(spec: tuple[Any, ...]) -> tuple[tuple[Any, ...], ...]:
    """Return for each block of an unevenly cut transformer the network cut everywhere as that block is; else none.

    The mean of their Loads is the Load of *spec*, since blocks follow each other and add up; few are distinct,
    which saves tracing every cut that chance may draw.
    """
    model = ModelSpec.from_params(spec)
    count = len(find_blocks(built(replace(model, widths=()).build))) if model.widths else 0
    if not count:
        return ()
    groups = model.groups()
    blocks = [groups[at : at + len(groups) // count] for at in range(0, len(groups), len(groups) // count)]
    cut = [tuple(dict(model.widths).get(group.name, group.units) for group in block) for block in blocks]
    whole = [tuple((group.units, group.blocks) for group in block) for block in blocks]
    return tuple(_uniform(model, blocks, widths) for widths in cut) if len(set(cut)) > len(set(whole)) == 1 else ()


def _uniform(model: ModelSpec, blocks: list[tuple[Group, ...]], widths: tuple[int, ...]) -> tuple[Any, ...]:
    named = [(g.name, n) for block in blocks for g, n in zip(block, widths, strict=True) if n < g.units]
    return replace(model, widths=tuple(sorted(named))).as_params()
