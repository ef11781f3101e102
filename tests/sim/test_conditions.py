"""What a device reports of itself when it is asked, and what methods make of it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from fedsim.fleet import Condition, Fleet, Group, Link, Topology
from fedsim.levels import estimated_rate
from fedsim.sim import Sync
from fedsim.work import Work
from tests.methods.worlds import device as pi
from tests.sim.toys import FAST, Toy, profile, simulate, train
from tests.strategies import Wave

WAVING = Link("waving", 10.0, 10.0, 0.0, varies=Wave(4.0, 0.5))  # 10 B/s for 4 s, then 5 B/s for 4 s, and so on


def seen_at(at_s, link, **world):
    """Return the device as a method sees it at *at_s*, and the quote of 20 bytes down, 3 s of work and 10 bytes up."""
    found = []

    def plan(ctx, state, device):
        if ctx.now_s >= at_s:
            found.append((device, ctx.quote(device, order(ctx, state, device))))
        return order(ctx, state, device)

    fleet = Fleet((Group(profile(), link, 1),), 1)
    simulate(Sync(2, 1, every_s=at_s), Toy(plan), fleet=fleet, topology=Topology(FAST), **world)
    return found[0]


def order(ctx, state, device):
    return Work(down=(state.model,), up=(train(state.model, ctx.shard(device), tag=state.merges),))


def test_a_device_tells_how_its_link_is_now():
    assert [seen_at(at_s, WAVING)[0].now for at_s in (16.0, 20.0)] == [Condition(), Condition(down=0.5, up=0.5)]


def test_a_quote_is_at_the_rates_of_now():
    assert [seen_at(at_s, WAVING)[1].seconds for at_s in (16.0, 20.0)] == [2 + 3 + 1, 4 + 3 + 2]


def test_what_a_link_does_not_carry_at_all_takes_for_ever():
    assert seen_at(20.0, replace(WAVING, varies=Wave(4.0, 0.0)))[1].seconds == math.inf


def test_a_link_that_never_changes_is_as_written_down():
    device, quote = seen_at(20.0, replace(WAVING, varies=None))
    assert (device.now, quote.seconds) == (Condition(), 6.0)


@pytest.mark.parametrize("speed", [1.0, 0.5, 0.25])
def test_reft_believes_a_device_to_be_as_fast_as_it_is_now(speed):
    slow = replace(pi(0), now=Condition(speed=speed))
    assert estimated_rate(slow, error=0.0, seed=0) == speed * estimated_rate(pi(0), error=0.0, seed=0)
