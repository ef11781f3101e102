"""A strict reader of one TOML table: every key is asked for, typed and has a unit, or the file is refused."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from fedsim.errors import InputError, nearest, unknown
from fedsim.units import parse

T = TypeVar("T")


def read_toml(path: Path) -> Table:
    """Read a file; raises InputError when it is missing or no TOML."""
    try:
        return Table(path.name, tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; give the path of a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no TOML: {error}") from None


@dataclass(frozen=True, slots=True)
class Table:
    """A table under its name in a file; :meth:`close` refuses the keys nobody asked for."""

    where: str
    values: Mapping[str, Any]
    asked: set[str] = field(default_factory=set)

    def quantity(self, key: str, kind: str, default: float | None = None) -> float:
        """Return a number with a unit of *kind* in base units; without a *default* the key is required."""
        if default is not None and key not in self.values:
            self.asked.add(key)
            return default
        return self.read(key, lambda value: parse(value, kind))

    def text(self, key: str, default: str | None = None) -> str:
        """Return a non-empty text; without a *default* the key is required."""
        if default is not None and key not in self.values:
            self.asked.add(key)
            return default
        return self.read(key, _text)

    def one_of(self, key: str, allowed: Iterable[str]) -> str:
        """Return a text that is one of *allowed*."""
        known = tuple(allowed)
        value = self.text(key)
        if value not in known:
            choice = ", ".join(map(repr, known))
            raise InputError(f"{self.where}: {key} is {value!r}{nearest(value, known)} (allowed: {choice})")
        return value

    def year(self, key: str = "year") -> int:
        """Return a year as a whole number from 1970 to 2100."""
        return self.read(key, _year)

    def numbers(self, key: str, count: int) -> tuple[float, ...]:
        """Return a list of *count* finite numbers above 0, without units."""
        return self.read(key, lambda value: _numbers(value, count))

    def factor(self, key: str, most: float = math.inf) -> float:
        """Return a finite number above 0 and at most *most*, without a unit."""
        return self.read(key, lambda value: _factor(value, most))

    def has(self, key: str) -> bool:
        """Return whether *key* is given; asking allows it."""
        self.asked.add(key)
        return key in self.values

    def only(self, keys: Iterable[str]) -> bool:
        """Return whether no key but *keys* is given."""
        return self.values.keys() <= set(keys)

    def table(self, key: str) -> Table:
        """Return the table under *key*."""
        return Table(f"{self.where}: [{key}]", self.read(key, _table))

    def tables(self, key: str) -> tuple[Table, ...]:
        """Return the list of tables under *key*."""
        found = self.read(key, _tables)
        return tuple(Table(f"{self.where}: [[{key}]] {n}", value) for n, value in enumerate(found, 1))

    def parts(self) -> dict[str, Table]:
        """Return every value of this table as a table, by key."""
        return {key: self.table(key) for key in self.values}

    def close(self) -> None:
        """Raise InputError on the first key that was never asked for."""
        for key in self.values:
            if key not in self.asked:
                raise InputError(f"{self.where}: {unknown('key', key, self.asked)}; remove or rename it")

    def read(self, key: str, as_type: Callable[[Any], T]) -> T:
        """Return what *as_type* makes of a required key; it raises InputError on what is not allowed."""
        self.asked.add(key)
        if key not in self.values:
            near = nearest(key, self.values.keys() - self.asked)
            raise InputError(f"{self.where}: the key {key!r} is missing{near}; add it")
        try:
            return as_type(self.values[key])
        except InputError as error:
            raise InputError(f"{self.where}: {key}: {error}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{value!r} is no text; allowed is a non-empty string")
    return value


def _year(value: Any) -> int:
    if type(value) is not int or not 1970 <= value <= 2100:
        raise InputError(f"{value!r} is no year; allowed are whole numbers from 1970 to 2100")
    return value


def _numbers(value: Any, count: int) -> tuple[float, ...]:
    if isinstance(value, list) and len(value) == count and all(_positive(x) for x in value):
        return tuple(float(x) for x in value)
    raise InputError(f"{value!r} is not allowed; write a list of {count} finite numbers above 0")


def _factor(value: Any, most: float) -> float:
    if _positive(value) and value <= most:
        return float(value)
    upto = "" if math.isinf(most) else f" and at most {most:g}"
    raise InputError(f"{value!r} is not allowed; write a finite number above 0{upto}, without a unit")


def _positive(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < float("inf")


def _table(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{value!r} is no table; write a [table] with its keys")
    return value


def _tables(value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise InputError(f"{value!r} is no list of tables; write each under [[double brackets]]")
    return value
