"""Heat follows its differential equation, and the clocks drop and come back at the very time it says."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fedsim.fleet.thermal import Heat, Thermal, advance, at_rest, next_flip_s, sustained_speed, watts_of

LAW = Thermal(25.0, 10.0, 60.0, 80.0, 75.0, 0.5, 0.4)
HOT, COLD = Heat(0.0, 80.0, throttled=True), Heat(0.0, 25.0, throttled=False)
POWER = (1.0, 5.0)  # 85 C at full speed, 55 C while throttled

watts = st.floats(0.0, 30.0)
times = st.floats(0.0, 1e6)
laws = st.builds(
    Thermal,
    st.floats(-20.0, 45.0),
    st.floats(0.5, 20.0),
    st.floats(1.0, 2000.0),
    st.floats(70.0, 95.0),
    st.floats(46.0, 69.0),
    st.floats(0.1, 1.0),
    st.floats(0.05, 1.0),
)


@st.composite
def heats(draw: st.DrawFn) -> tuple[Thermal, Heat]:
    """Draw a law and a heat that can be under it: cooler than the limit, or throttled and warmer than resume."""
    law, throttled = draw(laws), draw(st.booleans())
    low, high = (law.resume_c + 1e-3, law.limit_c) if throttled else (law.ambient_c, law.limit_c - 1e-3)
    return law, Heat(draw(times), draw(st.floats(low, high)), throttled=throttled)


def level(law: Thermal, heat: Heat) -> float:
    return law.resume_c if heat.throttled else law.limit_c


def integrated(law: Thermal, temp_c: float, watts: float, seconds: float) -> float:
    """Return the temperature after 20,000 midpoint steps of its differential equation."""
    step = seconds / 20_000
    for _ in range(20_000):
        middle = temp_c + step / 2 * (law.steady_c(watts) - temp_c) / law.tau_s
        temp_c += step * (law.steady_c(watts) - middle) / law.tau_s
    return temp_c


@pytest.mark.parametrize(("temp_c", "drawn_w", "seconds"), [(25.0, 3.0, 45.0), (79.0, 0.5, 300.0), (40.0, 9.0, 600.0)])
def test_the_temperature_is_that_of_a_fine_integration(temp_c: float, drawn_w: float, seconds: float) -> None:
    assert LAW.after_c(temp_c, drawn_w, seconds) == pytest.approx(integrated(LAW, temp_c, drawn_w, seconds), abs=1e-5)


@given(heats(), watts)
def test_at_the_flip_the_temperature_is_the_level_and_the_state_the_other(given_heat: tuple, drawn_w: float) -> None:
    law, heat = given_heat
    flip_s = next_flip_s(law, heat, drawn_w)
    assume(math.isfinite(flip_s))
    after = advance(law, heat, drawn_w, to_s=flip_s)
    assert after == Heat(flip_s, after.temp_c, throttled=not heat.throttled)
    assert after.temp_c == pytest.approx(level(law, heat), abs=1e-9)


@given(heats(), watts)
def test_the_closed_form_without_clocks_agrees_on_when_the_level_is_reached(given_heat: tuple, drawn_w: float) -> None:
    law, heat = given_heat
    heat = heat._replace(at_s=0.0)  # where a float resolves the time
    flip_s = next_flip_s(law, heat, drawn_w)
    assume(math.isfinite(flip_s))
    assert law.after_c(heat.temp_c, drawn_w, flip_s) == pytest.approx(level(law, heat), abs=1e-9)


@given(heats(), watts, st.floats(0.0, 0.999))
def test_before_the_flip_nothing_flips_and_stops_on_the_way_change_nothing(
    given_heat: tuple, drawn_w: float, share: float
) -> None:
    law, heat = given_heat
    flip_s = next_flip_s(law, heat, drawn_w)
    end_s = heat.at_s + share * min(flip_s - heat.at_s, 1e5)
    assume(end_s < flip_s)
    at_once = advance(law, heat, drawn_w, to_s=end_s)
    stop = advance(law, heat, drawn_w, to_s=(heat.at_s + end_s) / 2)
    assert at_once.throttled == heat.throttled
    assert advance(law, stop, drawn_w, to_s=end_s).temp_c == pytest.approx(at_once.temp_c, abs=1e-6)


@given(laws, watts)
def test_a_steady_temperature_below_the_limit_never_throttles(law: Thermal, drawn_w: float) -> None:
    assume(law.steady_c(drawn_w) <= law.limit_c)
    heat = at_rest(law, 0.0)
    assert not heat.throttled
    assert next_flip_s(law, heat, drawn_w) == math.inf


def test_a_steady_temperature_at_the_limit_is_never_reached() -> None:
    assert next_flip_s(LAW, COLD, 5.5) == math.inf


def test_what_stays_warmer_than_resume_stays_throttled() -> None:
    assert next_flip_s(LAW, HOT, 5.0) == math.inf


def test_the_first_flip_is_where_the_logarithm_says() -> None:
    assert next_flip_s(LAW, COLD._replace(at_s=7.0), 6.0) == pytest.approx(7.0 + 60.0 * math.log(60.0 / 5.0), rel=1e-15)


@given(heats(), watts)
def test_nothing_flips_forth_and_back_at_one_time(given_heat: tuple, drawn_w: float) -> None:
    law, heat = given_heat
    flips = []
    while len(flips) < 3 and math.isfinite(flip_s := next_flip_s(law, heat, drawn_w)):
        heat = advance(law, heat, drawn_w, to_s=flip_s)
        flips.append(flip_s)
    assert len(flips) <= 1  # with the watts constant


def test_late_by_a_rounding_still_flips_and_more_is_refused() -> None:
    flip_s = next_flip_s(LAW, COLD, 6.0)
    assert advance(LAW, COLD, 6.0, to_s=math.nextafter(flip_s, math.inf)).throttled
    with pytest.raises(ValueError, match="the clocks change at"):
        advance(LAW, COLD, 6.0, to_s=flip_s + 1.0)


@given(heats(), st.floats(0.0, 5.0), st.floats(5.0, 30.0))
def test_a_clock_that_adds_delays_flips_it_with_few_events(given_heat: tuple, idle_w: float, busy_w: float) -> None:
    law, heat = given_heat
    events = flips = 0
    while flips < 6 and events < 100:
        drawn_w = watts_of(law, (idle_w, busy_w), throttled=heat.throttled)
        flip_s = next_flip_s(law, heat, drawn_w)
        if math.isinf(flip_s):
            break
        after = advance(law, heat, drawn_w, to_s=heat.at_s + (flip_s - heat.at_s))  # which rounds twice
        flips += after.throttled != heat.throttled
        heat, events = after, events + 1
    assert events <= 2 * flips


def worked(law: Thermal, power: tuple[float, float], turns: int) -> tuple[float, float]:
    """Return the time and the progress of *turns* turns, from the first throttling on."""
    heat, done_s = Heat(0.0, law.limit_c, throttled=True), 0.0
    for _ in range(2 * turns):
        drawn_w = watts_of(law, power, throttled=heat.throttled)
        after = advance(law, heat, drawn_w, to_s=next_flip_s(law, heat, drawn_w))
        done_s += (after.at_s - heat.at_s) * (law.speed if heat.throttled else 1.0)
        heat = after
    return heat.at_s, done_s


def test_going_back_and_forth_makes_the_mean_speed_of_the_closed_form() -> None:
    up_s, down_s = 60.0 * math.log(10.0 / 5.0), 60.0 * math.log(25.0 / 20.0)
    expected = (up_s + 0.5 * down_s) / (up_s + down_s)
    ended_s, done_s = worked(LAW, POWER, turns=500)
    assert ended_s == pytest.approx(500 * (up_s + down_s), rel=1e-9)
    assert done_s / ended_s == pytest.approx(expected, rel=1e-9)
    assert sustained_speed(LAW, POWER) == pytest.approx(expected, rel=1e-12)


def test_with_a_narrow_hysteresis_the_mean_power_is_what_holds_the_limit() -> None:
    law = replace(LAW, resume_c=79.99)
    share = (sustained_speed(law, POWER) - 0.5) / 0.5  # of the time at full speed
    mean_w = share * 6.0 + (1 - share) * 3.0
    assert law.steady_c(mean_w) == pytest.approx(law.limit_c, abs=0.01)


@pytest.mark.parametrize(("power", "expected"), [((1.0, 4.0), 1.0), ((4.0, 4.0), 0.5), ((1.0, 20.0), 0.5)])
def test_speed_in_the_long_run_where_only_one_state_lasts(power: tuple[float, float], expected: float) -> None:
    assert sustained_speed(LAW, power) == expected


def test_rest_is_the_steady_temperature_of_idle() -> None:
    assert at_rest(LAW, 2.0, at_s=3.0) == Heat(3.0, 45.0, throttled=False)
