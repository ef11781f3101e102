"""Options by name: what a function takes beyond its subject, checked against its own defaults."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from fedsim.errors import InputError, unknown

_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    tuple: "a list of whole numbers",
    str: "text",
}


def default_options(rule: Callable[..., Any]) -> dict[str, Any]:
    """Return *rule*'s keyword-only options with their defaults, ``inspect.Parameter.empty`` where there is none."""
    return {p.name: p.default for p in inspect.signature(rule).parameters.values() if p.kind is p.KEYWORD_ONLY}


def bind_options(what: str, rule: Callable[..., Any], given: Mapping[str, object]) -> dict[str, Any]:
    """Return *rule*'s keyword-only options with *given* filled in, each of its default's type.

    A whole number does for a number, and for a list of one. *what* names the rule in errors.
    Raises InputError on an unknown, a missing or a mistyped option.
    """
    known = default_options(rule)
    for name in given:
        if name not in known:
            raise InputError(f"{what}: {unknown('option', name, known)}; correct its name or remove it")
    where = {name: f"option {name!r} of {what}" for name in known}
    return {name: _typed(where[name], default, given.get(name, default)) for name, default in known.items()}


def _typed(where: str, default: object, value: object) -> object:
    if default is inspect.Parameter.empty:
        if value is default:
            raise InputError(f"{where} is missing: give it a value")
        return value
    kind = type(default)
    found = _converted(kind, value)
    if type(found) is not kind or not _finite(found):
        raise InputError(f"{where} is {value!r}: allowed is {_KINDS[kind]}, such as {default!r}")
    return found


def _converted(kind: type, value: object) -> object:
    if kind is float and type(value) is int:
        return float(value)
    if kind is tuple and type(value) is int:
        return (value,)
    return tuple(value) if kind is tuple and type(value) is list else value


def _finite(value: object) -> bool:
    if isinstance(value, tuple):
        return all(type(item) is int for item in value)
    return not isinstance(value, float) or math.isfinite(value)
