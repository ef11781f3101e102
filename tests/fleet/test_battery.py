"""A charge follows its differential equation, keeps its books, and comes to a level when it says."""

from __future__ import annotations

import math
from typing import NamedTuple

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fedsim.fleet.battery import (
    CHARGE_PER_H,
    USE_PER_H,
    USE_QUANTILES,
    BatteryLaw,
    charge_after,
    time_to,
    typical,
)

LAW = BatteryLaw(1000.0, 10.0, knee=0.8, full=0.2)


class Case(NamedTuple):
    """A battery, its charge, and what is drawn from it."""

    law: BatteryLaw
    charge_j: float
    plugged: bool
    out_w: float


laws = st.builds(
    BatteryLaw,
    st.floats(100.0, 1e5),
    st.floats(0.5, 100.0),
    st.sampled_from([0.0, 0.5, 0.8, 0.99, 1.0]),
    st.sampled_from([0.0, 0.05, 0.25, 1.0]),
)
watts = st.one_of(st.just(0.0), st.floats(0.01, 120.0))
seconds = st.one_of(st.just(0.0), st.floats(1e-3, 1e6))
shares = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.0, 1.0))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    law = draw(laws)
    return Case(law, draw(shares) * law.capacity_j, draw(st.booleans()), draw(watts))


def integrated(case: Case, seconds: float) -> float:
    """Return the charge after 50,000 midpoint steps of its differential equation."""
    law, charge, step = case.law, case.charge_j, seconds / 50_000

    def rate(charge_j: float) -> float:
        if not case.plugged:
            return -case.out_w
        over = max(0.0, charge_j / law.capacity_j - law.knee) / (1 - law.knee)
        accepted_w = law.charger_w * (1 - (1 - law.full) * over)
        return min(accepted_w, law.charger_w - case.out_w)

    for _ in range(50_000):
        charge = charge + step * rate(charge + step / 2 * rate(charge))
        charge = min(law.capacity_j, max(0.0, charge))
    return charge


@pytest.mark.parametrize("out_w", [0.0, 1.0, 7.0, 9.0, 10.0, 14.0])
@pytest.mark.parametrize("start", [0.0, 300.0, 850.0, 1000.0])
@pytest.mark.parametrize("plugged", [True, False])
def test_the_charge_is_that_of_a_fine_integration(out_w: float, start: float, *, plugged: bool) -> None:
    case = Case(LAW, start, plugged, out_w)
    for length_s in (20.0, 130.0):
        found = charge_after(LAW, start, length_s, plugged=plugged, out_w=out_w).charge_j
        assert found == pytest.approx(integrated(case, length_s), abs=0.02)


@given(cases(), seconds)
def test_the_books_balance_and_the_charge_stays_within_the_battery(case: Case, length_s: float) -> None:
    law, before, plugged, out_w = case
    after, in_j, out_j = charge_after(law, before, length_s, plugged=plugged, out_w=out_w)
    assert 0.0 <= after <= law.capacity_j
    assert after == pytest.approx(before + in_j - out_j, rel=1e-9, abs=1e-9 * max(in_j, out_j, law.capacity_j))
    assert -1e-9 * law.capacity_j <= in_j <= law.charger_w * length_s * (1 + 1e-9) + 1e-9 * law.capacity_j
    assert out_j <= out_w * length_s * (1 + 1e-9) + 1e-9 * law.capacity_j


@given(laws, st.lists(st.tuples(seconds, st.booleans(), watts), max_size=12))
def test_the_books_balance_over_any_life(law: BatteryLaw, life: list[tuple[float, bool, float]]) -> None:
    charge = first = law.capacity_j / 2
    ins, outs = [], []
    for length_s, plugged, out_w in life:
        charge, in_j, out_j = charge_after(law, charge, length_s, plugged=plugged, out_w=out_w)
        ins.append(in_j)
        outs.append(out_j)
    scale = max(law.capacity_j, math.fsum(ins), math.fsum(outs))
    assert charge == pytest.approx(first + math.fsum(ins) - math.fsum(outs), abs=1e-9 * scale)


@given(cases(), seconds, seconds)
def test_stops_on_the_way_change_nothing(case: Case, first_s: float, then_s: float) -> None:
    law, before, plugged, out_w = case
    at_once = charge_after(law, before, first_s + then_s, plugged=plugged, out_w=out_w)
    stop = charge_after(law, before, first_s, plugged=plugged, out_w=out_w)
    end = charge_after(law, stop.charge_j, then_s, plugged=plugged, out_w=out_w)
    assert end.charge_j == pytest.approx(at_once.charge_j, rel=1e-9, abs=1e-9 * law.capacity_j)


@given(cases(), shares)
def test_a_level_is_reached_exactly_when_it_says(case: Case, share: float) -> None:
    law, before, plugged, out_w = case
    level_j = share * law.capacity_j
    wait_s = time_to(law, before, level_j, plugged=plugged, out_w=out_w)
    assume(wait_s < 1e12)
    after = charge_after(law, before, wait_s, plugged=plugged, out_w=out_w).charge_j
    assert after == pytest.approx(level_j, rel=1e-9, abs=1e-9 * law.capacity_j)


@given(cases(), st.floats(0.01, 0.99), seconds)
def test_a_level_that_is_passed_has_a_time_that_is_not_later(case: Case, share: float, length_s: float) -> None:
    law, before, plugged, out_w = case
    after = charge_after(law, before, length_s, plugged=plugged, out_w=out_w).charge_j
    level_j = before + share * (after - before)
    assert time_to(law, before, level_j, plugged=plugged, out_w=out_w) <= length_s * (1 + 1e-9)


def test_a_charger_that_gives_nothing_at_full_comes_near_it_for_ever() -> None:
    law = BatteryLaw(1000.0, 10.0, knee=0.8, full=0.0)
    assert charge_after(law, 800.0, 20.0, plugged=True, out_w=0.0).charge_j == pytest.approx(1000 - 200 / math.e)
    assert time_to(law, 800.0, 999.9, plugged=True, out_w=0.0) == pytest.approx(20 * math.log(2000.0))
    assert time_to(law, 800.0, 1000.0, plugged=True, out_w=0.0) == math.inf


def test_a_charger_that_gives_something_at_full_fills_it_in_time() -> None:
    full_s = time_to(LAW, 800.0, 1000.0, plugged=True, out_w=0.0)
    assert full_s == pytest.approx(25 * math.log(5.0))
    assert charge_after(LAW, 800.0, full_s + 1.0, plugged=True, out_w=0.0).charge_j == 1000.0


def test_a_full_battery_on_its_charger_takes_what_is_drawn() -> None:
    assert charge_after(LAW, 1000.0, 50.0, plugged=True, out_w=6.0) == (1000.0, 300.0, 300.0)


def test_a_charger_too_weak_for_what_is_drawn_only_slows_the_fall() -> None:
    assert charge_after(LAW, 1000.0, 50.0, plugged=True, out_w=12.0) == (900.0, 500.0, 600.0)


def test_an_empty_battery_gives_nothing_more() -> None:
    assert charge_after(LAW, 100.0, 50.0, plugged=False, out_w=4.0) == (0.0, 0.0, 100.0)
    assert charge_after(LAW, 0.0, 50.0, plugged=True, out_w=12.0) == (0.0, 500.0, 500.0)


@pytest.mark.parametrize(("level_j", "plugged", "out_w"), [(600.0, False, 1.0), (400.0, True, 1.0), (400.0, False, 0.0),
                                                           (1001.0, True, 0.0), (-1.0, False, 1.0)])  # fmt: skip
def test_a_level_on_the_other_side_or_beyond_is_never_reached(level_j: float, out_w: float, *, plugged: bool) -> None:
    assert time_to(LAW, 500.0, level_j, plugged=plugged, out_w=out_w) == math.inf


def test_a_phone_in_its_owners_hands_lasts_as_long_as_measured() -> None:
    law = typical(43_200.0)
    assert time_to(law, 43_200.0, 0.0, plugged=False, out_w=law.use_w) == pytest.approx(3600 / USE_PER_H)
    assert USE_QUANTILES[3] == USE_PER_H


def test_a_phone_on_its_charger_gains_what_was_measured() -> None:
    law = typical(43_200.0)
    gained = charge_after(law, 0.4 * 43_200.0, 360.0, plugged=True, out_w=law.use_w).charge_j / 43_200.0 - 0.4
    assert gained * 10 == pytest.approx(CHARGE_PER_H - USE_PER_H)
    late = charge_after(law, 0.96 * 43_200.0, 60.0, plugged=True, out_w=law.use_w).charge_j / 43_200.0 - 0.96
    assert 0.09 < late * 60 < 0.16


@pytest.mark.parametrize(("knee", "full"), [(1.0, 0.2), (0.5, 1.0)])
def test_a_charger_that_never_slows_down_fills_it_on_a_straight_line(knee: float, full: float) -> None:
    law = BatteryLaw(1000.0, 10.0, knee=knee, full=full)
    assert charge_after(law, 400.0, 50.0, plugged=True, out_w=2.0).charge_j == 800.0
    assert charge_after(law, 400.0, 80.0, plugged=True, out_w=2.0).charge_j == 1000.0
    assert time_to(law, 400.0, 1000.0, plugged=True, out_w=2.0) == 75.0
