"""What a Load costs on a profile: seconds, joules above idle, and memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fedsim.fleet.profile import Profile
from fedsim.work import Load

# True peak over Load.memory_bytes in torch 2.15's CPU steps of a CNN, ResNet-18, MobileNetV2, EfficientNet-B0, a
# ViT and VGG-11: 0.93 to 1.12. Above it: Adam on one very large layer (1.4) and oneDNN's LSTM (2.3).
_MEMORY_SPREAD = 0.93, 1.15


class Estimate(NamedTuple):
    """A value with the bounds that hold it in nine cases of ten."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CostModel:
    """Cost follows operators: each kind takes its FLOP, bytes and calls at rates of its own."""

    def seconds(self, profile: Profile, load: Load) -> Estimate:
        """Return the time of *load* on *profile*, in seconds."""
        value = sum(profile.rate(kind).seconds(op, load.density) for kind, op in load.ops.items())
        low, high = profile.spread
        return Estimate(value, value * low, value * high)

    def joules(self, profile: Profile, load: Load) -> Estimate:
        """Return the energy above idle; its bounds are those of the time, the power being taken as known."""
        busy_w = profile.busy_w
        return Estimate(*(busy_w * seconds for seconds in self.seconds(profile, load)))

    def memory(self, profile: Profile, load: Load) -> Estimate:
        """Return the peak bytes of *load*'s tensors; the program itself comes on top."""
        low, high = _MEMORY_SPREAD
        return Estimate(load.memory_bytes, load.memory_bytes * low, load.memory_bytes * high)
