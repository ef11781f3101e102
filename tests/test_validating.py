"""Validation: a profile's rates against the measured times it carries."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tomllib
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from fedsim.errors import InputError
from fedsim.fleet.packaged import packaged
from fedsim.fleet.points import Point
from fedsim.fleet.profile import Profile, load_profile, profile_names
from fedsim.validating import by_flops_only, chosen, families, scores, worst

ROOT = Path(__file__).resolve().parents[1]


def point(name: str, family: str, **kwargs) -> Point:
    given = {"step": "training", "batch": 8, "seconds": 10.0, "fitted_s": 10.0, "left_out_s": 10.0, "gflop": 1.0}
    return Point(name, family, **given | kwargs)


# Errors of unseen rates: a 10 and 30 % too long, b 20 % too short, the head of b 40 % too long.
POINTS = (
    point("a1", "a", fitted_s=11.0, left_out_s=11.0, gflop=100.0),
    point("a2", "a", seconds=20.0, fitted_s=20.0, left_out_s=26.0, gflop=400.0),
    point("b1", "b", fitted_s=9.0, left_out_s=8.0, gflop=200.0, joules=32.0),
    point("b1", "b", step="head", fitted_s=12.0, left_out_s=14.0, gflop=50.0),
)


def toy(*points: Point) -> Profile:
    return replace(load_profile("raspberry-pi-4"), name="toy", points=points, spread=(0.8, 1.25), busy_w=5.0)


def test_errors_are_mean_absolute_ones_by_step() -> None:
    training, head = scores(toy(*POINTS))
    assert (training.step, training.rows, training.families, head.step, head.rows) == ("training", 3, 2, "head", 1)
    assert training.fitted == pytest.approx((0.1 + 0.0 + 0.1) / 3)
    assert training.unseen == pytest.approx((0.1 + 0.3 + 0.2) / 3)
    assert head.unseen == pytest.approx(0.4)


def test_one_time_per_flop_never_saw_the_family() -> None:
    by_b, by_a = 1 / 20, (10 + 20) / (10**2 + 20**2)  # seconds per GFLOP, of GFLOP/s 20 and of 10 and 20
    told = by_flops_only(POINTS[:3])
    assert told == pytest.approx([100 * by_b, 400 * by_b, 200 * by_a])
    off = [abs(t / p.seconds - 1) for t, p in zip(told, POINTS, strict=False)]
    assert scores(toy(*POINTS))[0].flops_only == pytest.approx(sum(off) / 3)


def test_the_share_inside_the_interval_counts_true_over_told() -> None:
    assert scores(toy(*POINTS))[0].inside == pytest.approx(2 / 3)  # 10/11 and 10/8, not 20/26


def test_what_an_interval_of_the_other_families_holds_is_counted() -> None:
    near = [point(f"{f}{n}", f, left_out_s=10.0 + n) for f in "abc" for n in (1, -1)]
    far = point("d", "d", left_out_s=100.0)
    assert scores(toy(*near))[0].covers == 1.0
    assert scores(toy(*near, far))[0].covers == pytest.approx(6 / 7)


def test_energy_is_power_times_the_unseen_time() -> None:
    assert scores(toy(*POINTS))[0].energy == pytest.approx(5.0 * 8.0 / 32.0 - 1)
    assert scores(toy(*POINTS))[1].energy is None


def test_a_check_counts_as_unseen_and_an_operator_of_the_fit_does_not() -> None:
    operator = point("mm", "mm", step="operator", fitted_s=12.0, left_out_s=0.0)
    check = point("net", "net", step="check", fitted_s=13.0, left_out_s=0.0)
    found = {s.step: s for s in scores(toy(operator, check))}
    assert (found["operator"].fitted, found["operator"].unseen) == (pytest.approx(0.2), None)
    assert found["check"].unseen == pytest.approx(0.3)


def test_of_one_family_alone_nothing_is_said_of_families_never_seen() -> None:
    (score,) = scores(toy(point("a", "a"), point("b", "a")))
    assert (score.flops_only, score.covers) == (None, None)


def test_families_are_listed_worst_first_and_say_which_way_they_err() -> None:
    found = families(toy(*POINTS))
    assert [(f.family, f.step, f.rows) for f in found] == [("a", "training", 2), ("b", "training", 1), ("b", "head", 1)]
    assert [f.bias for f in found] == pytest.approx([0.2, -0.2, 0.4])


def test_the_worst_rows_come_first() -> None:
    assert [(m.name, m.step) for m in worst(toy(*POINTS), 2)] == [("b1", "head"), ("a2", "training")]


def test_a_profile_without_points_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"profile 'laptop' carries no measured points, .* raspberry-pi-4"):
        chosen(["laptop"])


def test_without_a_name_all_profiles_with_points_are_taken() -> None:
    assert [p.name for p in chosen([])] == [name for name in profile_names() if load_profile(name).points]


@pytest.mark.parametrize(
    ("name", "most"), [("raspberry-pi-4", 0.10), ("raspberry-pi-5", 0.12), ("phone-high", 0.15), ("meizu-16t", 0.15)]
)
def test_packaged_rates_tell_families_never_seen(name: str, most: float) -> None:
    score = next(s for s in scores(load_profile(name)) if s.step == "training")
    assert score.unseen is not None
    assert score.unseen <= most
    assert score.flops_only is not None
    assert score.flops_only > 4 * score.unseen
    assert score.covers is not None
    assert score.covers >= 0.9


@pytest.mark.slow
@pytest.mark.skipif("FEDSIM_MEASUREMENTS" not in os.environ, reason="FEDSIM_MEASUREMENTS names no measurements")
@pytest.mark.skipif(not (find_spec("timm") and find_spec("fastervit")), reason="the rows need timm and fastervit")
def test_the_tool_fits_the_packaged_rates_again(tmp_path: Path) -> None:
    for name in profile_names():
        text = (packaged("device_profiles") / f"{name}.toml").read_text("utf-8")
        (tmp_path / f"{name}.toml").write_text(text, "utf-8")
    command = [sys.executable, "tools/fit_profiles.py", os.environ["FEDSIM_MEASUREMENTS"], "-o", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    for name in profile_names():
        packed, made = (folder / f"{name}.toml" for folder in (packaged("device_profiles"), tmp_path))
        assert same(tomllib.loads(packed.read_text("utf-8")), tomllib.loads(made.read_text("utf-8"))), name


def same(left: object, right: object) -> bool:
    """Return whether two TOML trees agree, numbers to 0.1 %."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-3)
    return left == right
