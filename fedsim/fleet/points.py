"""The measured times behind a profile's rates, each with what the rates say of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from fedsim.errors import InputError
from fedsim.fleet.table import Table

STEPS = ("training", "head", "operator", "check")
_COLUMNS = ("name", "family", "step", "batch", "seconds", "fitted", "left_out", "gflop")
_JOULES = "joules"


@dataclass(frozen=True, slots=True)
class Point:
    """One measured piece of work on a device: a training step, one of the head alone, an operator, or a check.

    ``fitted_s`` is the time by the device's rates; ``left_out_s`` the time by a fit that saw no row of the
    ``family``, 0 where there is none. Rates never saw a check. ``joules`` are above idle, 0 where not measured.
    """

    name: str
    family: str
    step: str
    batch: int
    seconds: float
    fitted_s: float
    left_out_s: float
    gflop: float
    joules: float = 0.0

    @property
    def unseen_s(self) -> float:
        """The time by rates that never saw the family; 0 where there are none."""
        return self.left_out_s or (self.fitted_s if self.step == "check" else 0.0)


def read_points(table: Table) -> tuple[Point, ...]:
    """Read ``columns`` and ``rows``; the column joules, the last, may be missing. Raises InputError."""
    columns = table.read("columns", _columns)
    rows = table.read("rows", lambda value: _rows(value, columns))
    table.close()
    return rows


def write_points(points: Iterable[Point]) -> str:
    """Return the TOML table that :func:`read_points` reads, numbers to four digits."""
    found = list(points)
    columns = [*_COLUMNS, _JOULES] if any(point.joules for point in found) else [*_COLUMNS]
    rows = [f"  {json.dumps(_values(point)[: len(columns)], ensure_ascii=False)}," for point in found]
    return "\n".join(["[points]", f"columns = {json.dumps(columns)}", "rows = [", *rows, "]"])


def _values(point: Point) -> list[str | int | float]:
    numbers = point.seconds, point.fitted_s, point.left_out_s, point.gflop, point.joules
    return [point.name, point.family, point.step, point.batch, *(float(f"{x:.4g}") for x in numbers)]


def _columns(value: Any) -> tuple[str, ...]:
    allowed = [*_COLUMNS], [*_COLUMNS, _JOULES]
    if value not in allowed:
        raise InputError(f"{value!r} is not allowed; write {allowed[0]}, and {_JOULES!r} at the end if there are any")
    return tuple(value)


def _rows(value: Any, columns: tuple[str, ...]) -> tuple[Point, ...]:
    if not isinstance(value, list) or not value:
        raise InputError(f"{value!r} is no list of rows; write one for each measured time, or leave [points] out")
    return tuple(_point(row, columns, f"row {number}") for number, row in enumerate(value, 1))


def _point(row: Any, columns: tuple[str, ...], where: str) -> Point:
    if not isinstance(row, list) or len(row) != len(columns):
        raise InputError(f"{where} is {row!r}; write {len(columns)} values: {', '.join(columns)}")
    for column, value in zip(columns, row, strict=True):
        fits, allowed = _ALLOWED[column]
        if not fits(value):
            raise InputError(f"{where}: {column} is {value!r}; allowed is {allowed}")
    return Point(*row[:4], *map(float, row[4:]))


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value >= 0


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _time(value: Any) -> bool:
    return _number(value) and value > 0


_ALLOWED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (_text, "a non-empty text"),
    "family": (_text, "a non-empty text"),
    "step": (lambda value: value in STEPS, f"one of {', '.join(map(repr, STEPS))}"),
    "batch": (lambda value: type(value) is int and value >= 1, "a whole number of at least 1"),
    "seconds": (_time, "a finite number of seconds above 0"),
    "fitted": (_time, "a finite number of seconds above 0"),
    "left_out": (_number, "a finite number of seconds, 0 where none was left out"),
    "gflop": (_number, "a finite number of at least 0"),
    "joules": (_number, "a finite number of at least 0, 0 where not measured"),
}
