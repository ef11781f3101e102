"""Uploads that arrive broken are refused, billed and sent again: whole logs in a world of round numbers."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from fedsim.fleet import Dynamics, Failures
from fedsim.fleet.failures import Arrival
from fedsim.sim import Sync
from fedsim.sim.task import DIGEST_BYTES
from tests.sim.toys import Script, Toy, busy, log, simulate

NBYTES = 10 + DIGEST_BYTES  # at 10 bytes/s: 4.2 s from 5 s on


def failing(*arrivals, corrupted=0.0, truncated=0.0, retries=2):
    """Return failures under which the uploads of device 0 at version 0 arrive as said, then whole."""
    arrivals = (*arrivals, True)
    for seed in range(10_000):
        found = Failures(corrupted=corrupted, truncated=truncated, retries=retries, seed=seed)
        if [found.arrives((0, 0), 0, attempt).whole for attempt in range(len(arrivals))] == list(arrivals):
            return found
    raise AssertionError


def run(failures, *, policy="resume", schedule=None, gone=(), cut_off=(), method=None):
    dynamics = Dynamics(failures=failures, network=Script({0: cut_off}))
    return simulate(
        schedule or Sync(1, 1), method, availability=Script({0: gone}), on_dropout=policy, dynamics=dynamics
    )


def uploads(timeline):
    """Return (start, end, bytes, joules, outcome) of the device's uploads."""
    return [row[3:] for row in log(timeline) if row[1] == "upload"]


def upload(start_s, end_s, nbytes, outcome):
    return (pytest.approx(start_s), pytest.approx(end_s), nbytes, pytest.approx(4.0 * (end_s - start_s)), outcome)


def test_an_upload_that_is_checked_carries_its_digest():
    _, timeline = run(failing(corrupted=0.5))
    assert uploads(timeline) == [upload(5.0, 9.2, NBYTES, "done")]


def test_where_nothing_can_break_nothing_is_checked():
    _, timeline = run(Failures(retries=5))
    assert uploads(timeline) == [upload(5.0, 6.0, 10, "done")]


def test_a_corrupted_upload_is_sent_again_over_the_open_connection():
    _, timeline = run(failing(False, corrupted=0.5))
    assert uploads(timeline) == [upload(5.0, 9.2, NBYTES, "lost"), upload(9.2, 13.4, NBYTES, "done")]


def test_a_truncated_upload_sends_its_share_and_then_all():
    failures = failing(False, truncated=0.5)
    part = math.ceil(NBYTES * failures.arrives((0, 0), 0, 0).share)
    assert 0 < part < NBYTES
    _, timeline = run(failures)
    cut_s = 5.0 + part / 10.0
    assert uploads(timeline) == [upload(5.0, cut_s, part, "lost"), upload(cut_s, cut_s + 4.2, NBYTES, "done")]


def test_a_reply_that_arrives_at_last_is_merged():
    method = Toy()
    run(failing(False, False, corrupted=0.5), method=method)
    assert [reply.device for replies in method.heard for reply in replies] == [0]


def test_only_the_refused_uploads_of_a_reply_that_arrives_are_wasted():
    sim, _ = run(failing(False, corrupted=0.5))
    totals = sim.recorder.totals
    assert (totals.up_bytes, totals.wasted_bytes) == (2 * NBYTES, NBYTES)
    assert (totals.wasted_s, totals.wasted_j) == pytest.approx((4.2, 4.0 * 4.2))


def test_after_the_last_retry_the_task_is_lost_and_all_of_it_wasted():
    method = Toy()
    sim, timeline = run(Failures(corrupted=1.0, retries=2), method=method)
    ends_s = [5.0, 9.2, 13.4, 17.6]
    assert log(timeline) == [
        (0, "download", "", 0.0, 2.0, 20, 6.0, "lost"),
        (0, "idle", "", 0.0, pytest.approx(17.6), 0, pytest.approx(17.6), "lost"),
        (0, "compute", "train", 2.0, 5.0, 0, 6.0, "lost"),
        *((0, "upload", "", *upload(start_s, end_s, NBYTES, "lost")) for start_s, end_s in pairwise(ends_s)),
    ]
    totals = sim.recorder.totals
    assert (method.heard, totals.wasted_bytes, totals.wasted_j) == ([], 20 + 3 * NBYTES, pytest.approx(totals.energy_j))


def test_without_retries_one_broken_upload_loses_the_reply():
    _, timeline = run(Failures(corrupted=1.0, retries=0))
    assert uploads(timeline) == [upload(5.0, 9.2, NBYTES, "lost")]


def test_a_deadline_ends_the_retries():
    _, timeline = run(Failures(corrupted=1.0, retries=9), schedule=Sync(1, 1, 10.2))
    assert uploads(timeline) == [upload(5.0, 9.2, NBYTES, "lost"), upload(9.2, 10.2, 10, "late")]


def test_an_upload_that_is_refused_is_resumed_where_a_dropout_cut_it():
    _, timeline = run(failing(False, corrupted=0.5), gone=(7.0, 10.0))
    assert uploads(timeline) == [
        upload(5.0, 7.0, 20, "lost"),
        upload(10.0, 12.2, 22, "lost"),
        upload(12.2, 16.4, NBYTES, "done"),
    ]


def test_restart_repeats_the_cut_try_and_not_those_before():
    _, timeline = run(failing(False, corrupted=0.5), policy="restart", gone=(10.2, 12.0))
    assert uploads(timeline) == [
        upload(5.0, 9.2, NBYTES, "lost"),
        upload(9.2, 10.2, 10, "cut"),
        upload(12.0, 16.2, NBYTES, "done"),
    ]


def test_a_retry_does_not_start_in_an_outage():
    _, timeline = run(failing(False, corrupted=0.5), cut_off=(9.2, 20.0))
    assert uploads(timeline)[-1] == upload(20.0, 24.2, NBYTES, "done")


def test_discard_ends_a_task_in_its_retry():
    _, timeline = run(failing(False, corrupted=0.5), policy="discard", gone=(10.2, 12.0))
    assert busy(timeline)[-1][1:] == ("upload", pytest.approx(9.2), pytest.approx(10.2), 10, "cut")


def test_an_upload_cut_down_to_nothing_is_refused_too(monkeypatch):
    tries = iter([Arrival(0.0, whole=False), Arrival(1.0, whole=True)])
    monkeypatch.setattr(Failures, "arrives", lambda *_: next(tries))
    _, timeline = run(Failures(truncated=1.0))
    assert uploads(timeline) == [upload(5.0, 5.0, 0, "lost"), upload(5.0, 9.2, NBYTES, "done")]
