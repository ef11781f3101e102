"""Jobs on devices whose speed, clock, heat, RAM and storage change: finish times and joules against closed forms."""

from __future__ import annotations

import math

import pytest

from fedsim.fleet import NOMINAL, Clock, Dynamics, Fleet, Group
from fedsim.fleet.thermal import Thermal, sustained_speed
from fedsim.sim import Sync
from fedsim.work import Work
from tests.sim.toys import SLOW, Script, Stairs, Toy, busy, log, profile, rows, simulate, train

TAU_S, IDLE_W, BUSY_W = 2.0, 1.0, 2.0
# From 30 C at rest towards 50 C busy; throttled towards 35 C.
STAYS_SLOW = Thermal(20.0, 10.0, TAU_S, limit_c=45.0, resume_c=34.0, speed=0.5, power=0.25)
ALTERNATES = Thermal(20.0, 10.0, TAU_S, limit_c=45.0, resume_c=40.0, speed=0.5, power=0.25)
HEATS_S = TAU_S * math.log(4)  # from 30 C to 45 C
TURN_S = TAU_S * math.log(2)  # from 45 C to 40 C, throttled, and back again


def run(*, seconds=3.0, needs=0.0, policy="resume", gone=(), device=None, rounds=1, **dynamics):
    """Run a task that downloads from 0 to 2 s, computes for some *seconds* at full speed and uploads in 1 s."""

    def plan(ctx, state, device):
        made = train(state.model, ctx.shard(device), seconds=seconds, memory=needs, tag=state.merges)
        return Work(down=(state.model,), up=(made,))

    fleet = Fleet((Group(device or profile(), SLOW, 1),), 1)
    return simulate(
        Sync(rounds, 1), Toy(plan), fleet=fleet, availability=Script({0: gone}), on_dropout=policy,
        dynamics=Dynamics(**dynamics),
    )  # fmt: skip


def jobs(timeline):
    """Return (start, end, joules) of what the device computed."""
    return [row[3:5] + row[6:7] for row in log(timeline) if row[1] == "compute"]


def job(**world):
    (only,) = jobs(run(**world)[1])
    return only


def marks(timeline):
    return [(row["start_s"], row["outcome"]) for row in rows(timeline) if row["kind"] == "mark"]


# --- Other loads --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("steps", "end_s"),
    [
        ([(3.0, 0.5)], 7.0),
        ([(3.0, 0.5), (5.0, 1.0)], 6.0),
        ([(3.0, 0.0), (7.0, 1.0)], 9.0),
        ([(0.0, 0.5), (4.0, 0.25), (8.0, 0.0), (9.0, 1.0)], 10.0),
        ([(2.0, 0.5), (8.0, 0.0)], 8.0),
        ([(5.0, 0.5)], 5.0),
        ([(2.5, 0.5), (2.75, 0.5), (3.0, 1.0)], 5.25),
    ],
    ids=["slower", "for a while", "stopped", "several", "done as it stops", "done as it slows", "no change"],
)
def test_a_change_of_load_stretches_a_running_job_exactly(steps, end_s):
    assert job(speed=Stairs(steps)) == (2.0, end_s, 6.0)  # the joules are those of the job alone


def test_a_job_that_will_never_go_on_is_given_up_at_once():
    sim, timeline = run(speed=Stairs([(3.0, 0.0)]))
    assert (busy(timeline)[-1], sim.now_s) == ((0, "compute", 2.0, 3.0, 0, "cut"), 3.0)


def test_a_dropout_as_the_load_comes_and_a_return_while_it_lasts():
    _, timeline = run(gone=(4.0, 10.0), speed=Stairs([(4.0, 0.5), (10.5, 1.0)]))
    assert jobs(timeline) == [(2.0, 4.0, 4.0), (10.0, 11.25, 1.0 * 0.5 + 1.5)]


def test_a_return_as_the_load_goes():
    _, timeline = run(gone=(4.0, 10.0), speed=Stairs([(3.0, 0.5), (10.0, 1.0)]))
    assert jobs(timeline) == [(2.0, 4.0, 3.0), (10.0, 11.5, 3.0)]


def test_a_load_that_comes_as_the_device_returns():
    _, timeline = run(gone=(4.0, 10.0), speed=Stairs([(10.0, 0.5)]))
    assert jobs(timeline) == [(2.0, 4.0, 4.0), (10.0, 12.0, 2.0)]


def test_restart_repeats_all_of_a_job_at_the_speed_of_then():
    _, timeline = run(policy="restart", gone=(4.0, 10.0), speed=Stairs([(3.0, 0.5)]))
    assert jobs(timeline) == [(2.0, 4.0, 3.0), (10.0, 16.0, 6.0)]


# --- The clock ------------------------------------------------------------------------------------------------
def test_a_saving_clock_takes_longer_and_draws_less():
    assert job(clock=Clock(Script({0: (3.0, 5.0)}), speed=0.5, power=0.25)) == (2.0, 6.0, 2.0 + 1.0 + 2.0)


def test_a_clock_and_a_load_multiply():
    clock = Clock(Script({0: (2.0,)}), speed=0.5, power=0.25)
    assert job(clock=clock, speed=Stairs([(0.0, 0.5)])) == (2.0, 14.0, 12.0 * BUSY_W * 0.5 * 0.25)


# --- Heat -------------------------------------------------------------------------------------------------------
def hot(law, **world):
    return run(device=profile(idle_w=IDLE_W, busy_w=BUSY_W, thermal=law), heat=True, **world)


def test_heat_counts_only_where_the_scenario_says_so():
    assert job(device=profile(thermal=STAYS_SLOW), seconds=10.0) == (2.0, 12.0, 20.0)


def test_a_job_that_trips_goes_on_throttled_from_the_closed_forms_instant():
    ((start_s, end_s, joules),) = jobs(hot(STAYS_SLOW, seconds=10.0)[1])
    slow_s = (10.0 - HEATS_S) / 0.5
    assert (start_s, end_s) == (2.0, pytest.approx(2.0 + HEATS_S + slow_s, rel=1e-12))
    assert joules == pytest.approx(BUSY_W * (HEATS_S + 0.25 * slow_s), rel=1e-12)


def test_after_a_trip_the_temperature_is_that_of_the_closed_form():
    sim, _ = hot(STAYS_SLOW, seconds=10.0)
    slow_s = (10.0 - HEATS_S) / 0.5
    at_end_c = 35.0 + (45.0 - 35.0) * math.exp(-slow_s / TAU_S)
    after_c = 30.0 + (at_end_c - 30.0) * math.exp(-1.0 / TAU_S)  # an upload of 1 s
    assert sim.machines.temperature_c(sim.fleet.device(0), sim.now_s) == pytest.approx(after_c, rel=1e-12)


def test_a_job_that_ends_before_the_trip_leaves_the_device_warm_and_fast():
    sim, timeline = hot(STAYS_SLOW, seconds=1.0)
    assert jobs(timeline) == [(2.0, 3.0, 2.0)]
    warm_c = 50.0 - 20.0 * math.exp(-1.0 / TAU_S)
    assert sim.machines.temperature_c(sim.fleet.device(0), 3.0) == pytest.approx(warm_c, rel=1e-12)


def test_a_job_alternates_between_limit_and_resume():
    turns = 4
    ((_, end_s, joules),) = jobs(hot(ALTERNATES, seconds=HEATS_S + turns * 1.5 * TURN_S)[1])
    assert end_s == pytest.approx(2.0 + HEATS_S + turns * 2 * TURN_S, rel=1e-12)
    assert joules == pytest.approx(BUSY_W * (HEATS_S + turns * 1.25 * TURN_S), rel=1e-12)


def test_a_long_job_runs_at_the_sustained_speed():
    ((start_s, end_s, _),) = jobs(hot(ALTERNATES, seconds=10_000.0)[1])
    assert 10_000.0 / (end_s - start_s) == pytest.approx(sustained_speed(ALTERNATES, (IDLE_W, BUSY_W)), rel=1e-3)


def test_a_device_cools_while_it_is_away_and_trips_later():
    _, timeline = hot(STAYS_SLOW, seconds=10.0, gone=(4.0, 6.0))
    first_c = 50.0 - 20.0 * math.exp(-2.0 / TAU_S)
    again_c = 30.0 + (first_c - 30.0) * math.exp(-2.0 / TAU_S)
    heats_s = TAU_S * math.log((50.0 - again_c) / 5.0)
    assert jobs(timeline)[1][:2] == (6.0, pytest.approx(6.0 + heats_s + (8.0 - heats_s) / 0.5, rel=1e-12))


def test_a_device_begins_its_next_round_as_hot_as_it_is():
    _, timeline = hot(STAYS_SLOW, seconds=10.0, rounds=2)
    (_, end_s, _), (start_s, _, joules) = jobs(timeline)
    assert start_s == end_s + 3.0  # upload, download
    slow_s = (10.0 - HEATS_S) / 0.5
    end_c = 35.0 + 10.0 * math.exp(-slow_s / TAU_S)
    cools_s = TAU_S * math.log((end_c - 30.0) / 4.0)
    assert cools_s < 3.0  # it is at full speed again
    now_c = 30.0 + 4.0 * math.exp(-(3.0 - cools_s) / TAU_S)
    fast_s = TAU_S * math.log((50.0 - now_c) / 5.0)
    assert joules == pytest.approx(BUSY_W * (fast_s + 0.25 * (10.0 - fast_s) / 0.5), rel=1e-9)


# --- RAM ----------------------------------------------------------------------------------------------------------
SMALL = profile(memory=100.0, storage=100.0)


@pytest.mark.parametrize("policy", ["restart", "resume", "partial"])
def test_a_job_whose_ram_is_taken_starts_over_when_there_is_room(policy):
    _, timeline = run(device=SMALL, needs=60.0, policy=policy, memory=Stairs([(3.0, 0.5), (8.0, 0.6)]))
    assert busy(timeline)[1:] == [
        (0, "compute", 2.0, 3.0, 0, "cut"),
        (0, "mark", 3.0, 3.0, 0, "oom"),
        (0, "wait", 3.0, 8.0, 0, "done"),
        (0, "compute", 8.0, 11.0, 0, "done"),
        (0, "upload", 11.0, 12.0, 10, "done"),
    ]


def test_discard_ends_the_task_whose_ram_is_taken():
    sim, timeline = run(device=SMALL, needs=60.0, policy="discard", memory=Stairs([(3.0, 0.5), (8.0, 0.6)]))
    assert (marks(timeline), sim.now_s) == ([(3.0, "oom")], 3.0)


def test_ram_counts_only_while_a_job_needs_it():
    _, timeline = run(device=SMALL, needs=60.0, memory=Stairs([(1.0, 0.1), (2.0, 1.0), (5.0, 0.1)]))
    assert [row[1:4] for row in busy(timeline)] == [("download", 0.0, 2.0), ("compute", 2.0, 5.0), ("upload", 5.0, 6.0)]


def test_a_job_does_not_start_before_there_is_ram_for_it():
    _, timeline = run(device=SMALL, needs=60.0, memory=Stairs([(1.0, 0.1), (4.0, 0.7)]))
    assert (marks(timeline), jobs(timeline)) == ([(2.0, "oom")], [(4.0, 7.0, 6.0)])


def test_a_device_without_ram_is_refused_and_asked_again_when_it_has_some():
    _, timeline = run(device=SMALL, needs=60.0, memory=Stairs([(0.0, 0.5), (4.0, 0.55), (7.0, 1.0)]))
    assert (marks(timeline), jobs(timeline)) == ([(0.0, "oom"), (4.0, "oom")], [(9.0, 12.0, 6.0)])


# --- Storage ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("policy", ["discard", "restart", "resume", "partial"])
def test_a_task_whose_files_are_evicted_is_over(policy):
    sim, timeline = run(device=SMALL, policy=policy, storage=Stairs([(3.0, 0.1), (4.0, 1.0)]))
    assert (marks(timeline), sim.now_s) == ([(3.0, "storage")], 3.0)


def test_files_that_still_fit_stay():
    assert job(device=SMALL, storage=Stairs([(3.0, 0.2)])) == (2.0, 5.0, 6.0)


def test_files_are_evicted_while_the_device_is_away_too():
    sim, timeline = run(device=SMALL, gone=(2.5, 9.0), storage=Stairs([(3.0, 0.1), (4.0, 1.0)]))
    assert (marks(timeline), sim.now_s) == ([(3.0, "storage")], 3.0)


def test_a_device_without_room_for_what_it_is_sent_is_refused_and_asked_again():
    _, timeline = run(device=SMALL, storage=Stairs([(0.0, 0.1), (4.0, 1.0)]))
    assert (marks(timeline), jobs(timeline)) == ([(0.0, "storage")], [(6.0, 9.0, 6.0)])


# --- What methods see ------------------------------------------------------------------------------------------------
def seen(**dynamics):
    """Return the device that a method is shown at 0 s, and what its quote says."""
    heard = []

    def plan(ctx, state, device):
        work = Work(down=(state.model,), up=(train(state.model, ctx.shard(device)),))
        heard.append((device, ctx.quote(device, work)))
        return work

    simulate(Sync(1, 1), Toy(plan), fleet=Fleet((Group(SMALL, SLOW, 1),), 1), dynamics=Dynamics(**dynamics))
    return heard[0]


LESS = {"speed": Stairs([(0.0, 0.5)]), "memory": Stairs([(0.0, 0.7)]), "storage": Stairs([(0.0, 0.8)])}


def test_a_method_sees_what_a_device_has_left():
    device, _ = seen(**LESS)
    assert (device.now.speed, device.memory_bytes, device.storage_bytes) == (0.5, 70.0, 80.0)


def test_a_method_sees_what_the_clock_leaves():
    device, _ = seen(clock=Clock(Script({0: (0.0,)}), speed=0.25, power=0.1), speed=Stairs([(0.0, 0.5)]))
    assert device.now.speed == 0.125


def test_where_devices_do_not_report_a_method_sees_what_the_profile_says():
    device, quote = seen(**LESS, reported=False)
    assert (device.now, quote.seconds) == (NOMINAL, 6.0)


def test_a_quote_divides_by_the_speed():
    assert seen(**LESS)[1].seconds == 2.0 + 3.0 / 0.5 + 1.0


def test_a_quote_for_a_device_that_stands_still_is_endless():
    assert seen(speed=Stairs([(0.0, 0.0), (9.0, 1.0)]))[1].seconds == math.inf


def test_a_throttled_device_reports_its_speed():
    speeds = []

    def plan(ctx, state, device):
        speeds.append(device.now.speed)
        return Work(down=(), up=(train(ctx.shard(device), seconds=10.0, nbytes=0, tag=state.merges),))

    fleet = Fleet((Group(profile(thermal=STAYS_SLOW), SLOW, 1),), 1)
    simulate(Sync(2, 1), Toy(plan), fleet=fleet, dynamics=Dynamics(heat=True))
    assert speeds == [1.0, 0.5]
