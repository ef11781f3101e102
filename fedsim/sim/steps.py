"""What a task consists of: steps that take time on a device and can be cut at any instant."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from typing import NamedTuple

import simpy

from fedsim.fleet import Device
from fedsim.sim.clock import Alarm, Order
from fedsim.sim.machines import Machines
from fedsim.sim.network import Connection
from fedsim.sim.pricing import Cost
from fedsim.work import Ref

_NEVER = "cut"


Draw = Callable[[float], None]
"""Hears of the watts above idle that are drawn from now on."""


class Part(NamedTuple):
    """How far a step got in one go: bytes, joules above idle, the cause if it was cut, and who was in the way.

    ``unheard_j`` are those of the joules that were not in the watts that were told of.
    """

    nbytes: int = 0
    joules: float = 0.0
    cut_by: str | None = None
    bottleneck: str = ""
    waited_s: float = 0.0
    unheard_j: float = 0.0


class Step(ABC):
    """Something that takes time on a device and can be cut at any instant.

    ``memory_bytes`` of RAM must be free meanwhile; what it brings is ``refused``, or not.
    """

    kind = link = job = ""
    memory_bytes = 0.0
    refused = False

    @abstractmethod
    def go(self, env: simpy.Environment) -> Generator[simpy.Event, None, Part]:
        """Go on from where the step stood."""

    def reset(self) -> None:  # noqa: B027 - a step that cannot be half done has nothing to forget
        """Forget what was done of it."""


class Wait(Step):
    """Wait until whom the device works for has what the device is to receive."""

    kind = "wait"

    def __init__(self, ready: simpy.Event, *, draw: Draw) -> None:
        self._ready, self._draw = ready, draw

    def go(self, env: simpy.Environment) -> Generator[simpy.Event, None, Part]:
        self._draw(0.0)
        if not self._ready.processed:
            try:
                yield self._ready
            except simpy.Interrupt as cut:
                return Part(cut_by=str(cut.cause))
        return Part()


class Transfer(Step):
    """Send bytes up or down the device's connection, its radio drawing what their rate takes.

    *draw* hears of the watts at the nominal rate, and the part that was sent says what they were.
    """

    def __init__(
        self,
        kind: str,
        connection: Connection,
        nbytes: int,
        *,
        wake: Callable[[], bool],
        draw: Draw,
        refused: bool = False,
    ) -> None:
        self.kind, self.link, self.refused = kind, connection.name, refused
        self._connection, self._up, self._wake, self._draw = connection, kind == "upload", wake, draw
        self._nbytes, self._left = nbytes, nbytes

    def go(self, env: simpy.Environment) -> Generator[simpy.Event, None, Part]:
        start_s, awake, watts = env.now, self._wake(), self._connection.nominal_w(up=self._up)
        self._draw(watts)
        sent = yield from self._connection.transfer(self._left, up=self._up, awake=awake)
        self._left -= sent.nbytes
        joules = self._connection.joules(env.now - start_s, sent.nbytes, up=self._up)
        unheard_j = joules - watts * (env.now - start_s)
        return Part(sent.nbytes, joules, sent.cut_by, sent.bottleneck, sent.waited_s, unheard_j)

    def reset(self) -> None:
        self._left = self._nbytes


class Compute(Step):
    """Run one job on the device's processor, as fast as that goes from one instant to the next."""

    kind = "compute"

    def __init__(self, ref: Ref, cost: Cost, *, device: Device, machines: Machines, draw: Draw) -> None:
        self.ref, self.job, self.memory_bytes = ref, ref.label, cost.memory_bytes
        self._cost, self._left_s = cost, cost.seconds
        self._watts = cost.joules / cost.seconds if cost.seconds else 0.0
        self._device, self._machines, self._draw = device, machines, draw
        self._speed, self._since_s = 0.0, 0.0

    @property
    def done(self) -> float:
        """The share of the job that is done, as of the last change of pace."""
        return 1.0 - max(0.0, self._left_s - self._rounding_s) / self._cost.seconds if self._cost.seconds else 1.0

    def when(self, share: float, at_s: float) -> float:
        """Return when *share* of the job is done if nothing changes any more; *at_s* if it is by then."""
        left_s = self._left_s - self._speed * (at_s - self._since_s) - (1.0 - share) * self._cost.seconds
        return at_s if left_s <= self._rounding_s else at_s + left_s / self._speed if self._speed else math.inf

    def go(self, env: simpy.Environment) -> Generator[simpy.Event, None, Part]:
        joules, cause, whole = 0.0, None, False
        while cause is None and not whole:
            start_s, pace = env.now, self._machines.pace(self._device, env.now, self._watts)
            needs_s = self._left_s / pace.speed if pace.speed else math.inf
            whole = needs_s <= pace.until_s - start_s
            self._speed, self._since_s = pace.speed, start_s
            self._draw(self._watts * pace.power)
            try:
                yield from _wait(env, min(needs_s, pace.until_s - start_s))
            except simpy.Interrupt as cut:
                cause, whole = str(cut.cause), False
            seconds = env.now - start_s
            self._left_s = 0.0 if whole else max(0.0, self._left_s - pace.speed * seconds)
            self._since_s = env.now
            joules += self._watts * pace.power * seconds
            self._machines.ran(self._device, env.now)
        return Part(0, joules, cause)

    @property
    def _rounding_s(self) -> float:
        """What the clock's rounding may have left of the time that was to be over."""
        return 4.0 * self._speed * math.ulp(self._since_s)

    def reset(self) -> None:
        self._left_s = self._cost.seconds


def _wait(env: simpy.Environment, seconds: float) -> Generator[simpy.Event, None, None]:
    """Wait some *seconds*; a job that would never go on is given up at once, as is a device that never returns."""
    if math.isinf(seconds):
        yield Alarm(env, env.now, Order.DROPOUT)  # a deadline of this instant comes first
        raise simpy.Interrupt(_NEVER)
    yield env.timeout(seconds)
