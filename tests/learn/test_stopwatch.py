from __future__ import annotations

import pytest
import torch
from torch import nn

from fedsim.learn import stopwatch
from fedsim.learn.stopwatch import Pulse, forward_pass, timed, training_step


class Still(Pulse):
    """A pulse that takes no time."""

    def __init__(self) -> None:
        self.taken = 0

    def take(self) -> float:
        self.taken += 1
        return 0.25


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Goes take what the list says, one after the other."""
    lengths: list[float] = []
    monkeypatch.setattr(stopwatch, "once", lambda go: (go(), lengths.pop(0))[1])
    return lengths


def test_the_first_go_is_not_counted(clock: list[float]) -> None:
    clock += [100.0, 3.0, 1.0, 2.0]
    assert timed(lambda: None, Still(), at_least_s=0.0) == (2.0, 1.0, 0.25)


def test_short_goes_are_repeated_until_the_time_is_up(clock: list[float]) -> None:
    goes: list[int] = []
    clock += [1.0] * 50
    timed(lambda: goes.append(1), Still(), at_least_s=10.0)
    assert len(goes) == 11


def test_no_more_goes_than_allowed(clock: list[float]) -> None:
    goes: list[int] = []
    clock += [0.0] * 50
    timed(lambda: goes.append(1), Still(), at_least_s=10.0, most=5)
    assert len(goes) == 6


def test_pulses_are_taken_before_after_and_between_long_goes(clock: list[float]) -> None:
    pulse = Still()
    clock += [1.0] * 4
    timed(lambda: None, pulse, at_least_s=0.0)
    assert pulse.taken == 1 + 3 + 1


def test_a_training_step_changes_the_weights_and_a_forward_pass_does_not() -> None:
    module, inputs = nn.Linear(3, 2), (torch.ones(4, 3),)
    step = training_step(module, inputs, torch.zeros(4, dtype=torch.long), loss=nn.functional.cross_entropy)
    step()
    assert module.training
    assert module.weight.grad is not None
    before = module.weight.detach().clone()
    forward_pass(module, inputs)()
    assert torch.equal(module.weight, before)
    assert not module.training


def test_a_pulse_takes_time() -> None:
    assert Pulse(torch.device("cpu")).take() > 0
