"""One piece of work on one device, from being asked to being released."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING

import simpy

from fedsim.fleet import FULL, Absent, Availability, Device, all_of
from fedsim.sim.clock import Alarm, Order, call_at
from fedsim.sim.guard import CRASH, DROPOUT, OOM, SHORT, STARTS_OVER, STORAGE, TROUBLES, Guard
from fedsim.sim.network import Connection
from fedsim.sim.place import Host
from fedsim.sim.pricing import Errand
from fedsim.sim.steps import Compute, Part, Step, Transfer, Wait
from fedsim.timeline.recorder import BUSY, Span
from fedsim.work import Reply, passes_of, shortened

if TYPE_CHECKING:
    from fedsim.sim.simulation import Simulation

LATE, CUT, DONE, LOST = "late", "cut", "done", "lost"
_RESERVE = 1.1  # on the predicted time of what comes after training
DIGEST_BYTES = 32  # of an upload that is checked, SHA-256


class Task:
    """Carries out an errand on a device for its *host*, through troubles as the scenario says.

    Outcomes: done, used by a merge; late, cut by a deadline or left over; cut, stopped by a dropout or a failure;
    lost, sent but refused. ``reply`` is there once everything has been sent back.
    """

    def __init__(self, sim: Simulation, device: Device, errand: Errand, *, host: Host) -> None:
        self.device, self.errand, self.host, self.version = device, errand, host, sim.version
        self.reply: Reply | None = None
        self.asked_s, self.ended_s = sim.now_s, math.inf
        self.received = False
        self._sim, self._env = sim, sim.env
        takes = {"stored": self._stored(), "needs": errand.memory_bytes}
        self._guard = Guard(device, sim.dynamics, sim.batteries, presence=self._presence(), **takes, at_s=self.asked_s)
        self._step: Step | None = None
        self._at_s, self._armed_s = self.asked_s, math.inf
        self._share = 1.0
        self._trouble: str | None = None
        self._parts: list[Span] = []  # of the step under way
        self._spans: list[Span] = []
        self._outcome: str | None = None
        self.process = sim.env.process(self._run())

    def stop(self, cause: str = LATE) -> None:
        """Cut whatever the device is doing, unless it has just finished."""
        if self.process.is_alive:
            self.process.interrupt(cause)

    def settle(self, outcome: str) -> None:
        """Write down the spans, now that their use is known; a tail may follow."""
        self._outcome = outcome
        for span in (*self._spans, *self._parts):
            self._sim.recorder.span(span, outcome)
        self._spans.clear()
        self._parts.clear()

    def note_tail(self, start_s: float) -> None:
        """Write down that the radio, after a transfer up to *start_s*, stayed awake until now."""
        joules = self.device.radio.tail_j(self._env.now - start_s)
        self._sim.batteries.spend(self.device, self._env.now, joules)
        self._note("tail", start_s, Part(0, joules), link=self.device.link.name)

    # --- From step to step ------------------------------------------------------------------------
    def _run(self) -> Generator[simpy.Event, None, None]:
        outcome = DONE
        self._draw(0.0)
        try:
            for step in self._steps():
                yield from self._carry_out(step)
            up, keep = self.errand.up, self.errand.keep
            self.reply = Reply(self.device.id, up, keep, self.version, samples=self.device.samples, share=self._share)
        except _Stopped as stopped:
            outcome = stopped.outcome
        self._step, self.ended_s = None, self._env.now
        self._sim.batteries.draw(self.device, self.ended_s, 0.0)
        self._note("idle", self.asked_s, Part(0, self.device.profile.idle_w * (self.ended_s - self.asked_s)))
        self._sim.ended(self, outcome)

    def _steps(self) -> Iterator[Step]:
        """Yield what is to be done in turn; sizes are asked for only when they are sent."""
        ready = self.host.ensure(self.errand.down, self.version)
        if ready is not None:
            yield Wait(ready, draw=self._draw)
        connection = self._sim.connection(self.device)
        if self.errand.down:
            yield self._transfer("download", connection, self._sim.pricing.nbytes(self.errand.down))
        self.received = True
        while self.errand.jobs:
            ref, cost = self.errand.jobs[0]
            step = Compute(ref, cost, device=self.device, machines=self._sim.machines, draw=self._draw)
            yield step
            self._sim.pricing.executor.hint(step.ref)
            self.errand = self.errand.after_one()
        if self.errand.up:
            yield from self._sending(connection)

    def _sending(self, connection: Connection) -> Iterator[Step]:
        """Yield uploads until one arrives whole; the host refuses the others, by their digest."""
        failures, nbytes = self._sim.dynamics.failures, self._sim.pricing.nbytes(self.errand.up)
        nbytes += DIGEST_BYTES if failures.checks else 0
        for attempt in range(failures.retries + 1):
            arrives = failures.arrives(self.device.key, self.version, attempt)
            yield self._transfer("upload", connection, math.ceil(nbytes * arrives.share), refused=not arrives.whole)
            if arrives.whole:
                self.host.receive(self.errand.up)
                return
        raise _Stopped(LOST)

    def _transfer(self, kind: str, connection: Connection, nbytes: int, *, refused: bool = False) -> Transfer:
        wake = partial(self._sim.tails.end, self.device.id)
        return Transfer(kind, connection, nbytes, wake=wake, draw=self._draw, refused=refused)

    def _carry_out(self, step: Step) -> Generator[simpy.Event, None, None]:
        """Do *step*, all of it or as much as will do, whatever comes in between."""
        while True:
            yield from self._await(step)
            start_s, self._step = self._env.now, step
            part = yield from step.go(self._env)
            self._step = None
            self._draw(0.0, part.unheard_j)
            self._note(step.kind, start_s, part, step=step)
            self._after(step, part.cut_by)
            if part.cut_by is None or self._will_do(step, part.cut_by):
                self._put_aside(LOST if step.refused else None)
                return

    def _after(self, step: Step, cause: str | None) -> None:
        """Let the radio stay awake after a transfer, and do what *cause* asks for; raises _Stopped."""
        if step.link and cause not in {DROPOUT, CRASH}:
            self._sim.tails.begin(self, until_s=self._guard.off_s)
        if cause in TROUBLES:
            self._meet(step, cause)
            if cause == OOM or self._sim.on_dropout == "restart":
                self._start_over(step)
        elif cause is not None and cause != SHORT:
            raise _Stopped(cause)

    def _meet(self, step: Step, trouble: str) -> None:
        """Note that *trouble* has begun, unless it has been; raises _Stopped if it ends the task."""
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble != DROPOUT:
            self._sim.recorder.mark(self.device.id, self._env.now, trouble, version=self.version)
        if trouble == STORAGE or self._sim.on_dropout == "discard":
            raise _Stopped(CUT)
        if trouble == CRASH:
            self._start_over(step)

    def _start_over(self, step: Step) -> None:
        """Forget what was done of *step*: all of it was for nothing."""
        step.reset()
        self._put_aside(CUT)

    def _put_aside(self, outcome: str | None) -> None:
        """Write down the parts of a step with their *outcome*; None: it is that of the task."""
        for span in self._parts:
            if outcome is None:
                self._spans.append(span)
            else:
                self._sim.recorder.span(span, outcome)
        self._parts.clear()

    def _await(self, step: Step) -> Generator[simpy.Event, None, None]:
        """Wait, as long as it takes, until nothing is in the way of *step*; what never ends is given up."""
        start_s = self._env.now
        try:
            while (trouble := self._guard.trouble(step, self._now_s)) is not None:
                ready_s = self._guard.ready_s(trouble, self._now_s)
                if math.isinf(ready_s) or self._sim.on_dropout == "discard":
                    yield Alarm(self._env, self._env.now, Order.DROPOUT)  # a deadline of this instant comes first
                    self._meet(step, trouble)
                    raise _Stopped(CUT)
                self._meet(step, trouble)
                self._at_s = min(ready_s, self._guard.loss_s(self._now_s))
                yield self._env.timeout(self._at_s - self._env.now)
                self._guard.look(self._at_s)
            self._trouble = None
        except simpy.Interrupt as cut:
            raise _Stopped(str(cut.cause)) from None
        finally:
            self._note("wait", start_s, Part())

    @property
    def _now_s(self) -> float:
        """The instant that has come: the clock may be a rounding short of the one that an alarm was set to."""
        return max(self._at_s, self._env.now)

    # --- What may cut a step ----------------------------------------------------------------------
    def _watch(self, at_s: float) -> None:
        """Set an alarm for the first instant at which something may be in the way, unless an earlier one is set."""
        assert self._step is not None
        next_s = min(self._guard.next_s(self._step, at_s), self._short_s(self._step, at_s))
        if next_s < self._armed_s:
            self._armed_s = next_s
            call_at(self._env, next_s, Order.DROPOUT, then=partial(self._look, next_s))

    def _look(self, at_s: float) -> None:
        """Cut the step under way if something is in its way, else look again later."""
        if at_s != self._armed_s:
            return
        self._armed_s = math.inf
        if self._step is None or not self.process.is_alive:
            return
        self._guard.look(at_s)
        cause = self._guard.trouble(self._step, at_s) or (SHORT if self._short_s(self._step, at_s) <= at_s else None)
        if cause is None:
            self._watch(at_s)
        else:
            self._at_s, self._step = at_s, None
            self.process.interrupt(cause)

    def _draw(self, watts: float, joules: float = 0.0) -> None:
        """Let the battery hear what is drawn above idle from now on, and what was drawn beside; look out anew."""
        batteries, now_s = self._sim.batteries, self._env.now
        batteries.spend(self.device, now_s, joules)
        batteries.draw(self.device, now_s, self.device.profile.idle_w + watts)
        if self._step is not None:
            self._watch(max(self._at_s, now_s))

    def _presence(self) -> Availability:
        """Return when the device is there for this task: as ever, but for an absence drawn for it."""
        sim, device = self._sim, self.device
        absence = sim.dynamics.failures.absence(device.key, self.version)
        if absence is None:
            return sim.availability
        off_s = self.asked_s + absence.share * sim.pricing.span_s(device, self.errand, sim.connection(device))
        return all_of(sim.availability, Absent(off_s, off_s + absence.seconds))

    def _stored(self) -> float:
        return self._sim.pricing.nbytes(self.errand.down) if self._sim.dynamics.storage is not FULL else 0.0

    # --- Partial work -----------------------------------------------------------------------------
    def _short_s(self, step: Step, at_s: float) -> float:
        """Return when at the latest to stop *step* and send what is done of it; inf: it need not, or cannot be."""
        deadline_s, passes = self._sim.deadline_s, isinstance(step, Compute) and passes_of(step.ref)
        if self._sim.on_dropout != "partial" or deadline_s is None or not passes or passes == 1:
            return math.inf
        assert isinstance(step, Compute)
        rest_s = _RESERVE * self._sim.pricing.rest_s(self.device, self.errand, self._sim.connection(self.device))
        first_pass_s = step.when(1.0 / passes, at_s)
        return max(self.asked_s + deadline_s - rest_s, first_pass_s)

    def _will_do(self, step: Step, cause: str) -> bool:
        """Tell whether what is done of *step* is to be sent now that *cause* has cut it, and can be."""
        absent = cause in TROUBLES - STARTS_OVER and self._sim.on_dropout == "partial"
        return (absent or cause == SHORT) and self._shorten(step)

    def _shorten(self, step: Step) -> bool:
        """Make do with what is done of *step*, if that is of any use."""
        made = shortened(step.ref, step.done) if isinstance(step, Compute) else None
        if made is None or not isinstance(step, Compute):
            return False
        self._share *= (passes_of(made) or 1) / (passes_of(step.ref) or 1)
        self.errand = self._sim.pricing.instead(self.device.profile, self.errand, made)
        step.ref = made
        return True

    def _note(
        self,
        kind: str,
        start_s: float,
        part: Part,
        *,
        step: Step | None = None,
        link: str = "",
    ) -> None:
        end_s = self._env.now
        if end_s > start_s or kind in BUSY:
            place, number = f"device-{self.device.id}", self.device.id
            link, job = (step.link, step.job) if step else (link, "")
            span = Span(
                place, number, kind, link, job, start_s, end_s, part.nbytes, part.joules, self.version,
                part.bottleneck, part.waited_s,
            )  # fmt: skip
            self._sim.recorder.count(span)
            if self._outcome is not None:
                self._sim.recorder.span(span, self._outcome)
            else:
                (self._parts if step else self._spans).append(span)


class _Stopped(Exception):
    """The task is over before its time."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome
