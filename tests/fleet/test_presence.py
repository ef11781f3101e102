"""Recorded lives are lived again: consistent at any time, from a day of one's own on, whatever was asked before."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.errors import InputError
from fedsim.fleet.presence import DAY_S, PRESENCE_DRAWS, PRESENCE_OFFSETS, Life, Living, Presence, lived

keys = st.tuples(st.integers(0, 9), st.integers(0, 10**6))
times = st.floats(0.0, 1e6) | st.floats(1e6, 1e9)
HOUR_S = 3600.0
NIGHT = (22 * HOUR_S, 30 * HOUR_S)


@st.composite
def lives(draw, *, loops):
    """Draw a life of a few intervals, some of which touch, overlap, last nothing or cross the end of the loop."""
    length_s = draw(st.floats(1.0, 1e6) | st.sampled_from([DAY_S, 7 * DAY_S]))
    inside = st.floats(0.0, length_s, exclude_max=True)
    parts = draw(st.lists(st.tuples(inside, inside | st.floats(0.0, length_s / 50)), max_size=6))
    return lived([(start_s, start_s + for_s) for start_s, for_s in parts], length_s=length_s, loops=loops)


@st.composite
def presences(draw):
    """Draw some lives and how they are taken; where a question could run out of them they loop or are drawn."""
    loops = draw(st.booleans())
    some = tuple(draw(st.lists(lives(loops=loops), min_size=1, max_size=4)))
    way = draw(st.sampled_from(PRESENCE_DRAWS)) if loops else "random"
    return Presence(some, "d", draw(st.integers(0, 2**31)), draw(st.sampled_from(PRESENCE_OFFSETS)), way, loops)


@given(presences(), keys, times)
def test_the_next_change_lies_ahead(presence, key, at_s):
    assert presence.next_change(key, at_s) > at_s


@given(presences(), keys, times, st.floats(0.0, 0.999))
def test_the_state_stays_until_the_next_change(presence, key, at_s, share):
    change_s = min(presence.next_change(key, at_s), 1e10)
    between_s = min(at_s + share * (change_s - at_s), math.nextafter(change_s, 0.0))
    assert presence.online(key, between_s) == presence.online(key, at_s)
    assert min(presence.next_change(key, between_s), 1e10) == change_s


@given(presences(), keys, times)
def test_the_state_holds_up_to_the_last_instant_before_the_change_and_flips_at_it(presence, key, at_s):
    change_s = presence.next_change(key, at_s)
    if change_s < math.inf:
        assert presence.online(key, math.nextafter(change_s, 0.0)) == presence.online(key, at_s)
        assert presence.online(key, change_s) != presence.online(key, at_s)


@given(presences(), st.lists(st.tuples(keys, times), min_size=1, max_size=5))
def test_answers_do_not_depend_on_what_was_asked_before(presence, questions):
    asked = [(presence.online(*q), presence.next_change(*q)) for q in questions]
    other_way = [(presence.online(*q), presence.next_change(*q)) for q in reversed(questions)]
    assert asked == other_way[::-1]


@given(lives(loops=True), st.floats(0.0, 1e4))
def test_a_loop_is_online_for_as_long_as_its_life_wherever_it_starts(life, at_s):
    online_s, now_s, end_s = 0.0, at_s, at_s + life.length_s
    while now_s < end_s:
        after_s = min(Living(life).next_change(now_s), end_s)
        online_s += Living(life).online(now_s) * (after_s - now_s)
        now_s = after_s
    ends = life.changes_s if len(life.changes_s) > 1 else (0.0, life.length_s if life.changes_s else 0.0)
    expected = sum(until_s - from_s for from_s, until_s in zip(ends[::2], ends[1::2], strict=True))
    assert online_s == pytest.approx(expected, rel=1e-6, abs=1e-2)


def test_a_loop_starts_again_and_goes_on_at_its_start_where_it_ends():
    life = Living(lived([(2.0, 3.0), (9.0, 11.0)], length_s=10.0, loops=True))
    assert [life.online(t) for t in (0.0, 0.9, 1.0, 2.0, 3.0, 9.0, 10.5, 11.0, 12.0, 1e6)] == [
        True, True, False, True, False, True, True, False, True, True,
    ]  # fmt: skip
    assert [life.next_change(t) for t in (0.0, 1.0, 2.5, 3.0, 9.5, 11.0)] == [1.0, 2.0, 3.0, 9.0, 11.0, 12.0]


def test_a_life_without_loop_ends_offline_for_ever():
    life = Living(lived([(2.0, 3.0)], length_s=10.0, loops=False))
    assert [(life.online(t), life.next_change(t)) for t in (0.0, 2.0, 3.0, 1e9)] == [
        (False, 2.0), (True, 3.0), (False, math.inf), (False, math.inf),
    ]  # fmt: skip


@pytest.mark.parametrize("loops", [True, False])
def test_a_life_never_online_stays_so(loops):
    life = Living(lived([(3.0, 3.0)], length_s=10.0, loops=loops), 4.0)
    assert [(life.online(t), life.next_change(t)) for t in (0.0, 1e6)] == [(False, math.inf)] * 2


@pytest.mark.parametrize(
    "intervals", [[(0.0, 10.0)], [(0.0, 4.0), (4.0, 10.0)], [(7.0, 99.0)], [(6.0, 12.0), (1.0, 6.0)]]
)
def test_a_loop_without_an_end_is_always_online(intervals):
    life = Living(lived(intervals, length_s=10.0, loops=True), 3.0)
    assert [(life.online(t), life.next_change(t)) for t in (0.0, 6.9, 1e6)] == [(True, math.inf)] * 3


def test_intervals_are_joined_and_what_lasts_nothing_is_none():
    assert lived(
        [(5.0, 6.0), (1.0, 3.0), (2.0, 4.5), (3.0, 4.0), (4.0, 4.2), (9.0, 9.0)], length_s=10.0, loops=False
    ) == Life((1.0, 4.5, 5.0, 6.0), 10.0, loops=False)


def test_devices_draw_lives_and_days_by_key():
    some = tuple(lived([(n, n + 0.5)], length_s=10 * DAY_S, loops=True) for n in range(5))
    drawn = [Presence(some, "d", seed=3).living((0, n)) for n in range(2000)]
    assert [sum(one.life is life for one in drawn) / 2000 for life in some] == pytest.approx([0.2] * 5, abs=0.04)
    days = [one.offset_s / DAY_S for one in drawn]
    assert [days.count(day) / 2000 for day in range(10)] == pytest.approx([0.1] * 10, abs=0.03)


def test_the_draw_is_the_same_again_and_another_for_another_group_or_seed():
    some = tuple(lived([(n, n + 0.5)], length_s=1e6, loops=True) for n in range(5))
    first, again, group, seed = (
        [Presence(some, "d", s, "any").living((g, n)) for n in range(9)] for g, s in [(0, 3), (0, 3), (1, 3), (0, 4)]
    )
    assert first == again
    assert first != group
    assert first != seed
    assert group != seed


def test_offsets_of_days_keep_the_time_of_day():
    weekly = lived([(NIGHT[0] + n * DAY_S, NIGHT[1] + n * DAY_S) for n in range(7)], length_s=7 * DAY_S, loops=True)
    presence = Presence((weekly,), "d", seed=0)
    for n in range(50):
        online = [hour for hour in range(24) if presence.online((0, n), 100 * DAY_S + hour * HOUR_S)]
        assert online == [0, 1, 2, 3, 4, 5, 22, 23]
    assert len({presence.living((0, n)).offset_s for n in range(50)}) == 7


def test_an_offset_is_what_has_passed_at_time_0():
    life = lived([(10.0, 30.0)], length_s=100.0, loops=True)
    presence = Presence((life,), "d", seed=0, offset="any")
    passed_s = presence.living((0, 7)).offset_s
    assert 0.0 < passed_s < 100.0
    assert [presence.online((0, 7), t) for t in range(200)] == [10 <= (t + passed_s) % 100 < 30 for t in range(200)]


def test_no_offset_starts_where_the_record_does():
    presence = Presence((lived([(10.0, 30.0)], length_s=1e9, loops=True),), "d", seed=0, offset="none")
    assert [presence.next_change((0, n), 0.0) for n in range(5)] == [10.0] * 5


def test_an_offset_into_a_life_without_loop_leaves_what_comes_after():
    life = lived([(n * DAY_S, n * DAY_S + HOUR_S) for n in range(4)], length_s=4 * DAY_S, loops=False)
    presence = Presence((life,), "d", seed=0, loops=False)
    for n in range(20):
        left = 4 - presence.living((0, n)).offset_s / DAY_S
        assert [presence.online((0, n), day * DAY_S) for day in range(6)] == [day < left for day in range(6)]


def test_in_order_device_i_lives_life_i_and_loops_go_round():
    some = tuple(lived([(n, n + 1.0)], length_s=10.0, loops=True) for n in range(3))
    presence = Presence(some, "d", seed=0, offset="none", draw="order")
    assert [presence.living((4, n)).life for n in range(6)] == [*some, *some]


def test_in_order_and_without_loop_more_devices_than_lives_are_refused():
    some = tuple(lived([(n, n + 1.0)], length_s=10.0, loops=False) for n in range(3))
    presence = Presence(some, "d", seed=0, draw="order", loops=False)
    presence.require(3)
    assert presence.living((0, 2)).life is some[2]
    for refused in (lambda: presence.require(4), lambda: presence.online((0, 3), 0.0)):
        with pytest.raises(InputError, match="there are 4 devices and 3 recorded lives, taken in order and not looped"):
            refused()
