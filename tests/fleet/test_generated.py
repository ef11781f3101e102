"""Drawn rates have the quantiles and the memory they are given, and are functions of seed, key, direction and time."""

import math
import random
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.errors import InputError
from fedsim.fleet.generated import PROBABILITIES, Generated, generated_from
from fedsim.fleet.link import link_names, load_link
from fedsim.fleet.table import Table

QUANTILES = (0.0, 0.1, 0.2, 0.5, 1.0, 1.6, 2.5, 3.0, 5.0)
LAW = Generated(1.0, 0.3, ((0.3, 2.0), (0.4, 20.0)), QUANTILES, tuple(q / 2 for q in QUANTILES))
VARYING = [name for name in link_names() if name != "ethernet"]


def drawn(law, key, *, seed=3, up=False, nominal=1e6):
    return law.capacity(nominal, key, seed=seed, up=up)


def sample(law, *, devices, seconds, up=False):
    """Return the rates of many devices, one row each, at every second, relative to the nominal rate."""
    links = [drawn(law, (0, n), up=up) for n in range(devices)]
    return np.array([[link.rate(float(t)) / 1e6 for t in range(seconds)] for link in links])


def test_rates_have_the_quantiles_of_the_law():
    for up, expected in ((False, LAW.down), (True, LAW.up)):
        found = np.quantile(sample(LAW, devices=400, seconds=256, up=up), PROBABILITIES[1:-1])
        assert found == pytest.approx(expected[1:-1], rel=0.1)


def test_rates_stay_between_the_least_and_the_most():
    rates = sample(LAW, devices=50, seconds=256)
    assert rates.min() >= QUANTILES[0]
    assert rates.max() <= QUANTILES[-1]


def test_normal_scores_are_correlated_as_place_and_moments_say():
    rates = sample(LAW, devices=400, seconds=512)
    chance = np.interp(rates, QUANTILES, PROBABILITIES)
    score = np.vectorize(NormalDist().inv_cdf)(np.clip(chance, 1e-9, 1 - 1e-9))
    for lag in (1, 3, 10, 40, 200):
        expected = 0.3 + 0.3 * math.exp(-lag / 2) + 0.4 * math.exp(-lag / 20)
        assert (score[:, lag:] * score[:, :-lag]).mean() == pytest.approx(expected, abs=0.05)


def test_both_ways_have_the_place_in_common_and_nothing_else():
    law = Generated(1.0, 0.3, ((0.7, 0.0),), QUANTILES, QUANTILES)
    down, up = (np.argsort(np.argsort(sample(law, devices=2000, seconds=1, up=up)[:, 0])) for up in (False, True))
    assert np.corrcoef(down, up)[0, 1] == pytest.approx(0.3, abs=0.06)


def test_all_of_the_place_never_moves_the_rate():
    still = drawn(Generated(1.0, 1.0, (), QUANTILES, QUANTILES), (0, 1))
    assert len({still.rate(t) for t in range(500)}) == 1


@given(st.lists(st.floats(0.0, 1e8), min_size=1, max_size=20))
def test_the_answer_does_not_depend_on_what_was_asked_before(times):
    link, again = drawn(LAW, (2, 5)), drawn(LAW, (2, 5))
    asked = {t: link.rate(t) for t in times}
    random.Random(0).shuffle(times)
    assert {t: again.rate(t) for t in times} == asked


def test_keys_seeds_and_directions_differ():
    links = [drawn(LAW, (0, 1)), drawn(LAW, (0, 2)), drawn(LAW, (1, 1)), drawn(LAW, (0, 1), seed=4)]
    links.append(drawn(Generated(1.0, 0.3, LAW.moments, QUANTILES, QUANTILES), (0, 1), up=True))
    assert len({tuple(link.rate(t) for t in range(5)) for link in links}) == len(links)


@given(st.sampled_from([1.0, 0.1, 0.3, 7.0]), st.floats(0.0, 1e9))
def test_a_rate_holds_until_the_next_change(step_s, at_s):
    link = drawn(Generated(step_s, 0.3, ((0.7, 2.0),), QUANTILES, QUANTILES), (0, 1))
    after_s = link.next_change(at_s)
    assert at_s < after_s <= at_s + 1.001 * step_s
    assert link.rate(math.nextafter(after_s, 0.0)) == link.rate(at_s)


@pytest.mark.parametrize("name", VARYING)
def test_a_packaged_link_varies_about_its_nominal_rate_as_its_median(name):
    link = load_link(name, varies=True)
    rates = [
        link.capacity((0, n), seed=1, up=up).rate(50.0 * n) / link.rate(up=up)
        for n in range(1500)
        for up in (False, True)
    ]
    assert np.median(rates) == pytest.approx(1.0, rel=0.1)
    assert min(rates) >= 0
    assert link.varies.down[4] == link.varies.up[4] == 1.0


def test_a_packaged_link_is_constant_unless_it_is_to_vary():
    assert load_link("lte").varies is None
    assert load_link("lte").capacity((0, 1), seed=1, up=True).next_change(0.0) == math.inf


SOUND = {
    "step": "1 s", "place": 0.4, "moments": [{"share": 0.6, "time": "3 s"}],
    "down": list(QUANTILES), "up": list(QUANTILES),
}  # fmt: skip


def test_a_law_is_read_from_a_table():
    assert generated_from(Table("t", SOUND)) == Generated(1.0, 0.4, ((0.6, 3.0),), QUANTILES, QUANTILES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"place": 0.5}, r"place 0\.5 and the shares of the moments must add up to 1"),
        ({"place": 1.5}, r"place: 1\.5 is no share: write a number from 0\.0 to 1\.0"),
        ({"down": [1.0]}, r"down: \[1\.0\] are no quantiles: write 9 rising numbers from 0"),
        ({"up": [0.0] * 9}, r"up: .* are no quantiles: write 9 rising numbers from 0, the last above 0"),
        ({"up": list(QUANTILES[::-1])}, r"up: .* are no quantiles"),
        ({"step": "0 s"}, r"step is 0 s: a step takes time"),
    ],
)
def test_what_is_no_law_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        generated_from(Table("t", {**SOUND, **change}))
