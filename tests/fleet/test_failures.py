"""What goes wrong: consistent as every availability is, at the rates, shares and times that were asked for."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.fleet import Crashes, Event, Failures, Members, Spared
from tests.fleet.lives import at_once_from_anywhere, flips, keys, lies_ahead, stays, times
from tests.strategies import seeds

MANY = 4000
crashes = st.builds(Crashes, st.floats(10.0, 1e5), st.floats(0.1, 30.0), seeds)
members = st.builds(Members, st.floats(0.0, 1.0), st.floats(1.0, 1e6), st.floats(10.0, 1e6), seeds)
events = st.builds(
    Event, st.sampled_from(["leave", "join", "crash"]), times, times, st.one_of(st.none(), st.integers(0, 9)),
    st.floats(0.0, 1.0), st.just(0.5), st.integers(0, 9),
)  # fmt: skip
spared = st.builds(Spared, events, seeds)
laws = st.one_of(crashes, members, spared)


def near(share, many=MANY):
    """Return what the share of *many* draws may be, at four standard errors."""
    return pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / many))


@given(laws, keys, times)
def test_the_next_change_lies_ahead(law, key, at_s):
    lies_ahead(law, key, at_s)


@given(laws, keys, times, st.floats(0.0, 0.999))
def test_the_state_stays_until_the_next_change(law, key, at_s, share):
    stays(law, key, at_s, share=share)


@given(laws, keys, times, st.floats(0.0, 0.999))
def test_until_the_next_change_it_is_the_same_from_anywhere(law, key, at_s, share):
    at_once_from_anywhere(law, key, at_s, share=share)


@given(laws, keys, times)
def test_at_the_next_change_the_state_flips(law, key, at_s):
    flips(law, key, at_s)


# --- Crashes ----------------------------------------------------------------------------------------------
def absences(law, key, *, until_s):
    """Return (crash, return) of a device that is there at 0 s."""
    found, at_s = [], law.next_change(key, 0.0)
    while at_s < until_s:
        back_s = law.next_change(key, at_s)
        found.append((at_s, back_s))
        at_s = law.next_change(key, back_s)
    return found


def test_a_device_that_is_up_crashes_once_in_the_mean_time_and_its_times_are_exponential():
    law, ups = Crashes(100.0, 5.0, seed=1), []
    for number in (n for n in range(120) if law.online((0, n), 0.0)):
        found = absences(law, (0, number), until_s=5_000.0)
        ups += [again_s - back_s for (_, back_s), (again_s, _) in pairwise(found)]
    assert np.mean(ups) == pytest.approx(100.0, abs=4 * 100.0 / math.sqrt(len(ups)))
    assert np.mean(np.array(ups) > 100.0) == near(math.exp(-1), len(ups))


@pytest.mark.parametrize("at_s", [0.0, 1e5])
@pytest.mark.parametrize(("mean_s", "reboot_s"), [(100.0, 5.0), (100.0, 60.0)])
def test_the_share_that_is_down_is_that_of_a_crash_within_the_last_reboot(mean_s, reboot_s, at_s):
    law = Crashes(mean_s, reboot_s, seed=2)
    down = np.mean([not law.online((0, number), at_s) for number in range(MANY)])
    assert down == near(-math.expm1(-reboot_s / mean_s))


def test_an_absence_lasts_a_reboot_or_longer_where_it_crashes_again():
    law = Crashes(20.0, 10.0, seed=3)
    number = next(n for n in range(100) if law.online((0, n), 0.0))
    lasts = [back_s - at_s for at_s, back_s in absences(law, (0, number), until_s=2_000.0)]
    assert min(lasts) == pytest.approx(10.0)
    assert max(lasts) > 11.0


# --- Who is there at all --------------------------------------------------------------------------------------
def test_a_share_joins_late_uniformly_within_the_time():
    law = Members(0.3, 50.0, mean_s=math.inf, seed=4)
    joins = np.array([law.next_change((0, n), 0.0) for n in range(MANY) if not law.online((0, n), 0.0)])
    assert len(joins) / MANY == near(0.3)
    assert np.mean(joins < 12.5) == near(0.25, len(joins))
    assert joins.max() <= 50.0


def test_members_stay_exponential_times():
    law = Members(0.0, 1.0, mean_s=200.0, seed=5)
    leaves = np.array([law.next_change((0, number), 0.0) for number in range(MANY)])
    assert leaves.mean() == pytest.approx(200.0, abs=4 * 200.0 / math.sqrt(MANY))
    assert np.mean(leaves > 200.0) == near(math.exp(-1))


def test_who_joins_late_stays_as_long_as_others():
    law = Members(1.0, 1000.0, mean_s=200.0, seed=6)
    joins = [law.next_change((0, number), -1.0) for number in range(MANY)]
    stays = [law.next_change((0, number), join_s) - join_s for number, join_s in enumerate(joins)]
    assert np.mean(stays) == pytest.approx(200.0, abs=4 * 200.0 / math.sqrt(MANY))


def test_who_has_left_never_returns():
    law = Members(0.0, 1.0, mean_s=200.0, seed=5)
    left_s = law.next_change((0, 0), 0.0)
    assert (law.online((0, 0), left_s), law.next_change((0, 0), left_s)) == (False, math.inf)


# --- Events -------------------------------------------------------------------------------------------------------
def event(what="leave", *, until_s=9.0, group=None, share=1.0, number=0):
    return Event(what, 5.0, until_s, group, share, 0.5, number)


def test_an_event_hits_its_share():
    assert np.mean([event(share=0.3).hits((0, n), 7) for n in range(MANY)]) == near(0.3)


def test_two_events_hit_their_shares_independently():
    one, other = (np.array([event(share=0.5, number=k).hits((0, n), 7) for n in range(MANY)]) for k in (0, 1))
    assert np.mean(one & other) == near(0.25)


def test_an_event_of_a_group_spares_the_others():
    assert [event(group=1).hits((group, 0), 7) for group in range(3)] == [False, True, False]


def test_an_event_lasts_until_just_before_its_end():
    law = Spared(event(), seed=7)
    assert [law.online((0, 0), at_s) for at_s in (4.9, 5.0, 8.9, 9.0)] == [True, False, False, True]


def test_who_joins_is_not_there_before():
    law = Spared(event("join", until_s=math.inf), seed=7)
    assert [law.online((0, 0), at_s) for at_s in (0.0, 4.9, 5.0, 1e9)] == [False, False, True, True]


# --- What goes wrong with a task --------------------------------------------------------------------------------------
def test_absences_come_at_the_stated_share():
    failures = Failures(dropout=0.2, seed=8)
    assert np.mean([failures.absence((0, n), 3) is not None for n in range(MANY)]) == near(0.2)


def test_absences_begin_uniformly_within_the_task_and_last_exponential_times():
    failures = Failures(dropout=1.0, back_s=30.0, seed=9)
    found = [failures.absence((0, n), version) for n in range(MANY // 2) for version in range(2)]
    begins, lasts = np.array([absence.share for absence in found]), np.array([absence.seconds for absence in found])
    assert [np.mean(begins < quantile) for quantile in (0.1, 0.5, 0.9)] == [near(0.1), near(0.5), near(0.9)]
    assert lasts.mean() == pytest.approx(30.0, abs=4 * 30.0 / math.sqrt(MANY))
    assert np.mean(lasts > 30.0) == near(math.exp(-1))


def test_where_a_task_is_cut_says_nothing_of_whether_it_is():
    failures = Failures(dropout=0.2, seed=10)
    begins = [absence.share for n in range(MANY) if (absence := failures.absence((0, n), 0))]
    assert np.mean(np.array(begins) < 0.5) == near(0.5, len(begins))


def test_uploads_arrive_broken_at_the_stated_shares():
    failures = Failures(corrupted=0.2, truncated=0.3, seed=11)
    found = [failures.arrives((0, n), 0, attempt) for n in range(MANY // 2) for attempt in range(2)]
    assert np.mean([arrival.whole for arrival in found]) == near(0.5)
    assert np.mean([not arrival.whole and arrival.share == 1.0 for arrival in found]) == near(0.2)


def test_a_truncated_upload_is_cut_anywhere():
    failures = Failures(truncated=1.0, seed=12)
    parts = np.array([failures.arrives((0, n), 0, 0).share for n in range(MANY)])
    assert [np.mean(parts < quantile) for quantile in (0.1, 0.5, 0.9)] == [near(0.1), near(0.5), near(0.9)]


@pytest.mark.parametrize("attempt", [0, 1])
def test_without_failures_all_arrives_whole(attempt):
    assert Failures().arrives((0, 0), 0, attempt) == (1.0, True)
