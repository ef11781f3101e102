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
class Message:
    """An encoded network: the very bytes on the wire, (B,) uint8, and how to read them.

    bits: of a quantised weight; kept: how many entries were not dropped.
    """

    spec: tuple[Any, ...]
    coder: str
    data: Tensor
    bits: int
    kept: int

    def size(self) -> MessageSize:
        return MessageSize(model_size(self.spec), self.data.numel(), self.coder, self.bits, self.kept)


@dataclass(frozen=True, slots=True)
class MessageSize:
    """The length of an encoded network in bytes, and what it decodes to."""

    model: ModelSize
    nbytes: int
    coder: str
    bits: int
    kept: int


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


def flatten(state: State) -> Tensor:
    """Return all floating-point entries of *state* as one vector (N,), in its order."""
    return torch.cat([t.reshape(-1) for t in state.values() if t.is_floating_point()])
