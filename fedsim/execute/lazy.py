"""Compute a value when somebody looks at it, and keep it on disk; eager computes it at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from fedsim.errors import RunError
from fedsim.execute.cache import MISSING, Cache
from fedsim.execute.costs import Costs
from fedsim.execute.crew import Gone, Memory
from fedsim.execute.graph import missing
from fedsim.work import Load, Ref, Sized

T = TypeVar("T")
_SWEEP_EVERY = 64


class Crew(Protocol):
    """Runs jobs and stores what they make in the cache; who they are does not show in the values."""

    def run(self, jobs: Sequence[Ref], finished: Callable[[Ref], None]) -> None:
        """Run *jobs*, given inputs first, and call *finished* after each."""
        ...

    def close(self) -> None: ...


class Lazy:
    """Computes what is looked at and not yet in the cache, by way of a crew.

    With *fresh* the cache's earlier content is not read. ``jobs_run`` counts what was computed,
    ``jobs_cached`` what was found.
    """

    def __init__(
        self, *, cache: Cache, memory: Memory, crew: Crew, measure: Callable[[Any], Sized], fresh: bool = False
    ) -> None:
        self._cache, self._memory, self._crew, self._measure = cache, memory, crew, measure
        self._costs = Costs(memory.sources, self._measured)
        self._made: set[str] = set()
        self._found: set[str] = set()
        self._fresh = fresh
        self._unswept = _SWEEP_EVERY

    @property
    def jobs_run(self) -> int:
        return len(self._made)

    @property
    def jobs_cached(self) -> int:
        return len(self._found - self._made)

    def size(self, ref: Ref) -> Sized:
        return self._costs.size(ref)

    def load(self, ref: Ref) -> Load:
        return self._costs.load(ref)

    def hint(self, ref: Ref) -> None:
        """Take note of nothing: who needs the value will ask."""

    def get(self, ref: Ref) -> Any:
        return self.get_all([ref])[0]

    def get_all(self, refs: Sequence[Ref]) -> list[Any]:
        missed: set[str] = set()
        while True:
            try:
                self._compute(refs)
                return [self._memory.value(ref) for ref in refs]
            except Gone as error:  # it is missing now, so the next try computes it
                if str(error) in missed:
                    raise
                missed.add(str(error))

    def seal(self, tree: T) -> T:
        known = self._costs.sealed
        sealed = self._costs.seal(tree)
        news = self._costs.sealed - known  # besides, only what was made or found since can have been stored
        stored = [key for key in news | (known & (self._made | self._found)) if self._has(key)]
        self._cache.pin(stored)
        for key in stored:
            if self._has(key):  # not evicted by another process before it was pinned
                self._costs.release(key)
        return sealed

    def close(self) -> None:
        """Let the crew go."""
        self._crew.close()

    def _compute(self, refs: Iterable[Ref]) -> None:
        if self._unswept >= _SWEEP_EVERY:  # between batches, so that nothing is evicted that a batch needs
            self._cache.sweep()
            self._unswept = 0
        todo = missing(refs, self._there, self._costs.parents)
        self._unswept += len(todo)
        if todo:
            self._crew.run([self._recipe(ref) for ref in todo], lambda ref: self._made.add(ref.key))

    def _recipe(self, ref: Ref) -> Ref:
        """Return *ref* with its recipe; that of a published value is no longer known once it was stored."""
        found = self._costs.recipe(ref)
        if found.kind is None:
            raise RunError(f"the stored value of {ref!r} is spoilt: run again, and what is missing is computed")
        return found

    def _there(self, ref: Ref) -> bool:
        if ref.kind is None and ref.inputs:
            return True  # a source
        if self._has(ref.key):
            if ref.key not in self._made:
                self._found.add(ref.key)
            return True
        return False

    def _has(self, key: str) -> bool:
        return (key in self._made or not self._fresh) and key in self._cache

    def _measured(self, ref: Ref) -> Sized:
        if not self._fresh or ref.key in self._made:
            known = self._cache.size(ref.key)
            if known is not MISSING:
                self._found.add(ref.key)
                return known  # type: ignore[no-any-return]
        size = self._measure(self.get(ref))
        self._cache.put_size(ref.key, size)
        return size


class Eager:
    """Computes as soon as a place has done the work, even if nobody ever looks."""

    def __init__(self, inner: Lazy) -> None:
        self._inner = inner
        self.size, self.load, self.get, self.get_all = inner.size, inner.load, inner.get, inner.get_all
        self.seal, self.close = inner.seal, inner.close

    @property
    def jobs_run(self) -> int:
        return self._inner.jobs_run

    @property
    def jobs_cached(self) -> int:
        return self._inner.jobs_cached

    def hint(self, ref: Ref) -> None:
        self._inner.get(ref)
