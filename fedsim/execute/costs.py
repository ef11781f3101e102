"""Sizes and loads by recipe, remembered; shared by every executor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from fedsim.execute.graph import missing
from fedsim.work import Load, Ref, Sized, map_refs

T = TypeVar("T")
_REMEMBERED = 1 << 16


class Sources(Protocol):
    """The data that exists from the start: values and sizes of sources by their rule."""

    def value(self, ref: Ref) -> Any: ...
    def size(self, ref: Ref) -> Sized: ...


class Costs:
    """Works out sizes and loads; *measure* is asked where a size is known only by computing."""

    def __init__(self, sources: Sources, measure: Callable[[Ref], Sized]) -> None:
        self._sources, self._measure = sources, measure
        self._sizes: dict[str, Sized] = {}
        self._sealed: dict[str, Ref] = {}
        self._published: dict[str, Sized] = {}

    def recipe(self, ref: Ref) -> Ref:
        """Return *ref* with its recipe, if it was sealed and is still wanted."""
        return ref if ref.kind else self._sealed.get(ref.key, ref)

    def size(self, ref: Ref) -> Sized:
        """Return the declared or measured size of *ref*."""
        if not self._known(ref):
            for job in missing([ref], self._known, self.parents):
                self._sizes[job.key] = self._work_out(self.recipe(job))
        return self._published[ref.key] if ref.key in self._published else self._sizes[ref.key]

    def load(self, ref: Ref) -> Load:
        """Return the load of the job behind *ref*."""
        assert ref.kind is not None, f"{ref!r} is a source: nobody computes it"
        return ref.kind.load(*self._sizes_in(ref.inputs), **{k: self._sizes_in(v) for k, v in ref.params})

    def seal(self, tree: T) -> T:
        """Turn the Refs of a published state into sources; their recipes are kept aside."""
        if len(self._sizes) > _REMEMBERED:
            self._sizes.clear()
        return map_refs(tree, self._seal)

    def release(self, key: str) -> None:
        """Forget the recipe of a sealed value, though not its size."""
        ref = self._sealed[key]
        self._published[key] = self.size(ref)
        del self._sealed[key]

    @property
    def sealed(self) -> set[str]:
        """The keys of published values whose recipes are still kept."""
        return set(self._sealed)

    def parents(self, ref: Ref) -> list[Ref]:
        return self.recipe(ref).parents()

    def _seal(self, ref: Ref) -> Ref:
        if ref.kind is None:
            return ref
        self._sealed[ref.key] = ref
        return Ref(ref.key)

    def _known(self, ref: Ref) -> bool:
        return ref.key in self._published or ref.key in self._sizes

    def _work_out(self, ref: Ref) -> Sized:
        if ref.kind is None:
            return self._sources.size(ref)
        declared = None
        if ref.kind.size is not None:
            declared = ref.kind.size(*self._sizes_in(ref.inputs), **{k: self._sizes_in(v) for k, v in ref.params})
        return self._measure(ref) if declared is None else declared

    def _sizes_in(self, tree: Any) -> Any:
        if isinstance(tree, Ref):
            return self.size(tree)
        if isinstance(tree, tuple):
            return tuple([self._sizes_in(item) for item in tree])
        return tree
