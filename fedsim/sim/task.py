"""One piece of work on one device, from being asked to being released."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import simpy

from fedsim.fleet import Device
from fedsim.sim.clock import Order, call_at
from fedsim.sim.network import Connection
from fedsim.sim.place import Host
from fedsim.sim.pricing import Cost, Errand
from fedsim.timeline.recorder import BUSY, Span
from fedsim.work import Ref, Reply

if TYPE_CHECKING:
    from fedsim.sim.simulation import Simulation

LATE, CUT, DONE = "late", "cut", "done"
_DROPOUT = "dropout"


class Task:
    """Carries out an errand on a device for its *host*, through dropouts as the scenario says.

    Outcomes: done, used by a merge; late, cut by a deadline or left over; cut, stopped by a
    dropout. ``reply`` is there once everything has been sent back.
    """

    def __init__(self, sim: Simulation, device: Device, errand: Errand, *, host: Host) -> None:
        self.device, self.errand, self.host, self.version = device, errand, host, sim.version
        self.reply: Reply | None = None
        self.ended_s = math.inf
        self.received = False
        self._sim, self._env = sim, sim.env
        self._spans: list[Span] = []
        self._outcome: str | None = None
        self._off_s = math.inf
        self.process = sim.env.process(self._run())

    def stop(self, cause: str = LATE) -> None:
        """Cut whatever the device is doing, unless it has just finished."""
        if self.process.is_alive:
            self.process.interrupt(cause)

    def settle(self, outcome: str) -> None:
        """Write down the spans, now that their use is known; a tail may follow."""
        self._outcome = outcome
        for span in self._spans:
            self._sim.recorder.span(span, outcome)
        self._spans.clear()

    def note_tail(self, start_s: float) -> None:
        """Write down that the radio, after a transfer up to *start_s*, stayed awake until now."""
        joules = self.device.radio.tail_j(self._env.now - start_s)
        self._note("tail", start_s, Part(0, joules), link=self.device.link.name)

    def _run(self) -> Generator[simpy.Event, None, None]:
        asked_s, outcome = self._env.now, DONE
        self._watch(asked_s)
        try:
            for step in self._steps():
                yield from self._carry_out(step)
            self.reply = Reply(
                self.device.id, self.errand.up, self.errand.keep, self.version, samples=self.device.samples
            )
        except _Stopped as stopped:
            outcome = stopped.outcome
        self.ended_s = self._env.now
        self._note("idle", asked_s, Part(0, self.device.profile.idle_w * (self.ended_s - asked_s)))
        self._sim.ended(self, outcome)

    def _steps(self) -> Iterator[Step]:
        """Yield what is to be done in turn; sizes are asked for only when they are sent."""
        sim, errand = self._sim, self.errand
        ready = self.host.ensure(errand.down, self.version)
        if ready is not None:
            yield Wait(ready)
        connection, wake = sim.connection(self.device), partial(sim.tails.end, self.device.id)
        if errand.down:
            yield Transfer("download", connection, sim.pricing.nbytes(errand.down), wake=wake)
        self.received = True
        for ref, cost in errand.jobs:
            yield Compute(ref, cost)
            sim.pricing.executor.hint(ref)
        if errand.up:
            yield Transfer("upload", connection, sim.pricing.nbytes(errand.up), wake=wake)
            self.host.receive(errand.up)

    def _carry_out(self, step: Step) -> Generator[simpy.Event, None, None]:
        policy = self._sim.on_dropout
        while True:
            start_s = self._env.now
            part = yield from step.go(self._env)
            again = part.cut_by == _DROPOUT and policy == "restart"
            self._note(step.kind, start_s, part, link=step.link, job=step.job, repeated=again)
            if step.link and part.cut_by != _DROPOUT:
                self._sim.tails.begin(self, until_s=self._off_s)
            if part.cut_by is None:
                return
            if part.cut_by != _DROPOUT or policy == "discard":
                raise _Stopped(CUT if part.cut_by == _DROPOUT else part.cut_by)
            yield from self._await_return()
            if again:
                step.reset()

    def _await_return(self) -> Generator[simpy.Event, None, None]:
        """Wait, as long as it takes, for the device to come back; one that never does is lost."""
        start_s = self._env.now
        back_s = self._sim.availability.next_change(self.device.key, max(self._off_s, start_s))
        if math.isinf(back_s):
            raise _Stopped(CUT)
        try:
            yield self._env.timeout(back_s - start_s)
        except simpy.Interrupt as cut:
            raise _Stopped(str(cut.cause)) from None
        finally:
            self._note("wait", start_s, Part())
        self._watch(back_s)

    def _watch(self, online_from_s: float) -> None:
        """Set the alarm for the next dropout."""
        off_s = self._off_s = self._sim.availability.next_change(self.device.key, online_from_s)
        if off_s < math.inf:
            call_at(self._env, off_s, Order.DROPOUT, then=lambda: self.stop(_DROPOUT))

    def _note(
        self, kind: str, start_s: float, part: Part, *, link: str = "", job: str = "", repeated: bool = False
    ) -> None:
        end_s, outcome = self._env.now, CUT if repeated else self._outcome
        if end_s > start_s or kind in BUSY:
            place, number = f"device-{self.device.id}", self.device.id
            span = Span(
                place, number, kind, link, job, start_s, end_s, part.nbytes, part.joules, self.version,
                part.bottleneck, part.waited_s,
            )  # fmt: skip
            self._sim.recorder.count(span)
            if outcome is None:
                self._spans.append(span)
            else:
                self._sim.recorder.span(span, outcome)


class _Stopped(Exception):
    """The task is over before its time."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class Part(NamedTuple):
    """How far a step got in one go: bytes, joules above idle, the cause if it was cut, and who was in the way."""

    nbytes: int = 0
    joules: float = 0.0
    cut_by: str | None = None
    bottleneck: str = ""
    waited_s: float = 0.0


class Step(ABC):
    """Something that takes time on a device and can be cut at any instant."""

    kind = link = job = ""

    @abstractmethod
    def go(self, env: simpy.Environment) -> Generator[simpy.Event, None, Part]:
        """Go on from where the step stood."""

    def reset(self) -> None:  # noqa: B027 - a step that cannot be half done has nothing to forget
        """Forget what was done of it."""


class Wait(Step):
    """Wait until whom the device works for has what the device is to receive."""

    kind = "wait"

    def __init__(self, ready: simpy.Event) -> None:
        self._ready = ready

    def go(self, env: simpy.Environment) -> Generator[simpy.Event, None, Part]:
        if not self._ready.processed:
            try:
                yield self._ready
            except simpy.Interrupt as cut:
                return Part(cut_by=str(cut.cause))
        return Part()


class Transfer(Step):
    """Send bytes up or down the device's connection, its radio drawing what their rate takes."""

    def __init__(self, kind: str, connection: Connection, nbytes: int, *, wake: Callable[[], bool]) -> None:
        self.kind, self.link = kind, connection.name
        self._connection, self._up, self._wake = connection, kind == "upload", wake
        self._nbytes, self._left = nbytes, nbytes

    def go(self, env: simpy.Environment) -> Generator[simpy.Event, None, Part]:
        start_s, awake = env.now, self._wake()
        sent = yield from self._connection.transfer(self._left, up=self._up, awake=awake)
        self._left -= sent.nbytes
        joules = self._connection.joules(env.now - start_s, sent.nbytes, up=self._up)
        return Part(sent.nbytes, joules, sent.cut_by, sent.bottleneck, sent.waited_s)

    def reset(self) -> None:
        self._left = self._nbytes


class Compute(Step):
    """Run one job on the device's processor."""

    kind = "compute"

    def __init__(self, ref: Ref, cost: Cost) -> None:
        self.job, self._cost, self._left_s = ref.label, cost, cost.seconds
        self._watts = cost.joules / cost.seconds if cost.seconds else 0.0

    def go(self, env: simpy.Environment) -> Generator[simpy.Event, None, Part]:
        start_s, cause = env.now, None
        try:
            yield env.timeout(self._left_s)
        except simpy.Interrupt as cut:
            cause = str(cut.cause)
        self._left_s = max(0.0, self._left_s - (env.now - start_s)) if cause else 0.0
        return Part(0, self._watts * (env.now - start_s), cause)

    def reset(self) -> None:
        self._left_s = self._cost.seconds
