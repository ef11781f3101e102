from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fedsim import power
from fedsim.errors import InputError
from fedsim.power import Rapl, Sampled, find_meter


def counter(folder: Path, name: str, uj: int) -> Path:
    (folder / name).mkdir()
    (folder / name / "max_energy_range_uj").write_text("999999999\n")
    path = folder / name / "energy_uj"
    path.write_text(f"{uj}\n")
    return path


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is measured takes two seconds."""
    times = iter((10.0, 12.0))
    monkeypatch.setattr(power.time, "perf_counter", lambda: next(times))


def test_rapl_adds_up_the_packages(tmp_path: Path, second: None) -> None:
    one, two = (counter(tmp_path, f"intel-rapl:{n}", 1_000_000) for n in (0, 1))

    def spend() -> None:
        one.write_text("7000000")
        two.write_text("3000000")

    assert Rapl([one, two]).average_w(spend) == (6.0 + 2.0) / 2


def test_a_counter_that_starts_over_is_no_negative_power(tmp_path: Path, second: None) -> None:
    one = counter(tmp_path, "intel-rapl:0", 999_999_000)
    assert Rapl([one]).average_w(lambda: one.write_text("3999000") and None) == pytest.approx(2.0)


def test_rapl_that_is_not_there_is_no_meter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(power, "_RAPL", tmp_path)
    assert find_meter(None, cuda=False) is None


def test_a_sampled_meter_gives_the_mean() -> None:
    watts = iter((10.0, 20.0))
    assert Sampled("test", lambda: next(watts)).average_w(lambda: None) == 10.0


def test_a_meter_that_fails_meanwhile_is_heard_of() -> None:
    def broken() -> float:
        raise InputError("the meter is gone")

    with pytest.raises(InputError, match="the meter is gone"):
        Sampled("test", broken).average_w(lambda: None)


def test_a_command_is_a_meter() -> None:
    meter = find_meter(f"{sys.executable} -c 'print(42.5)'", cuda=False)
    assert meter is not None
    assert meter.average_w(lambda: None) == 42.5


@pytest.mark.parametrize(
    "command", ["no-such-command-here", "echo many", "echo nan", "echo -3", f"{sys.executable} -c 1/0"]
)
def test_a_command_that_prints_no_watts_is_refused_at_once(command: str) -> None:
    with pytest.raises(InputError, match=r"--watts-command.*give a command that prints the watts"):
        find_meter(command, cuda=False)
