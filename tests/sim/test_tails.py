"""What a radio takes while it sends, and after: whole logs in a world of round numbers."""

from __future__ import annotations

import pytest

from fedsim.fleet import Fleet, Group, Link, Topology
from fedsim.fleet.radio import Line, Radio
from fedsim.sim import Async, Sync
from fedsim.work import Work
from tests.sim.toys import SLOW, Script, Toy, log, plain_plan, profile, simulate, train

RADIO = Radio(tx=Line(4.0, 0.5), rx=Line(3.0, 0.25), tail=((2.0, 1.0), (1.0, 3.0)))  # the tail takes 4 s and 5 J
DOWNLOAD = (0, "download", "", 0.0, 2.0, 20, 11.0, "done")
UPLOAD = (0, "upload", "", 5.0, 6.0, 10, 9.0, "done")


def run(schedule=None, *, radio=RADIO, link=SLOW, devices=1, merge_s=0.0, **world):
    fleet = Fleet((Group(profile(radio=radio), link, devices),), 1)
    return simulate(schedule or Sync(1, 1), world.pop("method", Toy(merge_s=merge_s)), fleet=fleet, **world)


def tails(timeline):
    return [(row[0], *row[3:5], *row[6:]) for row in log(timeline) if row[1] == "tail"]


# --- power by rate ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("link", "server", "seconds", "joules"),
    [
        (SLOW, 1e9, 2.0, 3 * 2.0 + 20 * 0.25),
        (Link("fast", 40.0, 40.0, 0.0), 1e9, 0.5, 3 * 0.5 + 20 * 0.25),
        (Link("far", 10.0, 10.0, 0.5), 1e9, 2.5, 3 * 2.5 + 20 * 0.25),
        (SLOW, 5.0, 4.0, 3 * 4.0 + 20 * 0.25),
    ],
)
def test_a_transfer_draws_its_intercept_for_its_time_and_its_slope_for_its_bytes(link, server, seconds, joules):
    _, timeline = run(link=link, topology=Topology(Link("server", server, server, 0.0)))
    assert log(timeline)[0] == (0, "download", "", 0.0, seconds, 20, joules, "done")


def test_a_cut_transfer_draws_for_the_bytes_that_crossed():
    _, timeline = run(availability=Script({0: (1.0,)}), on_dropout="discard")
    assert log(timeline)[0] == (0, "download", "", 0.0, 1.0, 10, 3.0 + 2.5, "cut")


# --- tails ----------------------------------------------------------------------------------------------
def test_a_radio_stays_awake_beside_the_computing_until_the_upload_and_after_it_until_its_tail_is_over():
    sim, timeline = run(merge_s=10.0)
    assert log(timeline) == [
        DOWNLOAD,
        (0, "idle", "", 0.0, 6.0, 0, 6.0, "done"),
        (0, "compute", "train", 2.0, 5.0, 0, 6.0, "done"),
        (0, "tail", "", 2.0, 5.0, 0, 4.0, "done"),
        UPLOAD,
        (0, "tail", "", 6.0, 10.0, 0, 5.0, "done"),
    ]
    assert (sim.now_s, sim.recorder.totals.energy_j) == (16.0, 41.0)


def test_a_tail_names_the_link_and_the_version_of_its_task():
    _, timeline = run(Sync(2, 1), merge_s=10.0)
    found = timeline.table.select(["kind", "link", "version", "place"]).to_pylist()
    assert [row for row in found if row["kind"] == "tail"] == [
        {"kind": "tail", "link": "slow", "version": version, "place": "device-0"} for version in (0, 0, 1, 1)
    ]


def test_the_next_task_cuts_a_tail_where_its_download_begins():
    _, timeline = run(Sync(2, 1), merge_s=2.0)
    assert tails(timeline) == [
        (0, 2.0, 5.0, 4.0, "done"),
        (0, 6.0, 8.0, 3.0, "done"),
        (0, 10.0, 13.0, 4.0, "done"),
        (0, 14.0, 16.0, 3.0, "done"),
    ]


def test_a_task_that_follows_at_once_leaves_no_tail():
    _, timeline = run(Sync(2, 1))
    assert tails(timeline) == [(0, 2.0, 5.0, 4.0, "done"), (0, 8.0, 11.0, 4.0, "done")]


def test_the_end_of_the_run_cuts_a_tail():
    sim, timeline = run(merge_s=2.0)
    assert (sim.now_s, tails(timeline)[-1]) == (8.0, (0, 6.0, 8.0, 3.0, "done"))


def test_the_stop_time_cuts_a_tail():
    _, timeline = run(merge_s=50.0, stop_s=7.0)
    assert tails(timeline)[-1] == (0, 6.0, 7.0, 2.0, "late")


def test_a_device_that_drops_out_after_its_task_takes_its_radio_along():
    _, timeline = run(merge_s=10.0, availability=Script({0: (6.5, 7.0)}))
    assert tails(timeline)[-1] == (0, 6.0, 6.5, 1.0, "done")


@pytest.mark.parametrize("policy", ["restart", "resume"])
def test_a_dropout_while_computing_ends_the_tail_for_good(policy):
    _, timeline = run(availability=Script({0: (3.0, 10.0)}), on_dropout=policy)
    assert tails(timeline) == [(0, 2.0, 3.0, 2.0, "done")]


def test_a_task_discarded_wastes_its_tail_too():
    sim, timeline = run(availability=Script({0: (3.0, 10.0)}), on_dropout="discard")
    assert tails(timeline) == [(0, 2.0, 3.0, 2.0, "cut")]
    assert sim.recorder.totals.wasted_j == 11.0 + 2.0 + 2.0 + 3.0


def test_a_transfer_that_a_dropout_cuts_has_no_tail():
    _, timeline = run(availability=Script({0: (1.0, 10.0)}), on_dropout="discard")
    assert tails(timeline) == []


def test_an_upload_that_a_deadline_cuts_has_a_tail():
    _, timeline = run(Sync(1, 2, deadline_s=5.5), devices=2, method=Toy(_slow_second, merge_s=9.0))
    assert tails(timeline) == [
        (0, 2.0, 4.0, 3.0, "done"),
        (1, 2.0, 5.0, 4.0, "late"),
        (0, 5.0, 9.0, 5.0, "done"),
        (1, 5.5, 9.5, 5.0, "late"),
    ]


def _slow_second(ctx, state, device):
    """Send device 0's reply up by 5 s; device 1 is as slow as ever."""

    seconds = 2.0 if device.id == 0 else 3.0
    return Work(down=(state.model,), up=(train(state.model, ctx.shard(device), seconds=seconds, tag=device.id),))


def test_the_tail_of_a_reply_that_no_merge_used_is_wasted():
    sim, timeline = run(Sync(1, 1, over_select=2.0), devices=2, merge_s=10.0)
    assert {(row[0], row[4]) for row in tails(timeline)} == {(0, "done"), (1, "late")}
    assert sim.recorder.totals.wasted_j == 41.0


def test_a_tail_that_is_over_before_its_reply_is_merged_waits_for_the_outcome():
    _, timeline = run(Async(1, 1, buffer=2), method=Toy())
    assert tails(timeline) == [(0, 2.0, 5.0, 4.0, "done"), (0, 8.0, 11.0, 4.0, "done")]


def test_published_totals_count_a_tail_once_it_is_over():
    sim, _ = run(Sync(2, 1), merge_s=10.0)
    heard = [(news.at_s, news.totals["energy_j"]) for news in sim._observer.heard]
    assert heard == [(0.0, 0.0), (16.0, 41.0), (32.0, 82.0)]


# --- quotes ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("up", "joules"), [(True, 41.0), (False, 11.0 + 5.0 + 2.0)])
def test_a_quote_holds_the_tails_the_last_one_in_full(up, joules):
    seen = []

    def asking(ctx, state, device):
        work = plain_plan(ctx, state, device)
        seen.append(ctx.quote(device, work if up else Work(down=work.down, up=())))
        return work

    run(method=Toy(asking), merge_s=10.0)
    assert seen[0].joules == joules
