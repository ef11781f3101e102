"""What holds in every world: over random fleets, links, comings and goings, schedules and work graphs."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fedsim.errors import Stalled
from fedsim.fleet import Fleet
from fedsim.results import usage
from fedsim.sim import Sync
from fedsim.timeline.recorder import BUSY
from tests.sim.toys import Toy, overlapping, rows, simulate
from tests.strategies import worlds

CLOSE = 1e-9


def simulated(world):
    """Run *world*, passing over those in which nobody takes work."""
    try:
        return simulate(**world)
    except Stalled:
        assume(False)


def lived(world):
    sim, timeline = simulated(world)
    return sim, rows(timeline)


def by_device(spans, *kinds):
    found = defaultdict(list)
    for row in spans:
        if row["device"] >= 0 and row["kind"] in kinds:
            found[row["device"]].append(row)
    return found


def stretch(row):
    return row["start_s"], row["end_s"]


@given(worlds())
def test_time_never_goes_back(world):
    sim, spans = lived(world)
    assert all(0.0 <= row["start_s"] <= row["end_s"] <= sim.now_s for row in spans)
    published = [news.at_s for news in sim._observer.heard]
    assert published == sorted(published)


@given(worlds())
def test_a_device_does_one_thing_at_a_time(world):
    _, spans = lived(world)
    for rows_ in by_device(spans, "wait", *BUSY).values():
        assert overlapping([stretch(row) for row in rows_]) == []


@given(worlds())
def test_a_device_has_one_task_at_a_time(world):
    _, spans = lived(world)
    for rows_ in by_device(spans, "idle").values():
        assert overlapping([stretch(row) for row in rows_]) == []


@given(worlds())
def test_the_server_and_each_edge_compute_one_job_at_a_time(world):
    _, spans = lived(world)
    computing = [row for row in spans if row["device"] == -1 and row["kind"] == "compute"]
    for place in {row["place"] for row in computing}:
        assert overlapping([stretch(row) for row in computing if row["place"] == place]) == []


@given(worlds())
def test_what_an_edge_passes_on_crosses_its_line_once(world):
    method = world["method"]
    graph = replace(method.plan_, public=False)
    world["method"] = Toy(graph, merge_s=method.merge_s, combine_s=method.combine_s)
    _, spans = lived(world)
    crossed = defaultdict(int)
    for row in spans:
        if row["device"] == -1 and row["kind"] == "download":
            crossed[row["place"], row["version"]] += row["bytes"]
    for (_, version), nbytes in crossed.items():
        model = 20 if version else dict(world["initial"].params)["nbytes"]
        assert nbytes <= (model if graph.prepared_s is None else 2 * 30)  # one for each parity of the device


@given(worlds())
def test_a_device_works_only_while_it_is_online(world):
    _, spans = lived(world)
    for number, rows_ in by_device(spans, *BUSY).items():
        key = world["fleet"].device(number).key
        for row in rows_:
            start_s, end_s = stretch(row)
            middle_s = (start_s + end_s) / 2
            assert end_s - start_s < CLOSE or world["availability"].online(key, middle_s)
            assert world["availability"].next_change(key, middle_s) >= end_s - CLOSE


@given(worlds())
def test_bytes_sent_are_bytes_received_and_bytes_cut_and_the_sum_of_spans(world):
    sim, spans = lived(world)
    network = sim.network
    assert network.sent_bytes == network.received_bytes + network.cut_bytes == sum(row["bytes"] for row in spans)


@given(worlds())
def test_totals_of_bytes_are_the_sums_of_spans(world):
    sim, spans = lived(world)
    for kind, total in (("upload", sim.recorder.totals.up_bytes), ("download", sim.recorder.totals.down_bytes)):
        assert total == sum(row["bytes"] for row in spans if row["kind"] == kind and row["device"] >= 0)


@given(worlds())
def test_totals_of_joules_are_the_sums_of_spans(world):
    sim, spans = lived(world)
    devices = sum(row["energy_j"] for row in spans if row["device"] >= 0)
    server = sum(row["energy_j"] for row in spans if row["device"] == -1)
    assert sim.recorder.totals.energy_j == pytest.approx(devices, rel=CLOSE)
    assert sim.recorder.totals.server_energy_j == pytest.approx(server, rel=CLOSE)


@given(worlds())
def test_each_devices_joules_follow_from_its_times_bytes_and_powers(world):
    sim, timeline = simulated(world)
    for number, rows_ in by_device(rows(timeline), "idle", "tail", *BUSY).items():
        device = world["fleet"].device(number)
        on_wire = sim.connection(device).route.on_wire
        expected = sum(_joules(device, row, on_wire) for row in rows_)
        assert sum(row["energy_j"] for row in rows_) == pytest.approx(expected, rel=CLOSE, abs=CLOSE)


@given(worlds())
def test_the_table_of_devices_holds_all_their_joules(world):
    sim, timeline = simulated(world)
    assume(any(row["device"] >= 0 for row in rows(timeline)))
    assert sum(usage(timeline)["energy_j"].to_pylist()) == pytest.approx(sim.recorder.totals.energy_j, rel=CLOSE)


def _joules(device, row, on_wire):
    seconds = row["end_s"] - row["start_s"]
    if row["kind"] in ("download", "upload"):
        line = device.radio.tx if row["kind"] == "upload" else device.radio.rx
        return line.w * seconds + line.j_per_byte * on_wire(row["bytes"])
    if row["kind"] == "tail":
        return device.radio.tail_j(seconds)
    return seconds * (device.profile.idle_w if row["kind"] == "idle" else device.profile.busy_w)


@given(worlds())
def test_a_radio_does_one_thing_at_a_time(world):
    _, spans = lived(world)
    for rows_ in by_device(spans, "download", "upload", "tail").values():
        assert overlapping([stretch(row) for row in rows_]) == []


@given(worlds())
def test_a_tail_follows_each_transfer_until_it_is_over_or_the_next_the_dropout_or_the_end(world):
    sim, spans = lived(world)
    found, transfers = by_device(spans, "tail"), by_device(spans, "download", "upload")
    for number, rows_ in transfers.items():
        device, starts = world["fleet"].device(number), [row["start_s"] for row in rows_[1:]]
        expected = []
        for row, next_s in zip(rows_, [*starts, sim.now_s], strict=True):
            middle_s = sum(stretch(row)) / 2
            off_s = world["availability"].next_change(device.key, middle_s)
            last_s = min(row["end_s"] + device.radio.tail_s, next_s, off_s)
            expected += [(row["end_s"], last_s)] if last_s - row["end_s"] > CLOSE else []
        long = [stretch(row) for row in found[number] if row["end_s"] - row["start_s"] > CLOSE]
        assert [t for tail in long for t in tail] == pytest.approx([t for tail in expected for t in tail], abs=CLOSE)
    assert found.keys() <= transfers.keys()


@given(worlds())
def test_tails_change_nothing_but_the_energy(world):
    _, spans = lived(world)
    groups = world["fleet"].groups
    quiet = [{**g.profile.radio, "default": replace(g.profile.radio["default"], tail=())} for g in groups]
    silent = tuple(replace(g, profile=replace(g.profile, radio=r)) for g, r in zip(groups, quiet, strict=True))
    _, without = lived({**world, "fleet": replace(world["fleet"], groups=silent)})
    assert [row for row in spans if row["kind"] != "tail"] == without


@given(worlds())
def test_waste_is_what_no_merge_used(world):
    sim, spans = lived(world)
    wasted = [row for row in spans if row["device"] >= 0 and row["outcome"] != "done" and row["kind"] != "mark"]
    totals = sim.recorder.totals
    assert totals.wasted_bytes == sum(row["bytes"] for row in wasted)
    assert totals.wasted_j == pytest.approx(sum(row["energy_j"] for row in wasted), rel=CLOSE)
    busy = [row for row in wasted if row["kind"] in BUSY]
    assert totals.wasted_s == pytest.approx(sum(row["end_s"] - row["start_s"] for row in busy), rel=CLOSE)


@given(worlds())
def test_every_merged_reply_is_a_task_that_is_done_and_no_other_is(world):
    sim, spans = lived(world)
    method = world["method"]
    heard = method.heard[: sim.version]  # a last merge may be under way when the run is stopped
    merged = sorted(
        member.device
        for replies in heard
        for reply in replies
        for member in (method.members[reply.up[0]] if reply.device >= len(world["fleet"]) else [reply])
    )
    assert sorted(row["device"] for row in spans if _is_done_task(row)) == merged


def _is_done_task(row):
    return row["device"] >= 0 and row["kind"] == "idle" and row["outcome"] == "done"


@given(worlds())
def test_a_task_that_is_done_sent_and_computed_exactly_what_was_asked(world):
    graph = replace(world["method"].plan_, public=False, kept=False)
    world["method"] = Toy(graph, merge_s=world["method"].merge_s)
    sim, spans = lived(world)
    done = [row for row in spans if row["outcome"] == "done" and row["device"] >= 0]
    versions = {
        news.version: 20 if news.version else dict(sim.initial.params)["nbytes"] for news in sim._observer.heard
    }
    for task in filter(_is_done_task, done):
        mine = [r for r in done if r["device"] == task["device"] and _inside(r, task)]
        slow = 1 + task["device"] if graph.uneven else 1
        down = 30 if graph.prepared_s is not None else versions[task["version"]]
        assert sum(r["bytes"] for r in mine if r["kind"] == "download") == down
        assert sum(r["bytes"] for r in mine if r["kind"] == "upload") == (graph.jobs[-1][1] if graph.jobs else 10)
        busy_s = sum(r["end_s"] - r["start_s"] for r in mine if r["kind"] == "compute")
        assert busy_s == pytest.approx(3.0 + slow * sum(pace for pace, _ in graph.jobs), abs=1e-6)


def _inside(row, task):
    return row["kind"] != "idle" and task["start_s"] <= row["start_s"] and row["end_s"] <= task["end_s"]


@given(worlds())
def test_no_task_outlives_the_deadline(world):
    assume(world["schedule"].deadline_s is not None)
    _, spans = lived(world)
    for row in spans:
        of_a_task = row["device"] >= 0 and row["kind"] != "tail"
        assert not of_a_task or row["end_s"] - row["start_s"] <= world["schedule"].deadline_s + CLOSE


@given(worlds())
def test_a_run_again_is_the_same_run(world):
    first, second = lived(world)[1], lived(world)[1]
    assert first == second


@given(worlds())
def test_asking_for_quotes_changes_nothing(world):
    _, spans = lived(world)
    plan = world["method"].plan_

    def asking(ctx, state, device):
        for number in range(len(ctx.fleet)):
            work = plan(ctx, state, ctx.fleet.device(number))
            assert work is None or ctx.quote(ctx.fleet.device(number), work).seconds >= 0.0
        return plan(ctx, state, device)

    world["method"] = Toy(asking, merge_s=world["method"].merge_s, combine_s=world["method"].combine_s)
    assert lived(world)[1] == spans


@given(worlds(always=True, varies=False), st.integers(1, 3))
def test_a_quote_is_what_the_work_takes_of_a_device_that_nobody_cuts_or_shares_links_with(world, rounds):
    world["schedule"] = Sync(rounds, 1)
    quoted = {}
    plan = replace(world["method"].plan_, prepared_s=None)

    def asking(ctx, state, device):
        work = plan(ctx, state, device)
        if work is not None:
            quoted[device.id, ctx.now_s] = ctx.quote(device, work)
        return work

    world["method"] = Toy(asking)
    _, spans = lived(world)
    for task in filter(_is_done_task, spans):
        quote = quoted[task["device"], task["start_s"]]
        assert task["end_s"] - task["start_s"] == pytest.approx(quote.seconds, abs=1e-6)
        mine = [r for r in spans if r["device"] == task["device"] and task["start_s"] <= r["start_s"] <= r["end_s"]]
        billed_j = sum(r["energy_j"] for r in mine if r["end_s"] <= task["end_s"])
        last_j = world["fleet"].device(task["device"]).radio.tail_j()
        assert billed_j + last_j == pytest.approx(quote.joules, rel=1e-6, abs=1e-6)


@given(worlds(varies=False))
def test_a_transfer_takes_the_time_it_would_take_alone_and_that_lost_to_others(world):
    sim, spans = lived(world)
    for number, rows_ in by_device(spans, "download", "upload").items():
        opened, device = set(), world["fleet"].device(number)
        starts = sorted(row["start_s"] for row in by_device(spans, "idle")[number])
        for row in (row for row in rows_ if row["outcome"] == "done" and world["on_dropout"] == "discard"):
            alone = sim.connection(device)
            task = bisect_right(starts, row["start_s"])  # each has a connection of its own
            alone.is_open = task in opened
            opened.add(task)
            alone_s = alone.seconds(row["bytes"], up=row["kind"] == "upload", awake=False)
            assert row["end_s"] - row["start_s"] == pytest.approx(alone_s + row["waited_s"], abs=1e-6)


@given(worlds(), st.integers(1, 3))
def test_an_idle_device_added_changes_nobody_elses_timeline(world, rounds):
    world["schedule"] = Sync(rounds, 1, world["schedule"].deadline_s)  # so that few devices are asked
    _, spans = lived(world)
    *before, last = world["fleet"].groups
    larger = Fleet((*before, replace(last, count=last.count + 1)), world["fleet"].samples)
    _, with_it = lived({**world, "fleet": larger})
    assume(all(row["device"] != len(world["fleet"]) for row in with_it))
    assert with_it == spans


@given(worlds())
def test_a_round_asks_at_most_the_cohort_it_is_to_ask(world):
    assume(isinstance(world["schedule"], Sync))
    _, spans = lived(world)
    schedule = world["schedule"]
    starts = sorted(row["start_s"] for row in spans if row["kind"] == "idle" and row["device"] >= 0)
    widest = max((sum(s == start for s in starts) for start in starts), default=0)
    assert widest <= -(-schedule.cohort * schedule.over_select // 1)
    assert all(a <= b for a, b in pairwise(starts))
