"""Reads a scenario: a file or a packaged name, overrides, and one report of all that is wrong."""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fedsim.errors import InputError, unknown
from fedsim.fleet.packaged import packaged
from fedsim.scenario.schema import Scenario
from fedsim.scenario.table import show_error


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a scenario may name: methods and training as dataclasses, the rest as names."""

    methods: Mapping[str, type[Any]]
    train: type[Any]
    models: Collection[str]
    data_sets: Collection[str]
    partitions: Collection[str]
    profiles: Collection[str]

    def context(self) -> dict[str, Any]:
        return {
            "methods": self.methods,
            "train": self.train,
            "models": self.models,
            "data sets": self.data_sets,
            "partitions": self.partitions,
            "profiles": self.profiles,
        }


def scenario_names() -> list[str]:
    """Return the names of the packaged scenarios, those in folders as folder/name."""
    root = packaged("scenarios")
    return sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.toml"))


def find(name: str) -> Path:
    """Return the file of a scenario given by path or by packaged name."""
    path = Path(name)
    if path.is_file():
        return path
    inside = packaged("scenarios") / f"{name}.toml"
    if inside.is_file():
        return inside
    if path.suffix == ".toml" or path.exists():
        raise InputError(f"scenario {name!r} is not a readable file: give the path of a .toml file, or a packaged name")
    raise InputError(unknown("scenario", name, scenario_names()))


def read(path: Path) -> dict[str, Any]:
    """Read a scenario file as it stands."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 ({error}): save it as UTF-8 text") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): check the path and its permissions") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: is not TOML ({error}): correct that line") from None


def load(path: Path, overrides: Mapping[str, Any], catalogue: Catalogue) -> tuple[dict[str, Any], Scenario]:
    """Return the scenario in *path* with *overrides* (dotted keys), as written and as checked.

    Raises InputError that reports all its errors at once.
    """
    data = read(path)
    for key, value in overrides.items():
        _put(data, key, value)
    try:
        return data, Scenario.model_validate(data, context=catalogue.context())
    except ValidationError as error:
        lines = [f"{path}: {show_error(one)}" for one in error.errors(include_url=False)]
        raise InputError("\n".join(lines)) from None


def digest(scenario: Scenario) -> str:
    """Return the digest of the resolved scenario without description and seeds."""
    resolved = scenario.model_dump(mode="json", exclude={"description": True, "run": {"seeds"}})
    return hashlib.sha256(json.dumps(resolved, sort_keys=True).encode()).hexdigest()[:12]


def parse_override(text: str) -> tuple[str, Any]:
    """Read KEY=VALUE; the value as TOML, or as text where it is not.

    >>> parse_override("fleet.0.count=5"), parse_override("schedule.deadline=90 s")
    (('fleet.0.count', 5), ('schedule.deadline', '90 s'))
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set {text!r}: write KEY=VALUE, such as schedule.rounds=5")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def _put(data: dict[str, Any], key: str, value: Any) -> None:
    at: Any = data
    *path, last = key.split(".")
    for part in path:
        at = _step(at, part, key)
    if isinstance(at, list):
        at[_index(at, last, key)] = value
    elif isinstance(at, dict):
        at[last] = value
    else:
        raise InputError(f"--set {key}: {path[-1]!r} is {at!r}, not a table")


def _step(at: Any, part: str, key: str) -> Any:
    if isinstance(at, list):
        return at[_index(at, part, key)]
    if not isinstance(at, dict):
        raise InputError(f"--set {key}: there is no table before {part!r}")
    if part == "model" and isinstance(at.get(part), str):
        at[part] = {"name": at[part]}
    return at.setdefault(part, {})


def _index(at: list[Any], part: str, key: str) -> int:
    """Find an entry of a list by number, label or name."""
    names = [str(item.get("label", item.get("name", ""))) if isinstance(item, dict) else "" for item in at]
    if part in names:
        return names.index(part)
    if part.isdigit() and int(part) < len(at):
        return int(part)
    known = [name for name in names if name] or [str(i) for i in range(len(at))]
    close = difflib.get_close_matches(part, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise InputError(f"--set {key}: no entry {part!r}{hint} (there are: {', '.join(known)})")
