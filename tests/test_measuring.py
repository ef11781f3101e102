from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from fedsim import measuring, showing_devices
from fedsim.errors import InputError
from fedsim.fleet.machine import this_machine
from fedsim.fleet.profile import load_profile
from fedsim.learn.fragments import Fragment
from fedsim.measuring import Measured, check, measure, ready
from fedsim.power import Meter
from fedsim.profiling import checked_path, write_profile
from fedsim.work import KINDS, OpClass
from tests.command import fedsim

CPU = torch.device("cpu")


class Fixed(Meter):
    """Tells 10 W at first, then 25 W."""

    name = "a test"

    def __init__(self) -> None:
        self.watts = iter((10.0, 25.0))

    def average_w(self, during: object) -> float:
        return next(self.watts)


def linear(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure four stacks and one network."""
    found = [Fragment(f"linear {n}", "linear", partial(linear, n), (n,), 8) for n in (32, 64, 128, 256)]
    monkeypatch.setattr(measuring, "fragments", lambda *, quick: found[: 2 if quick else 4])
    monkeypatch.setattr(measuring, "_CHECKS", (check("mlp", (1, 28, 28), 8), check("cnn", (1, 28, 28), 4)))


@pytest.fixture
def found(few: None) -> Measured:
    return measure(CPU, quick=False, meter=Fixed(), tick=lambda _: None)


def test_every_stack_is_timed_in_training_and_forward_and_every_network_is_a_check(found: Measured) -> None:
    steps = [(p.name, p.step) for p in found.points]
    assert steps[0] == ("pulse", "operator")
    assert steps[1:3] == [("linear 32", "operator"), ("linear 32, forward", "operator")]
    assert steps[-2:] == [("mlp", "check"), ("cnn", "check")]
    assert len(steps) == 1 + 2 * 4 + 2


def test_each_piece_of_work_ticks_once(few: None) -> None:
    done: list[str] = []
    measure(CPU, quick=True, meter=None, tick=done.append)
    assert done == ["linear 32", "linear 64", "mlp", "cnn"]
    assert measuring.steps(quick=True) == len(done)


def test_what_was_measured_is_a_profile_that_loads(found: Measured, tmp_path: Path) -> None:
    path = tmp_path / "here.toml"
    write_profile(path, this_machine("laptop"), found)
    profile = load_profile(path)
    assert (profile.name, profile.kind, profile.quality) == ("here", "laptop", "measured training")
    assert (profile.idle_w, profile.busy_w) == (10.0, 15.0)
    assert [(p.name, p.batch) for p in profile.points] == [(p.name, p.batch) for p in found.points]
    assert profile.rates.keys() == found.rates.keys()
    assert profile.rate("matmul").flops_per_s == pytest.approx(found.rates["matmul"].flops_per_s, rel=1e-3)
    assert not list(tmp_path.glob("*.partial"))


def test_the_columns_cover_every_kind_but_images_and_none_twice() -> None:
    for kind in set(KINDS) - {OpClass.IMAGE}:
        whats = [column.what for column in measuring.columns() if column.covers(kind)]
        assert whats, kind
        assert len(whats) == len(set(whats)), kind


def test_without_a_meter_the_watts_are_zero_and_said_to_be(few: None) -> None:
    found = measure(CPU, quick=True, meter=None, tick=lambda _: None)
    assert found.power == (0.0, 0.0, "")
    assert any("no power meter" in note for note in showing_devices.measured_facts(Path("x.toml"), found)["notes"])


def test_the_checks_are_networks_that_build() -> None:
    for one in measuring._CHECKS:
        assert one.build()(torch.zeros(2, *one.shape)).shape == (2, 10)


def test_a_machine_without_cuda_is_not_measured_as_one() -> None:
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="sees no CUDA device; measure 'cpu'"):
            ready("cuda", None)


@pytest.mark.parametrize(
    ("name", "error"), [("Upper.toml", "a-z"), ("here.txt", r"ends in \.toml"), ("nowhere/here.toml", "make it first")]
)
def test_a_place_where_no_profile_can_be_written_is_refused_first(tmp_path: Path, name: str, error: str) -> None:
    with pytest.raises(InputError, match=error):
        checked_path(tmp_path / name, force=False)


def test_a_file_that_is_there_is_kept_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "here.toml"
    path.write_text("mine")
    with pytest.raises(InputError, match="--force"):
        checked_path(path, force=False)
    assert checked_path(path, force=True) == path


def test_the_command_measures_this_machine(tmp_path: Path, few: None) -> None:
    done = fedsim("devices", "measure", "-o", str(tmp_path / "here.toml"), "--quick", "--threads", "1", "--json")
    told = json.loads(done.out)
    assert told["threads"] == 1
    assert load_profile(tmp_path / "here.toml").points


@pytest.mark.parametrize(
    ("options", "error"),
    [(("--kind", "toaster"), "unknown kind 'toaster'"), (("--torch-device", "tpu"), "tpu"), (("--threads", "0"), "0")],
)
def test_bad_options_of_the_command_are_named(tmp_path: Path, options: tuple[str, str], error: str) -> None:
    done = fedsim("devices", "measure", "-o", str(tmp_path / "here.toml"), *options)
    assert done.code == 2
    assert error in done.err
