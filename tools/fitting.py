"""Bounded least squares on relative errors: what a unit of each kind of work costs, given measured steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear

from fedsim.fleet.profile import Rate
from fedsim.work import Load, OpClass

Vector = NDArray[np.float64]


class Column(NamedTuple):
    """One unknown: the seconds per unit of *what* (flops, bytes, calls, or images) in these classes."""

    what: str
    classes: tuple[OpClass, ...] = ()

    def of(self, row: Row) -> float:
        if self.what == "images":
            return row.images
        return sum(getattr(row.load.within(kind), self.what) for kind in self.classes)


class Row(NamedTuple):
    """One measured step; a low *weight* makes it count less."""

    model: str
    load: Load
    seconds: float
    images: float = 0.0
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Fit:
    """A way to explain rows: the columns, the peak that bounds their arithmetic, and a given cost per call."""

    columns: tuple[Column, ...]
    peak_flops_per_s: float
    call_s: float = 0.0

    def solve(self, rows: Sequence[Row]) -> Vector:
        """Return the seconds per unit of each column that explain *rows* best in relative error."""
        units = self._units(rows)
        seen = units.max(axis=0)
        scale = np.where(seen > 0, seen, 1.0)
        seconds, weight = np.array([r.seconds for r in rows]), np.sqrt([r.weight for r in rows])
        lowest = np.array([1 / self.peak_flops_per_s if c.what == "flops" else 0.0 for c in self.columns]) * scale
        left = units / scale / seconds[:, None] * weight[:, None]
        right = (1 - self._calls(rows) / seconds) * weight
        found = lsq_linear(left, right, bounds=(lowest, np.inf)).x
        return np.asarray(np.where(seen > 0, found, lowest) / scale)  # what no row shows is as fast as can be

    def predict(self, costs: Vector, rows: Sequence[Row]) -> Vector:
        return np.asarray(self._units(rows) @ costs + self._calls(rows))

    def errors(self, costs: Vector, rows: Sequence[Row]) -> Vector:
        """Return predicted over measured time, less 1."""
        return self.predict(costs, rows) / [r.seconds for r in rows] - 1

    def left_out(self, rows: Sequence[Row]) -> Vector:
        """Return each row's error when its model was left out of the fit."""
        found = np.zeros(len(rows))
        for model in {r.model for r in rows}:
            mine = [i for i, r in enumerate(rows) if r.model == model]
            costs = self.solve([r for r in rows if r.model != model])
            found[mine] = self.errors(costs, [rows[i] for i in mine])
        return found

    def rates(self, costs: Vector) -> dict[OpClass, Rate]:
        """Return the costs as rates; what the rows do not cost at all has no term."""
        found = {kind: [np.inf, np.inf, self.call_s] for kind in OpClass}
        for column, cost in zip(self.columns, costs, strict=True):
            for kind in column.classes:
                place = ("flops", "bytes", "calls").index(column.what)
                found[kind][place] = cost if place == 2 else (1 / cost if cost > 1e-18 else np.inf)
        return {kind: Rate(*map(float, values)) for kind, values in found.items()}

    def _units(self, rows: Sequence[Row]) -> Vector:
        return np.array([[c.of(r) for c in self.columns] for r in rows], float)

    def _calls(self, rows: Sequence[Row]) -> Vector:
        return self.call_s * np.array(
            [sum(op.calls for kind, op in r.load.ops.items() if kind != OpClass.ALLOCATE) for r in rows]
        )


def full(errors: Vector, rows: Sequence[Row]) -> Vector:
    """Keep the errors of full training."""
    return errors[[r.weight == 1 for r in rows]]


def spread(errors: Vector) -> tuple[float, float]:
    """Return the factors from a prediction to the true time that hold 90 % of *errors*, and 1."""
    factors = 1 / (1 + errors)
    return min(1.0, float(np.quantile(factors, 0.05))), max(1.0, float(np.quantile(factors, 0.95)))


def summary(rows: Sequence[Row], fitted: Vector, left_out: Vector) -> str:
    """Say the mean absolute errors of full training, and the worst model of all."""
    whole, head = full(left_out, rows), left_out[[r.weight < 1 for r in rows]]
    told = f"mean error {abs(full(fitted, rows)).mean():.1%}, with each model left out {abs(whole).mean():.1%}"
    if len(head):
        told += f" (head-only training {abs(head).mean():.1%})"
    worst = max(zip(abs(left_out), rows, strict=True), key=lambda pair: pair[0])
    return f"{len(rows)} rows, {told}, worst {worst[1].model} {worst[0]:.0%}"
