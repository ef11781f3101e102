"""Bounded least squares on relative errors: what a unit of each kind of work costs, given measured times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear
from scipy.stats import t as student

from fedsim.fleet.profile import Rate
from fedsim.work import Load, OpClass

Vector = NDArray[np.float64]
_TERMS = "flops", "bytes", "calls"
_FREE_S = 1e-18  # a FLOP or a byte that costs less has no term


class Column(NamedTuple):
    """One unknown: the seconds per unit of *what* (flops, bytes or calls) in these kinds and those below them."""

    what: str
    kinds: tuple[str, ...]

    def of(self, load: Load) -> float:
        return float(sum(getattr(load.within(kind), self.what) for kind in self.kinds))

    def covers(self, kind: str) -> bool:
        """Return whether the unknown is part of what *kind* costs."""
        return any(f"{kind}.".startswith(f"{own}.") for own in self.kinds)


class Row(NamedTuple):
    """One measured piece of work; rows of one *family* are left out together, a low *weight* makes one count less."""

    name: str
    load: Load
    seconds: float
    family: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Fit:
    """A way to explain rows: the columns, the peaks that bound them, and the cost of a call not in them.

    tolerance: a relative error above it counts by less than its square, so that a disturbed row bends little; 0: all
    count in full.
    """

    columns: tuple[Column, ...]
    peak_flops_per_s: float = np.inf
    peak_bytes_per_s: float = np.inf
    call_s: float = 0.0
    tolerance: float = 0.0

    def solve(self, rows: Sequence[Row]) -> Vector:
        """Return the seconds per unit of each column that explain *rows* best in relative error; none is negative."""
        units, weight = self._units(rows), np.array([row.weight for row in rows])
        costs = self._solve(units, rows, weight)
        for _ in range(5 if self.tolerance else 0):
            off = np.abs(self.errors(costs, rows))
            costs = self._solve(units, rows, weight / np.maximum(off, self.tolerance))
        return costs

    def _solve(self, units: Vector, rows: Sequence[Row], weight: Vector) -> Vector:
        seconds, root = np.array([row.seconds for row in rows]), np.sqrt(weight)
        seen = units.max(axis=0)
        scale = np.where(seen > 0, seen, 1.0)
        least = {"flops": 1 / self.peak_flops_per_s, "bytes": 1 / self.peak_bytes_per_s, "calls": 0.0}
        lowest = np.array([least[column.what] for column in self.columns]) * scale
        left = units / scale / seconds[:, None] * root[:, None]
        found = lsq_linear(left, (1 - self._calls(rows) / seconds) * root, bounds=(lowest, np.inf)).x
        return np.asarray(np.where(seen > 0, found, lowest) / scale)  # what no row shows is as fast as can be

    def predict(self, costs: Vector, rows: Sequence[Row]) -> Vector:
        return np.asarray(self._units(rows) @ costs + self._calls(rows))

    def errors(self, costs: Vector, rows: Sequence[Row]) -> Vector:
        """Return predicted over measured time, less 1."""
        return self.predict(costs, rows) / [row.seconds for row in rows] - 1

    def left_out(self, rows: Sequence[Row]) -> Vector:
        """Return the time predicted for each row when its family was left out of the fit."""
        found = np.zeros(len(rows))
        for family in {row.family for row in rows}:
            mine = [i for i, row in enumerate(rows) if row.family == family]
            costs = self.solve([row for row in rows if row.family != family])
            found[mine] = self.predict(costs, [rows[i] for i in mine])
        return found

    def rates(self, costs: Vector, kinds: Sequence[str] = ()) -> dict[str, Rate]:
        """Return the costs as rates of *kinds*, or of all that columns name; what costs nothing at all has no term."""
        named = kinds or dict.fromkeys(kind for column in self.columns for kind in column.kinds)
        return {kind: self._rate(kind, costs) for kind in named}

    def _rate(self, kind: str, costs: Vector) -> Rate:
        found = {"calls": self.call_s} if self._fixed(kind) else {}
        found |= {column.what: cost for column, cost in zip(self.columns, costs, strict=True) if column.covers(kind)}
        flops, nbytes = (1 / found[w] if found.get(w, 0) > _FREE_S else np.inf for w in _TERMS[:2])
        return Rate(float(flops), float(nbytes), float(found.get("calls", 0.0)))

    def _fixed(self, kind: str) -> bool:
        """Return whether the calls of *kind* have the given cost."""
        own = any(column.what == "calls" and column.covers(kind) for column in self.columns)
        return not own and kind not in (OpClass.ALLOCATE, OpClass.IMAGE)

    def _units(self, rows: Sequence[Row]) -> Vector:
        return np.array([[column.of(row.load) for column in self.columns] for row in rows], float)

    def _calls(self, rows: Sequence[Row]) -> Vector:
        if not self.call_s:
            return np.zeros(len(rows))
        return self.call_s * np.array([sum(op.calls for k, op in r.load.ops.items() if self._fixed(k)) for r in rows])


def spread(factors: Sequence[float], families: Sequence[str]) -> tuple[float, float]:
    """Return the factors from a prediction to the true time that hold nine cases of ten of a family never seen.

    *factors* are true over predicted times, families left out; log-normal, with Student's t over the families.
    """
    logs, count = np.log(factors), len(set(families))
    half = float(student.ppf(0.95, max(count - 1, 1))) * float(np.sqrt(np.mean(logs**2)))
    return float(np.exp(-half)), float(np.exp(half))


def coverage(factors: Sequence[float], families: Sequence[str]) -> float:
    """Return the share of rows inside the spread that the other families give."""
    names, logs = np.array(families), np.array(factors)
    inside = np.zeros(len(logs), bool)
    for family in set(families):
        mine = names == family
        low, high = spread(logs[~mine].tolist(), names[~mine].tolist())
        inside[mine] = (low <= logs[mine]) & (logs[mine] <= high)
    return float(inside.mean())
