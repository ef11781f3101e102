"""What a dropout, a crash and an outage do in each phase under each policy: whole logs in a world of round numbers.

Undisturbed, a task downloads from 0 to 2 s, trains from 2 to 5 s, in three passes, and uploads from 5 to 6 s.
"""

from __future__ import annotations

import pytest

from fedsim.fleet import Dynamics, Failures
from fedsim.fleet.failures import Absence
from fedsim.sim import Async, Sync
from fedsim.work import Work
from tests.sim.toys import Script, Toy, busy, learn, learning, log, rows, simulate

POLICIES = ["discard", "restart", "resume", "partial"]
DOWN, UP = (0, "download", 0.0, 2.0, 20, "done"), (0, "upload", 5.0, 6.0, 10, "done")
TRAIN = (0, "compute", 2.0, 5.0, 0, "done")
WHOLE = [DOWN, TRAIN, UP]


def run(policy, *, gone=(), crashed=(), cut_off=(), schedule=None, **world):
    """Run a task of three passes: the device is *gone*, has *crashed* or is *cut_off* from and to these times."""
    method = world.pop("method", None) or Toy(learning)
    away = Script({0: sorted([*gone, *crashed])})
    dynamics = Dynamics(rebooting=Script({0: crashed}), network=Script({0: cut_off}))
    sim, timeline = simulate(
        schedule or Sync(1, 1), method, availability=away, on_dropout=policy, dynamics=dynamics, **world
    )
    return sim, timeline, method


def lived(policy, **troubles):
    return busy(run(policy, **troubles)[1])


def shares(method):
    return [reply.share for replies in method.heard for reply in replies]


def mark(at_s, what):
    return (0, "mark", at_s, at_s, 0, what)


def wait(start_s, end_s, outcome="done"):
    return (0, "wait", start_s, end_s, 0, outcome)


def computed(start_s, end_s, outcome="done"):
    return (0, "compute", start_s, end_s, 0, outcome)


# --- A dropout under partial ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("gone", "expected"),
    [
        (
            (1.0, 10.0),
            [
                (0, "download", 0.0, 1.0, 10, "done"),
                wait(1.0, 10.0),
                (0, "download", 10.0, 11.0, 10, "done"),
                computed(11.0, 14.0),
                (0, "upload", 14.0, 15.0, 10, "done"),
            ],
        ),
        (
            (5.5, 10.0),
            [
                DOWN,
                TRAIN,
                (0, "upload", 5.0, 5.5, 5, "done"),
                wait(5.5, 10.0),
                (0, "upload", 10.0, 10.5, 5, "done"),
            ],
        ),
        (
            (2.5, 10.0),
            [DOWN, computed(2.0, 2.5), wait(2.5, 10.0), computed(10.0, 12.5), (0, "upload", 12.5, 13.5, 10, "done")],
        ),
    ],
    ids=["download", "upload", "before the first pass"],
)
def test_partial_resumes_where_no_pass_is_to_be_had(gone, expected):
    _, timeline, method = run("partial", gone=gone)
    assert (busy(timeline), shares(method)) == (expected, [1.0])


@pytest.mark.parametrize(("gone_s", "passes"), [(3.0, 1), (3.5, 1), (4.0, 2), (4.9, 2)])
def test_partial_sends_the_whole_passes_that_were_done_when_the_device_is_back(gone_s, passes):
    _, timeline, method = run("partial", gone=(gone_s, 10.0))
    assert busy(timeline) == [DOWN, computed(2.0, gone_s), wait(gone_s, 10.0), (0, "upload", 10.0, 11.0, 10, "done")]
    assert shares(method) == [passes / 3]


def test_what_is_sent_of_a_half_done_job_is_the_recipe_with_fewer_passes():
    sim, _, method = run("partial", gone=(4.0, 10.0))
    shard = sim.shard(sim.fleet.device(0))
    assert method.heard[0][0].up == (learn(sim.initial, shard, tag=(0, 0), epochs=2),)


def test_a_device_that_is_gone_for_good_sends_nothing_of_what_it_did():
    _, timeline, method = run("partial", gone=(4.0,))
    assert (busy(timeline)[-1], method.heard) == (computed(2.0, 4.0, "cut"), [])


def test_partial_of_a_job_without_passes_resumes():
    _, timeline, _ = run("partial", gone=(4.0, 10.0), method=Toy())
    assert busy(timeline)[1:] == [
        computed(2.0, 4.0),
        wait(4.0, 10.0),
        computed(10.0, 11.0),
        (0, "upload", 11.0, 12.0, 10, "done"),
    ]


# --- Twice in one step ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("discard", [(0, "download", 0.0, 2.0, 20, "cut"), computed(2.0, 2.5, "cut")]),
        (
            "restart",
            [
                DOWN,
                computed(2.0, 2.5, "cut"),
                wait(2.5, 3.5),
                computed(3.5, 5.0, "cut"),
                wait(5.0, 8.0),
                computed(8.0, 11.0),
                (0, "upload", 11.0, 12.0, 10, "done"),
            ],
        ),
        (
            "resume",
            [
                DOWN,
                computed(2.0, 2.5),
                wait(2.5, 3.5),
                computed(3.5, 5.0),
                wait(5.0, 8.0),
                computed(8.0, 9.0),
                (0, "upload", 9.0, 10.0, 10, "done"),
            ],
        ),
        (
            "partial",
            [
                DOWN,
                computed(2.0, 2.5),
                wait(2.5, 3.5),
                computed(3.5, 5.0),
                wait(5.0, 8.0),
                (0, "upload", 8.0, 9.0, 10, "done"),
            ],
        ),
    ],
)
def test_two_dropouts_in_one_job(policy, expected):
    assert lived(policy, gone=(2.5, 3.5, 5.0, 8.0)) == expected


@pytest.mark.parametrize(
    ("policy", "parts"),
    [
        ("restart", [(0.0, 0.5, 5, "cut"), (1.0, 1.5, 5, "cut"), (2.0, 4.0, 20, "done")]),
        ("resume", [(0.0, 0.5, 5, "done"), (1.0, 1.5, 5, "done"), (2.0, 3.0, 10, "done")]),
        ("partial", [(0.0, 0.5, 5, "done"), (1.0, 1.5, 5, "done"), (2.0, 3.0, 10, "done")]),
    ],
)
def test_two_dropouts_in_one_download(policy, parts):
    found = lived(policy, gone=(0.5, 1.0, 1.5, 2.0))
    assert [row[2:] for row in found if row[1] == "download"] == parts


# --- During the server's merge ------------------------------------------------------------------------------
@pytest.mark.parametrize("policy", POLICIES)
def test_a_dropout_during_the_servers_merge_keeps_the_device_from_the_next_round_alone(policy):
    _, timeline, _ = run(policy, gone=(8.0, 20.0), schedule=Sync(2, 1), method=Toy(learning, merge_s=5.0))
    assert busy(timeline) == [
        *WHOLE,
        (0, "download", 20.0, 22.0, 20, "done"),
        computed(22.0, 25.0),
        (0, "upload", 25.0, 26.0, 10, "done"),
    ]


# --- At the very instant of a deadline -----------------------------------------------------------------------
@pytest.mark.parametrize("policy", ["discard", "restart", "resume"])
@pytest.mark.parametrize("schedule", [Sync(1, 1, 4.0), Async(1, 1, deadline_s=4.0)], ids=["sync", "async"])
def test_a_dropout_at_the_very_deadline_finds_the_task_ended(policy, schedule):
    _, timeline, _ = run(policy, gone=(4.0, 10.0), schedule=schedule, stop_s=9.0)
    assert busy(timeline)[:2] == [(0, "download", 0.0, 2.0, 20, "late"), computed(2.0, 4.0, "late")]


@pytest.mark.parametrize("policy", ["discard", "restart", "resume"])
def test_what_ends_at_the_very_deadline_and_dropout_has_ended(policy):
    _, timeline, method = run(policy, gone=(6.0, 10.0), schedule=Sync(1, 1, 6.0))
    assert (busy(timeline), shares(method)) == (WHOLE, [1.0])


def test_a_crash_at_the_very_deadline_leaves_no_mark():
    _, timeline, _ = run("resume", crashed=(4.0, 10.0), schedule=Sync(1, 1, 4.0))
    assert [row[1] for row in busy(timeline)] == ["download", "compute"]


# --- Partial before a deadline -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("deadline_s", "stop_s", "passes"),
    [(4.0, 3.0, 1), (5.0, 3.9, 1), (5.5, 4.4, 2), (6.0, 4.9, 2)],
)
def test_partial_stops_in_time_to_send_what_is_done(deadline_s, stop_s, passes):
    _, timeline, method = run("partial", schedule=Sync(1, 1, deadline_s))
    up_s = pytest.approx(stop_s + 1.0)
    assert busy(timeline) == [
        DOWN,
        (0, "compute", 2.0, pytest.approx(stop_s), 0, "done"),
        (0, "upload", pytest.approx(stop_s), up_s, 10, "done"),
    ]
    assert shares(method) == [passes / 3]


def test_partial_does_all_passes_if_there_is_time():
    _, timeline, method = run("partial", schedule=Sync(1, 1, 6.2))
    assert (busy(timeline), shares(method)) == (WHOLE, [1.0])


def test_partial_does_a_first_pass_even_if_its_reply_will_be_late():
    _, timeline, _ = run("partial", schedule=Sync(1, 1, 3.5))
    assert busy(timeline)[1:] == [computed(2.0, 3.0, "late"), (0, "upload", 3.0, 3.5, 5, "late")]


@pytest.mark.parametrize("policy", ["discard", "restart", "resume"])
def test_only_partial_stops_before_a_deadline(policy):
    assert lived(policy, schedule=Sync(1, 1, 5.5))[1:] == [
        computed(2.0, 5.0, "late"),
        (0, "upload", 5.0, 5.5, 5, "late"),
    ]


def test_partial_after_an_absence_still_stops_before_the_deadline():
    _, timeline, method = run("partial", gone=(2.5, 3.0), schedule=Sync(1, 1, 6.0))
    assert busy(timeline) == [
        DOWN,
        computed(2.0, 2.5),
        wait(2.5, 3.0),
        (0, "compute", 3.0, pytest.approx(4.9), 0, "done"),
        (0, "upload", pytest.approx(4.9), pytest.approx(5.9), 10, "done"),
    ]
    assert shares(method) == [2 / 3]


def test_partial_stops_however_little_of_the_clock_a_pass_is():
    """After years the clock's rounding is more than a share of a pass can forgive: no alarm may ring for ever."""

    def late(ctx, state, device):
        made = learn(state.model, ctx.shard(device), epochs=2, seconds=1e-3, tag=state.merges)
        return Work(down=(state.model,), up=(made,)) if ctx.now_s else None

    for back_s in (1e8, 1e8 + 0.1, 3e8 + 0.7):
        _, _, method = run("partial", gone=(1e-3, back_s), schedule=Sync(1, 1, 3.05), method=Toy(late))
        assert shares(method) == [0.5]


# --- A crash ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("policy", ["restart", "resume", "partial"])
@pytest.mark.parametrize(
    ("crash_s", "expected"),
    [
        (
            1.0,
            [
                (0, "download", 0.0, 1.0, 10, "cut"),
                mark(1.0, "crash"),
                wait(1.0, 10.0),
                (0, "download", 10.0, 12.0, 20, "done"),
                computed(12.0, 15.0),
                (0, "upload", 15.0, 16.0, 10, "done"),
            ],
        ),
        (
            4.5,
            [
                DOWN,
                computed(2.0, 4.5, "cut"),
                mark(4.5, "crash"),
                wait(4.5, 10.0),
                computed(10.0, 13.0),
                (0, "upload", 13.0, 14.0, 10, "done"),
            ],
        ),
        (
            5.5,
            [
                DOWN,
                TRAIN,
                (0, "upload", 5.0, 5.5, 5, "cut"),
                mark(5.5, "crash"),
                wait(5.5, 10.0),
                (0, "upload", 10.0, 11.0, 10, "done"),
            ],
        ),
    ],
    ids=["download", "compute", "upload"],
)
def test_after_a_crash_the_step_starts_over(policy, crash_s, expected):
    assert lived(policy, crashed=(crash_s, 10.0)) == expected


@pytest.mark.parametrize("crash_s", [1.0, 4.0, 5.5])
def test_discard_ends_the_task_at_a_crash(crash_s):
    sim, timeline, _ = run("discard", crashed=(crash_s, 10.0))
    assert [(row[1], row[3], row[5]) for row in busy(timeline)][-2:].count(("mark", crash_s, "crash")) == 1
    assert sim.now_s == crash_s


def test_what_was_done_before_an_earlier_dropout_is_lost_in_a_crash_too():
    sim, timeline, _ = run("resume", gone=(3.0, 3.5), crashed=(4.0, 10.0))
    assert [row for row in busy(timeline) if row[1] == "compute"] == [
        computed(2.0, 3.0, "cut"),
        computed(3.5, 4.0, "cut"),
        computed(10.0, 13.0),
    ]
    assert sim.recorder.totals.wasted_s == 1.5


def test_a_crash_while_the_device_waits_for_its_network_takes_what_had_been_sent():
    _, timeline, _ = run("resume", cut_off=(5.5, 12.0), crashed=(7.0, 9.0))
    assert busy(timeline)[2:] == [
        (0, "upload", 5.0, 5.5, 5, "cut"),
        mark(5.5, "outage"),
        wait(5.5, 12.0),
        mark(7.0, "crash"),
        mark(9.0, "outage"),
        (0, "upload", 12.0, 13.0, 10, "done"),
    ]


def test_a_dropout_while_the_device_waits_for_its_network_keeps_what_had_been_sent():
    _, timeline, _ = run("resume", cut_off=(5.5, 12.0), gone=(7.0, 15.0))
    assert busy(timeline)[2:] == [
        (0, "upload", 5.0, 5.5, 5, "done"),
        mark(5.5, "outage"),
        wait(5.5, 15.0),
        (0, "upload", 15.0, 15.5, 5, "done"),
    ]


# --- An outage ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("policy", "parts"),
    [
        ("discard", [(0, "download", 0.0, 1.0, 10, "cut"), mark(1.0, "outage")]),
        (
            "restart",
            [
                (0, "download", 0.0, 1.0, 10, "cut"),
                mark(1.0, "outage"),
                wait(1.0, 10.0),
                (0, "download", 10.0, 12.0, 20, "done"),
            ],
        ),
        (
            "resume",
            [
                (0, "download", 0.0, 1.0, 10, "done"),
                mark(1.0, "outage"),
                wait(1.0, 10.0),
                (0, "download", 10.0, 11.0, 10, "done"),
            ],
        ),
    ],
)
def test_an_outage_cuts_a_transfer(policy, parts):
    assert lived(policy, cut_off=(1.0, 10.0))[:4] == parts


@pytest.mark.parametrize("policy", POLICIES)
def test_an_outage_that_is_over_before_the_job_is_passes_unnoticed(policy):
    assert lived(policy, cut_off=(3.0, 4.0)) == WHOLE


@pytest.mark.parametrize("policy", ["restart", "resume", "partial"])
def test_no_transfer_starts_in_an_outage(policy):
    assert lived(policy, cut_off=(3.0, 8.0)) == [
        DOWN,
        TRAIN,
        mark(5.0, "outage"),
        wait(5.0, 8.0),
        (0, "upload", 8.0, 9.0, 10, "done"),
    ]


def test_discard_ends_the_task_that_would_send_in_an_outage():
    sim, timeline, _ = run("discard", cut_off=(3.0, 8.0))
    assert (busy(timeline)[1:], sim.now_s) == ([computed(2.0, 5.0, "cut"), mark(5.0, "outage")], 5.0)


@pytest.mark.parametrize("policy", POLICIES)
def test_an_outage_without_end_ends_the_task(policy):
    sim, timeline, _ = run(policy, cut_off=(3.0,))
    assert (busy(timeline)[1:], sim.now_s) == ([computed(2.0, 5.0, "cut"), mark(5.0, "outage")], 5.0)


def test_an_outage_at_the_very_end_of_a_transfer_comes_too_late():
    assert lived("discard", cut_off=(6.0, 8.0)) == WHOLE


# --- An absence drawn for the task -------------------------------------------------------------------------------
def test_an_absence_begins_at_its_share_of_the_tasks_predicted_time():
    failures = Failures(dropout=1.0, back_s=4.0, seed=3)
    share, seconds = failures.absence((0, 0), 0)
    cut_s = 7.0 * share  # 2 s down, 3 s of training and, as large as what came, 2 s up
    sim, timeline = simulate(Sync(1, 1), dynamics=Dynamics(failures=failures))
    (waited,) = [row for row in rows(timeline) if row["kind"] == "wait"]
    assert (waited["start_s"], waited["end_s"]) == pytest.approx((cut_s, cut_s + seconds))
    assert sim.now_s == pytest.approx(6.0 + seconds)


def test_an_absence_of_an_errand_that_takes_no_time_comes_at_once(monkeypatch):
    monkeypatch.setattr(Failures, "absence", lambda *_: Absence(0.0, 4.0))
    sim, timeline = simulate(Sync(1, 1), dynamics=Dynamics(failures=Failures(dropout=1.0)))
    assert [row for row in busy(timeline) if row[1] == "wait"] == [wait(0.0, 4.0)]
    assert sim.now_s == 10.0


@pytest.mark.parametrize("policy", POLICIES)
def test_idle_power_is_billed_from_asked_to_released_whatever_happens(policy):
    sim, timeline, _ = run(policy, gone=(4.0, 10.0))
    assert [row[3:7] for row in log(timeline) if row[1] == "idle"] == [(0.0, sim.now_s, 0, sim.now_s)]
