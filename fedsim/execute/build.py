"""The executors by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedsim.errors import InputError, unknown
from fedsim.execute.cost_only import CostOnly
from fedsim.execute.costs import Sources
from fedsim.execute.lazy import Eager, Lazy
from fedsim.units import parse
from fedsim.work import Sized

EXECUTORS = ("lazy", "eager", "pool", "cost-only")
_BUDGET = "20 GiB"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which executor: its name, the pool's workers (default: one per core) and the torch device."""

    executor: str = "lazy"
    workers: int | None = None
    torch_device: str = "cpu"

    @property
    def window(self) -> int:
        """How many versions are evaluated together: enough to keep the workers busy."""
        return 4 * self.crew_size if self.executor == "pool" else 1

    @property
    def crew_size(self) -> int:
        return self.workers or os.cpu_count() or 1

    @property
    def environment(self) -> str:
        """The arithmetic behind the values; none if there are no values."""
        if self.executor == "cost-only":
            return ""
        from fedsim.execute.cache import environment

        return environment(self.torch_device)

    def check(self) -> None:
        """Raise InputError on what is not to be had."""
        if self.executor not in EXECUTORS:
            raise InputError(f"--executor: {unknown('executor', self.executor, EXECUTORS)}")
        if self.workers is not None and self.workers < 1:
            raise InputError(f"--workers {self.workers}: must be at least 1")
        if self.workers is not None and self.executor != "pool":
            raise InputError(f"--workers {self.workers} goes with --executor pool, not {self.executor!r}")
        if self.torch_device != "cpu":
            _check_device(self.torch_device)


def build(
    choice: Choice, *, sources: Sources, measure: Callable[[Any], Sized], root: Path, fresh: bool
) -> CostOnly | Lazy | Eager:
    """Make the executor of *choice* over the value cache in *root*."""
    choice.check()
    if choice.executor == "cost-only":
        return CostOnly(sources)
    from fedsim.execute.cache import Cache, environment
    from fedsim.execute.crew import Alone, Memory, Workers, Workplace

    place = Workplace(root, environment(choice.torch_device), _budget(), sources, choice.torch_device)
    cache = Cache(root, env=place.env, budget_bytes=place.budget_bytes)
    memory = Memory(sources, cache)
    crew = Workers(place, choice.crew_size) if choice.executor == "pool" else Alone(memory, choice.torch_device)
    lazy = Lazy(cache=cache, memory=memory, crew=crew, measure=measure, fresh=fresh)
    return Eager(lazy) if choice.executor == "eager" else lazy


def _check_device(device: str) -> None:
    import torch

    if device not in ("cpu", "cuda"):
        raise InputError(f"--torch-device: {unknown('torch device', device, ('cpu', 'cuda'))}")
    if not torch.cuda.is_available():
        raise InputError("--torch-device cuda: torch sees no CUDA device here; use cpu")


def _budget() -> int:
    """Return the byte budget of values that are not pinned, $FEDSIM_CACHE_BYTES or 20 GiB."""
    try:
        return int(parse(os.environ.get("FEDSIM_CACHE_BYTES", _BUDGET), "size"))
    except InputError as error:
        raise InputError(f"$FEDSIM_CACHE_BYTES: {error}") from None
