"""What a table is checked against beside itself: all that a scenario may name, and where its paths start."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationInfo

from fedsim.scenario.wording import no_such, said


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a scenario may name: what has options by the callable that takes them, the rest as names."""

    methods: Mapping[str, type[Any]]
    train: type[Any]
    models: Mapping[str, Callable[..., Any]]
    data_sets: Collection[str]
    partitions: Mapping[str, Callable[..., Any]]
    profiles: Collection[str]


@dataclass(frozen=True, slots=True)
class Around:
    """What a table is checked against: the catalogue, and the folder where relative paths start."""

    catalogue: Catalogue
    folder: Path


def around(info: ValidationInfo) -> Around:
    """Return what *info* carries: a scenario is never checked without it."""
    assert isinstance(info.context, Around)
    return info.context


def named(what: str, value: Any, known: Collection[str]) -> Any:
    """Refuse a text that is not among the *known*; what is no text is refused elsewhere."""
    if isinstance(value, str) and value not in known:
        raise said(no_such(what, value, known))
    return value


def profile_at(name: str, folder: Path) -> str | Path:
    """Return a profile's name, or its file's path from *folder* on."""
    return folder / name if name.endswith(".toml") else name
