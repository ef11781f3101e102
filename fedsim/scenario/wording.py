"""What is wrong with a value, in the words of the file: pydantic's errors retold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError
from tomli_w import dumps

from fedsim.errors import nearest

Place = tuple[int | str, ...]

_ABSENT = "absent"
_LONGEST = 60
_WORDS = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "is too large a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text in quotes",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have {min_length} {entries} or more",
    "too_long": "must have {max_length} {entries} or fewer",
}


def said(message: str) -> PydanticCustomError:
    """Return a validation error whose text is *message*, as it stands."""
    return PydanticCustomError("fedsim", "{message}", {"message": message})


def wrong(place: Place, value: object, message: str) -> InitErrorDetails:
    """Return the error that *value* at *place* is wrong."""
    return InitErrorDetails(type=said(message), loc=place, input=value)


def absent(place: Place, message: str = "is missing; give it a value") -> InitErrorDetails:
    """Return the error that nothing stands at *place*, or nothing worth showing."""
    missing = PydanticCustomError(_ABSENT, "{message}", {"message": message})
    return InitErrorDetails(type=missing, loc=place, input=None)


def reworded(error: ValidationError, *, at: Place = ()) -> list[InitErrorDetails]:
    """Return the errors in *error* in our words, each *at* a place further up."""
    return [_reworded(one, at) for one in error.errors(include_url=False)]


def no_such(what: str, word: object, known: Iterable[str]) -> str:
    """Say that a value is no known *what*, the nearest one, and all there are."""
    names = sorted(known)
    return f"unknown {what}{nearest(str(word), names)} (known: {', '.join(names) or 'none'})"


def show_place(place: Place, data: Any) -> str:
    """Write a place in *data* with dots, a method by its label or name.

    >>> show_place(("method", 1, "mu"), {"method": [{"name": "fedavg"}, {"name": "fedprox", "mu": -1}]})
    'method.fedprox.mu'
    """
    parts, at = [], data
    for part in place:
        parts.append(_called(at, part) if isinstance(at, list) and isinstance(part, int) else str(part))
        at = _inside(at, part)
    return ".".join(parts)


def show_error(error: Mapping[str, Any], data: Any) -> str:
    """Write one error as key = value: what is wrong, and what is allowed."""
    where = show_place(error["loc"], data)
    message = error["ctx"]["message"]
    return f"{where}: {message}" if error["type"] == _ABSENT else f"{where} = {shown(error['input'])}: {message}"


def shown(value: object) -> str:
    """Write a value as TOML does, shortened.

    >>> shown(True), shown("5 s"), shown([1, 2]), shown({"kind": "iid"}), shown(float("nan"))
    ('true', "'5 s'", '[1, 2]', "{ kind = 'iid' }", 'nan')
    """
    text = _toml(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_toml(item)}' for key, item in value.items())} }}" if value else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        return repr(value)
    try:
        return dumps({"v": value}).strip().removeprefix("v = ")
    except TypeError:  # no type of TOML: it came from Python
        return repr(value)


def _reworded(error: Any, at: Place) -> InitErrorDetails:
    place = (*at, *error["loc"])
    if error["type"] == "missing":
        return absent(place)
    if error["type"] == _ABSENT:
        return InitErrorDetails(type=PydanticCustomError(_ABSENT, "{message}", error["ctx"]), loc=place, input=None)
    return wrong(place, error["input"], _words(error))


def _words(error: Any) -> str:
    known = error.get("ctx", {})
    if error["type"] == "fedsim":
        return str(known["message"])
    if error["type"] == "value_error":  # one of ours, from a layer that knows no pydantic
        return str(known["error"])
    if error["type"] == "literal_error":
        names = re.findall(r"'([^']*)'", known["expected"])
        numbers = ", ".join(re.findall(r"\d+", known["expected"]))
        return no_such("value", error["input"], names) if names else f"must be one of these numbers: {numbers}"
    if error["type"] in _WORDS:
        limits = {key: _number(limit) for key, limit in known.items()}
        return _WORDS[error["type"]].format(**limits, entries="entry" if limits.get("min_length") == 1 else "entries")
    return f"{error['msg'][0].lower()}{error['msg'][1:]}"


def _number(limit: object) -> object:
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit


def _called(items: Sequence[Any], number: int) -> str:
    """Name an entry of a list by its label or name, if that is text and its own; else by number."""
    names = [item.get("label", item.get("name")) if isinstance(item, dict) else None for item in items]
    name = names[number] if number < len(names) else None
    plain = isinstance(name, str) and re.fullmatch(r"[\w.=+-]+", name) and names.count(name) == 1
    return str(name) if plain else str(number)


def _inside(at: Any, part: int | str) -> Any:
    try:
        return at[part]
    except (KeyError, IndexError, TypeError):
        return None
