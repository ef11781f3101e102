"""What a dropout cuts, and how discard, restart and resume go on: whole logs in a world of round numbers."""

from __future__ import annotations

import pytest

from fedsim.fleet import Fleet, Group, Link
from fedsim.sim import Async, Sync
from fedsim.work import Work
from tests.sim.toys import Script, Toy, busy, log, make, profile, simulate, train

DOWNLOAD, COMPUTE, UPLOAD = (1.0, 10.0), (4.0, 10.0), (5.5, 10.0)  # a dropout while ..., and the return at 10 s


def outcome(timeline):
    return next(row[7] for row in log(timeline) if row[1] == "idle")


def run(policy, *changes, schedule=None, **world):
    return simulate(schedule or Sync(1, 1), availability=Script({0: changes}), on_dropout=policy, **world)


# --- discard --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "last"),
    [
        (DOWNLOAD, (0, "download", "", 0.0, 1.0, 10, 3.0, "cut")),
        (COMPUTE, (0, "compute", "train", 2.0, 4.0, 0, 4.0, "cut")),
        (UPLOAD, (0, "upload", "", 5.0, 5.5, 5, 2.0, "cut")),
    ],
)
def test_discard_ends_the_task_and_bills_the_part_that_was_done(changes, last):
    _, timeline = run("discard", *changes)
    assert [row for row in log(timeline) if row[1] != "idle"][-1] == last


def test_discard_wastes_everything_done_for_the_task():
    sim, timeline = run("discard", *COMPUTE)
    assert log(timeline) == [
        (0, "download", "", 0.0, 2.0, 20, 6.0, "cut"),
        (0, "idle", "", 0.0, 4.0, 0, 4.0, "cut"),
        (0, "compute", "train", 2.0, 4.0, 0, 4.0, "cut"),
    ]
    totals = sim.recorder.totals
    assert (totals.wasted_s, totals.wasted_bytes, totals.wasted_j, totals.energy_j) == (4.0, 20, 14.0, 14.0)


def test_discard_in_a_round_of_its_own_ends_the_round_without_a_merge():
    method = Toy()
    sim, _ = run("discard", *COMPUTE, method=method)
    assert (method.heard, sim.rounds_done, sim.now_s) == ([], 1, 4.0)


# --- restart ----------------------------------------------------------------------------------------------
def test_restart_repeats_a_cut_download():
    _, timeline = run("restart", *DOWNLOAD)
    assert busy(timeline) == [
        (0, "download", 0.0, 1.0, 10, "cut"),
        (0, "wait", 1.0, 10.0, 0, "done"),
        (0, "download", 10.0, 12.0, 20, "done"),
        (0, "compute", 12.0, 15.0, 0, "done"),
        (0, "upload", 15.0, 16.0, 10, "done"),
    ]


def test_restart_repeats_a_cut_job_and_keeps_the_download():
    sim, timeline = run("restart", *COMPUTE)
    assert log(timeline) == [
        (0, "download", "", 0.0, 2.0, 20, 6.0, "done"),
        (0, "idle", "", 0.0, 14.0, 0, 14.0, "done"),
        (0, "compute", "train", 2.0, 4.0, 0, 4.0, "cut"),
        (0, "wait", "", 4.0, 10.0, 0, 0.0, "done"),
        (0, "compute", "train", 10.0, 13.0, 0, 6.0, "done"),
        (0, "upload", "", 13.0, 14.0, 10, 4.0, "done"),
    ]
    assert (sim.recorder.totals.wasted_s, sim.recorder.totals.wasted_j) == (2.0, 4.0)


def test_restart_repeats_a_cut_upload_and_keeps_the_jobs():
    sim, timeline = run("restart", *UPLOAD)
    assert busy(timeline)[1:] == [
        (0, "compute", 2.0, 5.0, 0, "done"),
        (0, "upload", 5.0, 5.5, 5, "cut"),
        (0, "wait", 5.5, 10.0, 0, "done"),
        (0, "upload", 10.0, 11.0, 10, "done"),
    ]
    assert (sim.recorder.totals.up_bytes, sim.recorder.totals.wasted_bytes) == (15, 5)


def test_restart_repeats_only_the_job_that_was_cut():
    def two_jobs(ctx, state, device):
        first = make(ctx.shard(device), nbytes=1, seconds=2.0)
        return Work(down=(), up=(train(first, seconds=4.0),))

    _, timeline = run("restart", 3.0, 5.0, method=Toy(two_jobs))
    assert [row[2:5] for row in log(timeline) if row[1] == "compute"] == [
        ("make", 0.0, 2.0),
        ("train", 2.0, 3.0),
        ("train", 5.0, 9.0),
    ]


# --- resume -------------------------------------------------------------------------------------------------
def test_resume_goes_on_with_the_bytes_that_are_left():
    sim, timeline = run("resume", *DOWNLOAD)
    assert busy(timeline)[:3] == [
        (0, "download", 0.0, 1.0, 10, "done"),
        (0, "wait", 1.0, 10.0, 0, "done"),
        (0, "download", 10.0, 11.0, 10, "done"),
    ]
    assert (sim.recorder.totals.down_bytes, sim.recorder.totals.wasted_bytes) == (20, 0)


def test_resume_goes_on_with_the_seconds_that_are_left():
    _, timeline = run("resume", *COMPUTE)
    assert log(timeline) == [
        (0, "download", "", 0.0, 2.0, 20, 6.0, "done"),
        (0, "idle", "", 0.0, 12.0, 0, 12.0, "done"),
        (0, "compute", "train", 2.0, 4.0, 0, 4.0, "done"),
        (0, "wait", "", 4.0, 10.0, 0, 0.0, "done"),
        (0, "compute", "train", 10.0, 11.0, 0, 2.0, "done"),
        (0, "upload", "", 11.0, 12.0, 10, 4.0, "done"),
    ]


def test_resume_survives_any_number_of_dropouts():
    _, timeline = run("resume", 1.0, 2.0, 4.0, 5.0, 6.0, 7.0, 8.5, 9.0)
    assert busy(timeline) == [
        (0, "download", 0.0, 1.0, 10, "done"),
        (0, "wait", 1.0, 2.0, 0, "done"),
        (0, "download", 2.0, 3.0, 10, "done"),
        (0, "compute", 3.0, 4.0, 0, "done"),
        (0, "wait", 4.0, 5.0, 0, "done"),
        (0, "compute", 5.0, 6.0, 0, "done"),
        (0, "wait", 6.0, 7.0, 0, "done"),
        (0, "compute", 7.0, 8.0, 0, "done"),
        (0, "upload", 8.0, 8.5, 5, "done"),
        (0, "wait", 8.5, 9.0, 0, "done"),
        (0, "upload", 9.0, 9.5, 5, "done"),
    ]


def test_a_transfer_cut_while_its_connection_opens_has_sent_nothing_and_opens_it_again():
    fleet = Fleet((Group(profile(), Link("far", 10.0, 10.0, 1.0), 1),), 1)
    _, timeline = run("resume", 0.5, 2.0, fleet=fleet)
    assert busy(timeline)[:3] == [
        (0, "download", 0.0, 0.5, 0, "done"),
        (0, "wait", 0.5, 2.0, 0, "done"),
        (0, "download", 2.0, 10.0, 20, "done"),  # two round trips, a request, one way, 20 bytes
    ]


@pytest.mark.parametrize("policy", ["restart", "resume"])
def test_waiting_for_the_return_ends_at_the_deadline(policy):
    _, timeline = run(policy, *COMPUTE, schedule=Sync(1, 1, deadline_s=8.0))
    last = (0, "wait", "", 4.0, 8.0, 0, 0.0, "late")
    assert [row for row in log(timeline) if row[1] != "idle"][-1] == last


@pytest.mark.parametrize("policy", ["restart", "resume"])
def test_a_device_that_never_returns_is_lost_at_once(policy):
    sim, timeline = run(policy, 4.0, schedule=Sync(1, 1, deadline_s=100.0))
    assert ([row[1:] for row in busy(timeline)][-1], sim.now_s) == (("compute", 2.0, 4.0, 0, "cut"), 4.0)


def test_a_dropout_cuts_only_its_own_device():
    _, timeline = simulate(Sync(1, 2), devices=2, availability=Script({0: (4.0, 10.0)}), on_dropout="discard")
    assert [row for row in busy(timeline) if row[0] == 1] == [
        (1, "download", 0.0, 2.0, 20, "done"),
        (1, "compute", 2.0, 5.0, 0, "done"),
        (1, "upload", 5.0, 6.0, 10, "done"),
    ]


def _prepared(ctx, state, device):
    message = make(state.model, nbytes=20, seconds=5.0)
    return Work(down=(message,), up=(train(message, ctx.shard(device)),))


def test_the_server_goes_on_while_the_device_that_waits_for_it_is_away():
    _, timeline = run("resume", 1.0, 7.0, method=Toy(_prepared))
    assert busy(timeline)[:3] == [
        (0, "wait", 0.0, 1.0, 0, "done"),
        (0, "wait", 1.0, 7.0, 0, "done"),
        (0, "download", 7.0, 9.0, 20, "done"),
    ]


def test_a_device_that_returns_before_the_server_is_ready_waits_on():
    _, timeline = run("restart", 1.0, 3.0, method=Toy(_prepared))
    assert busy(timeline)[:4] == [
        (0, "wait", 0.0, 1.0, 0, "cut"),
        (0, "wait", 1.0, 3.0, 0, "done"),
        (0, "wait", 3.0, 5.0, 0, "done"),
        (0, "download", 5.0, 7.0, 20, "done"),
    ]


def test_what_the_server_prepared_for_a_device_that_left_serves_the_next():
    _, timeline = run("discard", 1.0, 7.0, schedule=Sync(2, 1), method=Toy(_prepared))
    assert next(row[3:5] for row in log(timeline, server=True) if row[2] == "make") == (0.0, 5.0)
    assert busy(timeline)[1] == (0, "download", 7.0, 9.0, 20, "done")


# --- One instant -----------------------------------------------------------------------------------------------
def test_at_one_instant_completion_comes_before_the_deadline_and_the_dropout():
    method = Toy()
    _, timeline = run("discard", 6.0, 10.0, schedule=Sync(1, 1, deadline_s=6.0), method=method)
    assert (outcome(timeline), [reply.device for reply in method.heard[0]]) == ("done", [0])


def test_at_one_instant_the_deadline_comes_before_the_dropout():
    _, timeline = run("discard", 4.0, 10.0, schedule=Sync(1, 1, deadline_s=4.0))
    assert outcome(timeline) == "late"


def test_at_one_instant_the_deadline_of_async_comes_before_the_dropout():
    _, timeline = run("discard", 4.0, 10.0, schedule=Async(1, 1, deadline_s=4.0), stop_s=9.0)
    assert log(timeline)[1] == (0, "idle", "", 0.0, 4.0, 0, 4.0, "late")


def test_a_step_that_ends_at_the_very_dropout_is_whole():
    _, timeline = run("resume", 2.0, 7.0)
    assert busy(timeline)[:3] == [
        (0, "download", 0.0, 2.0, 20, "done"),
        (0, "compute", 2.0, 2.0, 0, "done"),
        (0, "wait", 2.0, 7.0, 0, "done"),
    ]


def test_a_device_that_drops_out_at_the_instant_of_its_reply_has_replied():
    _, timeline = run("discard", 6.0)
    assert outcome(timeline) == "done"
