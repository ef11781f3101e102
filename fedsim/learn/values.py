"""The values that jobs exchange, each beside its size: what is known of it without having it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from fedsim.learn.models import ModelSpec
from fedsim.learn.trace import built
from fedsim.work import Sized

State = dict[str, Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A network as plain data: the architecture (ModelSpec's params) and its state_dict."""

    spec: tuple[Any, ...]
    state: State

    def module(self) -> nn.Module:
        """Return a module that holds copies of the weights."""
        module = built(ModelSpec.from_params(self.spec).build)
        module.load_state_dict({name: t.clone() for name, t in self.state.items()}, assign=True)
        return module.requires_grad_(True)

    def size(self) -> ModelSize:
        return model_size(self.spec)


@dataclass(frozen=True, slots=True)
class ModelSize:
    """A network's architecture and what it weighs: floating-point entries and bytes on the wire."""

    spec: tuple[Any, ...]
    entries: int
    nbytes: int


@dataclass(frozen=True, slots=True, eq=False)
class Pruned:
    """A network with small entries dropped: kept values, (K,), and the mask over all, (N,) bool.

    The entries are those of the floating-point tensors in the state_dict's order; ``rest`` are the others.
    """

    spec: tuple[Any, ...]
    values: Tensor
    mask: Tensor
    rest: State


@dataclass(frozen=True, slots=True)
class PrunedSize:
    """A pruned network's size in memory: of N = ``model.entries`` entries, ``kept`` are left."""

    model: ModelSize
    kept: int

    @property
    def nbytes(self) -> int:
        return bitmask_bytes(self)


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """An encoded network: the very bytes on the wire, (B,) uint8, and how to read them."""

    spec: tuple[Any, ...]
    coder: str
    data: Tensor

    def size(self) -> MessageSize:
        return MessageSize(model_size(self.spec), self.data.numel())


@dataclass(frozen=True, slots=True)
class MessageSize:
    """The length of an encoded network in bytes, and what it decodes to."""

    model: ModelSize
    nbytes: int


@dataclass(frozen=True, slots=True)
class NumberSize:
    """A few numbers, such as metrics."""

    nbytes: int = 8


def measure(value: Any) -> Sized:
    """Return the size of a value that is known only by computing it."""
    size: Sized = value.size()
    return size


@cache
def model_size(spec: tuple[Any, ...]) -> ModelSize:
    """Return the size of the network *spec* in fp32, every entry of its state_dict counted."""
    state = built(ModelSpec.from_params(spec).build).state_dict()
    entries = sum(prod(t.shape) for t in state.values() if t.is_floating_point())
    return ModelSize(spec, entries, sum(prod(t.shape) * t.element_size() for t in state.values()))


def bitmask_bytes(size: PrunedSize) -> int:
    """Return the length of a bitmask message: a bit an entry, 4 bytes a kept value, the rest as it is."""
    rest = size.model.nbytes - 4 * size.model.entries
    return (size.model.entries + 7) // 8 + 4 * size.kept + rest


def flatten(state: State) -> Tensor:
    """Return all floating-point entries of *state* as one vector (N,), in its order."""
    return torch.cat([t.reshape(-1) for t in state.values() if t.is_floating_point()])


def unflatten(vector: Tensor, like: State, rest: State) -> State:
    """Cut *vector* (N,) into tensors shaped as in *like*; non-float tensors are taken from *rest*."""
    state, at = {}, 0
    for name, t in like.items():
        if t.is_floating_point():
            state[name] = vector[at : at + t.numel()].reshape(t.shape)
            at += t.numel()
        else:
            state[name] = rest[name]
    return state
