"""What was recorded stays as it was; what was not is made up as said, so that hours of the day keep their share."""

from hypothesis import given
from hypothesis import strategies as st

from fedsim.fleet.holes import HELD_S, PRESENCE_HOLES, Reading, life_of
from fedsim.fleet.presence import DAY_S, Living

HOUR_S = 3600.0


def scene(*parts):
    """Return stretches from hours: (from, until, online)."""
    return [(start * HOUR_S, end * HOUR_S, online) for start, end, online in parts]


def hours(stretches, holes="borrow", **said):
    """Return (hours of change, days of the loop)."""
    life = life_of(stretches, Reading(holes, **said))
    return [at_s / HOUR_S for at_s in life.changes_s], life.length_s / DAY_S


def day(number, *on):
    """Return a whole day, online from one hour to another."""
    start, end = on
    return [
        (number * 24 + a, number * 24 + b, s) for a, b, s in [(0, start, False), (start, end, True), (end, 24, False)]
    ]


HOLE = scene(*day(0, 10, 14), (24, 33, True), (48, 60, False), (60, 61, True), (61, 72, False))


def test_a_hole_borrows_what_the_day_before_was_like_at_that_time():
    assert hours(HOLE) == ([10, 14, 24, 33, 34, 38, 60, 61], 3)


def test_a_hole_holds_the_state_before_it():
    assert hours(HOLE, "hold") == ([10, 14, 24, 48, 60, 61], 3)


def test_a_hole_is_offline():
    assert hours(HOLE, "off") == ([10, 14, 24, 33, 60, 61], 3)


def test_where_the_day_before_has_a_hole_too_the_day_after_is_borrowed_from():
    seen = scene((0, 10, False), (10, 12, True), (24, 33, False), *day(2, 12, 13))
    assert hours(seen) == ([10, 13, 34, 37, 60, 61], 3)


def test_an_hour_never_recorded_holds_the_state_before_it():
    assert hours(scene((0, 10, False), (10, 12, True), (12.25, 13, True), (20, 24, False))) == ([10, 20], 1)


def test_a_short_hole_holds_the_state_before_whatever_other_days_were_like():
    seen = scene(*day(0, 10, 11), (24, 34, False), (34 + HELD_S / HOUR_S, 48, False))
    assert hours(seen) == ([10, 11], 2)


def test_days_without_a_record_are_left_out():
    assert hours(scene(*day(0, 10, 14), *day(5, 11, 12))) == ([10, 14, 35, 36], 2)
    assert hours(scene(*day(0, 10, 14), *day(5, 11, 12)), "off") == ([10, 14, 131, 132], 6)


def test_what_is_missing_of_the_last_day_of_a_loop_comes_before_the_record_and_is_borrowed_too():
    seen = scene((14, 24, False), *day(1, 11, 13), (48, 58, False))
    assert hours(seen) == ([11, 13, 35, 37], 2)


def test_without_loop_there_is_nothing_before_and_after_the_record():
    seen = scene((14, 20, True), (30, 58, True))
    assert hours(seen, "hold", loops=False) == ([14, 58], 3)


def test_a_loop_that_need_not_keep_the_hour_is_as_long_as_its_record():
    assert hours(scene((14, 20, True), (20, 30, False)), whole_days=False) == ([14, 20], 16 / 24)


@st.composite
def records(draw):
    """Draw stretches whose holes are shorter than a day."""
    found, at_s = [], draw(st.floats(0.0, 1e5))
    for _ in range(draw(st.integers(1, 12))):
        until_s = at_s + draw(st.floats(1.0, 1e5))
        found.append((at_s, until_s, draw(st.booleans())))
        at_s = until_s + draw(st.just(0.0) | st.floats(0.0, 0.99 * DAY_S))
    return found


@given(records(), st.sampled_from(PRESENCE_HOLES), st.booleans(), st.booleans(), st.integers(0, 3))
def test_what_was_recorded_is_lived_at_its_time_in_every_loop(seen, holes, loops, whole_days, loop):
    life = life_of(seen, Reading(holes, loops=loops, whole_days=whole_days))
    for start_s, end_s, online in seen:
        at_s = (start_s + end_s) / 2 + (loop * life.length_s if loops else 0.0)
        assert Living(life).online(at_s) == online


@given(records())
def test_a_loop_in_whole_days_is_no_longer_than_it_must_be(seen):
    days = life_of(seen, Reading()).length_s / DAY_S
    assert days == int(days)
    assert 0 <= days * DAY_S - (seen[-1][1] - seen[0][0]) < DAY_S
