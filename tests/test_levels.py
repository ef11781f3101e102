"""A device's level follows from its believed rate as each reading of Eq. 4 says."""

import math
from dataclasses import replace
from functools import cache, partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.errors import InputError
from fedsim.fleet import CostModel, load_profile, profile_names
from fedsim.fleet.profile import Rate
from fedsim.learn.data import DataSize
from fedsim.learn.loads import training
from fedsim.learn.models import make_spec
from fedsim.learn.shrink import cut, uniform
from fedsim.levels import GRID, Eq4, estimated_rate, from_level_on
from fedsim.work import OpClass
from tests.methods.hand import device

MAKE = {
    "A": Eq4("A", p_max=0.8, f_lambda=50.0),
    "B": Eq4("B", p_max=0.8, f_min=10.0, f_max=50.0, gamma=2.0),
    "C": Eq4("C", p_max=0.8, limit_s=2.0),
    "D": Eq4("D", p_max=0.8, limit_s=2.0),
}


def with_rates(**rates):
    """Return a device whose classes run at these FLOP/s."""
    one = device(0)
    new = {OpClass(name): Rate(flops_per_s=rate, call_s=1e-6) for name, rate in rates.items()}
    others = {kind: rate for kind, rate in one.profile.rates.items() if "." not in kind}
    return replace(one, profile=replace(one.profile, rates=others | new))


def work(level):
    return 60.0 * (1.0 - level)  # FLOP


@pytest.mark.parametrize(
    ("reading", "rate", "level"),
    [
        ("A", 40.0, 0.2), ("A", 5.0, 0.8), ("A", 60.0, 0.0), ("A", math.inf, 0.0),
        ("B", 10.0, 0.8), ("B", 30.0, 0.2), ("B", 50.0, 0.0), ("B", 1.0, 0.8), ("B", math.inf, 0.0),
        ("C", 30.0, 0.0), ("C", 15.0, 0.5), ("C", 14.9, 0.51), ("C", 6.0, 0.8), ("C", 5.9, None), ("C", math.inf, 0.0),
    ],
)  # fmt: skip
def test_levels_by_hand(reading, rate, level):
    found = MAKE[reading].level(rate, lambda p: work(p) / rate)
    assert found == (level if level is None else pytest.approx(level))


@given(st.sampled_from("ABC"), st.floats(1.0, 1e3), st.floats(1.0, 1e3))
def test_a_faster_device_is_never_pruned_more(reading, one, other):
    levels = [MAKE[reading].level(rate, lambda p, rate=rate: work(p) / rate) for rate in sorted((one, other))]
    slow, fast = (1.0 if level is None else level for level in levels)
    assert slow >= fast


@given(st.sampled_from(profile_names()), st.floats(0.0, 1.5))
def test_a_level_by_time_is_the_least_within_the_limit_under_the_cost_model(name, share):
    profile, p_max = load_profile(name), 0.9
    limit_s = share * training_s(profile, 0.0)
    level = Eq4("D", p_max=p_max, limit_s=limit_s).level(math.nan, partial(training_s, profile))
    if level is None:
        assert training_s(profile, p_max) > limit_s
    else:
        assert training_s(profile, level) <= limit_s
        assert level == 0.0 or training_s(profile, level - 1 / GRID) > limit_s


@cache
def training_s(profile, level):
    """Return the predicted time of an epoch of 64 images by a perceptron of which *level* of the units is gone."""
    spec = make_spec("mlp", 10, (1, 8, 8), hidden=(100,)).as_params()
    data = DataSize(64, (1, 8, 8), 10, 65)
    left = cut(spec, uniform(spec, level))
    return CostModel().seconds(profile, training(left, data, epochs=1, batch_size=8, optimizer="sgd")).value


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (Eq4("D", p_max=0.5), "reading D prunes until training takes at most tau: set tau"),
        (Eq4("B", p_max=0.5), "f_min is 0 and f_max 0 FLOP/s: reading B asks"),
        (Eq4("B", p_max=0.5, f_min=2.0, f_max=2.0), "give its slowest and its fastest"),
        (Eq4("C", p_max=0.5), "set tau, or the schedule's deadline"),
    ],
)
def test_a_reading_without_what_it_goes_by_is_refused(made, said):
    with pytest.raises(InputError, match=said):
        made.check()


@pytest.mark.parametrize("made", MAKE.values())
def test_a_reading_with_all_that_it_goes_by_is_taken(made):
    made.check()


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_has_a_finite_rate(name):
    rate = estimated_rate(replace(device(0), profile=load_profile(name)), error=0.0, seed=0)
    assert 1e9 < rate < 1e14


def test_the_rate_is_that_of_equal_shares_of_convolutions_and_products():
    assert estimated_rate(with_rates(conv=1e9, matmul=3e9), error=0.0, seed=0) == pytest.approx(1.5e9)
    assert estimated_rate(with_rates(conv=1e9, matmul=math.inf), error=0.0, seed=0) == pytest.approx(2e9)
    assert estimated_rate(with_rates(conv=math.inf, matmul=math.inf), error=1.0, seed=0) == math.inf


def test_errors_are_log_normal_with_the_deviation_given():
    one = with_rates(conv=1e9, matmul=1e9)
    logs = [math.log(estimated_rate(one, error=0.5, seed=seed) / 1e9) for seed in range(4000)]
    mean = sum(logs) / len(logs)
    deviation = math.sqrt(sum((x - mean) ** 2 for x in logs) / len(logs))
    assert (mean, deviation) == (pytest.approx(0.0, abs=0.03), pytest.approx(0.5, rel=0.05))
    within = sum(abs(x) < 0.5 for x in logs) / len(logs)
    assert within == pytest.approx(0.683, abs=0.03)


@given(st.floats(0.01, 0.99), st.floats(0.0, 1.0))
def test_levels_to_try_climb_from_the_first_to_the_last_on_the_grid(p_max, share):
    tried = from_level_on(share * p_max, p_max)
    assert list(tried) == sorted(set(tried))
    assert (abs(tried[0] - share * p_max) <= 0.51 / GRID, tried[-1]) == (True, pytest.approx(p_max, abs=0.51 / GRID))
    assert all(level == p_max or level * GRID == pytest.approx(round(level * GRID)) for level in tried)
