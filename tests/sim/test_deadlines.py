"""Deadlines that follow how long rounds took."""

from __future__ import annotations

import math

import pytest

from fedsim.fleet import Fleet, Group
from fedsim.sim import Adaptive, Hierarchical, Sync
from tests.sim.toys import SLOW, Toy, plain_plan, profile, simulate

LATE = math.inf


@pytest.mark.parametrize(
    ("durations", "following"),
    [
        ([2.0, 4.0, 6.0, 8.0, 10.0], 12.0),  # the fourth of five, times 1.5
        ([2.0, 4.0, 6.0, 8.0, LATE], 12.0),
        ([2.0, 4.0, 6.0, LATE, LATE], 15.0),  # censored: the 10 s there were, times 1.5
        ([LATE], 15.0),
        ([1.0], 4.0),  # least
        ([90.0], 100.0),  # most
    ],
)
def test_a_deadline_follows_the_quantile_and_grows_where_that_is_not_known(durations, following):
    how = Adaptive(quantile=0.8, slack=1.5, least_s=4.0, most_s=100.0)
    assert how.following(10.0, durations) == following


def deadlines(kind, *, start_s, devices=1, cohort=1, rounds=5, **how):
    """Return the deadline that the method sees in each round; a device takes 6 s."""
    seen = {}

    def plan(ctx, state, device):
        seen.setdefault(ctx.now_s, ctx.deadline_s)
        return plain_plan(ctx, state, device)

    schedule = kind(rounds=rounds, cohort=cohort, deadline_s=start_s, adaptive=Adaptive(**how))
    fleet = Fleet((Group(profile(), SLOW, devices),), 1)
    simulate(schedule, Toy(plan), fleet=fleet)
    return list(seen.values())


@pytest.mark.parametrize("kind", [Sync, Hierarchical])
def test_a_tight_deadline_grows_until_tasks_are_done_by_it(kind):
    assert deadlines(kind, start_s=2.0, slack=1.5, memory=1) == [2.0, 3.0, 4.5, 6.75, 9.0]


def test_a_loose_deadline_tightens_at_once():
    assert deadlines(Sync, start_s=100.0, slack=1.5, rounds=3) == [100.0, 9.0, 9.0]


def test_rounds_further_back_than_the_memory_are_forgotten():
    assert deadlines(Sync, start_s=4.0, slack=1.5, memory=2) == [4.0, 6.0, 9.0, 9.0, 9.0]
    assert deadlines(Sync, start_s=4.0, slack=2.0, memory=2, rounds=4) == [4.0, 8.0, 16.0, 12.0]


def test_a_deadline_stays_within_its_bounds():
    assert deadlines(Sync, start_s=2.0, slack=1.5, most_s=3.5, rounds=4) == [2.0, 3.0, 3.5, 3.5]
    assert deadlines(Sync, start_s=60.0, slack=1.5, least_s=20.0, rounds=3) == [60.0, 20.0, 20.0]


def test_a_deadline_that_is_not_adaptive_stays():
    sim, _ = simulate(Sync(rounds=3, cohort=1, deadline_s=50.0))
    assert sim.deadline_s == 50.0


def test_those_that_over_selection_leaves_took_longer_than_the_others():
    """Two of three devices do for a round, after 6 s both: the 60 % quantile is 6 s, the 80 % is not known."""
    groups = (Group(profile(), SLOW, 2), Group(profile(), type(SLOW)("slower", 10.0, 1.0, 0.0), 1))
    ended = []
    for share in (0.6, 0.8):
        how = Adaptive(quantile=share, slack=2.0)
        sim, _ = simulate(Sync(1, 2, 50.0, over_select=1.5, adaptive=how), fleet=Fleet(groups, 1))
        ended.append(sim.deadline_s)
    assert ended == [12.0, 100.0]
