"""What a fit says of its rows: their points, the interval that follows, and a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from measured import Timed

from fedsim.fleet.fitting import Vector, coverage, spread
from fedsim.fleet.points import Point


def points_of(timed: Sequence[Timed], fitted: Vector, left_out: Vector) -> tuple[Point, ...]:
    """Return the points of rows, given the seconds of the fit and of the fits without each row's family."""
    return tuple(
        Point(
            t.row.name, t.row.family, t.step, t.batch, t.row.seconds, float(fit_s), float(out_s),
            t.row.load.flops / 1e9, t.joules,
        )
        for t, fit_s, out_s in zip(timed, fitted, left_out, strict=True)
    )  # fmt: skip


def bounds(points: Iterable[Point]) -> tuple[float, float]:
    """Return the factors that hold 90 % of full training of families never seen."""
    return spread(*_factors(points))


def summary(points: Sequence[Point]) -> str:
    """Say the errors of rows, and what the interval that follows from them covers."""
    factors, families = _factors(points)
    return (
        f"{errors(points)}; the interval is 90 % of Student's t over families; made without a family it covers "
        f"{coverage(factors, families):.0%} of rows"
    )


def errors(points: Sequence[Point]) -> str:
    """Say the mean absolute errors of full training and of the head alone."""
    whole, heads = ([p for p in points if p.step == step] for step in ("training", "head"))
    worst = max(whole, key=lambda p: abs(p.left_out_s / p.seconds - 1))
    told = (
        f"{len(whole)} rows of full training, {len({p.family for p in whole})} families: mean error "
        f"{_error(p.fitted_s / p.seconds for p in whole):.1%}, each family left out "
        f"{_error(p.left_out_s / p.seconds for p in whole):.1%}"
    )
    if heads:
        told += f" ({len(heads)} rows of head-only training {_error(p.left_out_s / p.seconds for p in heads):.1%})"
    return f"{told}, worst {worst.name} {worst.left_out_s / worst.seconds - 1:+.0%}"


def _factors(points: Iterable[Point]) -> tuple[list[float], list[str]]:
    whole = [p for p in points if p.step == "training"]
    return [p.seconds / p.left_out_s for p in whole], [p.family for p in whole]


def _error(ratios: Iterable[float]) -> float:
    off = [abs(ratio - 1) for ratio in ratios]
    return sum(off) / len(off)
