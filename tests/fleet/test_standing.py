"""How devices are ranked, and how their scores go with their ranks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from fedsim.errors import InputError
from fedsim.fleet import Always, Fleet, Group, Markov, load_link, load_profile
from fedsim.fleet.standing import INSTANTS, MOST_ASKED, Zoned, scores, standing

LINK = load_link("fibre")


def fleet(**counts):
    return Fleet(tuple(Group(load_profile(name.replace("_", "-")), LINK, count) for name, count in counts.items()))


@dataclass(frozen=True)
class Sunny:
    """Online from 6 to 18 o'clock local time; the device's index is its zone, in hours."""

    def online(self, key, at_s):
        return 6 <= (at_s / 3600 + self.zone_of(key)) % 24 < 18

    def next_change(self, key, at_s):
        return math.inf

    def zone_of(self, key):
        return float(key[1])


@dataclass(frozen=True)
class Rising:
    """Device i of n is online for the first i/n of the day."""

    n: int

    def online(self, key, at_s):
        return at_s < 86_400 * key[1] / self.n

    def next_change(self, key, at_s):
        return math.inf


def test_class_ranks_a_laptop_above_a_raspberry_pi_wherever_its_group_stands():
    assert standing(fleet(laptop=1, raspberry_pi_4=2), Always(), "class").argsort(kind="stable").tolist() == [1, 2, 0]
    assert standing(fleet(raspberry_pi_4=2, laptop=1), Always(), "class").argsort(kind="stable").tolist() == [0, 1, 2]


def test_online_is_the_share_of_the_first_day():
    assert standing(fleet(laptop=5), Rising(4), "online").tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_online_in_the_long_run_is_the_mean_share_of_the_markov_chain():
    found = standing(fleet(laptop=400), Markov(600.0, 1800.0, 7), "online")
    # instants 30 min apart are correlated by exp(-1800 (1/600 + 1/1800)) = 0.018, that is, hardly
    error = math.sqrt(0.25 * 0.75 / (400 * INSTANTS) * (1 + 2 * 0.018))
    assert abs(found.mean() - 0.25) < 3 * error


def test_zone_asks_the_availability():
    assert isinstance(Sunny(), Zoned)
    assert standing(fleet(laptop=3), Sunny(), "zone").tolist() == [0.0, 1.0, 2.0]


def test_equal_hours_in_different_zones_are_equal_shares_so_online_is_refused():
    with pytest.raises(InputError, match=r"to = 'online': all 3 devices have the same, 0\.5"):
        standing(fleet(laptop=3), Sunny(), "online")


@pytest.mark.parametrize(
    ("availability", "to", "said"),
    [
        (Always(), "online", "all 2 devices have the same, 1; take an availability in which devices differ"),
        (Always(), "class", "all 2 devices have the same, .*; take groups of different profiles"),
        (Always(), "zone", "availability 'always' knows none: take one with zones, such as 'diurnal'"),
    ],
)
def test_a_rank_that_devices_do_not_have_is_refused(availability, to, said):
    with pytest.raises(InputError, match=said):
        standing(fleet(laptop=2), availability, to)


def test_more_devices_than_can_be_asked_are_refused_before_any_is_asked():
    with pytest.raises(InputError, match=f"{MOST_ASKED + 1} devices are too many for: take at most {MOST_ASKED}"):
        standing(fleet(laptop=MOST_ASKED + 1), None, "online")


@pytest.mark.parametrize("rho", [-0.9, -0.5, 0.0, 0.3, 0.8])
def test_ranks_and_scores_correlate_as_the_copula_says(rho):
    n, devices = 20_000, fleet(laptop=20_000)
    drawn = scores(devices, np.arange(n)[::-1] * 1.0, rho=rho, seed=3)
    error = 1.0 / math.sqrt(n)  # of independent ranks, 1/sqrt(n - 1): the largest there is
    assert abs(spearmanr(drawn, np.arange(n)[::-1]).statistic - 6 / math.pi * math.asin(rho / 2)) < 2 * error


@pytest.mark.parametrize("rho", [-1.0, 1.0])
@given(values=st.lists(st.integers(0, 5), min_size=2, max_size=30), seed=st.integers(0, 2**31))
def test_with_rho_1_scores_sort_as_ranks_do_and_with_minus_1_reversed(rho, values, seed):
    found = np.array(values, dtype=float)
    drawn = scores(fleet(laptop=len(values)), found, rho=rho, seed=seed)
    assert (np.diff(rho * found[np.argsort(drawn)]) >= 0).all()
    assert len(set(drawn.tolist())) == len(values)


def test_one_more_device_keeps_the_noise_of_the_others():
    few, more = fleet(laptop=50, jetson_nano=5), fleet(laptop=51, jetson_nano=5)
    old, new = (scores(devices, np.arange(len(devices)) * 1.0, rho=0.0, seed=1) for devices in (few, more))
    assert [*old[:50], *old[50:]] == [*new[:50], *new[51:]]
