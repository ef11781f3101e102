"""How well a profile's rates tell times that they never saw: numbers from the measured points that it carries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedsim.errors import InputError
from fedsim.fleet import Profile, load_profile, profile_names
from fedsim.fleet.fitting import coverage
from fedsim.fleet.points import STEPS, Point


@dataclass(frozen=True, slots=True)
class Score:
    """What the rates of a profile are worth on its rows of one step; errors are mean absolute ones, 0.1 for 10 %.

    ``fitted``: by the rates as they are. ``unseen``: by rates that never saw the row's family. ``flops_only``: by one
    time per FLOP, which never saw it either. ``low`` and ``high``: the profile's interval, of 90 %; ``inside``: the
    share of true times within it; ``covers``: of full training, the share within the interval that the other families
    give. ``energy``: of the joules above idle, where measured. None: there is nothing to say it from.
    """

    profile: str
    step: str
    rows: int
    families: int
    fitted: float
    unseen: float | None
    flops_only: float | None
    low: float
    high: float
    inside: float | None
    covers: float | None
    energy: float | None


@dataclass(frozen=True, slots=True)
class Family:
    """The rows of one family: mean absolute errors, and the mean of unseen, which shows which way they err."""

    family: str
    step: str
    rows: int
    fitted: float
    unseen: float | None
    bias: float | None


@dataclass(frozen=True, slots=True)
class Miss:
    """One row: measured seconds, those by rates that never saw its family, and the error of these."""

    name: str
    step: str
    batch: int
    seconds: float
    unseen_s: float
    error: float


def chosen(names: Sequence[str]) -> list[Profile]:
    """Return the profiles of these names, or all packaged ones that carry points; raises InputError."""
    found = [load_profile(name) for name in names or profile_names()]
    bare = [profile.name for profile in found if not profile.points]
    if names and bare:
        known = [name for name in profile_names() if load_profile(name).points]
        raise InputError(
            f"profile {bare[0]!r} carries no measured points, so there is nothing to validate it with; those of "
            f"{', '.join(known)} do, or add [points] to a file of your own"
        )
    return [profile for profile in found if profile.points]


def scores(profile: Profile) -> list[Score]:
    """Return a score for each step that the profile has points of."""
    by_step = {step: [p for p in profile.points if p.step == step] for step in STEPS}
    return [_score(profile, points) for points in by_step.values() if points]


def families(profile: Profile) -> list[Family]:
    """Return the errors of each family, steps in turn, the worst first."""
    keys = dict.fromkeys((p.step, p.family) for p in profile.points)
    found = [_family([p for p in profile.points if (p.step, p.family) == key]) for key in keys]
    return sorted(found, key=lambda f: (STEPS.index(f.step), -(f.unseen if f.unseen is not None else f.fitted)))


def worst(profile: Profile, count: int = 5) -> list[Miss]:
    """Return the rows that unseen rates miss by most."""
    misses = [
        Miss(p.name, p.step, p.batch, p.seconds, p.unseen_s, p.unseen_s / p.seconds - 1)
        for p in profile.points
        if p.unseen_s
    ]
    return sorted(misses, key=lambda miss: -abs(miss.error))[:count]


def by_flops_only(points: Sequence[Point]) -> NDArray[np.float64]:
    """Return the seconds of each point by one time per FLOP that explains the other families best; nan: none does."""
    per_s = np.array([p.gflop / p.seconds for p in points])
    names = np.array([p.family for p in points])
    found = np.full(len(points), np.nan)
    for family in set(names):
        others = per_s[names != family]
        if others.any():
            found[names == family] = others.sum() / (others**2).sum()
    return found * [p.gflop for p in points]


def _score(profile: Profile, points: Sequence[Point]) -> Score:
    seen = [p for p in points if p.unseen_s]
    factors, names = [p.seconds / p.unseen_s for p in seen], [p.family for p in seen]
    low, high = profile.spread
    told = by_flops_only(points) / [p.seconds for p in points]
    return Score(
        profile=profile.name,
        step=points[0].step,
        rows=len(points),
        families=len({p.family for p in points}),
        fitted=_mean(abs(p.fitted_s / p.seconds - 1) for p in points),
        unseen=_mean(abs(p.unseen_s / p.seconds - 1) for p in seen) if seen else None,
        flops_only=_mean(abs(told - 1)) if np.isfinite(told).all() else None,
        low=low,
        high=high,
        inside=_mean(low <= factor <= high for factor in factors) if seen else None,
        covers=coverage(factors, names) if points[0].step == "training" and len(set(names)) > 1 else None,
        energy=_energy(profile, points),
    )


def _energy(profile: Profile, points: Iterable[Point]) -> float | None:
    """Return the error of the power above idle times the unseen time."""
    off = [abs(profile.busy_w * p.unseen_s / p.joules - 1) for p in points if p.joules and p.unseen_s]
    return _mean(off) if off else None


def _family(points: Sequence[Point]) -> Family:
    seen = [p.unseen_s / p.seconds - 1 for p in points if p.unseen_s]
    fitted = _mean(abs(p.fitted_s / p.seconds - 1) for p in points)
    unseen, bias = (_mean(map(abs, seen)), _mean(seen)) if seen else (None, None)
    return Family(points[0].family, points[0].step, len(points), fitted, unseen, bias)


def _mean(values: Iterable[float]) -> float:
    found = [float(value) for value in values]
    return sum(found) / len(found)
