"""Devices that come and go with their day: consistent, whatever was asked before, and true to their law."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.errors import InputError
from fedsim.fleet.curve import Chain, Curve, curve_from, curve_names, load_curve
from fedsim.fleet.diurnal import Diurnal
from fedsim.fleet.hourly import DAY_S, HOUR_S, hourly
from fedsim.fleet.packaged import packaged
from fedsim.fleet.sessions import mean_session_s, survival
from fedsim.units import parse

ROOT = Path(__file__).parents[2]
keys = st.tuples(st.integers(0, 9), st.integers(0, 10**6))
times = st.floats(0.0, 1e6)
rates = st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1e-2)), min_size=24, max_size=24).filter(any)
# ExtraSensory, 10, 25, 50, 75, 90 % of the sessions whose begin was seen, s (Kaplan-Meier): tools/fit_availability.py
MEASURED_S = {
    "charging": (300, 900, 2641, 6665, 23759),
    "charging-and-wifi": (191, 665, 2020, 6060, 18395),
    "wifi": (60, 121, 720, 4172, 14990),
}


@st.composite
def curves(draw):
    shares = draw(st.lists(st.floats(0.02, 0.98), min_size=24, max_size=24))
    short_s, long_s = draw(st.floats(10.0, 2_000.0)), draw(st.floats(100.0, 1e5))
    rare = (1 - 0.9 * min(shares)) / (0.9 * min(shares))
    every_s = draw(st.one_of(st.just(math.inf), st.floats(1.2, 10.0).map(lambda x: x * rare * short_s)))
    return curve_from(shares, long_stay_s=long_s, short_stay_s=short_s, short_every_s=every_s)


@st.composite
def diurnals(draw):
    zones = draw(st.lists(st.floats(-43_200.0, 43_200.0), min_size=1, max_size=3))
    spread_s, starts_at_s = draw(st.floats(0.0, 7_200.0)), draw(st.floats(0.0, DAY_S))
    return Diurnal(draw(curves()), draw(st.integers(0, 2**31)), tuple(zones), spread_s, starts_at_s)


def states(diurnal, at_s, *, n):
    return np.array([diurnal.online((0, number), at_s) for number in range(n)])


def error(share, n):
    """Return four standard errors of a share of *n* devices."""
    return 4 * math.sqrt(share * (1 - share) / n)


@cache
def sessions_s(name, *, devices=500):
    """Return the lengths of the sessions that begin in two days."""
    diurnal, found = Diurnal(load_curve(name), seed=5), []
    for number in range(devices):
        at_s, online = diurnal.next_change((0, number), 0.0), not diurnal.online((0, number), 0.0)
        while at_s < 2 * DAY_S:
            after_s = diurnal.next_change((0, number), at_s)
            found += [after_s - at_s] if online else []
            at_s, online = after_s, not online
    return np.array(found)


@given(diurnals(), keys, times)
def test_the_next_change_lies_ahead(diurnal, key, at_s):
    assert at_s < diurnal.next_change(key, at_s) < math.inf


@given(diurnals(), keys, times, st.floats(0.0, 0.999))
def test_the_state_stays_until_the_next_change(diurnal, key, at_s, share):
    between_s = at_s + share * (diurnal.next_change(key, at_s) - at_s)
    assert diurnal.online(key, between_s) == diurnal.online(key, at_s)


@given(diurnals(), keys, times, st.floats(0.0, 0.999))
def test_until_the_next_change_it_is_the_same_from_anywhere(diurnal, key, at_s, share):
    change_s = diurnal.next_change(key, at_s)
    between_s = at_s + share * (change_s - at_s)
    assert between_s >= change_s or diurnal.next_change(key, between_s) == change_s


@given(diurnals(), keys, times)
def test_at_the_next_change_the_state_flips(diurnal, key, at_s):
    assert diurnal.online(key, diurnal.next_change(key, at_s)) != diurnal.online(key, at_s)


@given(diurnals(), st.lists(st.tuples(keys, times), min_size=1, max_size=5))
def test_answers_do_not_depend_on_what_was_asked_before(diurnal, questions):
    asked = [(diurnal.online(*q), diurnal.next_change(*q)) for q in questions]
    other_way = [(diurnal.online(*q), diurnal.next_change(*q)) for q in reversed(questions)]
    assert asked == other_way[::-1]


@given(rates, st.floats(-1e3, 1e3))
def test_the_integral_of_the_rates_is_inverted(rates, marks):
    course = hourly(rates)
    assert course.integral(course.when(marks)) == pytest.approx(marks, abs=1e-6)


@given(rates, st.floats(-1e6, 1e6), st.floats(0.0, 1e5))
def test_the_integral_of_the_rates_never_falls(rates, at_s, more_s):
    course = hourly(rates)
    assert course.integral(at_s + more_s) >= course.integral(at_s) - 1e-9


def test_an_hour_without_rate_has_no_marks():
    off_at_noon = [1e-3 if hour == 12 else 0.0 for hour in range(24)]
    on_at_six = [1e-3 if hour == 6 else 0.0 for hour in range(24)]
    diurnal = Diurnal(Curve((0.5,) * 24, (Chain(hourly(on_at_six), hourly(off_at_noon)),)), seed=0)
    at_s, hours = 0.0, set()
    for _ in range(100):
        at_s = diurnal.next_change((0, 0), at_s)
        hours.add(int((at_s - HOUR_S / 2) % DAY_S // HOUR_S))
    assert hours == {6, 12}


@given(curves(), st.integers(0, 23))
def test_a_curve_goes_through_its_shares_from_either_side(curve, hour):
    middle_s = (hour + 0.5) * HOUR_S
    assert curve.share(middle_s) == pytest.approx(curve.shares[hour], abs=1e-9)
    assert curve.share(middle_s - 1e-6) == pytest.approx(curve.shares[hour], abs=1e-6)


@pytest.mark.parametrize("name", curve_names())
def test_as_many_devices_are_on_in_each_hour_as_the_curve_says(name):
    curve, n = load_curve(name), 1500
    for hour in range(24):
        found = states(Diurnal(curve, seed=hour), 3 * DAY_S + (hour + 0.5) * HOUR_S, n=n).mean()
        assert found == pytest.approx(curve.shares[hour], abs=error(curve.shares[hour], n))


def test_between_the_hours_as_many_are_on_as_the_curve_says():
    curve, n = load_curve("charging"), 4000
    for hour in (6, 7, 8, 22):
        found, expected = states(Diurnal(curve, seed=hour), hour * HOUR_S, n=n).mean(), curve.share(hour * HOUR_S)
        assert found == pytest.approx(expected, abs=error(expected, n))


@pytest.mark.parametrize("name", curve_names())
def test_sessions_have_the_mean_of_the_law(name):
    found = sessions_s(name)
    assert found.mean() == pytest.approx(mean_session_s(load_curve(name)), abs=4 * found.std() / math.sqrt(len(found)))


@pytest.mark.parametrize("name", curve_names())
def test_sessions_last_as_long_as_the_law_says(name):
    found, lengths = sessions_s(name), [30.0, 300.0, 1800.0, 7200.0, 6 * HOUR_S, 10 * HOUR_S]
    for length_s, expected in zip(lengths, survival(load_curve(name), lengths), strict=True):
        assert (found > length_s).mean() == pytest.approx(expected, abs=error(expected, len(found)) + 1e-3)


@pytest.mark.parametrize("name", curve_names())
def test_the_law_is_off_the_measured_quantiles_by_a_twentieth_of_the_sessions_at_most(name):
    shortest, *longer = survival(load_curve(name), [30.0, *(x + 30.0 for x in MEASURED_S[name])])  # once a minute
    assert np.array(longer) / shortest == pytest.approx([0.9, 0.75, 0.5, 0.25, 0.1], abs=0.05)


def test_the_swing_of_a_day_is_the_measured_one():
    shares = load_curve("charging-and-wifi").shares
    assert (np.argmax(shares), np.argmin(shares)) == (4, 9)
    assert max(shares) / min(shares) == pytest.approx(0.61 / 0.12, rel=0.02)


def test_a_level_curve_without_short_stays_has_markovs_law():
    level = curve_from([0.8] * 24, long_stay_s=400.0)
    assert survival(level, [400.0, 1000.0]) == pytest.approx(np.exp([-1.0, -2.5]), rel=1e-6)
    assert level.chains[0].on.rates == pytest.approx([1 / 100.0] * 24)
    assert mean_session_s(level) == pytest.approx(400.0)


def test_zones_shift_the_curve():
    curve, n, at_s = load_curve("charging"), 3000, 4.5 * HOUR_S
    diurnal = Diurnal(curve, seed=1, zones=(0.0, 5 * HOUR_S))
    east = np.array([diurnal.zone_of((0, number)) > 0 for number in range(n)])
    on = states(diurnal, at_s, n=n)
    assert on[~east].mean() == pytest.approx(curve.shares[4], abs=error(curve.shares[4], (~east).sum()))
    assert on[east].mean() == pytest.approx(curve.shares[9], abs=error(curve.shares[9], east.sum()))


def test_zones_have_equal_chances():
    diurnal, n = Diurnal(load_curve("wifi"), seed=2, zones=(0.0, 3600.0, 7200.0)), 3000
    found = [diurnal.zone_of((0, number)) for number in range(n)]
    assert np.mean(np.array(found) == 3600.0) == pytest.approx(1 / 3, abs=error(1 / 3, n))


def test_what_a_device_is_ahead_on_its_own_is_normal():
    diurnal, n = Diurnal(load_curve("wifi"), seed=2, spread_s=1800.0, starts_at_s=7200.0), 3000
    own = np.array([diurnal.local_s((0, number), 0.0) for number in range(n)]) - 7200.0
    assert own.mean() == pytest.approx(0.0, abs=4 * 1800.0 / math.sqrt(n))
    assert own.std() == pytest.approx(1800.0, abs=4 * 1800.0 / math.sqrt(2 * n))
    assert np.mean(np.abs(own) < 1800.0) == pytest.approx(0.683, abs=error(0.683, n))


def test_a_run_may_start_at_any_time_of_day():
    curve = load_curve("charging")
    at_nine, from_midnight = Diurnal(curve, seed=3, starts_at_s=9 * HOUR_S), Diurnal(curve, seed=3)
    assert [at_nine.online((0, n), 60.0) for n in range(200)] == [
        from_midnight.online((0, n), 9 * HOUR_S + 60.0) for n in range(200)
    ]


def test_devices_come_and_go_independently():
    diurnal = Diurnal(curve_from([0.5] * 24, long_stay_s=600.0), seed=3)
    lives = np.array([[diurnal.online((0, n), 300.0 * t) for t in range(600)] for n in range(2)])
    assert abs(np.corrcoef(lives)[0, 1]) < 0.15


def test_another_seed_is_another_life():
    lives = [[Diurnal(load_curve("charging"), seed).online((0, 0), 900.0 * t) for t in range(100)] for seed in (0, 1)]
    assert lives[0] != lives[1]


def test_two_lives_of_a_device_have_one_place_and_nothing_else_in_common():
    level, zones = curve_from([0.5] * 24, long_stay_s=600.0), (0.0, 3600.0, 7200.0)
    charging, wifi = (Diurnal(level, seed=3, zones=zones, spread_s=600.0, life=life) for life in (0, 1))
    assert [charging.local_s((0, n), 0.0) for n in range(20)] == [wifi.local_s((0, n), 0.0) for n in range(20)]
    lives = [[law.online((0, 0), 300.0 * t) for t in range(600)] for law in (charging, wifi)]
    assert abs(np.corrcoef(lives)[0, 1]) < 0.15


@pytest.mark.slow
@pytest.mark.skipif("FEDSIM_MEASUREMENTS" not in os.environ, reason="FEDSIM_MEASUREMENTS names no measurements")
def test_the_tool_fits_the_packaged_curves_again(tmp_path):
    made = tmp_path / "availability.toml"
    command = [sys.executable, "tools/fit_availability.py", os.environ["FEDSIM_MEASUREMENTS"], "-o", str(made)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True)
    packed = tomllib.loads((packaged("device_profiles") / "availability.toml").read_text("utf-8"))
    for name, curve in tomllib.loads(made.read_text("utf-8")).items():
        assert curve["shares"] == packed[name]["shares"]
        for key in ("long_stay", "short_stay", "short_every"):
            assert parse(curve[key], "time") == pytest.approx(parse(packed[name][key], "time"), rel=0.02)


@pytest.mark.parametrize("name", curve_names())
def test_every_packaged_curve_says_where_its_numbers_come_from(name):
    said = {key for source in load_curve(name).sources for key in source.what.split(", ")}
    assert said == {"shares", "long_stay", "short_stay", "short_every"}


@pytest.mark.parametrize(
    ("shares", "stays", "message"),
    [
        ([0.5] * 23, {}, "23 shares"),
        ([0.5] * 23 + [0.0], {}, "share at 23 h is 0.0"),
        ([1.0] + [0.5] * 23, {}, "share at 0 h is 1.0"),
        ([math.nan] + [0.5] * 23, {}, "share at 0 h is nan"),
        ([0.5] * 24, {"long_stay_s": 0.0}, "long_stay is 0.0"),
        ([0.5] * 24, {"short_stay_s": -1.0}, "short stays of -1.0"),
        ([0.5] * 24, {"short_stay_s": 60.0, "short_every_s": 0.0}, "0.0 s apart"),
        ([0.2] * 24, {"short_stay_s": 60.0, "short_every_s": 120.0}, "keep 0.333 of the devices on"),
    ],
)
def test_nonsense_is_refused(shares, stays, message):
    with pytest.raises(InputError, match=message):
        curve_from(shares, **{"long_stay_s": 3600.0, **stays})


def test_an_unknown_curve_is_named_with_the_nearest_one():
    with pytest.raises(InputError, match="did you mean 'charging'"):
        load_curve("chargin")
