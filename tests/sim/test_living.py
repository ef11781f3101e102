"""What holds in every world in which all changes and goes wrong at once: over random dynamics of random worlds."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings

from fedsim.errors import Stalled
from fedsim.sim.guard import DROPOUT, TROUBLES
from fedsim.timeline.recorder import BUSY
from tests.sim.toys import Toy, overlapping, rows, simulate
from tests.strategies import living_worlds

CLOSE = 1e-9
some = settings(max_examples=25)


def lived(world):
    """Run *world*, passing over those in which nobody takes work; that it comes back is a claim of its own."""
    try:
        sim, timeline = simulate(**world)
    except Stalled:
        assume(False)
    return sim, rows(timeline)


def of_devices(spans, *kinds):
    """Return the spans of some kinds by device."""
    return {
        number: [row for row in spans if row["device"] == number and row["kind"] in kinds]
        for number in {row["device"] for row in spans if row["device"] >= 0}
    }


def stretch(row):
    return row["start_s"], row["end_s"]


@some
@given(living_worlds())
def test_a_run_ends_by_its_stop_and_its_times_go_forward(world):
    sim, spans = lived(world)
    assert sim.now_s <= world["stop_s"]
    assert all(0.0 <= row["start_s"] <= row["end_s"] <= sim.now_s for row in spans)


@some
@given(living_worlds())
def test_bytes_sent_are_bytes_received_and_bytes_cut_and_the_sum_of_spans(world):
    sim, spans = lived(world)
    network = sim.network
    assert network.sent_bytes == network.received_bytes + network.cut_bytes == sum(row["bytes"] for row in spans)


@some
@given(living_worlds())
def test_the_ledger_closes(world):
    sim, spans = lived(world)
    mine = [row for row in spans if row["device"] >= 0]
    wasted = [row for row in mine if row["outcome"] != "done" and row["kind"] != "mark"]
    busy_s = sum(row["end_s"] - row["start_s"] for row in wasted if row["kind"] in BUSY)
    totals = sim.recorder.totals
    assert totals.energy_j == pytest.approx(sum(row["energy_j"] for row in mine), rel=CLOSE)
    assert totals.wasted_j == pytest.approx(sum(row["energy_j"] for row in wasted), rel=CLOSE)
    assert totals.wasted_bytes == sum(row["bytes"] for row in wasted)
    assert totals.wasted_s == pytest.approx(busy_s, rel=CLOSE)


@some
@given(living_worlds())
def test_a_device_does_one_thing_at_a_time_and_has_one_task_at_a_time(world):
    _, spans = lived(world)
    for kinds in (("wait", *BUSY), ("idle",), ("download", "upload", "tail")):
        assert [
            overlapping([stretch(row) for row in mine]) for mine in of_devices(spans, *kinds).values() if mine
        ].count([]) == sum(bool(mine) for mine in of_devices(spans, *kinds).values())


@some
@given(living_worlds())
def test_whatever_a_device_does_is_within_a_task_of_its_own(world):
    _, spans = lived(world)
    tasks = of_devices(spans, "idle")
    for number, mine in of_devices(spans, "wait", *BUSY).items():
        for row in mine:
            inside = [t for t in tasks[number] if t["start_s"] <= row["start_s"] and row["end_s"] <= t["end_s"]]
            assert inside or row["start_s"] == row["end_s"]


@some
@given(living_worlds())
def test_a_device_works_only_while_it_is_there_and_sends_only_while_its_network_is(world):
    _, spans = lived(world)
    network = world["dynamics"].network
    for number, mine in of_devices(spans, *BUSY).items():
        key = world["fleet"].device(number).key
        for row in mine:
            middle_s, end_s = (row["start_s"] + row["end_s"]) / 2, row["end_s"]
            laws = [world["availability"]] + ([network] if row["kind"] != "compute" else [])
            for law in laws if end_s - row["start_s"] > CLOSE else []:
                assert law.online(key, middle_s)
                assert law.next_change(key, middle_s) >= end_s - CLOSE


@some
@given(living_worlds())
def test_a_job_takes_as_long_as_its_speed_says(world):
    """Of a job that was never cut: no faster than at full speed, at the joules of what it did."""
    _, spans = lived(world)
    for mine in of_devices(spans, "compute").values():
        for row in mine:
            most_j = (row["end_s"] - row["start_s"]) * world["fleet"].device(row["device"]).profile.busy_w
            assert row["energy_j"] <= most_j * (1 + CLOSE) + CLOSE


@some
@given(living_worlds())
def test_replies_say_which_share_of_the_passes_was_done(world):
    lived(world)
    epochs = world["method"].plan_.epochs
    for reply in (reply for replies in world["method"].heard for reply in replies):
        passes = reply.share * (epochs or 1)
        assert passes == pytest.approx(round(passes))
        assert 0.0 < reply.share <= 1.0
        assert reply.share == 1.0 or world["on_dropout"] == "partial"


@some
@given(living_worlds())
def test_every_trouble_that_is_marked_has_a_name(world):
    _, spans = lived(world)
    outcomes = {row["outcome"] for row in spans if row["kind"] == "mark"}
    assert outcomes <= (TROUBLES - {DROPOUT}) | {"declined"}


@some
@given(living_worlds())
def test_a_run_again_is_the_same_run(world):
    assert lived(world)[1] == lived(world)[1]


@some
@given(living_worlds())
def test_asking_for_quotes_and_conditions_changes_nothing(world):
    _, spans = lived(world)
    method = world["method"]

    def asking(ctx, state, device):
        for number in range(len(ctx.fleet)):
            other = ctx.seen(ctx.fleet.device(number))
            work = method.plan_(ctx, state, other)
            assert work is None or ctx.quote(other, work).seconds >= 0.0
            ctx.batteries.ready_s(other, ctx.now_s)
        return method.plan_(ctx, state, device)

    asked = Toy(asking, merge_s=method.merge_s, combine_s=method.combine_s)
    assert lived({**world, "method": asked})[1] == spans
