"""Compute nothing: timelines without learning, for as many devices as you like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from fedsim.errors import NeedsValues
from fedsim.execute.costs import Costs, Sources
from fedsim.work import Load, Ref, Sized

T = TypeVar("T")


class CostOnly:
    """Knows sizes and loads, never a value; raises NeedsValues where time depends on one."""

    jobs_run = jobs_cached = 0

    def __init__(self, sources: Sources) -> None:
        self._costs = Costs(sources, self._refuse)

    def size(self, ref: Ref) -> Sized:
        return self._costs.size(ref)

    def load(self, ref: Ref) -> Load:
        return self._costs.load(ref)

    def hint(self, ref: Ref) -> None:
        """Do nothing: nobody needs the value."""

    def get(self, ref: Ref) -> Any:
        return self._refuse(ref)

    def get_all(self, refs: Sequence[Ref]) -> list[Any]:
        return [self._refuse(ref) for ref in refs]

    def seal(self, tree: T) -> T:
        sealed = self._costs.seal(tree)
        for key in self._costs.sealed:
            self._costs.release(key)
        return sealed

    def close(self) -> None:
        """Let go of nothing."""

    def _refuse(self, ref: Ref) -> Any:
        raise NeedsValues(
            f"the clock needs the value of {ref!r}, and the cost-only executor computes none; choose "
            f"--executor lazy, or a method whose sizes are declared (coder = 'bitmask' rather than 'zlib')"
        )
