"""Cost follows operators: rates per class, a spread on time, increments over idle."""

from dataclasses import replace

import pytest
from torch import nn

from fedsim.fleet.cost import CostModel, Estimate
from fedsim.fleet.profile import Rate, load_profile, profile_names
from fedsim.learn.models import build_model
from fedsim.learn.trace import affine_load
from fedsim.work import Load, Op, OpClass, Step

PRICES = CostModel()
TOY = replace(
    load_profile("raspberry-pi-4"),
    rates={kind: Rate(call_s=1.0) for kind in OpClass} | {OpClass.CONV: Rate(10.0), OpClass.MEMORY: Rate(1e9, 4.0)},
    spread=(0.5, 3.0),
    busy_w=2.0,
)
LOAD = Load({OpClass.CONV: Op(flops=20), OpClass.MEMORY: Op(bytes=8), OpClass.MATMUL: Op(calls=3)}, memory_bytes=100)


def cnn() -> nn.Module:
    """McMahan's network for 28 x 28 digits."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, 10),
    )  # fmt: skip


def test_seconds_add_up_over_classes_with_bounds() -> None:
    assert PRICES.seconds(TOY, LOAD) == Estimate(7.0, 3.5, 21.0)


def test_a_thinner_network_takes_less_time_only_where_sparse_kernels_were_measured_and_are_quicker() -> None:
    thin = replace(LOAD, density=0.25)
    measured = replace(TOY, rates={**TOY.rates, OpClass.CONV: Rate(10.0, sparse_flops_per_s=4.0)})
    assert PRICES.seconds(TOY, thin).value == 7.0
    assert PRICES.seconds(measured, thin).value == 7.0 - 20 / 10 + 0.25 * 20 / 4
    assert PRICES.seconds(measured, LOAD).value == 7.0


def test_joules_are_the_increment_over_idle() -> None:
    assert PRICES.joules(TOY, LOAD) == Estimate(14.0, 7.0, 42.0)


def test_memory_is_the_loads_peak_within_its_bounds() -> None:
    found = PRICES.memory(TOY, LOAD)
    assert found.low < found.value == 100 < found.high


def test_nothing_costs_nothing() -> None:
    assert PRICES.seconds(TOY, Load()) == Estimate(0, 0, 0)


def test_twice_the_load_takes_twice_the_time() -> None:
    assert PRICES.seconds(TOY, LOAD * 2).value == 2 * PRICES.seconds(TOY, LOAD).value


def test_mcmahans_cnn_takes_tens_to_hundreds_of_milliseconds_on_a_pi_4() -> None:
    step = affine_load(cnn, (1, 28, 28), 10).at(10)
    assert 0.03 < PRICES.seconds(load_profile("raspberry-pi-4"), step).value < 0.3


def test_devices_rank_as_they_do_in_life() -> None:
    step = affine_load(cnn, (1, 28, 28), 10).at(32)
    ranked = sorted(profile_names(), key=lambda name: -PRICES.seconds(load_profile(name), step).value)
    boards = [name for name in ranked if name.startswith("raspberry")]
    phones = [name for name in ranked if name.startswith("phone")]
    assert boards == ["raspberry-pi-zero-2w", "raspberry-pi-3", "raspberry-pi-4", "raspberry-pi-5"]
    assert phones == ["phone-low", "phone-mid", "phone-high"]
    assert ranked[0] != "edge-server"


FASTER = [
    ("raspberry-pi-5", "raspberry-pi-4"), ("raspberry-pi-4", "raspberry-pi-3"),
    ("raspberry-pi-3", "raspberry-pi-zero-2w"), ("orange-pi-5", "raspberry-pi-5"), ("raspberry-pi-4", "visionfive-2"),
    ("jetson-agx-orin", "jetson-agx-xavier"), ("jetson-orin-nx", "jetson-orin-nano"),
    ("jetson-agx-xavier", "jetson-xavier-nx"), ("jetson-orin-nano", "jetson-xavier-nx"),
    ("jetson-xavier-nx", "jetson-tx2-nx"), ("jetson-xavier-nx", "jetson-nano"), ("jetson-tx2-nx", "jetson-nano"),
    ("phone-high", "google-pixel-3"), ("google-pixel-3", "google-pixel"), ("google-pixel-3", "google-pixel-3a"),
    ("google-pixel-6", "phone-high"), ("nvidia-rtx-4090", "nvidia-t4"), ("nvidia-a100", "nvidia-t4"),
    ("nvidia-t4", "jetson-orin-nano"), ("edge-server", "laptop"), ("mac-mini-m4", "macbook-neo"),
    ("laptop", "lattepanda-mu"), ("laptop", "raspberry-pi-5"),
]  # fmt: skip


def resnet18() -> nn.Module:
    return build_model("resnet18", classes=10, shape=(3, 32, 32))


@pytest.mark.parametrize(("faster", "slower"), FASTER)
def test_a_resnet18_step_is_shorter_on(faster: str, slower: str) -> None:
    step = affine_load(resnet18, (3, 32, 32), 10).at(16)
    quick, long = (PRICES.seconds(load_profile(name), step).value for name in (faster, slower))
    assert quick < long


def test_a_depthwise_model_is_slower_on_a_pi_than_its_flops_say() -> None:
    def net(groups: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(64, 64, 3, padding=1, groups=groups), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    pi = load_profile("raspberry-pi-4")
    plain, thin = (affine_load(lambda g=g: net(g), (64, 32, 32), 64).at(16) for g in (1, 64))
    assert plain.within(OpClass.CONV).flops == 64 * thin.within(OpClass.DEPTHWISE).flops
    assert PRICES.seconds(pi, plain).value < 5 * PRICES.seconds(pi, thin).value


def test_pricing_a_load_takes_microseconds(benchmark) -> None:
    pi, step = load_profile("raspberry-pi-4"), affine_load(cnn, (1, 28, 28), 10).at(10)
    assert benchmark(PRICES.seconds, pi, step).value > 0


STEPS = replace(LOAD, steps={"a": Step(1.0, {OpClass.CONV: Op(flops=20)})})


def test_a_profile_without_exact_times_prices_named_steps_by_its_rates() -> None:
    assert PRICES.seconds(TOY, STEPS) == PRICES.seconds(TOY, LOAD)


def test_an_exact_time_replaces_its_step_alone_and_has_no_spread() -> None:
    assert PRICES.seconds(replace(TOY, exact={"a": 10.0, "b": 99.0}), STEPS) == Estimate(15.0, 10 + 2.5, 10 + 15.0)


def test_an_exact_time_counts_as_often_as_its_step_is_taken() -> None:
    known = replace(TOY, exact={"a": 10.0})
    assert PRICES.seconds(known, STEPS * 3).value == 45.0
    assert PRICES.seconds(known, STEPS + STEPS * 2).value == 45.0
    assert PRICES.seconds(known, STEPS + LOAD).value == 22.0


def test_measured_sparse_kernels_shorten_an_exact_time_as_they_do_the_one_by_rates() -> None:
    sparse = {**TOY.rates, OpClass.CONV: Rate(10.0, sparse_flops_per_s=4.0)}
    measured, unmeasured = (replace(TOY, rates=rates, exact={"a": 10.0}) for rates in (sparse, TOY.rates))
    thin = replace(STEPS, density=0.2)
    assert PRICES.seconds(measured, thin).value == 5.0 + 10.0 * (0.2 * 20 / 4) / 2
    assert PRICES.seconds(unmeasured, thin).value == 15.0
