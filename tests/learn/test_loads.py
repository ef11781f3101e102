"""The steps that loads name, for profiles that know how long a whole one takes."""

from dataclasses import replace

import pytest

from fedsim.fleet import CostModel, load_profile
from fedsim.learn import loads
from fedsim.learn.data import DataSize
from fedsim.learn.groups import Widths
from fedsim.learn.models import make_spec

SPEC = make_spec("mlp", 10, (1, 28, 28), hidden=(8, 6))
DATA = DataSize(20, (1, 28, 28), 10, 785)
NAME = "mlp(hidden=8x6)/10/1x28x28"


def cut() -> Widths:
    group = SPEC.groups()[0]
    return ((group.name, group.units - 1),)


def test_training_names_its_steps_and_how_often_each_is_taken() -> None:
    load = loads.training(SPEC.as_params(), DATA, epochs=3, batch_size=8, optimizer="sgd")
    assert {name: step.count for name, step in load.steps.items()} == {f"{NAME}/sgd/8": 6, f"{NAME}/sgd/4": 3}


def test_the_work_of_the_steps_is_the_work_of_the_training() -> None:
    load = loads.training(SPEC.as_params(), DATA, epochs=3, batch_size=8, optimizer="adam")
    assert sum(step.count * sum(op.flops for op in step.ops.values()) for step in load.steps.values()) == load.flops


def test_predicting_names_forward_passes() -> None:
    load = loads.predicting(SPEC.as_params(), DATA, batch_size=10)
    assert {name: step.count for name, step in load.steps.items()} == {f"{NAME}/forward/10": 2}


def test_a_part_of_a_network_is_not_called_by_the_name_of_the_whole() -> None:
    part = replace(SPEC, widths=cut()).as_params()
    assert loads.training(part, DATA, epochs=1, batch_size=8, optimizer="sgd").steps == {}
    assert loads.predicting(part, DATA).steps == {}


def test_vectors_are_nobodys_step() -> None:
    assert loads.vector(10).steps == {}


def test_training_takes_the_exact_times_of_a_profile_and_its_rates_for_the_rest() -> None:
    load = loads.training(SPEC.as_params(), DATA, epochs=3, batch_size=8, optimizer="sgd") + loads.vector(99)
    by_rates = load_profile("raspberry-pi-4")
    exact = replace(by_rates, exact={f"{NAME}/sgd/8": 2.0})
    rest = loads.training(SPEC.as_params(), replace(DATA, n=4), epochs=3, batch_size=8, optimizer="sgd")
    rest_s = CostModel().seconds(by_rates, rest + loads.vector(99)).value
    assert CostModel().seconds(exact, load).value == pytest.approx(12.0 + rest_s)


def test_default_options_go_without_saying() -> None:
    assert make_spec("resnet18", 10, (3, 32, 32)).in_full == "resnet18/10/3x32x32"
    assert make_spec("resnet18", 10, (3, 32, 32), width=0.5).in_full == "resnet18(width=0.5)/10/3x32x32"
    assert make_spec("lstm", 5, (80,), vocab=99).in_full == "lstm(vocab=99)/5/80"
