"""Whom each policy asks: of pools that are written out, and in whole runs."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest

from fedsim.errors import NeedsValues
from fedsim.fleet import Always, Condition, Fleet, Group
from fedsim.seeds import seed_of
from fedsim.sim import Async, Hierarchical, Sync
from fedsim.sim.oort import Oort
from fedsim.sim.selection import Battery, Fair, Heard, PowerOfChoice, Random, Sight
from fedsim.sim.tifl import Tifl
from tests.sim.toys import SLOW, Losses, Toy, loss_of, plain_plan, profile, rows, simulate

KINDS = [Random(), PowerOfChoice(), Oort(), Tifl(), Tifl(adaptive=True), Battery(), Fair()]


# --- One pool -------------------------------------------------------------------------------------
def pool(count, **now):
    """Return devices 0, 1, ...; *now* gives lists of what each reports."""
    fleet = Fleet((Group(profile(), SLOW, count),), 1)
    states = [dict(zip(now, values, strict=True)) for values in zip(*now.values(), strict=True)] or [{}] * count
    return [replace(fleet.device(n), now=Condition(**state)) for n, state in enumerate(states)]


def sight(*, losses=(), times=(), durations=(), rounds=(), seconds=(), **changes):
    """Return a sight of devices that have reported *losses* (None: not heard of)."""
    known = losses or times
    heard = {
        n: Heard(
            times[n] if times else 1, rounds[n] if rounds else 1, durations[n] if durations else 1.0, 1,
            None if not losses else float(loss),
        )
        for n, loss in enumerate(known) if loss is not None
    }  # fmt: skip
    plain = {"round": 1, "want": 1, "merges": 10, "seed": 0}
    return Sight(**{**plain, **changes}, heard=heard, losses=list, seconds=lambda d: seconds[d.id] if seconds else 1.0)


def order(selector, devices, **seen):
    return [device.id for device in selector.begin().order(devices, sight(**seen))]


def firsts(selector, devices, *, draws=2000, **seen):
    """Count who comes first over many draws."""
    return Counter(order(selector, devices, seed=seed, **seen)[0] for seed in range(draws))


def test_random_keeps_the_order_of_the_draw():
    assert order(Random(), pool(4)[::-1]) == [3, 2, 1, 0]


def test_power_of_choice_asks_who_was_never_heard_and_then_the_highest_loss():
    assert order(PowerOfChoice(), pool(4), losses=[1.0, 3.0, None, 2.0]) == [2, 1, 3, 0]


def test_battery_asks_the_fullest_and_takes_plugged_and_unknown_for_full():
    devices = pool(4, charge=[0.5, None, 0.2, 0.9], plugged=[False, False, True, False])
    assert order(Battery(), devices) == [1, 2, 3, 0]


def test_fair_asks_who_has_worked_least():
    assert order(Fair(), pool(4), times=[2, 1, None, 3]) == [2, 1, 0, 3]


def test_oort_asks_who_has_most_to_teach():
    assert order(Oort(exploration=0, exploration_least=0), pool(3), losses=[1.0, 3.0, 2.0]) == [1, 2, 0]


def test_oort_passes_over_a_loss_for_one_of_more_examples():
    devices, seen = pool(2), sight(losses=[3.0, 2.0])
    seen.heard[1] = seen.heard[1]._replace(samples=2)
    assert [d.id for d in Oort(exploration=0, exploration_least=0).begin().order(devices, seen)] == [1, 0]


def test_oort_halves_what_a_device_counts_by_the_square_of_how_late_it_is():
    """T is the 30 % quantile, 1 s; who takes 2 s counts (1 / 2) ** 2 of 1, less than another's 0.4."""
    seen = {"losses": [0.4, 1.0, 0.3], "durations": [1.0, 2.0, 1.0]}
    assert order(Oort(exploration=0, exploration_least=0), pool(3), **seen) == [0, 2, 1]
    assert order(Oort(exploration=0, exploration_least=0, alpha=0.0), pool(3), **seen) == [1, 0, 2]


def test_oort_comes_back_to_who_was_not_heard_of_for_long():
    """In round 100 the bonus is sqrt(0.1 ln 100) = 0.68 for one last heard in round 1, 0.07 for one in round 99."""
    seen = {"losses": [0.5, 1.0], "round": 100}
    how = Oort(exploration=0, exploration_least=0)
    assert order(how, pool(2), rounds=[1, 99], **seen) == [0, 1]
    assert order(how, pool(2), rounds=[99, 99], **seen) == [1, 0]


def test_oort_draws_by_utility_among_those_just_as_good():
    found = firsts(Oort(exploration=0, exploration_least=0), pool(3), losses=[0.97, 1.0, 0.5])
    assert found.keys() == {0, 1}
    assert found[1] / 2000 == pytest.approx(1.0 / 1.97, abs=0.04)


def test_oort_explores_by_speed():
    found = firsts(Oort(exploration=1, exploration_decay=1), pool(2), seconds=[1.0, 3.0])
    assert found[0] / 2000 == pytest.approx(0.75, abs=0.04)


def test_oort_explores_in_the_order_of_the_draw_if_it_is_to():
    how = Oort(exploration=1, exploration_decay=1, explore="random")
    assert order(how, pool(3)[::-1], seconds=[1.0, 2.0, 3.0]) == [2, 1, 0]


@pytest.mark.parametrize(("number", "share"), [(1, 0.9 * 0.98), (50, 0.9 * 0.98**50), (200, 0.2)])
def test_oort_explores_with_a_share_that_decays(number, share):
    seen = {"losses": [1.0] * 10 + [None] * 10, "want": 10, "round": number}
    new = [sum(n >= 10 for n in order(Oort(), pool(20), seed=seed, **seen)[:10]) for seed in range(300)]
    assert sum(new) / 3000 == pytest.approx(share, abs=0.015)


def test_oort_leaves_those_who_have_worked_often_to_the_last():
    how = Oort(exploration=0, exploration_least=0, max_participation=2)
    assert order(how, pool(3), losses=[1.0, 3.0, 2.0], times=[1, 2, 1]) == [2, 0, 1]


def test_oort_loosens_its_pace_when_rounds_teach_less():
    ranking, paces = Oort(window=1, exploration=0, exploration_least=0).begin(), []
    for number, loss in enumerate([4.0, 3.0, 3.5, 1.0], start=1):
        ranking.order(pool(1), sight(losses=[loss], rounds=[number], round=number + 1))
        paces.append(round(ranking._pace, 9))
    assert paces == [0.3, 0.35, 0.35, 0.4]


def test_oort_takes_who_is_slow_as_it_is_once_its_pace_is_loose():
    seen = {"losses": [0.4, 1.0, 0.3], "durations": [1.0, 2.0, 1.0]}
    assert order(Oort(exploration=0, exploration_least=0, pace=1.0), pool(3), **seen) == [1, 0, 2]


def test_tifl_asks_one_tier_and_then_its_neighbours():
    seconds = [3.0, 1.0, 9.0, 2.0, 8.0, 7.0]
    found = {tuple(order(Tifl(tiers=3), pool(6), seconds=seconds, seed=seed)) for seed in range(50)}
    assert found == {(1, 3, 0, 5, 2, 4), (0, 5, 1, 3, 2, 4), (2, 4, 0, 5, 1, 3)}


def test_tifl_asks_every_tier_equally_often():
    found = firsts(Tifl(tiers=2), pool(2), seconds=[1.0, 2.0])
    assert found[0] / 2000 == pytest.approx(0.5, abs=0.04)


def test_tifl_leaves_those_who_have_no_work_to_the_last():
    found = {tuple(order(Tifl(tiers=2), pool(3), seconds=[math.inf, 1.0, 2.0], seed=seed)) for seed in range(50)}
    assert found == {(1, 2, 0), (2, 1, 0)}


def test_adaptive_tifl_asks_a_tier_as_often_as_its_loss_is_high():
    found = firsts(Tifl(tiers=2, adaptive=True), pool(2), seconds=[1.0, 2.0], losses=[1.0, 3.0])
    assert found[1] / 2000 == pytest.approx(0.75, abs=0.04)


def test_adaptive_tifl_takes_a_tier_that_was_not_heard_of_for_as_bad_as_the_worst():
    found = firsts(Tifl(tiers=3, adaptive=True), pool(3), seconds=[1.0, 2.0, 3.0], losses=[1.0, 3.0, None])
    assert found[2] / 2000 == pytest.approx(3 / 7, abs=0.04)


def test_adaptive_tifl_gives_no_tier_more_rounds_than_it_has_credits():
    ranking, seen = Tifl(tiers=2, adaptive=True, credits=2).begin(), {"seconds": [1.0, 2.0], "losses": [1.0, 1e6]}
    taken = [ranking.order(pool(2), sight(round=n, seed=n, **seen))[0].id for n in range(1, 7)]
    assert taken == [1, 1, 0, 0, 1, 1]


def test_adaptive_tifl_gives_a_tier_twice_its_share_of_the_rounds_unless_told():
    ranking, seen = Tifl(tiers=2, adaptive=True).begin(), {"seconds": [1.0, 2.0], "losses": [1.0, 1e6], "merges": 3}
    assert [ranking.order(pool(2), sight(round=n, seed=n, **seen))[0].id for n in range(1, 5)] == [1, 1, 1, 0]


@pytest.mark.parametrize("selector", KINDS, ids=lambda s: s.kind)
def test_everybody_in_the_pool_is_ranked_once(selector):
    losses = [1.0, math.e, None, 2.0, None, 0.0]
    found = order(selector, pool(6), losses=losses, want=3, seconds=[1.0, 2.0, 3.0, math.inf, 5.0, 6.0])
    assert sorted(found) == [0, 1, 2, 3, 4, 5]


# --- Whole runs -----------------------------------------------------------------------------------
def cohorts(timeline):
    """Return who worked on each version."""
    found = {}
    for row in rows(timeline):
        if row["kind"] == "download" and row["device"] >= 0:
            found.setdefault(row["version"], set()).add(row["device"])
    return list(found.values())


def run(select, losses, *, rounds, cohort, **world):
    executor = Losses(losses)
    known = {"devices": len(losses), "loss": loss_of, "executor": executor, **world}
    return simulate(Sync(rounds, cohort, select=select), **known)


def test_random_asks_the_first_of_the_draw():
    sim, timeline = simulate(Sync(rounds=1, cohort=3), devices=50)
    drawn = sim.fleet.candidates(seed_of(0, "select", "round", 0, 0))
    assert cohorts(timeline) == [{next(drawn), next(drawn), next(drawn)}]


def test_power_of_choice_hears_everybody_and_then_keeps_to_the_highest_losses():
    _, timeline = run(PowerOfChoice(pool=2.0), [0.1, 0.9, 0.5, 0.7], rounds=4, cohort=2)
    first, second, *later = cohorts(timeline)
    assert first | second == {0, 1, 2, 3}
    assert later == [{1, 3}, {1, 3}]


def test_a_loss_that_is_no_number_counts_as_a_high_one():
    _, timeline = run(PowerOfChoice(pool=2.0), [0.1, math.nan, 0.5, math.inf], rounds=3, cohort=2)
    assert cohorts(timeline)[2] == {1, 3}


def test_what_is_remembered_is_of_the_last_task():
    sim, _ = run(Fair(), [1.0], rounds=3, cohort=1)
    assert sim.choice._heard == {0: Heard(times=3, round=3, duration_s=6.0, samples=1, loss=None)}


def test_nothing_is_remembered_where_it_is_of_no_use():
    sim, _ = run(Random(), [1.0], rounds=3, cohort=1)
    assert sim.choice._heard == {}


def test_losses_are_of_the_model_that_a_device_worked_on():
    seen = []

    def noted(model, shard):
        seen.append(model.key)
        return loss_of(model, shard)

    sim, _ = run(PowerOfChoice(), [1.0], rounds=2, cohort=1, loss=noted)
    assert seen == [news.models["global"].key for news in sim._observer.heard[:2]]


@pytest.mark.parametrize("selector", [Random(), Tifl(), Battery(), Fair()], ids=lambda s: s.kind)
def test_a_policy_that_needs_no_losses_looks_at_none(selector):
    sim, _ = run(selector, [1.0] * 6, rounds=3, cohort=2)
    assert sim.executor.looked == 0


def test_a_policy_looks_at_the_losses_of_its_pool_alone():
    sim, _ = run(PowerOfChoice(pool=2.0), [1.0] * 50, rounds=3, cohort=2)
    assert sim.executor.looked <= 2 * 4  # two more rounds of 2 x 2


@pytest.mark.parametrize("selector", [PowerOfChoice(), Oort(), Tifl(adaptive=True)], ids=lambda s: s.kind)
def test_a_policy_that_needs_losses_says_so_where_there_are_none(selector):
    with pytest.raises(NeedsValues, match=rf"schedule\.select = '{selector.kind}' ranks .* choose --executor lazy"):
        simulate(Sync(3, 2, select=selector), devices=4, loss=loss_of)


def test_fair_asks_everybody_once_before_anybody_twice():
    _, timeline = run(Fair(), [1.0] * 6, rounds=4, cohort=2)
    first, second, third, _ = cohorts(timeline)
    assert first | second | third == {0, 1, 2, 3, 4, 5}


def test_work_in_vain_counts_as_work():
    """Device 1 sends for 10 s, past every deadline, and has its turn all the same."""
    groups = (Group(profile(), SLOW, 1), Group(profile(), replace(SLOW, name="slower", up_bytes_per_s=1.0), 1))
    _, timeline = simulate(Sync(6, 1, deadline_s=7.0, select=Fair()), fleet=Fleet(groups, 1))
    assert Counter(row["device"] for row in rows(timeline) if row["kind"] == "download") == {0: 3, 1: 3}


class Charged(Fleet):
    """A fleet in which the charge of device n is n tenths."""

    def device(self, number):
        return replace(super().device(number), now=Condition(charge=number / 10))


def test_battery_asks_the_fullest_of_the_fleet():
    fleet = Charged((Group(profile(), SLOW, 10),), 1)
    _, timeline = simulate(Sync(1, 3, select=Battery()), fleet=fleet)
    assert cohorts(timeline) == [{7, 8, 9}]


def test_tifl_predicts_from_the_methods_own_work():
    groups = (Group(profile(), SLOW, 4), Group(profile(), replace(SLOW, name="slower", up_bytes_per_s=1.0), 4))
    _, timeline = simulate(Sync(10, 2, select=Tifl(tiers=2)), fleet=Fleet(groups, 1))
    assert all(len({n // 4 for n in asked}) == 1 for asked in cohorts(timeline))


def test_who_declines_makes_place_for_the_next_in_order():
    def picky(ctx, state, device):
        return None if device.id == 9 else plain_plan(ctx, state, device)

    fleet = Charged((Group(profile(), SLOW, 10),), 1)
    _, timeline = simulate(Sync(1, 2, select=Battery()), Toy(picky), fleet=fleet)
    assert cohorts(timeline) == [{7, 8}]
    assert [row["device"] for row in rows(timeline) if row["outcome"] == "declined"] == [9]


@pytest.mark.parametrize(("selector", "most"), [(Random(), 60), (Fair(), 60), (Fair(pool=50.0), 150)])
def test_no_more_are_drawn_than_the_bound(selector, most):
    asked = {}

    class Counted(Always):
        def online(self, key, at_s):
            asked.setdefault(key, len(asked) + 1)
            return asked[key] > most - 1  # only the last that may be drawn is there

    simulate(Sync(1, 3, select=selector), devices=5000, availability=Counted())
    assert len(asked) == most


@pytest.mark.parametrize("selector", KINDS, ids=lambda s: s.kind)
def test_a_run_is_the_same_again(selector):
    losses = [0.1 * n for n in range(30)]
    first, second = (run(selector, losses, rounds=6, cohort=4)[1].digest() for _ in range(2))
    assert first == second


def test_a_schedule_may_run_twice_and_begins_anew():
    schedule, known = Sync(6, 2, select=Tifl(tiers=2, adaptive=True)), {"devices": 20, "loss": loss_of}
    first, second = (simulate(schedule, executor=Losses([1.0] * 20), **known)[1].digest() for _ in range(2))
    assert first == second


def test_an_asynchronous_schedule_asks_by_policy_too():
    _, timeline = simulate(Async(merges=6, concurrency=2, select=Fair()), devices=6)
    started = [row["device"] for row in rows(timeline) if row["kind"] == "download"]
    assert sorted(started[:6]) == [0, 1, 2, 3, 4, 5]


def test_a_hierarchical_schedule_asks_by_policy_too():
    _, timeline = simulate(Hierarchical(rounds=3, cohort=2, select=Fair()), devices=6)
    assert set.union(*cohorts(timeline)) == {0, 1, 2, 3, 4, 5}


# --- What policies are for ------------------------------------------------------------------------
def mean_loss_of_cohorts(select):
    losses = [(7 * n % 40) / 40 for n in range(40)]
    _, timeline = run(select, losses, rounds=60, cohort=4)
    asked = [losses[n] for cohort in cohorts(timeline)[20:] for n in cohort]
    return sum(asked) / len(asked)


def test_power_of_choice_and_oort_raise_the_loss_of_those_chosen():
    plain = mean_loss_of_cohorts(Random())
    assert plain == pytest.approx(0.49, abs=0.08)
    assert mean_loss_of_cohorts(PowerOfChoice()) > plain + 0.15
    assert mean_loss_of_cohorts(Oort()) > plain + 0.1


def jain(select):
    """Return Jain's index of how often devices worked: 1 if all did equally often."""
    _, timeline = run(select, [1.0] * 40, rounds=60, cohort=4)
    counts = Counter(n for asked in cohorts(timeline) for n in asked)
    return sum(counts.values()) ** 2 / (40 * sum(count**2 for count in counts.values()))


def test_fair_spreads_the_work_more_evenly_than_chance():
    assert jain(Fair()) == 1.0
    assert jain(Random()) < 0.95
