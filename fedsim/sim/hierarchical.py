"""Merging in two steps: edge aggregators combine what their devices send, the server merges what edges send."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import simpy

from fedsim.sim.deadlines import Adaptive, Pace
from fedsim.sim.edges import Edge
from fedsim.sim.place import Host
from fedsim.sim.schedules import PATIENCE, RANDOM, Events, ask_cohort, gather, wait_until
from fedsim.sim.selection import Selector
from fedsim.work import Reply

if TYPE_CHECKING:
    from fedsim.sim.simulation import Simulation
    from fedsim.sim.task import Task


@dataclass(frozen=True, slots=True)
class Hierarchical:
    """Rounds: ask a cohort of the whole fleet; each device works for the first aggregator on its way, else the server.

    An edge waits for all of its devices or the deadline, combines what came and sends it on; one that hears nothing
    sends nothing. The server merges when all have reported. A round that nobody finishes merges nothing and is over.
    ``adaptive``: *deadline_s* is the first round's. *every_s*: see `fedsim.sim.Sync`.
    """

    rounds: int
    cohort: int
    deadline_s: float | None = None
    patience: int = PATIENCE
    select: Selector = RANDOM
    adaptive: Adaptive | None = None
    every_s: float = 0.0

    at_edges: ClassVar[bool] = True

    @property
    def merges(self) -> int:
        return self.rounds

    def run(self, sim: Simulation) -> Events:
        pace, next_s = Pace(sim, self.adaptive), sim.now_s
        for number in range(self.rounds):
            yield from wait_until(sim, next_s)
            next_s = sim.now_s + self.every_s
            tasks = yield from ask_cohort(sim, self.cohort, number)
            began_s = sim.now_s
            hosts = dict.fromkeys(task.host for task in sorted(tasks, key=lambda task: task.device.id))
            groups = [(host, [task for task in tasks if task.host is host]) for host in hosts]
            reports = [sim.edges.start(self._report(sim, host, group)) for host, group in groups]
            yield sim.env.all_of(reports)
            pace.after(tasks, began_s=began_s)
            finished = sorted(sim.take_finished(), key=lambda task: task.device.id)
            if finished:
                yield from sim.merge(finished, [report.value for report in reports if report.value])
            sim.rounds_done += 1

    def _report(self, sim: Simulation, host: Host, tasks: list[Task]) -> Generator[simpy.Event, None, Reply | None]:
        """Wait for the *tasks* of one host, and return what an edge sends on."""
        try:
            yield from gather(sim, tasks, enough=len(tasks), deadline_s=sim.deadline_s)
            replies = [task.reply for task in sorted(tasks, key=lambda task: task.device.id) if task.reply]
            if replies and isinstance(host, Edge):
                return (yield from host.report(replies, sim.version))
        except simpy.Interrupt:
            pass
        return None
