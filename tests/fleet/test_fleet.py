"""A fleet is columns: devices are made when asked for, and candidates are drawn without a scan."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.fleet import Fleet, Group
from tests.sim.toys import FAST, SLOW, profile
from tests.strategies import fleets, seeds


def fleet_of(*counts):
    return Fleet(tuple(Group(profile(), SLOW, count) for count in counts), 5)


@given(fleets())
def test_numbers_and_keys_name_devices_one_to_one(fleet):
    keys = [fleet.device(number).key for number in range(len(fleet))]
    assert keys == [(g, i) for g, group in enumerate(fleet.groups) for i in range(group.count)]


@given(fleets())
def test_a_device_has_its_groups_profile_and_link(fleet):
    for number in range(len(fleet)):
        device = fleet.device(number)
        group = fleet.groups[device.key[0]]
        assert (device.id, device.profile, device.link) == (number, group.profile, group.link)


def test_samples_are_one_number_or_one_per_device():
    groups = (Group(profile(), FAST, 2),)
    assert [Fleet(groups, 7).device(n).samples for n in range(2)] == [7, 7]
    assert [Fleet(groups, (3, 4)).device(n).samples for n in range(2)] == [3, 4]


@given(fleets(), seeds)
def test_candidates_are_every_device_once(fleet, seed):
    assert sorted(fleet.candidates(seed)) == list(range(len(fleet)))


@given(fleets(), seeds)
def test_candidates_of_one_seed_come_in_one_order(fleet, seed):
    assert list(fleet.candidates(seed)) == list(fleet.candidates(seed))


@given(st.lists(st.integers(1, 20), min_size=1, max_size=7), seeds)
def test_a_device_added_to_the_last_group_leaves_the_order_of_the_others(counts, seed):
    before, after = fleet_of(*counts), fleet_of(*counts[:-1], counts[-1] + 1)
    assert [n for n in after.candidates(seed) if n < len(before)] == list(before.candidates(seed))


@given(st.lists(st.integers(1, 20), min_size=1, max_size=7), seeds)
def test_a_group_added_leaves_the_order_of_the_others(counts, seed):
    before, after = fleet_of(*counts), fleet_of(*counts, 3)
    assert [n for n in after.candidates(seed) if n < len(before)] == list(before.candidates(seed))


def test_every_device_is_as_likely_to_be_first():
    fleet = fleet_of(3, 7)
    first = [next(iter(fleet.candidates(seed))) for seed in range(5000)]
    assert np.bincount(first) / 5000 == pytest.approx([0.1] * 10, abs=0.02)


def test_a_million_devices_cost_only_those_that_are_drawn():
    fleet = fleet_of(1_000_000)
    drawn = list(islice(fleet.candidates(0), 1000))
    assert len(set(drawn)) == 1000
    assert max(drawn) > 900_000
