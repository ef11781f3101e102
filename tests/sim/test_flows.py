"""Bytes over shared links: random networks against exact fractions, and those whose answer is known by hand."""

from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsim import transfer_times
from fedsim.errors import InputError
from fedsim.sim.flows import Flows
from tests.sim.exact import Flow, transfers

CLOSE = 1e-9
MANY = settings(max_examples=1000, deadline=None)

# Whole and quarter numbers so that flows meet full links, end and begin at the same instants; floats for all the rest.
whole = st.integers(1, 6)
numbers = st.sampled_from([whole, whole.map(lambda n: n / 4), st.floats(0.01, 1e6), st.just(3)])


@st.composite
def networks(draw, *, flows=12, links=8):
    """Draw capacities by link, some of them without bound, and flows over one to four links each."""
    names = [f"link-{i}" for i in range(draw(st.integers(1, links)))]
    rate, size, start = draw(numbers), draw(numbers), draw(numbers)
    rates = {name: draw(rate) for name in names}
    if draw(st.integers(0, 9)) == 0:
        rates[names[0]] = inf
    path = st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True).map(tuple)
    flow = st.builds(Flow, st.one_of(st.just(0), start), st.one_of(size, size, st.just(0)), path, st.just(inf))
    return rates, draw(st.lists(flow, min_size=1, max_size=flows))


@st.composite
def changing(draw):
    """Draw a network, and steps of its capacities: down to nothing, but not for ever."""
    rates, flows = draw(networks().filter(lambda network: inf not in network[0].values()))
    rate, start = draw(numbers), draw(numbers)
    step = st.tuples(start, st.sampled_from(sorted(rates)), st.one_of(rate, st.just(0)))
    steps = draw(st.lists(step, max_size=6))
    last_s = max((step[0] for step in steps), default=0) + 1
    return rates, flows, [*steps, *((last_s, link, rate) for link, rate in rates.items())]


def finished(rates, flows):
    return transfer_times(rates, [flow[:3] for flow in flows])


def lived(rates, flows, steps=()):
    """Move *flows*; return when they end, and at each event the capacities, and rates by number of those under way."""
    moving, ends, history = Flows(), [float(flow.start_s) for flow in flows], []
    number = {link: moving.sharing.add_link(rate) for link, rate in rates.items()}
    todo = [(start_s, i, None, None) for i, (start_s, nbytes, *_) in enumerate(flows) if nbytes]
    todo = sorted([*todo, *((at_s, -1, link, rate) for at_s, link, rate in steps)], key=lambda event: event[0])
    under_way, carries = {}, dict(rates)
    while todo or under_way:
        now_s = min([*(event[0] for event in todo[:1]), moving.next_end_s])
        for flow in moving.ended_by(now_s):
            moving.end(now_s, flow)
            ends[under_way.pop(flow)] = now_s
        while todo and todo[0][0] <= now_s:
            _, i, link, rate = todo.pop(0)
            if link is None:
                under_way[moving.begin(now_s, flows[i].nbytes, path=[number[link] for link in flows[i].path])] = i
            else:
                carries[link] = rate
                moving.sharing.set_capacity(number[link], rate)
        moving.settle(now_s)
        history.append((dict(carries), {i: moving.sharing.rate[flow] for flow, i in under_way.items()}))
    return ends, history


def load(rates, flows, link):
    return sum(rate for i, rate in rates.items() if link in flows[i].path)


def full_links(carries, rates, flows, i):
    return [link for link in flows[i].path if load(rates, flows, link) >= carries[link] * (1 - CLOSE)]


@given(networks())
@MANY
def test_flows_end_when_exact_arithmetic_says(network):
    ends, _ = transfers(*network)
    assert finished(*network) == pytest.approx([float(end) for end in ends], rel=CLOSE, abs=1e-12)


@given(changing())
@settings(max_examples=300, deadline=None)
def test_flows_over_links_that_change_end_when_exact_arithmetic_says(network):
    ends, _ = transfers(*network)
    assert lived(*network)[0] == pytest.approx([float(end) for end in ends], rel=CLOSE, abs=1e-12)


@given(changing())
def test_no_link_ever_carries_more_than_it_can(network):
    for carries, rates in lived(*network)[1]:
        assert all(load(rates, network[1], link) <= most * (1 + CLOSE) for link, most in carries.items())


@given(changing())
def test_no_flow_leaves_every_link_of_its_path_room(network):
    for carries, rates in lived(*network)[1]:
        assert all(full_links(carries, rates, network[1], i) for i in rates)


@given(changing())
def test_no_flow_could_gain_but_from_one_that_has_no_more(network):
    flows = network[1]
    for carries, rates in lived(*network)[1]:
        for i, mine in rates.items():
            fastest = [
                max(rate for other, rate in rates.items() if link in flows[other].path)
                for link in full_links(carries, rates, flows, i)
            ]
            assert mine >= min(fastest) * (1 - CLOSE)


@given(networks())
def test_the_order_of_flows_and_links_changes_nothing(network):
    rates, flows = network
    mirrored = finished(dict(reversed(rates.items())), [f._replace(path=f.path[::-1]) for f in flows[::-1]])
    assert mirrored[::-1] == pytest.approx(finished(rates, flows), rel=CLOSE, abs=1e-12)


@given(networks(), st.sampled_from([0.125, 8, 1024]))
def test_time_scales_with_sizes_over_rates(network, factor):
    rates, flows = network
    slow = finished(rates, [f._replace(start_s=factor * f.start_s, nbytes=factor * f.nbytes) for f in flows])
    assert slow == pytest.approx([factor * end for end in finished(rates, flows)], rel=CLOSE, abs=1e-12)


def test_one_flow_takes_its_bytes_over_the_slowest_rate():
    assert transfer_times({"a": 10, "b": 4, "c": 8}, [(1.0, 100, ["a", "b", "c"])]) == [26.0]


@pytest.mark.parametrize("n", [1, 2, 3, 7, 100])
def test_equal_flows_on_one_link_end_together_after_all_their_bytes(n):
    assert transfer_times({"a": 10.0}, [(2.0, 50, ["a"])] * n) == pytest.approx([2.0 + 5.0 * n] * n, rel=CLOSE)


def test_the_shorter_of_two_leaves_its_half_to_the_longer():
    assert transfer_times({"a": 10.0}, [(0.0, 20, ["a"]), (0.0, 60, ["a"])]) == [4.0, 8.0]


def test_who_comes_later_shares_what_is_left():
    starts = [(0.0, 100, ["a"]), (5.0, 100, ["a"]), (12.0, 20, ["a"])]
    # 50 at 10; 35 each at 5; 15, 65 and 20 at 10/3; 50 and 5 at 5; 45 at 10
    assert transfer_times({"a": 10.0}, starts) == pytest.approx([16.5, 22.0, 17.5])


def test_a_link_that_slows_down_midway_carries_the_rest_at_its_new_rate():
    ends, _ = lived({"a": 10.0}, [Flow(0.0, 100, ("a",)), Flow(0.0, 30, ("a",))], [(4.0, "a", 5.0)])
    # 20 each at 5 until 4 s; 10 each at 2.5 until 8 s; 70 at 5
    assert ends == [22.0, 8.0]


def test_a_link_that_falls_silent_lets_its_flows_go_on_when_it_is_back():
    ends, _ = lived({"a": 10.0}, [Flow(0.0, 100, ("a",))], [(4.0, "a", 0.0), (9.0, "a", 20.0)])
    assert ends == [12.0]


def test_two_bottlenecks_leave_what_the_poorer_cannot_use_to_the_richer():
    flows = [(0.0, 40, ["a", "b"]), (0.0, 160, ["a"]), (0.0, 40, ["b"])]
    # b is full at 2 and 2, so that a has 8 for its own; at 20 s all are through
    assert transfer_times({"a": 10.0, "b": 4.0}, flows) == [20.0, 20.0, 20.0]


def test_the_long_flow_of_a_parking_lot_is_no_poorer_than_each_short_one():
    flows = [(0.0, 50, "abcd"), *((0.0, 50, link) for link in "abcd")]
    assert transfer_times(dict.fromkeys("abcd", 10.0), flows) == [10.0] * 5


def test_a_parking_lot_of_falling_capacities_fills_from_its_end():
    flows = [(0.0, 60, ["a", "b", "c"]), (0.0, 60, ["a"]), (0.0, 60, ["b"]), (0.0, 60, ["c"])]
    # at 1, 8, 3 and 1 until 7.5 s; at 1, 0, 3, 1 until 20 s; then both of c at 1
    assert transfer_times({"a": 9.0, "b": 4.0, "c": 2.0}, flows) == [60.0, 7.5, 20.0, 60.0]


def test_nothing_to_send_ends_at_once_and_slows_nobody():
    assert transfer_times({"a": 10.0}, [(3.0, 0, ["a"]), (0.0, 100, ["a"])]) == [3.0, 10.0]


def test_a_path_without_links_takes_no_time():
    assert transfer_times({"a": 10.0}, [(3.0, 1000, [])]) == [3.0]


def test_a_link_without_bound_takes_no_time():
    assert transfer_times({"a": inf, "b": 5.0}, [(3.0, 1000, ["a"]), (0.0, 10, ["a", "b"])]) == [3.0, 2.0]


def test_what_ends_later_than_a_float_can_tell_never_ends():
    assert transfer_times({"a": 1e-300, "b": 1.0}, [(0.0, 1e300, ["a"]), (0.0, 2.0, ["b"])]) == [inf, 2.0]


def test_what_a_flow_would_have_alone_follows_a_link_that_changes_and_binds_nobody():
    moving = Flows()
    tight, wide = moving.sharing.add_link(10.0), moving.sharing.add_link(100.0)
    flow, _ = moving.begin(0.0, 1000.0, path=[tight, wide]), moving.begin(0.0, 1000.0, path=[tight])
    moving.settle(0.0)
    moving.sharing.set_capacity(wide, 8.0)
    moving.settle(4.0)
    assert moving.end(12.0, flow).waited_s == pytest.approx(4.0 * (1 - 5 / 10) + 8.0 * (1 - 5 / 8))


def test_no_flows_have_no_times():
    assert transfer_times({"a": 10.0}, []) == []


def test_an_unknown_link_is_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"'hmoe'; did you mean 'home'"):
        transfer_times({"home": 10.0, "street": 5.0}, [(0.0, 1, ["hmoe"])])


@pytest.mark.parametrize("rate", [0, -2.5, nan, -inf])
def test_a_rate_that_carries_nothing_is_refused_by_link_and_value(rate):
    with pytest.raises(InputError, match=rf"(?s)home.*{rate}|{rate}.*home"):
        transfer_times({"home": rate}, [(0.0, 1, ["home"])])


@pytest.mark.parametrize("start_s", [-1.5, nan, inf])
def test_a_start_before_zero_or_never_is_refused_by_value(start_s):
    with pytest.raises(InputError, match=str(start_s)):
        transfer_times({"home": 10.0}, [(start_s, 1, ["home"])])


@pytest.mark.parametrize("nbytes", [-7, nan, inf])
def test_a_size_below_zero_or_without_end_is_refused_by_value(nbytes):
    with pytest.raises(InputError, match=str(nbytes)):
        transfer_times({"home": 10.0}, [(0.0, nbytes, ["home"])])
