"""Jobs over tensors, small enough to follow, and sources for them."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedsim.execute.cache import Cache
from fedsim.execute.crew import Alone, Memory, Workers, Workplace
from fedsim.execute.lazy import Eager, Lazy
from fedsim.work import Load, Ref, job, source

ENV = "here"


@dataclass(frozen=True)
class Entries:
    nbytes: int


def nothing(*_: object, **__: object) -> Load:
    return Load()


def same(first: Entries, *_: object, **__: object) -> Entries:
    return first


@job(size=same, load=nothing)
def add(a: Tensor, b: Tensor) -> Tensor:
    """Add."""
    return a + b


@job(size=same, load=nothing)
def noise(a: Tensor, *, seed: int) -> Tensor:
    """Add noise from the job's own seed."""
    return a + torch.randn(a.shape)


@job(size=None, load=nothing)
def compress(a: Tensor) -> Tensor:
    """Keep the positive entries: how many is known only by computing."""
    return a[a > 0]


@job(size=same, load=nothing)
def fail(a: Tensor, *, why: str) -> Tensor:
    """Raise."""
    raise ValueError(why)


@job(size=same, load=nothing)
def die(a: Tensor, *, times: int, marks: str) -> Tensor:
    """Kill the process that computes it, the first *times* times."""
    mark = Path(marks) / str(time.monotonic_ns())
    if len(list(Path(marks).iterdir())) < times:
        mark.touch()
        os._exit(1)
    return a * 2.0


@job(size=same, load=nothing)
def threads(a: Tensor) -> Tensor:
    """Tell how many threads torch computes in."""
    return torch.full_like(a, torch.get_num_threads())


@job(size=same, load=nothing)
def foreign(a: Tensor) -> object:
    """Return what cannot be kept."""
    return {1, 2}


def tensor(value: float, n: int = 4) -> Ref:
    return source("full", value=value, n=n)


class Full:
    """Sources that hold one number over and over."""

    def value(self, ref: Ref) -> Tensor:
        params = dict(ref.params)
        return torch.full((params["n"],), float(params["value"]))

    def size(self, ref: Ref) -> Entries:
        return Entries(4 * dict(ref.params)["n"])


def measure(value: Any) -> Entries:
    return Entries(4 * value.numel())


def lazy(root: Path, *, workers: int = 0, budget: int = 1 << 30, fresh: bool = False) -> Lazy:
    """Make an executor over the cache in *root*, as a new process would find it."""
    cache = Cache(root, env=ENV, budget_bytes=budget)
    memory = Memory(Full(), cache)
    crew = Workers(Workplace(root, ENV, budget, Full(), "cpu"), workers) if workers else Alone(memory, "cpu")
    return Lazy(cache=cache, memory=memory, crew=crew, measure=measure, fresh=fresh)


def eager(root: Path) -> Eager:
    return Eager(lazy(root))
