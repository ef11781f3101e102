"""When to ask devices and when to merge: a schedule is the body of the run's main process."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import simpy

from fedsim.sim.clock import Alarm, Order, call_at
from fedsim.sim.deadlines import Adaptive, Pace
from fedsim.sim.selection import Random, Selector

if TYPE_CHECKING:
    from fedsim.sim.asking import Asked
    from fedsim.sim.simulation import Simulation
    from fedsim.sim.task import Task

Events = Generator[simpy.Event, None, None]
PATIENCE = 1000
RANDOM = Random()


class Schedule(Protocol):
    """``merges`` at most are to come; a device has ``deadline_s`` at first (None: open); ``select``: whom to ask."""

    @property
    def merges(self) -> int: ...
    @property
    def deadline_s(self) -> float | None: ...
    @property
    def select(self) -> Selector: ...
    @property
    def patience(self) -> int:
        """Tries to find somebody willing before the run is stalled."""
        ...

    @property
    def at_edges(self) -> bool:
        """Whether devices work for the first aggregator on their way, where there is one."""
        ...

    def run(self, sim: Simulation) -> Events: ...


def ask_cohort(sim: Simulation, want: int, number: int) -> Generator[simpy.Event, None, list[Task]]:
    """Ask for *want* devices in round *number*, again and again until somebody takes work."""
    tries = 0
    while True:
        asked = sim.ask(want, want, "round", number, tries)
        if asked.tasks:
            return asked.tasks
        yield sim.wait_for_someone(asked, tries)
        tries += 1


def wait_until(sim: Simulation, at_s: float) -> Events:
    """Wait until *at_s*, if that is ahead."""
    if at_s > sim.now_s:
        yield sim.env.timeout(at_s - sim.now_s)


def gather(sim: Simulation, tasks: list[Task], *, enough: int, deadline_s: float | None) -> Events:
    """Wait for *enough* replies, the end of all *tasks* or the deadline, and cut those that are not done."""
    closing = sim.env.event()
    open_tasks, replies = len(tasks), 0

    def ended(task: Task) -> None:
        nonlocal open_tasks, replies
        open_tasks -= 1
        replies += task.reply is not None
        if not closing.triggered and (open_tasks == 0 or replies == enough):
            closing.succeed()

    for task in tasks:
        task.process.callbacks.append(lambda _, task=task: ended(task))  # type: ignore[misc]
    if deadline_s is None:
        yield closing
    else:
        yield closing | Alarm(sim.env, sim.env.now + deadline_s, Order.DEADLINE)
    yield Alarm(sim.env, sim.env.now, Order.DEADLINE)
    running = [task for task in tasks if task.process.is_alive]
    for task in running:
        task.stop()
    yield sim.env.all_of([task.process for task in running])


@dataclass(frozen=True, slots=True)
class Sync:
    """Rounds: ask a cohort, wait for all of it or the deadline, merge what came.

    With ``over_select`` > 1 more are asked, the first *cohort* replies count, and the rest are
    cut. A round that nobody finishes merges nothing and is over. ``adaptive``: *deadline_s* is the first round's.
    A round begins *every_s* after the one before did, or as soon as that is over.
    """

    rounds: int
    cohort: int
    deadline_s: float | None = None
    over_select: float = 1.0
    patience: int = PATIENCE
    select: Selector = RANDOM
    adaptive: Adaptive | None = None
    every_s: float = 0.0

    at_edges: ClassVar[bool] = False

    @property
    def merges(self) -> int:
        return self.rounds

    def run(self, sim: Simulation) -> Events:
        pace, next_s = Pace(sim, self.adaptive), sim.now_s
        for number in range(self.rounds):
            yield from wait_until(sim, next_s)
            next_s = sim.now_s + self.every_s
            tasks = yield from ask_cohort(sim, math.ceil(round(self.cohort * self.over_select, 9)), number)
            began_s = sim.now_s
            yield from gather(sim, tasks, enough=self.cohort, deadline_s=sim.deadline_s)
            pace.after(tasks, began_s=began_s)
            finished = sim.take_finished()
            used = sorted(finished[: self.cohort], key=lambda task: task.device.id)
            sim.leave(finished[self.cohort :])
            if used:
                yield from sim.merge(used)
            sim.rounds_done += 1


@dataclass(frozen=True, slots=True)
class Async:
    """Keep *concurrency* devices at work; merge every *buffer* replies, in order of arrival.

    Replies of one instant arrive together, and a merge comes before new work is handed out.
    """

    merges: int
    concurrency: int
    buffer: int = 1
    deadline_s: float | None = None
    patience: int = PATIENCE
    select: Selector = RANDOM

    at_edges: ClassVar[bool] = False

    def run(self, sim: Simulation) -> Events:
        waiting: list[Task] = []
        asks = tries = fruitless = 0
        try:
            while sim.rounds_done < self.merges:
                finished = sim.take_finished()
                fruitless = 0 if finished else fruitless + 1
                if fruitless > max(self.patience, 20 * self.concurrency):
                    raise sim.stalled(f"the last {fruitless} times that devices were asked, no reply came of it")
                waiting += finished
                if len(waiting) >= self.buffer:
                    batch, waiting = waiting[: self.buffer], waiting[self.buffer :]
                    yield from sim.merge(batch)
                    sim.rounds_done += 1
                    continue
                asked = self._refill(sim, asks)
                asks, tries = asks + 1, 0 if sim.busy else tries + 1
                yield self._news(sim, asked, tries)
                yield Alarm(sim.env, sim.env.now, Order.DEADLINE)
        finally:
            sim.leave(waiting)

    def _refill(self, sim: Simulation, asks: int) -> Asked:
        asked = sim.ask(self.concurrency - len(sim.busy), self.concurrency, "async", asks)
        if self.deadline_s is not None:
            for task in asked.tasks:
                call_at(sim.env, sim.env.now + self.deadline_s, Order.DEADLINE, then=task.stop)
        return asked

    def _news(self, sim: Simulation, asked: Asked, tries: int) -> simpy.Event:
        """Return the event of a task's end or, while places are open, of somebody's return."""
        if not sim.busy:
            return sim.wait_for_someone(asked, tries - 1)
        back_s = sim.next_return(asked)
        if len(sim.busy) == self.concurrency or math.isinf(back_s):
            return sim.next_end()
        return sim.next_end() | sim.env.timeout(back_s - sim.env.now)
