"""What work costs where: loads from the executor, rates from the profile."""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass
from typing import NamedTuple

from fedsim.execute import Executor
from fedsim.fleet import CostModel, Device, Profile
from fedsim.method import Quote
from fedsim.sim.network import Connection
from fedsim.work import Load, Ref, Work, missing_at, substituted

_REMEMBERED = 1 << 14


class Cost(NamedTuple):
    """Seconds, joules above idle and peak memory of one job on one profile."""

    seconds: float
    joules: float
    memory_bytes: float


class Errand(NamedTuple):
    """A work order worked out for one device: what must be sent, computed and returned."""

    down: tuple[Ref, ...]
    jobs: tuple[tuple[Ref, Cost], ...]
    up: tuple[Ref, ...]
    keep: tuple[Ref, ...]

    @property
    def memory_bytes(self) -> float:
        return max((cost.memory_bytes for _, cost in self.jobs), default=0.0)

    def after_one(self) -> Errand:
        """Return what is left when the first job is done."""
        return self._replace(jobs=self.jobs[1:])


class Pricing:
    """Prices jobs, remembering what equal loads cost on equal profiles."""

    def __init__(self, executor: Executor, model: CostModel) -> None:
        self.executor, self._model = executor, model
        self._known: dict[tuple[int, int], tuple[Profile, Load, Cost]] = {}

    def cost(self, profile: Profile, ref: Ref) -> Cost:
        """Return what the job behind *ref* costs on *profile*."""
        load = self.executor.load(ref)
        key = id(profile), id(load)  # both are kept, so that no other takes their place
        if key not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = profile, load, self._price(profile, load)
        return self._known[key][2]

    def errand(self, profile: Profile, work: Work, holds: Container[str]) -> Errand:
        """Work out *work* for a device that holds *holds*; raises LocalityError."""
        down = tuple(ref for ref in work.down if ref.key not in holds)
        there = Either(holds, frozenset(ref.key for ref in work.down))
        jobs = missing_at("a device", there, work.up + work.keep)
        return Errand(down, tuple((ref, self.cost(profile, ref)) for ref in jobs), work.up, work.keep)

    def instead(self, profile: Profile, errand: Errand, made: Ref) -> Errand:
        """Return *errand* with *made* in place of its first job, and in the recipes of all that follows."""
        (first, _), *rest = errand.jobs

        def swapped(ref: Ref) -> Ref:
            return substituted(ref, first, made)

        jobs = [made, *(swapped(ref) for ref, _ in rest)]
        priced = tuple((ref, self.cost(profile, ref)) for ref in jobs)
        return Errand(errand.down, priced, tuple(map(swapped, errand.up)), tuple(map(swapped, errand.keep)))

    def span_s(self, device: Device, errand: Errand, connection: Connection) -> float:
        """Return about how long *errand* takes, without asking for sizes that values decide: as much up as down."""
        down = self.nbytes(errand.down)
        there_s = connection.seconds(down, up=False, awake=False) if errand.down else 0.0
        back_s = connection.seconds(down, up=True, awake=False) if errand.up else 0.0
        return there_s + sum(cost.seconds for _, cost in errand.jobs) / (device.now.speed or 1.0) + back_s

    def rest_s(self, device: Device, errand: Errand, connection: Connection) -> float:
        """Return how long what follows the first job of *errand* takes, alone on the link and at the present speed."""
        busy_s = sum(cost.seconds for _, cost in errand.jobs[1:]) / (device.now.speed or 1.0)
        return busy_s + (connection.seconds(self.nbytes(errand.up), up=True, awake=False) if errand.up else 0.0)

    def quote(self, device: Device, errand: Errand, connection: Connection) -> Quote:
        """Price *errand* on *device*, all of it."""
        down, up = self.nbytes(errand.down), self.nbytes(errand.up)
        busy_s, busy_j = sum(c.seconds for _, c in errand.jobs), sum(c.joules for _, c in errand.jobs)
        busy_s = busy_s / device.now.speed if device.now.speed else math.inf
        radio = device.radio
        down_s = connection.seconds(down, up=False, awake=False) if errand.down else 0.0
        awake = bool(errand.down) and 0 < radio.tail_s >= busy_s
        up_s = connection.seconds(up, up=True, awake=awake) if errand.up else 0.0
        seconds = down_s + busy_s + up_s
        joules = busy_j + connection.joules(down_s, down, up=False) + connection.joules(up_s, up, up=True)
        joules += device.profile.idle_w * seconds
        if errand.down:
            joules += radio.tail_j(busy_s if errand.up else math.inf)
        if errand.up:
            joules += radio.tail_j()
        memory = errand.memory_bytes
        fits = memory <= device.memory_bytes
        return Quote(seconds, joules, down, up, memory, fits, transfer_s=down_s + up_s)

    def nbytes(self, refs: tuple[Ref, ...]) -> int:
        """Return the encoded size of *refs* on the wire."""
        return sum(self.executor.size(ref).nbytes for ref in refs)

    def _price(self, profile: Profile, load: Load) -> Cost:
        seconds, joules = self._model.seconds(profile, load), self._model.joules(profile, load)
        return Cost(seconds.value, joules.value, self._model.memory(profile, load).value)


@dataclass(frozen=True, slots=True)
class Either:
    """Two sets seen as one, without copying."""

    first: Container[str]
    second: Container[str]

    def __contains__(self, key: object) -> bool:
        return key in self.first or key in self.second
