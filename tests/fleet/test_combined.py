"""Parts of an availability together: on while all are, by group, off for a while; consistent as every law is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.errors import InputError
from fedsim.fleet import Absent, All, Always, ByGroup, all_of
from tests.fleet.lives import at_once_from_anywhere, flips, keys, lies_ahead, stays, times
from tests.strategies import markovs

absences = st.builds(lambda start_s, long_s: Absent(start_s, start_s + long_s), times, st.floats(0.0, 1e6))
parts = st.one_of(markovs(), absences, st.just(Always()))
alls = st.lists(parts, max_size=3).map(lambda found: All(tuple(found)))
by_groups = st.lists(parts, min_size=10, max_size=10).map(lambda found: ByGroup(tuple(found)))
laws = st.one_of(alls, absences, by_groups)


@given(laws, keys, times)
def test_the_next_change_lies_ahead(law, key, at_s):
    lies_ahead(law, key, at_s)


@given(laws, keys, times, st.floats(0.0, 0.999))
def test_the_state_stays_until_the_next_change(law, key, at_s, share):
    stays(law, key, at_s, share=share)


@given(laws, keys, times, st.floats(0.0, 0.999))
def test_until_the_next_change_it_is_the_same_from_anywhere(law, key, at_s, share):
    at_once_from_anywhere(law, key, at_s, share=share)


@given(laws, keys, times)
def test_at_the_next_change_the_state_flips(law, key, at_s):
    flips(law, key, at_s)


@given(st.lists(parts, max_size=3), keys, times)
def test_all_is_on_while_every_part_is(some, key, at_s):
    assert All(tuple(some)).online(key, at_s) == all(part.online(key, at_s) for part in some)
    assert all_of(*some).online(key, at_s) == All(tuple(some)).online(key, at_s)


@given(st.lists(parts, max_size=3), keys, times)
def test_as_simply_as_can_be_changes_when_all_does(some, key, at_s):
    assert all_of(*some).next_change(key, at_s) == All(tuple(some)).next_change(key, at_s)


def test_nothing_or_what_is_always_on_is_always_on():
    assert (all_of(), all_of(Always(), Always())) == (Always(), Always())


def test_one_part_stands_for_itself():
    assert all_of(Always(), Absent(1.0)) == Absent(1.0)


def test_parts_that_are_never_on_together_never_change():
    assert All((Absent(1.0), Absent(0.0, 2.0))).next_change((0, 0), 1.5) == math.inf


def test_the_return_is_when_the_last_part_is_back():
    law = All((Absent(0.0, 5.0), Absent(3.0, 8.0), Absent(8.0, 9.0)))
    assert law.next_change((0, 0), 1.0) == 9.0


@given(by_groups, keys, times)
def test_each_group_has_its_own_law(law, key, at_s):
    assert law.online(key, at_s) == law.laws[key[0]].online(key, at_s)


def test_an_absence_is_from_its_start_to_just_before_its_end():
    law = Absent(2.0, 4.0)
    assert [law.online((0, 0), at_s) for at_s in (1.9, 2.0, 3.9, 4.0)] == [True, False, False, True]


def test_an_absence_that_lasts_no_time_is_none():
    law = Absent(2.0, 2.0)
    assert (law.online((0, 0), 2.0), law.next_change((0, 0), 0.0)) == (True, math.inf)


@dataclass(frozen=True)
class Eastern:
    """Always on, one hour east."""

    def online(self, key, at_s):
        return True

    def next_change(self, key, at_s):
        return math.inf

    def zone_of(self, key):
        return 3600.0


@pytest.mark.parametrize("law", [All((Always(), Eastern())), ByGroup((Eastern(),))])
def test_a_time_zone_is_that_of_the_part_that_knows_one(law):
    assert law.zone_of((0, 0)) == 3600.0


@pytest.mark.parametrize("law", [All((Always(), Absent(1.0))), ByGroup((Always(),))])
def test_where_no_part_knows_a_time_zone_that_is_said(law):
    with pytest.raises(InputError, match="lives in no time zone"):
        law.zone_of((0, 0))
