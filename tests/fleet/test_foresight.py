"""What is found of many devices at once: the same, to the last bit, as what the laws say one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fedsim.fleet import All, ByGroup, Clock, Dynamics, Switched, foresee, remembering
from fedsim.fleet.availability import Markov
from fedsim.fleet.curve import Chain, Curve, load_curve
from fedsim.fleet.diurnal import Diurnal
from fedsim.fleet.failures import Crashes
from fedsim.fleet.foresight import stretches
from fedsim.fleet.hourly import DAY_S, hourly

many_keys = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 10**6)), min_size=1, max_size=40)
times = st.floats(0.0, 1e6)
seeds = st.integers(0, 2**63 - 1)
means = st.floats(10.0, 1e5)
markovs = st.builds(Markov, means, means, seeds)
crashes = st.builds(Crashes, st.floats(1e3, 1e5), st.floats(1.0, 3e3), seeds)
zones = st.lists(st.floats(-43_200.0, 43_200.0), min_size=1, max_size=3).map(tuple)
rates = st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1e-2)), min_size=24, max_size=24).filter(any)
hours = rates.map(hourly)
curves = st.one_of(
    st.sampled_from(["charging", "charging-and-wifi", "wifi"]).map(load_curve),
    st.builds(Chain, hours, hours).map(lambda chain: Curve((), (chain,))),
)
diurnals = st.builds(
    Diurnal, curves, seeds, zones, st.floats(0.0, 7_200.0), st.floats(0.0, DAY_S), life=st.integers(0, 2)
)
laws = st.one_of(markovs, crashes, diurnals)


@given(laws, many_keys, times)
def test_stretches_are_what_the_law_says_of_each_device(law, keys, at_s):
    until_s, online = stretches(law, keys, at_s)
    assert online.tolist() == [law.online(key, at_s) for key in keys]
    assert until_s.tolist() == [law.next_change(key, at_s) for key in keys]


@given(laws, many_keys, times)
def test_stretches_from_the_very_instant_of_a_change(law, keys, at_s):
    change_s = law.next_change(keys[0], at_s)
    until_s, online = stretches(law, keys, change_s)
    assert online.tolist() == [law.online(key, change_s) for key in keys]
    assert until_s.tolist() == [law.next_change(key, change_s) for key in keys]


@given(laws, many_keys, times)
def test_how_long_a_device_is_away_is_left_open_unless_it_is_asked_for(law, keys, at_s):
    until_s, online = stretches(law, keys, at_s, whole=False)
    for key, until, on in zip(keys, until_s, online, strict=True):
        assert until == (law.next_change(key, at_s) if on else at_s) or isinstance(law, Crashes)


@given(st.lists(laws, min_size=1, max_size=3), many_keys, times)
def test_what_was_foreseen_is_not_asked_again_and_true(parts, keys, at_s):
    law = All(tuple(parts))
    known = remembering(law)
    foresee(known, keys, at_s)
    assert [known.online(key, at_s) for key in keys] == [law.online(key, at_s) for key in keys]
    assert [known.next_change(key, at_s) for key in keys] == [law.next_change(key, at_s) for key in keys]


@given(laws, laws, many_keys, times)
def test_what_changes_of_many_devices_is_foreseen_in_every_law_of_theirs(one, other, keys, at_s):
    law = Dynamics(clock=Clock(full=one), memory=Switched(other, 0.5), network=ByGroup((one, other) * 5))
    known = remembering(law)
    foresee(known, keys, at_s)
    assert [known.clock.full.online(key, at_s) for key in keys] == [one.online(key, at_s) for key in keys]
    assert [known.memory.share(key, at_s) for key in keys] == [law.memory.share(key, at_s) for key in keys]
    assert [known.network.next_change(key, at_s) for key in keys] == [
        law.network.next_change(key, at_s) for key in keys
    ]


def test_devices_that_are_many_are_not_asked_one_by_one(monkeypatch):
    known, keys = remembering(Markov(2400.0, 600.0, 7)), [(0, index) for index in range(100)]
    foresee(known, keys, 50.0)
    monkeypatch.setattr(Markov, "online", None)
    assert 60 < sum(known.online(key, 50.0) for key in keys) < 95
