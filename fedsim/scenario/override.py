"""Changes to a scenario from outside: KEY=VALUE with dotted keys."""

from __future__ import annotations

import tomllib
from typing import Any

from fedsim.errors import InputError, nearest
from fedsim.scenario.wording import Place, shown

_ALONE = {"model": "name", "public": "data", "select": "kind", "deadline": "start"}  # may be a text for a table


def parse_override(text: str) -> tuple[str, Any]:
    """Read KEY=VALUE; the value as TOML, or as text where it is not.

    >>> parse_override("fleet.0.count=5"), parse_override("schedule.deadline=90 s")
    (('fleet.0.count', 5), ('schedule.deadline', '90 s'))
    """
    key, equals, value = text.partition("=")
    if not equals or not all(part.strip() for part in key.split(".")):
        raise InputError(f"--set {text!r}: write KEY=VALUE, such as schedule.rounds=5")
    try:
        found = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()
    return key.strip(), found["value"] if len(found) == 1 else value.strip()


def put(data: dict[str, Any], key: str, value: Any) -> Place:
    """Set what the dotted *key* names in *data*, and return its place; raises InputError."""
    at: Any = data
    *path, last = key.split(".")
    place: Place = ()
    for part in path:
        at, step = _step(at, part, key)
        place += (step,)
    if isinstance(at, list):
        number = _index(at, last, key)
        at[number] = value
        return (*place, number)
    if not isinstance(at, dict):
        raise InputError(
            f"--set {key}: {'.'.join(path)} is {shown(at)}, which has no keys; set {'.'.join(path)} itself"
        )
    at[last] = value
    return (*place, last)


def _step(at: Any, part: str, key: str) -> tuple[Any, int | str]:
    if isinstance(at, list):
        number = _index(at, part, key)
        return at[number], number
    if not isinstance(at, dict):
        raise InputError(f"--set {key}: there is no table before {part!r}; write the keys as in the file")
    if part in _ALONE and isinstance(at.get(part), str):
        at[part] = {_ALONE[part]: at[part]}
    return at.setdefault(part, {}), part


def _index(at: list[Any], part: str, key: str) -> int:
    """Find an entry of a list by label, name or number."""
    names = [str(item.get("label", item.get("name", ""))) if isinstance(item, dict) else "" for item in at]
    if part in names:
        return names.index(part)
    if part.isdecimal() and int(part) < len(at):
        return int(part)
    known = [name for name in names if name] or [str(i) for i in range(len(at))]
    raise InputError(f"--set {key}: no entry {part!r}{nearest(part, known)} (there are: {', '.join(known)})")
