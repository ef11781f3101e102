"""The vocabulary every layer shares: values named by recipe, and work placed on devices.

A :class:`Ref` names a value by the recipe that makes it, so a method can speak of "the model
after device 3 trained it" before, or without, anyone training it. Standard library only.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import math
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, Protocol, TypeVar

from fedsim.errors import LocalityError
from fedsim.load import KINDS, WAYS, Load, Op, OpClass, Step, class_of, step_name
from fedsim.provenance import code_digest

__all__ = [
    "KINDS",
    "WAYS",
    "JobKind",
    "Load",
    "Local",
    "Op",
    "OpClass",
    "Ref",
    "Reply",
    "Sized",
    "Step",
    "Work",
    "class_of",
    "job",
    "map_refs",
    "missing_at",
    "passes_of",
    "refs_in",
    "shortened",
    "source",
    "step_name",
    "substituted",
]

T = TypeVar("T")


class Sized(Protocol):
    """What is known of a value without having it; each kind of value has its own."""

    @property
    def nbytes(self) -> int: ...


@dataclass(frozen=True, eq=False)
class JobKind:
    """A pure function with three faces: its value, its size and its cost.

    ``passes`` names the parameter, if any, that counts equal passes over its data, of which fewer are of use too.
    """

    name: str
    value: Callable[..., Any] = field(repr=False)
    size: Callable[..., Any] | None = field(repr=False)
    load: Callable[..., Load] = field(repr=False)
    passes: str = ""

    def __call__(self, *inputs: Any, **params: Any) -> Ref:
        """Return the recipe; run nothing."""
        if params.keys() - self._names:
            inspect.signature(self.value).bind(*inputs, **params)  # the interpreter's own message
        given = tuple(sorted({**self._defaults, **params}.items()))
        return Ref(_digest(self.identity, inputs, given), self, inputs, given)

    @property
    def label(self) -> str:
        """The short name shown in timelines."""
        return self.name.rpartition(".")[2]

    @cached_property
    def identity(self) -> str:
        """The name with the digest of the code behind it: other code, other value."""
        return f"{self.name}@{code_digest(self.value.__module__)}"

    @cached_property
    def _names(self) -> frozenset[str]:
        found = inspect.signature(self.value).parameters.values()
        return frozenset(p.name for p in found if p.kind is p.KEYWORD_ONLY)

    @cached_property
    def _defaults(self) -> dict[str, Any]:
        found = inspect.signature(self.value).parameters
        return {n: found[n].default for n in self._names if found[n].default is not inspect.Parameter.empty}

    def __reduce__(self) -> tuple[Any, ...]:
        return _kind_named, (self.name,)


def job(
    *, size: Callable[..., Any] | None, load: Callable[..., Load], passes: str = ""
) -> Callable[[Callable[..., Any]], JobKind]:
    """Make a function a job: called on Refs it runs nothing and returns a Ref.

    Positional arguments are its inputs, keyword-only ones its parameters. *size* and *load* take the parameters
    too, and of the inputs their sizes; a *size* of None, or one that returns None, is known only by computing.
    Before a job is run torch is seeded with its parameter ``seed``, if it has one, else with 0; beside that it
    must depend on nothing, and leave its inputs as they are. *passes* names the parameter that counts its passes over
    the data: stopped after some of them, it must be as with so many from the start.
    """
    return lambda fn: JobKind(f"{fn.__module__}.{fn.__name__}", fn, size, load, passes)


def _kind_named(name: str) -> JobKind:
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    assert isinstance(found, JobKind), name
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Ref:
    """A value known by its recipe: equal keys mean equal values. ``kind`` None: a source."""

    key: str
    kind: JobKind | None = None
    inputs: tuple[Any, ...] = ()
    params: tuple[tuple[str, Any], ...] = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ref) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"<{self.label} {self.key[:8]}>"

    @property
    def label(self) -> str:
        return self.kind.label if self.kind else "source"

    def parents(self) -> list[Ref]:
        """Return the Refs among inputs and parameters."""
        found: list[Ref] = []
        for value in (*self.inputs, *(value for _, value in self.params)):
            if type(value) is Ref:
                found.append(value)
            elif type(value) is tuple:
                found.extend(refs_in(value))
        return found


def source(rule: str, **params: Any) -> Ref:
    """Name a value that exists from the start by the rule or content digest that fixes it."""
    given = tuple(sorted(params.items()))
    return Ref(_digest(rule, (), given), None, (rule,), given)


@dataclass(frozen=True, slots=True)
class Work:
    """What a device receives, sends back and keeps; what lies between, it must compute."""

    down: tuple[Ref, ...]
    up: tuple[Ref, ...]
    keep: tuple[Ref, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """A device's answer: ``up`` and ``keep`` as its Work named them, by a device that has so many ``samples``.

    ``version`` is the one its work was planned from, ``staleness`` how many merges ago that was. ``share`` of the
    passes over its data were done: all, unless the scenario lets devices send partial work.
    """

    device: int
    up: tuple[Ref, ...]
    keep: tuple[Ref, ...]
    version: int
    staleness: int = 0
    samples: int = 0
    share: float = 1.0


class Local(dict[int, Ref]):
    """Values that live on devices, by device id: named in the state, held there."""

    def replace(self, new: Mapping[int, Ref]) -> Local:
        return Local({**self, **new})


def refs_in(tree: Any) -> Iterator[Ref]:
    """Yield every Ref inside nested dataclasses, tuples, lists and mappings, save in Local."""
    if isinstance(tree, Ref):
        yield tree
    elif isinstance(tree, (tuple, list)):
        for item in tree:
            if not isinstance(item, (str, int, float)):
                yield from refs_in(item)
    elif isinstance(tree, Mapping):
        if not isinstance(tree, Local):
            yield from refs_in(tuple(tree.values()))
    elif is_dataclass(tree) and not isinstance(tree, type):
        yield from refs_in(tuple(getattr(tree, f.name) for f in fields(tree)))


def map_refs(tree: T, change: Callable[[Ref], Any]) -> T:
    """Return *tree* with every Ref inside replaced by ``change(ref)``; Local maps too."""
    if isinstance(tree, Ref):
        return change(tree)  # type: ignore[no-any-return]
    if isinstance(tree, (tuple, list)):
        return type(tree)([map_refs(item, change) for item in tree])
    if isinstance(tree, Mapping):
        mapped = {k: map_refs(v, change) for k, v in tree.items()}
        return Local(mapped) if isinstance(tree, Local) else mapped  # type: ignore[return-value]
    if is_dataclass(tree) and not isinstance(tree, type):
        return replace(tree, **{f.name: map_refs(getattr(tree, f.name), change) for f in fields(tree)})
    return tree


def passes_of(ref: Ref) -> int | None:
    """Return how many passes over its data the job behind *ref* makes; None if it is none of that kind."""
    return dict(ref.params)[ref.kind.passes] if ref.kind and ref.kind.passes else None


def shortened(ref: Ref, share: float) -> Ref | None:
    """Return what has been made of *ref* when a *share* of it is done: the whole passes; None if there is none."""
    passes = passes_of(ref)
    done = math.floor((passes or 0) * share + 1e-9)
    if not done or ref.kind is None:
        return None
    return ref.kind(*ref.inputs, **{**dict(ref.params), ref.kind.passes: done})


def substituted(ref: Ref, old: Ref, new: Ref) -> Ref:
    """Return the recipe of *ref* with *new* wherever it takes *old*."""
    known = {old: new}

    def swapped(ref: Ref) -> Ref:
        if ref not in known:
            known[ref] = ref
            if ref.kind is not None and ref.parents():
                inputs, params = map_refs((ref.inputs, dict(ref.params)), swapped)
                made = ref.kind(*inputs, **params)
                known[ref] = ref if made == ref else made
        return known[ref]

    return swapped(ref)


def missing_at(place: str, holds: Container[str], wanted: tuple[Ref, ...]) -> list[Ref]:
    """Return the jobs *place* must run to have *wanted*, inputs first.

    Raises LocalityError when one of them needs a source that the place does not hold.
    """
    order: dict[str, Ref] = {}
    stack = [(ref, ref, False) for ref in reversed(wanted)]
    while stack:
        ref, wanted_by, ready = stack.pop()
        if ready:
            order[ref.key] = ref
        elif ref.key not in holds and ref.key not in order:
            if ref.kind is None:
                raise LocalityError(
                    f"{place} needs {ref!r} to compute {wanted_by!r}, but does not hold it and cannot "
                    f"compute it. Send it down, or compute it where it lives."
                )
            stack.append((ref, ref, True))
            stack.extend((parent, ref, False) for parent in reversed(ref.parents()))
    return list(order.values())


def _digest(identity: str, inputs: Any, params: Any) -> str:
    text = "\x1f".join((identity, _plain(inputs), _plain(params)))
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(x: Any) -> str:
    """Spell a parameter so that equal spellings mean equal values; refuse what has no such spelling."""
    kind = type(x)
    if kind is Ref:
        return f"<{x.key}>"
    if kind is str or kind is int or kind is float or kind is bool or x is None:
        return repr(x)
    if kind is tuple:
        return f"({','.join([_plain(i) for i in x])})"
    raise TypeError(
        f"a job's parameter is {x!r} of type {kind.__name__}; allowed are Refs, int, float, str, bool, None "
        f"and tuples of them: convert it, or make it a source or the output of a job"
    )
