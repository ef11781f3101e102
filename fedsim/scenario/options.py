"""Options: the fields of a method's frozen dataclass, or the keyword-only parameters of a model or partition."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import Any, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from fedsim.scenario.table import Errors, finite, unknown_keys
from fedsim.scenario.wording import absent, reworded, wrong

_STRICT = ConfigDict(strict=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Option:
    """What an option may be, and what it is unless given; MISSING: it must be given."""

    type: Any
    default: Any

    def read(self, value: Any, context: Any = None) -> Any:
        """Return *value* as a file gives it as the option's type, checked in *context*; raises ValidationError."""
        if get_origin(self.type) is tuple and not isinstance(value, list):
            value = [value]  # a number does for a list of one
        return _adapter(self.type).validate_python(_frozen(value), context=context)

    def written(self, value: Any) -> Any:
        """Return *value* as a file gives it: quantities with their units."""
        return _adapter(self.type).dump_python(value, mode="json", exclude_none=True)


@cache
def options_of(kind: Callable[..., Any]) -> Mapping[str, Option]:
    """Return the options of a dataclass (``train`` apart, which has a table of its own) or of a function."""
    hints = get_type_hints(kind, include_extras=True)
    if is_dataclass(kind):
        return {f.name: Option(hints[f.name], f.default) for f in fields(kind) if f.name != "train"}
    parameters = [p for p in inspect.signature(kind).parameters.values() if p.kind is p.KEYWORD_ONLY]
    return {p.name: Option(hints[p.name], MISSING if p.default is p.empty else p.default) for p in parameters}


def check_options(
    kind: Callable[..., Any], given: Mapping[str, Any], context: Any = None
) -> tuple[dict[str, Any], Errors]:
    """Return *given* as *kind* takes it, and what is wrong with it."""
    known = options_of(kind)
    good: dict[str, Any] = {}
    errors: Errors = unknown_keys("option", given, known)
    for key in known.keys() & given.keys():
        try:
            good[key] = known[key].read(given[key], context)
        except ValidationError as error:
            errors += reworded(error, at=(key,))[:1]
        if key in good and not finite(good[key]):
            errors.append(wrong((key,), given[key], "must be a finite number"))
    return good, errors


def fill_options(
    kind: Callable[..., Any], given: Mapping[str, Any], context: Any = None
) -> tuple[dict[str, Any], Errors]:
    """Return *given* as *kind* takes it with the defaults filled in, and what is wrong or missing."""
    good, errors = check_options(kind, given, context)
    needed = [key for key, option in options_of(kind).items() if option.default is MISSING and key not in given]
    defaults = {key: option.default for key, option in options_of(kind).items() if option.default is not MISSING}
    return defaults | good, errors + [absent((key,)) for key in needed]


def option_defaults(kind: Callable[..., Any]) -> dict[str, Any]:
    """Return name and default, as a file gives it, of the options of *kind*; None where there is no default."""
    known = options_of(kind).items()
    return {key: None if option.default is MISSING else option.written(option.default) for key, option in known}


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind, config=_STRICT)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
