"""Batteries in a run: the account closes, the floor is reached when the closed form says, plugs and resuming count."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fedsim.errors import Stalled
from fedsim.fleet import Charging, Dynamics, Fleet, Group
from fedsim.sim import Async, Sync
from fedsim.work import Work
from tests.sim.toys import SLOW, Script, Toy, busy, learning, profile, rows, simulate, train
from tests.strategies import charged_worlds

NEVER = (0.0,)
some = settings(max_examples=25)
CAPACITY_J = 100.0
DOWN = (0, "download", 0.0, 2.0, 20, "done")  # 1 + 3 W: 8 J; then 3 s at 1 + 2 W, 1 s at 1 + 4 W


def charging(*, plugs=NEVER, start=0.5, floor=0.36, resume=0.4, charger_w=0.0, use_w=0.0):
    """Return batteries of 100 J that are plugged in at first, out at the first of *plugs*, and so on."""
    per_h = 3600.0 / CAPACITY_J
    return Charging(
        Script({0: plugs}), floor, resume, (start, start),
        charge_per_h=charger_w * per_h, use_per_h=use_w * per_h, seed=0,
    )  # fmt: skip


def run(policy="resume", *, schedule=None, method=None, battery_j=CAPACITY_J, reported=True, **battery):
    fleet = Fleet((Group(profile(battery_j=battery_j), SLOW, 1),), 1)
    dynamics = Dynamics(charging=charging(**battery), reported=reported)
    return simulate(schedule or Sync(1, 1), method, fleet=fleet, on_dropout=policy, dynamics=dynamics)


def charge_j(sim, at_s=None):
    return sim.batteries.book(sim.fleet.device(0), sim.now_s if at_s is None else at_s).charge_j


def wait(start_s, end_s):
    return (0, "wait", start_s, end_s, 0, "done")


def empty(at_s):
    return (0, "mark", at_s, at_s, 0, "battery")


# --- What goes out ----------------------------------------------------------------------------------------
def test_a_task_takes_what_its_spans_bill():
    sim, timeline = run(start=0.9)
    billed_j = sum(row["energy_j"] for row in rows(timeline) if row["device"] == 0)
    assert (billed_j, charge_j(sim)) == (8.0 + 9.0 + 5.0, 90.0 - 22.0)


def test_the_owners_use_goes_on_top_from_midnight_on():
    sim, _ = run(start=0.9, use_w=0.5)
    assert charge_j(sim) == pytest.approx(90.0 - 22.0 - 6.0 * 0.5, rel=1e-12)


def test_after_its_task_a_device_takes_only_what_its_owner_uses():
    sim, _ = run(start=0.9, use_w=0.5)
    assert charge_j(sim, 16.0) == pytest.approx(charge_j(sim) - 10.0 * 0.5, rel=1e-12)


def test_a_device_without_a_battery_has_none():
    sim, timeline = run(battery_j=None, start=0.0)
    assert sim.batteries.book(sim.fleet.device(0), sim.now_s) is None
    assert [row[1] for row in busy(timeline)] == ["download", "compute", "upload"]


# --- The floor ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("policy", ["resume", "partial"])
def test_a_job_stops_at_the_very_instant_at_which_the_floor_is_reached(policy):
    _, timeline = run(policy, plugs=(0.0, 10.0))
    assert busy(timeline) == [
        DOWN,
        (0, "compute", 2.0, 4.0, 0, "done"),  # 42 J, at 3 W to 36 J
        empty(4.0),
        wait(4.0, 10.0),
        (0, "compute", 10.0, 11.0, 0, "done"),
        (0, "upload", 11.0, 12.0, 10, "done"),
    ]


def test_the_owners_use_brings_the_floor_nearer():
    _, timeline = run(plugs=(0.0, 10.0), use_w=0.5)
    empty_s = 2.0 + (50.0 - 9.0 - 36.0) / 3.5
    assert [row[2] for row in busy(timeline) if row[5] == "battery"] == [pytest.approx(empty_s, rel=1e-12)]


def test_a_restarted_job_repeats_all_of_it_on_the_charger():
    _, timeline = run("restart", plugs=(0.0, 10.0))
    assert [row[2:4] for row in busy(timeline) if row[1] == "compute"] == [(2.0, 4.0), (10.0, 13.0)]


def test_discard_ends_the_task_of_an_empty_battery():
    sim, timeline = run("discard", plugs=(0.0, 10.0))
    assert (busy(timeline)[-1], sim.now_s) == (empty(4.0), 4.0)


def test_partial_sends_the_passes_that_an_empty_battery_left_done():
    method = Toy(learning)
    _, timeline = run("partial", plugs=(0.0, 10.0), method=method)
    assert busy(timeline)[-1] == (0, "upload", 10.0, 11.0, 10, "done")
    assert method.heard[0][0].share == 2 / 3


def test_a_battery_that_is_never_charged_again_ends_the_task():
    sim, timeline = run()
    assert (busy(timeline)[-2:], sim.now_s) == ([(0, "compute", 2.0, 4.0, 0, "cut"), empty(4.0)], 4.0)


def test_a_download_stops_at_the_floor_too():
    _, timeline = run(start=0.40, plugs=(0.0, 10.0))
    assert busy(timeline)[:4] == [
        (0, "download", 0.0, 1.0, 10, "done"),
        empty(1.0),
        wait(1.0, 10.0),
        (0, "download", 10.0, 11.0, 10, "done"),
    ]


def test_a_battery_that_is_empty_when_a_step_is_to_start_leaves_its_mark():
    _, timeline = run(start=0.44, plugs=(0.0, 10.0))
    assert busy(timeline)[1:3] == [empty(2.0), wait(2.0, 10.0)]


def test_the_floor_is_met_however_late_it_is():
    """A year on, the clock's rounding is more than a small battery's tolerance: no alarm may ring for ever."""

    def late(ctx, state, device):
        made = train(state.model, ctx.shard(device), seconds=3.0, tag=state.merges)
        return Work(down=(state.model,), up=(made,)) if ctx.now_s else None

    back_s = 366 * 86400.0 + 0.1
    for start in (0.501, 0.502, 0.5037, 0.5071):
        sim, timeline = simulate(
            Sync(1, 1), Toy(late), fleet=Fleet((Group(profile(battery_j=1.0), SLOW, 1),), 1),
            availability=Script({0: (1e-3, back_s)}), on_dropout="discard",
            dynamics=Dynamics(charging=Charging(Script({0: NEVER}), 0.1, 0.2, (start, start), 0.0, 0.0, seed=0)),
        )  # fmt: skip
        assert rows(timeline)[-1]["outcome"] in {"battery", "done"}
        assert sim.now_s == pytest.approx(back_s + (start - 0.1) / 4.0)


# --- Plugs ------------------------------------------------------------------------------------------------------
def test_a_device_on_its_charger_goes_on_below_the_floor():
    _, timeline = run(plugs=(), start=0.1)
    assert [row[1:4] for row in busy(timeline)] == [("download", 0.0, 2.0), ("compute", 2.0, 5.0), ("upload", 5.0, 6.0)]


def test_one_that_came_to_the_floor_stops_when_it_is_unplugged_before_it_has_resumed():
    _, timeline = run(plugs=(0.0, 10.0, 10.5, 20.0), charger_w=5.0)
    assert busy(timeline)[2:] == [
        empty(4.0),
        wait(4.0, 10.0),
        (0, "compute", 10.0, 10.5, 0, "done"),  # 30 J at 10 s, 5 - 3 W in
        empty(10.5),
        wait(10.5, 20.0),
        (0, "compute", 20.0, 20.5, 0, "done"),
        (0, "upload", 20.5, 21.5, 10, "done"),
    ]


def test_one_that_has_resumed_goes_on_unplugged():
    _, timeline = run(plugs=(0.0, 10.0, 10.5), charger_w=40.0, start=0.5)
    assert busy(timeline)[2:] == [
        empty(4.0),
        wait(4.0, 10.0),
        (0, "compute", 10.0, 11.0, 0, "done"),  # at 10.5 s it has 30 + 0.5 * 37 J, over 40
        (0, "upload", 11.0, 12.0, 10, "done"),
    ]


def test_below_resume_but_never_at_the_floor_a_device_works():
    _, timeline = run(start=0.39, floor=0.1, resume=0.4)
    assert [row[1] for row in busy(timeline)] == ["download", "compute", "upload"]


def test_an_empty_device_is_refused_and_asked_again_when_it_is_plugged_in():
    _, timeline = run(start=0.2, plugs=(0.0, 30.0), charger_w=1.0)
    assert busy(timeline)[:2] == [empty(0.0), (0, "download", 30.0, 32.0, 20, "done")]


def test_an_empty_fleet_without_a_charger_is_stalled():
    with pytest.raises(Stalled, match="1 battery"):
        run(start=0.2)


def test_a_method_that_wants_charge_is_asked_again_when_the_device_is_plugged_in():
    def plugged(ctx, state, device):
        return Work(down=(), up=(train(ctx.shard(device), nbytes=0),)) if device.now.plugged else None

    _, timeline = run(start=0.9, plugs=(0.0, 30.0), method=Toy(plugged))
    assert [row[1:3] for row in busy(timeline)][:2] == [("mark", 0.0), ("compute", 30.0)]


def test_a_method_sees_the_charge():
    charges = []

    def plan(ctx, state, device):
        charges.append(device.now.charge)
        return Work(down=(), up=(train(ctx.shard(device), nbytes=0, tag=state.merges),))

    run(start=0.9, schedule=Sync(2, 1), method=Toy(plan))
    assert charges == [0.9, pytest.approx(0.9 - 0.09, rel=1e-12)]


# --- In every world ---------------------------------------------------------------------------------------------
def lived(world):
    try:
        return simulate(**world)
    except Stalled:
        assume(False)


def books(sim):
    """Yield (initial charge, account, capacity) of each device with a battery that has worked."""
    laws = sim.dynamics.charging
    for device in map(sim.fleet.device, sim.batteries._books):  # of others the account begins with the day
        book = sim.batteries.book(device, sim.now_s)
        if book is not None:
            yield laws.at_midnight(device.key, 0) * device.profile.battery_j, book, device.profile.battery_j


@some
@given(charged_worlds())
def test_the_charge_is_what_it_was_and_what_came_in_less_what_went_out(world):
    sim, _ = lived(world)
    for initial_j, book, _ in books(sim):
        flows_j = initial_j + book.in_j + book.out_j
        assert book.charge_j == pytest.approx(initial_j + book.in_j - book.out_j, abs=1e-9 * flows_j)


@some
@given(charged_worlds(), st.floats(0.0, 120.0))
def test_a_battery_is_never_less_than_empty_nor_more_than_full(world, at_s):
    found = []
    method = world["method"]

    def watching(ctx, state, device):
        found.extend((book.charge_j, capacity_j) for _, book, capacity_j in books(ctx))
        return method.plan_(ctx, state, device)

    sim, _ = lived({**world, "method": Toy(watching, merge_s=method.merge_s, combine_s=method.combine_s)})
    found += [(book.charge_j, capacity_j) for _, book, capacity_j in books(sim)]
    assert all(0.0 <= charge_j <= capacity_j * (1 + 1e-12) for charge_j, capacity_j in found)


@some
@given(charged_worlds(battery_j=1e6, plugged=False))
def test_what_goes_out_is_what_the_spans_bill_and_the_owner_uses(world):
    sim, timeline = lived(world)
    spans = rows(timeline)
    laws, worked = sim.dynamics.charging, {row["device"] for row in spans if row["kind"] == "idle"} - {-1}
    for device in map(sim.fleet.device, worked):  # of others the account begins with the day
        law, book = laws.law(device.profile), sim.batteries.book(device, sim.now_s)
        billed_j = sum(row["energy_j"] for row in spans if row["device"] == device.id)
        assert book.out_j == pytest.approx(billed_j + law.use_w * sim.now_s, rel=1e-9, abs=1e-6)


@some
@given(charged_worlds())
def test_who_computes_until_the_battery_is_empty_does_nothing_more_before_it_is_plugged_in(world):
    sim, timeline = lived(world)
    laws, spans = sim.dynamics.charging, rows(timeline)
    for row in (row for row in spans if row["outcome"] == "battery" and row["kind"] == "mark"):
        own = [span for span in spans if span["device"] == row["device"] and span["kind"] in {"compute", "upload"}]
        # a transfer is put right when it is cut, and may leave enough; who never worked has another charge tomorrow
        if any(span["kind"] == "compute" and span["start_s"] < span["end_s"] == row["start_s"] for span in own):
            key, at_s = sim.fleet.device(row["device"]).key, row["start_s"] + 1e-9  # the clock may be a rounding short
            assert not laws.plugged.online(key, at_s)
            assert not [span for span in own if at_s < span["start_s"] < laws.plugged.next_change(key, at_s) - 1e-9]


@some
@given(charged_worlds(), st.integers(1, 3))
def test_asking_for_charges_changes_no_account(world, times):
    sim, timeline = lived(world)
    method = world["method"]

    def asking(ctx, state, device):
        for number in range(len(ctx.fleet)):
            for _ in range(times):
                ctx.seen(ctx.fleet.device(number))
        return method.plan_(ctx, state, device)

    asked, again = lived({**world, "method": Toy(asking, merge_s=method.merge_s, combine_s=method.combine_s)})
    assert rows(again) == rows(timeline)
    assert [book for _, book, _ in books(asked)] == [book for _, book, _ in books(sim)]


def test_a_battery_keeps_two_devices_of_an_async_run_apart():
    laws = Charging(Script({0: NEVER, 1: ()}), 0.36, 0.4, (0.5, 0.5), 0.0, 0.0, seed=0)
    fleet = Fleet((Group(profile(battery_j=CAPACITY_J), SLOW, 2),), 1)
    _, timeline = simulate(Async(2, 2), fleet=fleet, dynamics=Dynamics(charging=laws), on_dropout="discard")
    assert next(row[:3] for row in busy(timeline) if row[5] == "battery") == (0, "mark", 4.0)
