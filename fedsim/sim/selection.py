"""Whom to ask first: selectors rank the devices of a pool, by what was heard of them and by chance that is keyed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

from fedsim.fleet import Device
from fedsim.seeds import uniforms
from fedsim.work import Ref

POOL = 10.0  # the devices that a selector ranks for each one wanted, unless it says otherwise


class Heard(NamedTuple):
    """What is known of a device that has worked: how often, how long its last task took, cut or not.

    ``round`` is when its last reply came (0: none did); ``loss`` names that of the model it then worked on, on its own
    examples: None if no reply came, or nobody asks for losses.
    """

    times: int
    round: int
    duration_s: float
    samples: int
    loss: Ref | None


@dataclass(frozen=True, slots=True)
class Sight:
    """What a ranking sees beside the pool.

    ``round`` counts from 1; ``want`` devices are sought; ``merges`` are to come in all. ``losses`` looks at what
    devices have reported, in their order, and ``seconds`` predicts what the method's own work would take one.
    """

    round: int
    want: int
    merges: int
    seed: int
    heard: Mapping[int, Heard]
    losses: Callable[[Sequence[Ref]], list[float]]
    seconds: Callable[[Device], float]

    def times(self, device: Device) -> int:
        """Return how often *device* has worked."""
        return self.heard[device.id].times if device.id in self.heard else 0

    def reported(self, devices: Iterable[Device]) -> dict[int, float]:
        """Return the last loss of those of *devices* that have reported one, by id."""
        known = {device.id: heard.loss for device in devices if (heard := self.heard.get(device.id)) and heard.loss}
        return dict(zip(known, self.losses(list(known.values())), strict=True))


class Ranking(Protocol):
    """The order in which the devices of a pool are offered work, in one run."""

    def order(self, pool: Sequence[Device], sight: Sight) -> Sequence[Device]: ...


class Selector(Protocol):
    """A policy, of which every run begins a ranking of its own.

    ``pool`` devices are ranked for each one wanted; ``hears``: whether the run is to remember who worked when;
    ``needs_losses``: whether also with which loss.
    """

    kind: ClassVar[str]
    hears: ClassVar[bool]

    @property
    def pool(self) -> float: ...
    @property
    def needs_losses(self) -> bool: ...
    def begin(self) -> Ranking: ...


@dataclass(frozen=True, slots=True)
class Random:
    """The order of the draw."""

    kind: ClassVar[str] = "random"
    hears: ClassVar[bool] = False
    needs_losses: ClassVar[bool] = False
    pool: ClassVar[float] = 1.0

    def begin(self) -> Ranking:
        return self

    def order(self, pool: Sequence[Device], sight: Sight) -> Sequence[Device]:
        return pool


@dataclass(frozen=True, slots=True)
class PowerOfChoice:
    """Of *pool* times as many candidates as are wanted, those with the highest loss (Cho et al., arXiv 2010.01243).

    Our reading is the paper's cheaper variant pi_rpow-d: the loss that a device last reported; one that never did
    comes first. The paper's d is *pool* times m, and its candidates are drawn by their share of examples, ours evenly.
    """

    pool: float = 3.0

    kind: ClassVar[str] = "power-of-choice"
    hears: ClassVar[bool] = True
    needs_losses: ClassVar[bool] = True

    def begin(self) -> Ranking:
        return self

    def order(self, pool: Sequence[Device], sight: Sight) -> Sequence[Device]:
        losses = sight.reported(pool)
        return sorted(pool, key=lambda device: -losses.get(device.id, math.inf))


@dataclass(frozen=True, slots=True)
class Battery:
    """The fullest battery first; plugged in, or without a battery in the model, is full."""

    pool: float = POOL

    kind: ClassVar[str] = "battery"
    hears: ClassVar[bool] = False
    needs_losses: ClassVar[bool] = False

    def begin(self) -> Ranking:
        return self

    def order(self, pool: Sequence[Device], sight: Sight) -> Sequence[Device]:
        return sorted(pool, key=lambda device: -_charge(device))


def _charge(device: Device) -> float:
    return 1.0 if device.now.plugged or device.now.charge is None else device.now.charge


@dataclass(frozen=True, slots=True)
class Fair:
    """Who has worked least often first."""

    pool: float = POOL

    kind: ClassVar[str] = "fair"
    hears: ClassVar[bool] = True
    needs_losses: ClassVar[bool] = False

    def begin(self) -> Ranking:
        return self

    def order(self, pool: Sequence[Device], sight: Sight) -> Sequence[Device]:
        return sorted(pool, key=sight.times)


def drawn_by_weight(devices: Iterable[Device], weights: Mapping[int, float], seed: int) -> list[Device]:
    """Return *devices* as drawn without replacement by *weights* (by id); those of weight 0 last.

    By the keys of Efraimidis and Spirakis (2006): the smallest of exponential times at the rate of the weight.
    """

    def waited(device: Device) -> float:
        weight = weights[device.id]
        return -math.log(1.0 - uniforms(seed, device.id)[0]) / weight if weight > 0 else math.inf

    return sorted(devices, key=waited)
