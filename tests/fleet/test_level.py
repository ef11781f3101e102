"""Shares of a device that are left over time: constant between the changes, and products of their parts."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from fedsim.fleet import FULL, Absent, Product, Switched
from tests.fleet.lives import keys, lies_ahead, times
from tests.strategies import markovs

switched = st.builds(Switched, markovs(), st.floats(0.0, 1.0))
products = st.lists(switched, max_size=3).map(lambda parts: Product(tuple(parts)))
levels = st.one_of(switched, products)


@given(levels, keys, times)
def test_the_next_change_lies_ahead(level, key, at_s):
    lies_ahead(level, key, at_s)


@given(levels, keys, times, st.floats(0.0, 0.999))
def test_the_share_stays_until_the_next_change(level, key, at_s, part):
    between_s = at_s + part * (min(level.next_change(key, at_s), at_s + 1e6) - at_s)
    assert level.share(key, between_s) == level.share(key, at_s)


@given(switched, keys, times)
def test_a_switched_level_is_low_while_its_process_is_off(level, key, at_s):
    assert level.share(key, at_s) == (1.0 if level.process.online(key, at_s) else level.low)


@given(st.builds(Switched, markovs(), st.floats(0.0, 0.99)), keys, times)
def test_a_switched_level_changes_when_it_says(level, key, at_s):
    assert level.share(key, level.next_change(key, at_s)) != level.share(key, at_s)


@given(products, keys, times)
def test_a_product_multiplies_what_its_parts_leave(level, key, at_s):
    assert level.share(key, at_s) == math.prod(part.share(key, at_s) for part in level.parts)


@given(products, keys, times)
def test_a_product_is_within_0_and_1(level, key, at_s):
    assert 0.0 <= level.share(key, at_s) <= 1.0


def test_without_parts_all_is_left_for_ever():
    assert (FULL.share((0, 0), 5.0), FULL.next_change((0, 0), 5.0)) == (1.0, math.inf)


def test_two_parts_at_once_multiply():
    level = Product((Switched(Absent(1.0, 3.0), 0.5), Switched(Absent(2.0, 4.0), 0.2)))
    assert [level.share((0, 0), at_s) for at_s in (0.0, 1.0, 2.0, 3.0, 4.0)] == [1.0, 0.5, 0.1, 0.2, 1.0]
