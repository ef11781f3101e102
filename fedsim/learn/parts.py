"""A network taken apart for sending: which entries are kept, their values or codes, and what is no number."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from functools import cache
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from fedsim.learn.models import ModelSpec
from fedsim.learn.trace import built
from fedsim.learn.values import Model, ModelSize, State, flatten


@dataclass(frozen=True, slots=True)
class Slot:
    """One tensor of a state_dict; ``weight`` marks those that are quantised, of convolutions and linear layers."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    weight: bool = False

    @property
    def entries(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.entries * self.dtype.itemsize


Layout = tuple[Slot, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """A network of N entries, those of its floating-point tensors in the state_dict's order; K are kept.

    mask: (N,) bool, what is kept; values: fp32, the kept entries in order, but for the quantised ones;
    rest: the tensors of whole numbers. Where bits < 32 the kept entries of T weights are codes, (Kq,) int8,
    in steps of scales, (T,) fp32.
    """

    spec: tuple[Any, ...]
    mask: Tensor
    values: Tensor
    rest: State
    bits: int = 32
    codes: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int8))
    scales: Tensor = field(default_factory=lambda: torch.zeros(0))


@dataclass(frozen=True, slots=True)
class PartsSize:
    """What is known of Parts: of N = ``model.entries`` entries ``kept`` are left, ``codes`` of them quantised.

    ``codes`` None: how many depends on the values.
    """

    model: ModelSize
    kept: int
    bits: int = 32
    codes: int | None = 0

    @property
    def nbytes(self) -> int:
        """The length in memory with a bit an entry; the network's where that depends on the values."""
        return sparse_bytes(self) or self.model.nbytes


def layout_of(state: Mapping[str, Tensor], weights: Container[str] = ()) -> Layout:
    """Return how *state* is laid out; *weights* names the tensors to be quantised."""
    return tuple(Slot(name, tuple(t.shape), t.dtype, name in weights) for name, t in state.items())


@cache
def layout(spec: tuple[Any, ...]) -> Layout:
    """Return how the state_dict of the network *spec* is laid out."""
    module = built(ModelSpec.from_params(spec).build)
    return layout_of(module.state_dict(), weight_names(module))


def weight_names(module: nn.Module) -> set[str]:
    """Return the state_dict's names of the weights of convolutions and linear layers."""
    layers = [name for name, part in module.named_modules() if isinstance(part, _ConvNd | nn.Linear)]
    return {f"{name}.weight".removeprefix(".") for name in layers}


def numbers(slots: Layout) -> list[Slot]:
    """Return the floating-point tensors among *slots*: those that have entries."""
    return [slot for slot in slots if slot.dtype.is_floating_point]


@cache
def weight_entries(slots: Layout) -> int:
    """Return how many entries are of quantised tensors."""
    return sum(slot.entries for slot in slots if slot.weight)


@cache
def rest_bytes(slots: Layout) -> int:
    """Return the bytes of the tensors of whole numbers."""
    return sum(slot.nbytes for slot in slots if not slot.dtype.is_floating_point)


def coded_entries(slots: Layout, device: torch.device) -> Tensor:
    """Mark the entries of quantised tensors, (N,) bool."""
    each = [torch.full((slot.entries,), slot.weight, device=device) for slot in numbers(slots)]
    return torch.cat([*each, torch.zeros(0, dtype=torch.bool, device=device)])


def take_apart(model: Model, mask: Tensor | None = None) -> Parts:
    """Keep the entries that *mask*, (N,) bool, marks; None: all."""
    entries = flatten(model.state)  # (N,)
    mask = torch.ones_like(entries, dtype=torch.bool) if mask is None else mask
    rest = {name: t for name, t in model.state.items() if not t.is_floating_point()}
    return Parts(model.spec, mask, entries[mask], rest)


def put_together(parts: Parts, slots: Layout) -> State:
    """Return the state_dict; what was dropped is zero."""
    kept = _kept(parts, slots)
    if len(kept) == len(parts.mask):
        return unflatten(kept, slots, parts.rest)
    entries = torch.zeros(len(parts.mask), device=parts.mask.device)
    return unflatten(entries.index_copy_(0, parts.mask.nonzero()[:, 0], kept), slots, parts.rest)


def kept_by_weight(mask: Tensor, slots: Layout) -> list[int]:
    """Return how many entries are kept of each quantised tensor."""
    pieces = torch.split(mask, [slot.entries for slot in numbers(slots)])
    return [int(piece.sum()) for piece, slot in zip(pieces, numbers(slots), strict=True) if slot.weight]


def unflatten(vector: Tensor, slots: Layout, rest: State) -> State:
    """Cut *vector* (N,) into tensors as in *slots*; those of whole numbers are taken from *rest*."""
    pieces = iter(torch.split(vector, [slot.entries for slot in numbers(slots)]))
    return {
        slot.name: next(pieces).reshape(slot.shape) if slot.dtype.is_floating_point else rest[slot.name]
        for slot in slots
    }


def sparse_bytes(size: PartsSize) -> int | None:
    """Return the length of a bitmask message: a bit an entry, then what is kept; None: values decide."""
    if size.codes is None:
        return None
    values = 4 * (size.kept - size.codes) + (size.codes * size.bits + 7) // 8
    return (size.model.entries + 7) // 8 + values + tail_bytes(size)


def dense_bytes(size: PartsSize) -> int:
    """Return the length of a message that holds every entry, dropped ones as zeros."""
    codes = 0 if size.bits == 32 else weight_entries(layout(size.model.spec))
    width = dense_width(size.bits, dropped=size.kept < size.model.entries)
    return 4 * (size.model.entries - codes) + (codes * width + 7) // 8 + tail_bytes(size)


def dense_width(bits: int, *, dropped: bool) -> int:
    """Return the bits of a code where dropped entries are sent as zeros: 1 bit has none to spare."""
    return 2 if bits == 1 and dropped else bits


def tail_bytes(size: PartsSize) -> int:
    """Return the bytes of the scales and of the tensors of whole numbers."""
    slots = layout(size.model.spec)
    scales = 0 if size.bits == 32 else 4 * sum(slot.weight for slot in slots)
    return scales + rest_bytes(slots)


def whole_size(model: ModelSize) -> PartsSize:
    """Return the size of a network of which nothing was dropped."""
    return PartsSize(model, model.entries)


def _kept(parts: Parts, slots: Layout) -> Tensor:
    """Return the kept entries, (K,), codes times scales among them."""
    if parts.bits == 32:
        return parts.values
    counts = torch.tensor(kept_by_weight(parts.mask, slots), device=parts.mask.device)
    coded = coded_entries(slots, parts.mask.device)[parts.mask]  # (K,)
    kept = torch.empty(len(coded), device=parts.mask.device)
    kept[~coded] = parts.values
    kept[coded] = parts.codes * parts.scales.repeat_interleave(counts)
    return kept
