"""Devices come and go as functions of (seed, device, time): consistent, stationary, whatever was asked before."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.fleet import Always, Markov
from fedsim.fleet.availability import unit_marks
from tests.strategies import markovs

keys = st.tuples(st.integers(0, 9), st.integers(0, 10**6))
times = st.floats(0.0, 1e6)
MEANS = [(40.0, 10.0), (10.0, 40.0), (25.0, 25.0)]


def changes(markov, key, *, until_s):
    """Return (times of change, state before the first)."""
    found, at_s = [], markov.next_change(key, 0.0)
    while at_s < until_s:
        found.append(at_s)
        at_s = markov.next_change(key, at_s)
    return found, markov.online(key, 0.0)


@given(keys, times)
def test_a_device_that_is_always_there_never_changes(key, at_s):
    assert Always().online(key, at_s)
    assert Always().next_change(key, at_s) == math.inf


@given(markovs(), keys, times)
def test_the_next_change_lies_ahead(markov, key, at_s):
    assert markov.next_change(key, at_s) > at_s


@given(markovs(), keys, times, st.floats(0.0, 0.999))
def test_the_state_stays_until_the_next_change(markov, key, at_s, share):
    between_s = at_s + share * (markov.next_change(key, at_s) - at_s)
    assert markov.online(key, between_s) == markov.online(key, at_s)


@given(markovs(), keys, times, st.floats(0.0, 0.999))
def test_until_the_next_change_it_is_the_same_from_anywhere(markov, key, at_s, share):
    change_s = markov.next_change(key, at_s)
    between_s = at_s + share * (change_s - at_s)
    assert between_s >= change_s or markov.next_change(key, between_s) == change_s


@given(markovs(), keys, times)
def test_at_the_next_change_the_state_flips(markov, key, at_s):
    assert markov.online(key, markov.next_change(key, at_s)) != markov.online(key, at_s)


@given(markovs(), st.lists(st.tuples(keys, times), min_size=1, max_size=5))
def test_answers_do_not_depend_on_what_was_asked_before(markov, questions):
    asked = [(markov.online(*q), markov.next_change(*q)) for q in questions]
    other_way = [(markov.online(*q), markov.next_change(*q)) for q in reversed(questions)]
    assert asked == other_way[::-1]


def test_devices_of_one_group_come_and_go_independently():
    markov = Markov(10.0, 10.0, seed=3)
    states = np.array([[markov.online((0, n), 5.0 * t) for t in range(400)] for n in range(2)])
    assert abs(np.corrcoef(states)[0, 1]) < 0.1


def test_another_seed_is_another_life():
    lives = [[Markov(10.0, 10.0, seed).online((0, 0), t) for t in range(100)] for seed in (0, 1)]
    assert lives[0] != lives[1]


@pytest.mark.parametrize("at_s", [0.0, 1e5])
@pytest.mark.parametrize(("mean_online_s", "mean_offline_s"), MEANS)
def test_the_share_online_is_stationary_from_the_start(mean_online_s, mean_offline_s, at_s):
    markov, n = Markov(mean_online_s, mean_offline_s, seed=0), 4000
    share = sum(markov.online((0, number), at_s) for number in range(n)) / n
    expected = mean_online_s / (mean_online_s + mean_offline_s)
    assert share == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / n))


@pytest.mark.parametrize(("mean_online_s", "mean_offline_s"), MEANS)
def test_sojourns_have_their_means_and_are_exponential(mean_online_s, mean_offline_s):
    markov = Markov(mean_online_s, mean_offline_s, seed=1)
    stays = {True: [], False: []}
    for number in range(40):
        found, online = changes(markov, (0, number), until_s=4_000.0)
        for at, stay in enumerate(np.diff(found)):
            stays[online == bool(at % 2)].append(stay)
    for online, mean_s in ((True, mean_online_s), (False, mean_offline_s)):
        error = mean_s / math.sqrt(len(stays[online]))
        assert np.mean(stays[online]) == pytest.approx(mean_s, abs=4 * error)
        assert np.mean(np.array(stays[online]) > mean_s) == pytest.approx(math.exp(-1), abs=0.05)


def test_the_number_of_marks_in_a_window_is_poisson():
    counts = np.bincount([len(unit_marks((7,), n)) for n in range(20_000)], minlength=16)
    expected = [math.exp(-1) / math.factorial(k) for k in range(12)]
    assert counts[:12] / counts.sum() == pytest.approx(expected, abs=0.015)


def test_the_marks_of_a_window_are_in_it_in_order_and_uniform():
    marks = [mark - n for n in range(5_000) for mark in unit_marks((7,), n)]
    assert all(list(unit_marks((7,), n)) == sorted(unit_marks((7,), n)) for n in range(100))
    assert 0 <= min(marks) < max(marks) < 1
    assert np.quantile(marks, [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75], abs=0.03)
