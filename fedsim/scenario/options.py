"""A method's options: the fields of its frozen dataclass, checked without importing the method."""

from __future__ import annotations

import math
from dataclasses import MISSING, fields
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from fedsim.errors import unknown
from fedsim.scenario.table import said


def check_options(what: str, table: type[Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return *given* as the dataclass *table* takes it; raises a validation error that names the key."""
    known = option_types(table)
    checked = {}
    for key, value in given.items():
        if key not in known:
            raise said(f"{what}: {unknown('option', key, known)}")
        try:
            checked[key] = TypeAdapter(known[key]).validate_python(_frozen(value), strict=True)
        except ValidationError as error:
            raise said(f"{what}: {key} = {value!r}: {error.errors()[0]['msg']}") from None
        if isinstance(checked[key], float) and not math.isfinite(checked[key]):
            raise said(f"{what}: {key} = {value!r}: must be a finite number")
    return checked


def option_types(table: type[Any]) -> dict[str, Any]:
    """Return name and type of the options of *table*; ``train`` has a table of its own."""
    hints = get_type_hints(table, include_extras=True)
    return {f.name: hints[f.name] for f in fields(table) if f.name != "train"}


def option_defaults(table: type[Any]) -> dict[str, Any]:
    """Return name and default of the options of *table*."""
    made = {f.name: f.default if f.default is not MISSING else None for f in fields(table)}
    return {name: default for name, default in made.items() if name != "train"}


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
