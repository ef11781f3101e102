"""The whole log of runs in a world of round numbers: when devices are asked, and whose replies count."""

from __future__ import annotations

import pytest

from fedsim.errors import LocalityError, Stalled
from fedsim.fleet import Fleet, Group, Topology
from fedsim.sim import Async, Hierarchical, Sync
from fedsim.work import Work
from tests.sim.toys import (
    FAST,
    PUBLIC,
    SLOW,
    Script,
    State,
    Toy,
    busy,
    combine,
    log,
    make,
    plain_plan,
    profile,
    rows,
    simulate,
    steady,
    train,
)


def test_a_round_downloads_computes_uploads_and_merges():
    sim, timeline = simulate(Sync(rounds=1, cohort=1), Toy(merge_s=4.0))
    assert log(timeline, server=True) == [
        (0, "download", "", 0.0, 2.0, 20, 6.0, "done"),
        (0, "idle", "", 0.0, 6.0, 0, 6.0, "done"),
        (-1, "idle", "", 0.0, 10.0, 0, 10.0, "done"),
        (0, "compute", "train", 2.0, 5.0, 0, 6.0, "done"),
        (0, "upload", "", 5.0, 6.0, 10, 4.0, "done"),
        (-1, "compute", "make", 6.0, 10.0, 0, 8.0, "done"),
    ]
    assert (sim.now_s, sim.rounds_done, sim.complete) == (10.0, 1, True)


def test_the_next_round_starts_when_the_server_has_merged():
    _, timeline = simulate(Sync(rounds=2, cohort=1), Toy(merge_s=4.0))
    assert busy(timeline) == [
        (0, "download", 0.0, 2.0, 20, "done"),
        (0, "compute", 2.0, 5.0, 0, "done"),
        (0, "upload", 5.0, 6.0, 10, "done"),
        (0, "download", 10.0, 12.0, 20, "done"),
        (0, "compute", 12.0, 15.0, 0, "done"),
        (0, "upload", 15.0, 16.0, 10, "done"),
    ]


def test_spans_carry_the_version_they_were_planned_from():
    _, timeline = simulate(Sync(rounds=2, cohort=1))
    assert [row["version"] for row in rows(timeline) if row["kind"] == "upload"] == [0, 1]


def test_both_ends_of_a_path_add_their_latency_and_the_slower_one_sets_the_rate():
    server = type(FAST)("server", 5.0, 2.0, 1.0)  # takes in 5 bytes/s, sends out 2 bytes/s
    device = type(SLOW)("device", 10.0, 10.0, 0.5)
    fleet = Fleet((Group(profile(), device, 1),), 1)
    _, timeline = simulate(Sync(rounds=1, cohort=1), fleet=fleet, topology=Topology(server))
    assert busy(timeline) == [
        (0, "download", 0.0, 19.0, 20, "done"),  # 7.5 s until it is asked for, 1.5 s one way, 10 s at 2 bytes/s
        (0, "compute", 19.0, 22.0, 0, "done"),
        (0, "upload", 22.0, 25.5, 10, "done"),
    ]


# --- What the server prepares ------------------------------------------------------------------------
def _prepared(ctx, state, device):
    """Send a message that the server must make first, one for each parity of the device."""
    message = make(state.model, nbytes=20, seconds=5.0, tag=(state.merges, device.id % 2))
    return Work(down=(message,), up=(train(message, ctx.shard(device), tag=device.id),))


def test_the_server_prepares_each_distinct_message_once_and_devices_wait_for_it():
    _, timeline = simulate(Sync(rounds=1, cohort=3), Toy(_prepared), devices=3)
    assert [row for row in log(timeline, server=True) if row[1] in ("wait", "compute") and row[2] != "train"] == [
        (-1, "compute", "make", 0.0, 5.0, 0, 10.0, "done"),
        (0, "wait", "", 0.0, 5.0, 0, 0.0, "done"),
        (2, "wait", "", 0.0, 5.0, 0, 0.0, "done"),
        (1, "wait", "", 0.0, 10.0, 0, 0.0, "done"),
        (-1, "compute", "make", 5.0, 10.0, 0, 10.0, "done"),
        (-1, "compute", "make", 16.0, 16.0, 0, 0.0, "done"),
    ]


def test_a_merge_that_reads_a_shard_at_the_server_is_a_locality_error():
    class Cheat(Toy):
        def merge(self, ctx, state, replies):
            return State(train(state.model, ctx.shard(ctx.fleet.device(0))))

    with pytest.raises(LocalityError, match="server needs <source"):
        simulate(Sync(rounds=1, cohort=1), Cheat())


def test_a_device_that_must_compute_from_what_it_was_not_sent_is_a_locality_error():
    def unsent(ctx, state, device):
        return Work(down=(), up=(train(state.model, ctx.shard(device)),))

    with pytest.raises(LocalityError, match="a device needs <source"):
        simulate(Sync(rounds=1, cohort=1), Toy(unsent))


# --- What devices hold ---------------------------------------------------------------------------------
def test_public_data_travels_to_a_device_once():
    def with_public(ctx, state, device):
        trained = train(state.model, ctx.shard(device), ctx.public, tag=state.merges)
        return Work(down=(state.model, ctx.public), up=(trained,))

    _, timeline = simulate(Sync(rounds=3, cohort=1), Toy(with_public), public=PUBLIC)
    assert [row[4] for row in busy(timeline) if row[1] == "download"] == [70, 20, 20]


def test_public_data_that_devices_have_from_the_start_never_travels():
    def with_public(ctx, state, device):
        trained = train(state.model, ctx.shard(device), ctx.public, tag=state.merges)
        return Work(down=(state.model, ctx.public), up=(trained,))

    there = {"public": PUBLIC, "preinstalled": frozenset({PUBLIC.key})}
    _, timeline = simulate(Sync(rounds=3, cohort=1), Toy(with_public), **there)
    assert [row[4] for row in busy(timeline) if row[1] == "download"] == [20, 20, 20]


def test_public_data_that_was_cut_travels_again():
    def with_public(ctx, state, device):
        return Work(down=(ctx.public, state.model), up=(train(state.model, ctx.public, ctx.shard(device)),))

    away = Script({0: (3.0, 20.0)})
    _, timeline = simulate(
        Sync(rounds=2, cohort=1), Toy(with_public), public=PUBLIC, availability=away, on_dropout="discard"
    )
    assert [row for row in busy(timeline) if row[1] == "download"] == [
        (0, "download", 0.0, 3.0, 30, "cut"),
        (0, "download", 20.0, 27.0, 70, "done"),
    ]


def test_what_a_device_keeps_need_not_be_sent_or_computed_again_and_the_rest_is_forgotten():
    def keeping(ctx, state, device):
        features = make(ctx.shard(device), nbytes=5, seconds=7.0)
        scratch = make(ctx.shard(device), nbytes=5, seconds=1.0, tag="scratch")
        trained = train(state.model, features, scratch, tag=state.merges)
        return Work(down=(state.model,), up=(trained,), keep=(features,))

    _, timeline = simulate(Sync(rounds=2, cohort=1), Toy(keeping))
    computed = [(row[2], row[4] - row[3]) for row in log(timeline) if row[1] == "compute"]
    assert computed == [("make", 7.0), ("make", 1.0), ("train", 3.0), ("make", 1.0), ("train", 3.0)]


def test_what_is_not_kept_again_is_forgotten():
    def keeping_once(ctx, state, device):
        features = make(ctx.shard(device), nbytes=5, seconds=7.0)
        trained = train(state.model, features, tag=state.merges)
        return Work(down=(state.model,), up=(trained,), keep=() if state.merges else (features,))

    _, timeline = simulate(Sync(rounds=3, cohort=1), Toy(keeping_once))
    assert [row[2] for row in log(timeline) if row[1] == "compute"] == ["make", "train", "train", "make", "train"]


def test_an_upload_may_be_empty():
    def silent(ctx, state, device):
        return Work(down=(state.model,), up=(), keep=(train(state.model, ctx.shard(device)),))

    sim, timeline = simulate(Sync(rounds=1, cohort=1), Toy(silent))
    assert busy(timeline) == [(0, "download", 0.0, 2.0, 20, "done"), (0, "compute", 2.0, 5.0, 0, "done")]
    assert sim.rounds_done == 1


# --- Who is late -----------------------------------------------------------------------------------------
def _uneven(ctx, state, device):
    """Let device n train for 3 (n + 1) seconds."""
    trained = train(state.model, ctx.shard(device), seconds=3.0 * (device.id + 1), tag=state.merges)
    return Work(down=(state.model,), up=(trained,))


def test_what_has_not_ended_at_the_deadline_is_cut_and_late():
    method = Toy(_uneven)
    sim, timeline = simulate(Sync(rounds=1, cohort=3, deadline_s=7.0), method, devices=3)
    assert busy(timeline) == [
        (0, "download", 0.0, 2.0, 20, "done"),
        (1, "download", 0.0, 2.0, 20, "late"),
        (2, "download", 0.0, 2.0, 20, "late"),
        (0, "compute", 2.0, 5.0, 0, "done"),
        (1, "compute", 2.0, 7.0, 0, "late"),
        (2, "compute", 2.0, 7.0, 0, "late"),
        (0, "upload", 5.0, 6.0, 10, "done"),
    ]
    assert [[reply.device for reply in replies] for replies in method.heard] == [[0]]
    assert (sim.recorder.totals.wasted_s, sim.recorder.totals.wasted_bytes) == (14.0, 40)


def test_a_reply_at_the_very_deadline_counts():
    _, timeline = simulate(Sync(rounds=1, cohort=1, deadline_s=6.0))
    assert [row[5] for row in busy(timeline)] == ["done", "done", "done"]


def test_a_round_that_nobody_finishes_merges_nothing_and_is_over():
    method = Toy()
    sim, _ = simulate(Sync(rounds=2, cohort=1, deadline_s=5.5), method)
    assert (method.heard, sim.rounds_done, sim.version, sim.now_s) == ([], 2, 0, 11.0)


def test_over_selection_uses_the_first_replies_and_cuts_the_rest():
    method = Toy(_uneven)
    _, timeline = simulate(Sync(rounds=1, cohort=1, over_select=2.0), method, devices=2)
    assert busy(timeline) == [
        (0, "download", 0.0, 2.0, 20, "done"),
        (1, "download", 0.0, 2.0, 20, "late"),
        (0, "compute", 2.0, 5.0, 0, "done"),
        (1, "compute", 2.0, 6.0, 0, "late"),
        (0, "upload", 5.0, 6.0, 10, "done"),
    ]


def test_of_replies_at_one_instant_over_selection_uses_the_lower_numbers_and_leaves_the_rest():
    method = Toy()
    _, timeline = simulate(Sync(rounds=1, cohort=2, over_select=1.5), method, devices=3)
    outcomes = {row[0]: row[7] for row in log(timeline) if row[1] == "idle"}
    assert outcomes == {0: "done", 1: "done", 2: "late"}


def test_a_reply_counts_as_of_its_instant_however_many_steps_end_in_it():
    def by_steps(ctx, state, device):
        if device.id == 1:
            return plain_plan(ctx, state, device)
        first = make(state.model, ctx.shard(device), nbytes=0, seconds=4.0)
        return Work(down=(state.model,), up=(make(make(first, nbytes=0, seconds=0.0), nbytes=0, seconds=0.0),))

    method = Toy(by_steps)
    simulate(Sync(rounds=1, cohort=1, over_select=2.0), method, devices=2)
    assert [reply.device for reply in method.heard[0]] == [0]


def test_a_merge_hears_replies_in_the_order_of_devices_whoever_was_first():
    def reversed_(ctx, state, device):
        return Work(down=(), up=(make(ctx.shard(device), nbytes=1, seconds=9.0 - device.id),))

    method = Toy(reversed_)
    simulate(Sync(rounds=1, cohort=3), method, devices=3)
    assert [reply.device for reply in method.heard[0]] == [0, 1, 2]


# --- Who takes no work --------------------------------------------------------------------------------------
def test_a_device_that_is_offered_nothing_declines_as_a_mark():
    def only_one(ctx, state, device):
        return plain_plan(ctx, state, device) if device.id == 1 else None

    _, timeline = simulate(Sync(rounds=1, cohort=2), Toy(only_one), devices=2)
    assert busy(timeline) == [
        (0, "mark", 0.0, 0.0, 0, "declined"),
        (1, "download", 0.0, 2.0, 20, "done"),
        (1, "compute", 2.0, 5.0, 0, "done"),
        (1, "upload", 5.0, 6.0, 10, "done"),
    ]


def test_work_that_does_not_fit_the_memory_is_a_mark_and_is_not_begun():
    def large(ctx, state, device):
        return Work(down=(state.model,), up=(train(state.model, memory=100.0),))

    fleet = Fleet((Group(profile(memory=99.0), SLOW, 1), Group(profile(memory=100.0), SLOW, 1)), 1)
    _, timeline = simulate(Sync(rounds=1, cohort=2), Toy(large), fleet=fleet)
    marks = [row for row in busy(timeline) if row[1] == "mark"]
    assert (marks, {row[0] for row in busy(timeline)} - {0}) == ([(0, "mark", 0.0, 0.0, 0, "oom")], {1})


@pytest.mark.parametrize("schedule", [Sync(rounds=1, cohort=2), Async(merges=1, concurrency=2)])
def test_a_run_that_nobody_works_for_is_stalled_with_the_reasons(schedule):
    def nobody(ctx, state, device):
        return None

    away = Script({0: (0.0,)})
    with pytest.raises(Stalled, match=r"at 0 s, after 1 tries, no device of 2 takes work: 1 declined, 1 offline\."):
        simulate(schedule, Toy(nobody), devices=2, availability=away)


@pytest.mark.parametrize("schedule", [Sync(1, 1, patience=3), Async(1, 1, patience=3)])
def test_a_run_is_stalled_after_its_patience(schedule):
    def nobody(ctx, state, device):
        return None

    by_turns = Script({0: tuple(range(100)), 1: tuple(range(1, 100))})  # one of the two is always away
    with pytest.raises(Stalled, match="at 3 s, after 4 tries, no device of 2 takes work: 1 declined, 1 offline"):
        simulate(schedule, Toy(nobody), devices=2, availability=by_turns)


@pytest.mark.parametrize("schedule", [Sync(1, 1), Async(1, 1)])
def test_the_only_one_who_is_wanted_of_many_is_waited_for(schedule):
    def only_the_seventh(ctx, state, device):
        return plain_plan(ctx, state, device) if device.id == 7 else None

    away = Script({7: (0.0, 5.0)})
    _, timeline = simulate(schedule, Toy(only_the_seventh), devices=200, availability=away)
    first = next(row for row in busy(timeline) if row[1] == "download")
    assert (first[0], first[2] >= 5.0) == (7, True)


@pytest.mark.parametrize("schedule", [Sync(rounds=1, cohort=2), Async(merges=2, concurrency=2)])
def test_when_all_are_away_the_schedule_waits_for_the_first_to_return(schedule):
    away = Script({0: (0.0, 9.0), 1: (0.0, 4.0)})
    _, timeline = simulate(schedule, devices=2, availability=away)
    assert busy(timeline)[0] == (1, "download", 4.0, 6.0, 20, "done")


def test_a_short_cohort_goes_ahead():
    away = Script({0: (0.0, 5.0)})
    _, timeline = simulate(Sync(rounds=1, cohort=2), devices=2, availability=away)
    assert {row[0] for row in busy(timeline)} == {1}


# --- Async -------------------------------------------------------------------------------------------------
def test_async_hands_out_new_work_after_each_merge():
    method = Toy(_uneven)
    _, timeline = simulate(Async(merges=3, concurrency=2), method, devices=2)
    assert busy(timeline) == [
        (0, "download", 0.0, 2.0, 20, "done"),
        (1, "download", 0.0, 2.0, 20, "done"),
        (0, "compute", 2.0, 5.0, 0, "done"),
        (1, "compute", 2.0, 8.0, 0, "done"),
        (0, "upload", 5.0, 6.0, 10, "done"),
        (0, "download", 6.0, 8.0, 20, "done"),
        (1, "upload", 8.0, 9.0, 10, "done"),
        (0, "compute", 8.0, 11.0, 0, "done"),
        (1, "download", 9.0, 11.0, 20, "late"),
        (0, "upload", 11.0, 12.0, 10, "done"),
        (1, "compute", 11.0, 12.0, 0, "late"),
    ]
    assert [[(r.device, r.version, r.staleness) for r in replies] for replies in method.heard] == [
        [(0, 0, 0)],
        [(1, 0, 1)],
        [(0, 1, 1)],
    ]


def test_async_merges_a_full_buffer_in_order_of_arrival():
    method = Toy(_uneven)
    simulate(Async(merges=1, concurrency=2, buffer=3), method, devices=2)
    assert [reply.device for reply in method.heard[0]] == [0, 1, 0]


def test_replies_of_one_instant_reach_async_together_before_new_work_is_handed_out():
    method = Toy()
    simulate(Async(merges=2, concurrency=2, buffer=2), method, devices=2)
    assert [[(r.device, r.version) for r in replies] for replies in method.heard] == [
        [(0, 0), (1, 0)],
        [(0, 1), (1, 1)],
    ]


def test_a_device_asked_twice_at_one_version_may_be_merged_twice():
    method = Toy()
    simulate(Async(merges=2, concurrency=2, buffer=3), method, devices=2)
    assert [[r.device for r in replies] for replies in method.heard] == [[0, 1, 0], [1, 0, 1]]


def test_async_cuts_each_device_at_its_own_deadline():
    method = Toy(_uneven)
    _, timeline = simulate(Async(merges=2, concurrency=2, deadline_s=7.0), method, devices=2)
    assert [row for row in busy(timeline) if row[0] == 1][:3] == [
        (1, "download", 0.0, 2.0, 20, "late"),
        (1, "compute", 2.0, 7.0, 0, "late"),
        (1, "download", 7.0, 9.0, 20, "late"),
    ]


def test_a_reply_at_the_very_deadline_counts_in_async_too():
    method = Toy()
    simulate(Async(merges=1, concurrency=1, deadline_s=6.0), method, stop_s=50.0)
    assert [[reply.device for reply in replies] for replies in method.heard] == [[0]]


def test_async_gives_an_open_place_to_a_device_that_returns():
    away = Script({1: (0.0, 3.0)})
    _, timeline = simulate(Async(merges=2, concurrency=2), devices=2, availability=away)
    assert next(row for row in busy(timeline) if row[0] == 1) == (1, "download", 3.0, 5.0, 20, "done")


def test_async_goes_on_while_others_are_away_for_ever():
    away = Script({1: (0.0,)})
    sim, _ = simulate(Async(merges=2, concurrency=2), devices=2, availability=away)
    assert (sim.complete, sim.now_s) == (True, 12.0)


# --- The end -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("schedule", [Sync(rounds=9, cohort=1), Async(merges=9, concurrency=1)])
def test_at_the_stop_time_work_under_way_is_late_and_the_run_is_not_complete(schedule):
    sim, timeline = simulate(schedule, stop_s=9.0)
    assert busy(timeline) == [
        (0, "download", 0.0, 2.0, 20, "done"),
        (0, "compute", 2.0, 5.0, 0, "done"),
        (0, "upload", 5.0, 6.0, 10, "done"),
        (0, "download", 6.0, 8.0, 20, "late"),
        (0, "compute", 8.0, 9.0, 0, "late"),
    ]
    assert (sim.now_s, sim.rounds_done, sim.complete) == (9.0, 1, False)


def test_the_stop_time_ends_the_waiting_for_somebody():
    sim, timeline = simulate(Sync(1, 1), stop_s=5.0, availability=Script({0: (0.0, 9.0)}))
    assert (sim.now_s, sim.complete, busy(timeline)) == (5.0, False, [])


def test_every_version_is_published_with_the_totals_up_to_then():
    sim, _ = simulate(Sync(rounds=2, cohort=1))
    heard = [(n.at_s, n.version, n.merged, n.totals["up_bytes"], n.totals["energy_j"]) for n in sim._observer.heard]
    assert heard == [(0.0, 0, 0, 0, 0.0), (6.0, 1, 1, 10, 22.0), (12.0, 2, 1, 20, 44.0)]


def test_a_quote_is_what_the_work_then_takes():
    seen = []

    def asking(ctx, state, device):
        work = plain_plan(ctx, state, device)
        seen.append(ctx.quote(device, work))
        return work

    _, timeline = simulate(Sync(rounds=1, cohort=1), Toy(asking))
    spans = log(timeline)
    assert (seen[0].seconds, seen[0].down_bytes, seen[0].up_bytes, seen[0].fits) == (6.0, 20, 10, True)
    assert seen[0].joules == sum(row[6] for row in spans)


def test_profiles_of_one_name_are_priced_apart():
    def same_load(ctx, state, device):
        return Work(down=(), up=(steady(ctx.shard(device)),))

    twins = (profile("twin", busy_w=2.0), profile("twin", busy_w=9.0))
    fleet = Fleet(tuple(Group(one, SLOW, 1) for one in twins), 1)
    _, timeline = simulate(Sync(rounds=1, cohort=2), Toy(same_load), fleet=fleet)
    assert [row[6] for row in log(timeline) if row[1] == "compute"] == [6.0, 27.0]


def test_combining_replies_may_be_free():
    class Free(Toy):
        def merge(self, ctx, state, replies):
            return State(combine(tuple(reply.up[0] for reply in replies)))

    sim, _ = simulate(Sync(rounds=1, cohort=2), Free(), devices=2)
    assert sim.now_s == 6.0


def test_a_large_fleet_is_asked_on_until_somebody_is_willing():
    def only_the_last(ctx, state, device):
        return plain_plan(ctx, state, device) if device.id == 199 else None

    sim, timeline = simulate(Sync(rounds=1, cohort=1), Toy(only_the_last), devices=200)
    worked = {row[0] for row in busy(timeline) if row[1] == "compute" and row[0] >= 0}
    assert (worked, sim.rounds_done) == ({199}, 1)


def test_async_is_stalled_when_no_reply_ever_comes():
    with pytest.raises(Stalled, match="the last 21 times that devices were asked, no reply came of it"):
        simulate(Async(merges=1, concurrency=1, deadline_s=5.0, patience=3))


@pytest.mark.parametrize(("cohort", "factor", "asked"), [(50, 1.1, 55), (90, 1.1, 99), (10, 1.01, 11)])
def test_over_selection_asks_the_product_rounded_up(cohort, factor, asked):
    _, timeline = simulate(Sync(rounds=1, cohort=cohort, over_select=factor), devices=100)
    assert len([row for row in log(timeline) if row[1] == "idle"]) == asked


def test_a_merge_that_the_stop_time_cuts_used_nothing_and_is_billed_so_far():
    sim, timeline = simulate(Sync(rounds=1, cohort=1), Toy(merge_s=10.0), stop_s=11.0)
    outcomes = {row[-1] for row in log(timeline)}
    merge = next(row for row in log(timeline, server=True) if row[0] == -1 and row[1] == "compute")
    assert (outcomes, merge) == ({"late"}, (-1, "compute", "make", 6.0, 11.0, 0, 10.0, "cut"))
    assert (sim.rounds_done, sim.recorder.totals.wasted_s) == (0, 6.0)


def test_a_device_without_examples_declines_unasked():
    fleet = Fleet((Group(profile(), SLOW, 2),), [0, 1])
    _, timeline = simulate(Sync(rounds=1, cohort=2), fleet=fleet)
    assert [row for row in log(timeline) if row[0] == 0] == [(0, "mark", "", 0.0, 0.0, 0, 0.0, "declined")]


@pytest.mark.parametrize("schedule", [Sync(3, 1, every_s=10.0), Hierarchical(3, 1, every_s=10.0)])
def test_rounds_begin_at_their_times(schedule):
    _, timeline = simulate(schedule)
    assert [row[2] for row in busy(timeline) if row[1] == "download"] == [0.0, 10.0, 20.0]


def test_a_round_that_takes_longer_than_its_time_is_followed_at_once():
    _, timeline = simulate(Sync(3, 1, every_s=4.0))
    assert [row[2] for row in busy(timeline) if row[1] == "download"] == [0.0, 6.0, 12.0]
