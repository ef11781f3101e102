"""Where and when values get computed. Never sees a clock; importing this package imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from fedsim.work import Load, Ref, Sized

T = TypeVar("T")


class Executor(Protocol):
    """Makes values true whenever it likes; only `get` and a value-dependent `size` can tell when."""

    def size(self, ref: Ref) -> Sized:
        """Return what is known of the value: declared by its job, or measured on the value."""
        ...

    def load(self, ref: Ref) -> Load:
        """Return what the job behind *ref* asks of a processor."""
        ...

    def hint(self, ref: Ref) -> None:
        """Hear that a place has now done the work of *ref*."""
        ...

    def get(self, ref: Ref) -> Any:
        """Return the value of *ref*, computing what is missing."""
        ...

    def get_all(self, refs: Sequence[Ref]) -> list[Any]:
        """Return the values of *refs*, side by side where the executor can."""
        ...

    def seal(self, tree: T) -> T:
        """End history: return *tree* with the Refs whose values are kept turned into sources."""
        ...
