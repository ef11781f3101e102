"""Walks over recipes: what is missing, in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fedsim.work import Ref


def missing(wanted: Iterable[Ref], there: Callable[[Ref], bool], parents: Callable[[Ref], Iterable[Ref]]) -> list[Ref]:
    """Return the Refs to work out for *wanted*, inputs first, stopping at what is there."""
    order: list[Ref] = []
    known: set[str] = set()
    stack = [(ref, False) for ref in reversed(list(wanted))]
    while stack:
        ref, ready = stack.pop()
        if ready:
            order.append(ref)
        elif ref.key not in known:
            known.add(ref.key)
            if not there(ref):
                stack.append((ref, True))
                stack.extend((parent, False) for parent in reversed(list(parents(ref))))
    return order


def resolve(tree: Any, value_of: Callable[[Ref], Any]) -> Any:
    """Return the arguments of a job with Refs replaced by their values."""
    if isinstance(tree, Ref):
        return value_of(tree)
    if isinstance(tree, tuple):
        return tuple([resolve(item, value_of) for item in tree])
    return tree
