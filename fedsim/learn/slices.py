"""Narrower networks inside a network: the leading channels of every layer, cut out and put back.

A front slice is a dense network of its own, with the size and the load of its architecture.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from fedsim.errors import InputError
from fedsim.learn import loads
from fedsim.learn.models import ModelSpec
from fedsim.learn.trace import built
from fedsim.learn.values import Model, ModelSize, NumberSize, State, model_size
from fedsim.work import Load, job

Index = tuple[slice | Tensor, ...]
Held = tuple[Index, Tensor, Tensor | float]  # where, the entries held there, and what they count
WIDTHS = {  # the options that hold a model's widths
    "mlp": ("hidden",), "vgg16": ("convs", "hidden"), "cnn": ("width",), "lenet5": ("width",),
    "resnet8": ("width",), "resnet12": ("width",), "resnet18": ("width",),
}  # fmt: skip


def narrowed(spec: tuple[Any, ...], width: float) -> tuple[Any, ...]:
    """Return the architecture *spec* with *width* times as many channels and hidden units, at least one each.

    Raises InputError for a model whose front slices are no networks, or a width above 1.
    """
    full = ModelSpec.from_params(spec)
    if full.name not in WIDTHS:
        raise InputError(f"model {full.name!r} cannot be cut by width: choose one of {', '.join(WIDTHS)}")
    if not 0 < width <= 1:
        raise InputError(f"a slice of width {width} of model {full.name!r}: allowed is a width above 0 and at most 1")
    options = dict(full.options)
    for name in WIDTHS[full.name]:
        options[name] = _times(options[name], width)
    return replace(full, options=tuple(sorted(options.items()))).as_params()


def _times(value: Any, width: float) -> Any:
    return tuple(max(1, round(width * n)) for n in value) if isinstance(value, tuple) else value * width


@cache
def head_names(spec: tuple[Any, ...]) -> tuple[str, str]:
    """Return the names of weight and bias of the output layer: the last linear one."""
    module = built(ModelSpec.from_params(spec).build)
    last = [name for name, layer in module.named_modules() if isinstance(layer, nn.Linear)][-1]
    return f"{last}.weight", f"{last}.bias"


def _merging_load(model: ModelSize, parts: tuple[ModelSize, ...], *_: object) -> Load:
    return sum((loads.vector(p.entries, reads=3, flops=3) for p in parts), loads.vector(model.entries, reads=3))


@job(
    size=lambda model, *, width: model_size(narrowed(model.spec, width)),
    load=lambda model, *, width: loads.vector(model_size(narrowed(model.spec, width)).entries),
)
def front_slice(model: Model, *, width: float) -> Model:
    """Return the network of the leading channels and units of every layer."""
    spec = narrowed(model.spec, width)
    like = built(ModelSpec.from_params(spec).build).state_dict()
    return Model(spec, {name: model.state[name][_front(t)].clone() for name, t in like.items()})


@job(
    size=lambda data, model: NumberSize((ModelSpec.from_params(model.spec).classes + 7) // 8),
    load=lambda data, _: loads.vector(data.n),
)
def labels_present(data: Any, model: Model) -> Tensor:
    """Return which classes occur in *data*, (classes,) bool: a bit each."""
    return torch.bincount(data.y, minlength=ModelSpec.from_params(model.spec).classes) > 0


@job(size=lambda model, *_: model, load=_merging_load)
def merge_slices(
    model: Model, parts: tuple[Model, ...], weights: tuple[float, ...], present: tuple[Tensor, ...] = ()
) -> Model:
    """Return the weighted mean of each entry over the *parts* that hold it; what nobody holds stays as it was.

    Of the output layer a part holds the rows of the classes *present* to it, (classes,) bool each; all by default.
    """
    heads = head_names(model.spec)
    rows = present or (None,) * len(parts)

    def merged(name: str, t: Tensor) -> Tensor:
        held = []
        for part, weight, kept in zip(parts, weights, rows, strict=True):
            piece = part.state[name].double()
            share = torch.full_like(piece, weight)
            if kept is not None and name in heads:
                share[~kept] = 0.0  # (classes, ...)
            held.append((_front(piece), piece, share))
        return mean_where_held(t, held)

    state: State = {name: merged(name, t) if t.is_floating_point() else t for name, t in model.state.items()}
    return Model(model.spec, state)


def mean_where_held(t: Tensor, held: Iterable[Held]) -> Tensor:
    """Return the mean of each entry by its shares; what nobody holds stays as it is in *t*."""
    total, mass = summed(t, held)
    return torch.where(mass > 0, total / mass, t.double()).to(t.dtype)


def summed(like: Tensor, held: Iterable[Held]) -> tuple[Tensor, Tensor]:
    """Return for each entry of *like* the sum of the pieces there, times their shares, and of the shares; fp64."""
    total, mass = torch.zeros_like(like, dtype=torch.float64), torch.zeros_like(like, dtype=torch.float64)
    for where, piece, share in held:
        total[where] += share * piece
        mass[where] += share
    return total, mass


def index_of(dims: Mapping[int, Tensor], rank: int) -> Index:
    """Return the index of the entries in *dims* of a tensor of *rank* dimensions; the others are whole."""
    index: list[slice | Tensor] = [slice(None)] * rank
    scattered = sorted(dim for dim, entries in dims.items() if not _leads(entries))
    for dim, entries in dims.items():
        index[dim] = slice(0, len(entries))
        if dim in scattered:  # successive dimensions: conv weights are cut in the first two, all others in one
            after = len(scattered) - 1 - scattered.index(dim)
            index[dim] = entries.view(-1, *(1,) * after)
    return tuple(index)


def _leads(entries: Tensor) -> bool:
    return bool((entries == torch.arange(len(entries), device=entries.device)).all())


def _front(piece: Tensor) -> Index:
    return tuple(slice(0, side) for side in piece.shape)
