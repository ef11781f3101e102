"""Which entries of a network's state_dict training moves; the others are running statistics and counters."""

from __future__ import annotations

from functools import cache
from math import prod
from typing import Any

from fedsim.learn.models import ModelSpec
from fedsim.learn.trace import built


@cache
def parameter_names(spec: tuple[Any, ...]) -> frozenset[str]:
    """Return the names of the tensors that training moves."""
    module = built(ModelSpec.from_params(spec).build)
    return frozenset(name for name, _ in module.named_parameters(remove_duplicate=False))


@cache
def trained_entries(spec: tuple[Any, ...]) -> int:
    """Return how many entries training moves."""
    state = built(ModelSpec.from_params(spec).build).state_dict()
    return sum(prod(state[name].shape) for name in parameter_names(spec))
