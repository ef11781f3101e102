"""What a Load costs on a profile: seconds, joules above idle, and memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from fedsim.fleet.profile import Profile
from fedsim.work import Load, Op

# True peak over Load.memory_bytes in torch 2.15's CPU steps: 0.87 (a ViT) to 1.38 (ShuffleNet) over the ten networks of
# tests/bench/fidelity.py, most at 1.1, as libraries copy some for themselves. Above it: oneDNN's LSTM (2.3).
_MEMORY_SPREAD = 0.87, 1.38


class Estimate(NamedTuple):
    """A value with the bounds that hold it in nine cases of ten."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CostModel:
    """Cost follows operators: each kind takes its FLOP, bytes and calls at rates of its own.

    Steps for which the profile carries an exact time take that instead.
    """

    def seconds(self, profile: Profile, load: Load) -> Estimate:
        """Return the time of *load* on *profile*, in seconds; the bounds leave exact times as they are."""
        by_rates, exact = _modelled(profile, load.ops, load.density), 0.0
        if profile.exact and load.steps:
            replaced, exact = _exact(profile, load)
            by_rates = max(0.0, by_rates - replaced)
        low, high = profile.spread
        return Estimate(exact + by_rates, exact + by_rates * low, exact + by_rates * high)

    def joules(self, profile: Profile, load: Load) -> Estimate:
        """Return the energy above idle; its bounds are those of the time, the power being taken as known."""
        busy_w = profile.busy_w
        return Estimate(*(busy_w * seconds for seconds in self.seconds(profile, load)))

    def memory(self, profile: Profile, load: Load) -> Estimate:
        """Return the peak bytes of *load*'s tensors; the program itself comes on top."""
        low, high = _MEMORY_SPREAD
        return Estimate(load.memory_bytes, load.memory_bytes * low, load.memory_bytes * high)


def _modelled(profile: Profile, ops: Mapping[str, Op], density: float) -> float:
    return sum(profile.rate(kind).seconds(op, density) for kind, op in ops.items())


def _exact(profile: Profile, load: Load) -> tuple[float, float]:
    """Return the seconds by rates of the steps that *profile* knows exactly, and their exact ones.

    An exact time is of dense weights; sparse kernels, where measured, shorten it as they do the one by rates.
    """
    by_rates = exact = 0.0
    for name, step in load.steps.items():
        if name in profile.exact:
            dense, found = (_modelled(profile, step.ops, density) for density in (1.0, load.density))
            by_rates += step.count * found
            exact += step.count * profile.exact[name] * (found / dense if dense else 1.0)
    return by_rates, exact
