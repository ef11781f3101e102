"""A trace is looped without end, starts somewhere of its own for each link, and changes when it says so."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.fleet.capacity import Constant
from fedsim.fleet.traces import Series, Trace, Traces, looped

rates = st.floats(0.0, 1e9) | st.sampled_from([0.0, 1.0])
gaps = st.floats(1e-3, 1e3)


@st.composite
def traces(draw):
    """Draw a trace of a few rates with its offset."""
    steps = draw(st.lists(gaps, min_size=1, max_size=6))
    times = [sum(steps[:n]) for n in range(len(steps))]
    series = looped(times, [draw(rates) for _ in steps], end_s=sum(steps))
    return Trace(series, draw(st.floats(0.0, 1.0, exclude_max=True)) * series.period_s)


def bytes_in(trace, start_s, end_s):
    """Return what a trace carries, from change to change."""
    total = 0.0
    while start_s < end_s:
        after_s = min(trace.next_change(start_s), end_s)
        total += trace.rate(start_s) * (after_s - start_s)
        start_s = after_s
    return total


def test_rates_hold_from_their_time_to_the_next_and_start_again_at_the_end():
    trace = Trace(looped([10.0, 11.0, 14.0], [1.0, 2.0, 3.0], end_s=15.0))
    assert [trace.rate(t) for t in (0.0, 0.5, 1.0, 3.9, 4.0, 5.0, 6.0)] == [1.0, 1.0, 2.0, 2.0, 3.0, 1.0, 2.0]
    assert [trace.next_change(t) for t in (0.0, 0.5, 1.0, 4.5, 5.0, 500.0)] == [1.0, 1.0, 4.0, 5.0, 6.0, 501.0]


def test_an_offset_is_what_has_passed_at_time_0():
    plain, late = (Trace(looped([0.0, 1.0, 4.0], [1.0, 2.0, 3.0], end_s=8.0), offset_s) for offset_s in (0.0, 3.0))
    assert [late.rate(t) for t in range(20)] == [plain.rate(t + 3.0) for t in range(20)]
    assert late.next_change(0.0) == 1.0


def test_instants_that_change_nothing_are_skipped_also_where_the_loop_closes():
    trace = Trace(looped([0.0, 1.0, 2.0, 3.0], [7.0, 7.0, 5.0, 7.0], end_s=4.0))
    assert [trace.next_change(t) for t in (0.0, 2.0, 3.0, 4.0)] == [2.0, 3.0, 6.0, 6.0]


def test_one_rate_never_changes():
    trace = Trace(looped([0.0, 1.0], [7.0, 7.0], end_s=4.0), 1.5)
    assert (trace.rate(99.0), trace.next_change(99.0)) == (7.0, math.inf)


def test_of_rates_at_one_instant_the_last_holds():
    assert looped([0.0, 1.0, 1.0], [1.0, 2.0, 3.0], end_s=2.0) == Series((0.0, 1.0), (1.0, 3.0), 2.0)


@given(traces(), st.floats(0.0, 1e9))
def test_a_change_comes_after_the_question_and_is_one(trace, at_s):
    after_s = trace.next_change(at_s)
    assert after_s > at_s
    if after_s < math.inf:
        assert trace.rate(math.nextafter(after_s, -math.inf)) == trace.rate(at_s)
        assert trace._last(after_s) > trace._last(at_s)


@given(traces(), st.floats(0.0, 1e4))
def test_a_period_carries_the_bytes_of_the_trace_wherever_it_starts(trace, at_s):
    series = trace.series
    ends = [*series.starts_s[1:], series.starts_s[0] + series.period_s]
    expected = sum(r * (end - start) for start, end, r in zip(series.starts_s, ends, series.rates, strict=True))
    assert bytes_in(trace, at_s, at_s + series.period_s) == pytest.approx(expected, rel=1e-6, abs=1.0)


SERIES = tuple(looped([0.0, 1.0], [float(n), n + 0.5], end_s=100.0) for n in range(5))


def test_links_draw_their_trace_and_their_start_by_key():
    law = Traces(SERIES, (), "d")
    drawn = [law.capacity(1.0, (0, n), seed=3, up=False) for n in range(2000)]
    shares = [sum(trace.series is series for trace in drawn) / 2000 for series in SERIES]
    assert shares == pytest.approx([0.2] * 5, abs=0.04)
    assert sum(trace.offset_s for trace in drawn) / 2000 == pytest.approx(50.0, abs=2.0)
    assert all(0.0 <= trace.offset_s < 100.0 for trace in drawn)


def test_the_draw_is_the_same_again_and_another_for_another_key_or_seed():
    law = Traces(SERIES, (), "d")
    first, again, key, seed = (
        law.capacity(1.0, k, seed=s, up=False) for k, s in [((0, 1), 3), ((0, 1), 3), ((1, 1), 3), ((0, 1), 4)]
    )
    assert first == again
    assert len({first.offset_s, key.offset_s, seed.offset_s}) == 3


def test_both_ways_draw_alike():
    law = Traces(SERIES, SERIES, "d")
    for n in range(20):
        assert law.capacity(1.0, (0, n), seed=3, up=False) == law.capacity(2.0, (0, n), seed=3, up=True)


def test_a_way_without_a_trace_keeps_its_nominal_rate():
    assert Traces(SERIES, (), "d").capacity(9.0, (0, 1), seed=3, up=True) == Constant(9.0)
    assert Traces((None,), SERIES, "d").capacity(9.0, (0, 1), seed=3, up=False) == Constant(9.0)
