"""One run: a fleet, a method and a schedule in virtual time."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import simpy

from fedsim.errors import Stalled
from fedsim.execute import Executor
from fedsim.fleet import FULL, STILL, Device, remembering
from fedsim.fleet.topology import SERVER
from fedsim.method import Combines, Method, Quote
from fedsim.seeds import seed_of
from fedsim.sim.asking import Asked, Choice, candidates
from fedsim.sim.batteries import Batteries
from fedsim.sim.clock import Order, call_at
from fedsim.sim.conditions import Conditions
from fedsim.sim.edges import Edges
from fedsim.sim.machines import Machines
from fedsim.sim.network import Connection, Network
from fedsim.sim.place import Place
from fedsim.sim.pricing import Pricing
from fedsim.sim.schedules import Schedule
from fedsim.sim.tails import Tails
from fedsim.sim.task import DONE, LATE, Task
from fedsim.sim.world import Observer, Published, World
from fedsim.timeline import Recorder, Timeline
from fedsim.work import Ref, Reply, Work, refs_in

_DRAWS_AT_ONCE = 20
_REMEMBERED = 1 << 14


class Simulation:
    """Runs *method* under *schedule*; also the Context that the method sees."""

    def __init__(
        self, world: World, *, method: Method, schedule: Schedule, executor: Executor, observer: Observer, seed: int
    ) -> None:
        self.env = simpy.Environment()
        self.recorder = Recorder()
        self.method, self.schedule, self.executor = method, schedule, executor
        self.fleet, self.on_dropout = world.fleet, world.on_dropout
        self.availability, self.dynamics = remembering((world.availability, world.dynamics))
        self.machines = Machines(self.dynamics)
        still = world.dynamics is STILL and not any(group.link.varies for group in world.fleet.groups)
        self._reported = world.dynamics.reported and not still
        self.batteries = Batteries(self.dynamics.charging)
        self.conditions = Conditions(
            self.availability, self.dynamics, machines=self.machines, batteries=self.batteries, seed=seed
        )
        self.pricing = Pricing(executor, world.cost)
        self.network, self.tails = Network(self.env, world.transport, seed=seed), Tails(self.env)
        self.server = Place(self.env, world.server, name=SERVER, pricing=self.pricing, recorder=self.recorder)
        self.server.holds.update(ref.key for ref in (world.initial, world.public) if ref)
        self.busy: dict[int, Task] = {}
        self.version, self.rounds_done, self.complete = -1, 0, False
        self.deadline_s, self.choice = schedule.deadline_s, Choice(self, schedule.select, loss=world.loss)
        self._world, self._observer, self._seed = world, observer, seed
        self._state: Any = None
        self._kept: dict[int, set[str]] = {}
        self._shards: dict[int, Ref] = {}
        self._finished: list[Task] = []
        self._bell = self.env.event()
        self.edges = Edges(self, world.topology)

    # --- Context, as a method sees it ---------------------------------------------------------
    @property
    def initial(self) -> Ref:
        return self._world.initial

    @property
    def public(self) -> Ref | None:
        return self._world.public

    @property
    def now_s(self) -> float:
        return float(self.env.now)

    @property
    def rounds(self) -> int:
        return self.schedule.merges

    def shard(self, device: Device) -> Ref:
        if device.id not in self._shards:
            if len(self._shards) >= _REMEMBERED:
                self._shards.clear()
            self._shards[device.id] = self._world.shard(device)
        return self._shards[device.id]

    def seed(self, *labels: object) -> int:
        return seed_of(self._seed, *labels)

    def look(self, ref: Ref) -> Any:
        return self.executor.get(ref)

    def quote(self, device: Device, work: Work) -> Quote:
        errand = self.pricing.errand(device.profile, work, self._holds(device))
        return self.pricing.quote(device, errand, self.connection(device))

    def first_quote(self, device: Device) -> Quote | None:
        """Price a round of *device* from the first state, without starting the clock."""
        return self._quoted(self.method.init(self), device)

    def next_quote(self, device: Device) -> Quote | None:
        """Price a round of *device* from the present state; None: the method has no work for it."""
        return self._quoted(self._state, device)

    @property
    def model(self) -> Ref:
        """The present model, of several the one to report."""
        return next(iter(self.method.models(self._state).values()))

    def seen(self, device: Device) -> Device:
        """Return *device* as it reports itself now."""
        return device.reporting(self.conditions.of(device, self.now_s)) if self._reported else device

    def connection(self, device: Device) -> Connection:
        """Return a connection between *device* and whom it works for, not yet open."""
        return Connection(self.network, self.edges.route(device), device.radio, now=device.now)

    # --- What a schedule may do -----------------------------------------------------------------
    def ask(self, want: int, places: int, *labels: object) -> Asked:
        """Offer work to devices of pools drawn by *labels*, as the selector ranks them, until *want* are at work.

        At most 20 x *places* candidates are drawn (more for a larger pool), so that a short cohort goes ahead.
        """
        asked = Asked()
        drawn = candidates(self, asked, most=self.choice.most(places), labels=labels)
        while ranked := self.choice.ranked(drawn, want - len(asked.tasks), labels):
            for device in ranked:
                if len(asked.tasks) < want:
                    self._offer(device, asked)
        self.choice.began(asked.tasks)
        return asked

    def wait_for_someone(self, asked: Asked, tries: int) -> simpy.Event:
        """Return an event at the next change among those that were asked; raises Stalled.

        Where some were unwilling and others have not been asked, the next draw comes at once, a few times over.
        """
        back_s, again = self.env.now, asked.unwilling and not asked.everyone
        if not again or (tries + 1) % _DRAWS_AT_ONCE == 0:
            news_s = (self.conditions.next_change(device, self.now_s) for device in asked.unwilling)
            change_s = min((self.next_return(asked), *news_s))
            back_s = back_s if again and math.isinf(change_s) else change_s
        if math.isinf(back_s) or tries >= self.schedule.patience:
            reasons = ", ".join(f"{count} {why}" for why, count in sorted(asked.refusals.items())) or "nobody was there"
            raise self.stalled(f"after {tries + 1} tries, no device of {len(self.fleet)} takes work: {reasons}")
        return self.env.timeout(max(back_s - self.env.now, 0.0))

    def stalled(self, why: str) -> Stalled:
        """Return the error that ends a run in which nothing can happen any more."""
        way_out = (
            "Loosen the deadline, the availability or a budget of the method's, add devices, or take a smaller model."
        )
        return Stalled(f"at {self.env.now:.6g} s, {why}. {way_out}")

    def next_return(self, asked: Asked) -> float:
        """Return when the first of those that were away is back; inf if none ever is."""
        change = self.availability.next_change
        return min((change(device.key, self.now_s) for device in asked.offline), default=math.inf)

    def next_end(self) -> simpy.Event:
        """Return the event that fires when the next task ends."""
        return self._bell

    def take_finished(self) -> list[Task]:
        """Return the tasks that came back with a reply since last asked, in order of arrival."""
        finished, self._finished = self._finished, []
        return sorted(finished, key=lambda task: (task.ended_s, task.device.id))

    def combine(self, replies: Sequence[Reply]) -> tuple[Ref, ...]:
        """Return what an edge sends on in place of *replies*."""
        assert isinstance(self.method, Combines)
        return self.method.combine(self, self._state, replies)

    def merge(self, tasks: Sequence[Task], combined: Sequence[Reply] = ()) -> Generator[simpy.Event, None, None]:
        """Merge the replies of *tasks*, as sent to the server or *combined* at edges, and publish the next version."""
        replies = []
        for task in tasks:
            assert task.reply is not None
            self._keep(task, [ref.key for ref in task.reply.keep])
            replies += [task.reply] if task.host is self.server else []
        heard = [replace(reply, staleness=self.version - reply.version) for reply in (*replies, *combined)]
        state = self.method.merge(self, self._state, heard)
        try:
            yield from self._publish(state, len(tasks))
        except simpy.Interrupt:
            self.leave(tasks)
            raise
        for task in tasks:
            task.settle(DONE)
        self._forget(tasks, combined)

    # --- Inside -----------------------------------------------------------------------------------
    def run(self) -> Timeline:
        """Run to the end of the schedule, or to the stop time, and return the timeline."""
        main = self.env.process(self._main())
        if self._world.stop_s < math.inf:
            call_at(self.env, self._world.stop_s, Order.DEADLINE, then=partial(_interrupt, main))
        self.env.run(until=main)
        self.tails.close()
        self.edges.close()
        self.server.close()
        return self.recorder.close()

    def ended(self, task: Task, outcome: str) -> None:
        """Hear from *task* that its device is free again."""
        del self.busy[task.device.id]
        self.choice.ended(task)
        if task.received and self.public in task.errand.down:
            self._kept.setdefault(task.device.id, set()).add(self.public.key)
        if task.reply is None:
            task.settle(outcome)
        else:
            self._finished.append(task)
        bell, self._bell = self._bell, self.env.event()
        bell.succeed()

    def _main(self) -> Generator[simpy.Event, None, None]:
        try:
            yield from self._publish(self.method.init(self), 0)
            yield from self.schedule.run(self)
            self.complete = True
        except simpy.Interrupt:
            pass
        running = list(self.busy.values())
        for task in running:
            task.stop()
        yield self.env.all_of([*(task.process for task in running), *self.edges.stop()])
        self.leave(self.take_finished())

    def leave(self, tasks: Iterable[Task]) -> None:
        """Settle tasks whose replies no merge will use."""
        unused = list(tasks)
        for task in unused:
            task.settle(LATE)
        self._forget(unused)

    def _forget(self, tasks: Sequence[Task], combined: Sequence[Reply] = ()) -> None:
        """Let the replies of *tasks* be forgotten where they went, but for what the state names."""
        named = {ref.key for ref in refs_in(self._state)} if tasks else set()
        for task in tasks:
            if task.reply:
                task.host.drop(task.reply.up, but=named)
        for reply in combined:
            self.server.drop(reply.up, but=named)

    def _publish(self, state: Any, merged: int) -> Generator[simpy.Event, None, None]:
        ready = self.server.ensure(tuple(refs_in(state)), self.version + 1)
        if ready is not None:
            yield ready
        self.version += 1
        models, totals = self.method.models(state), self.recorder.totals.as_dict()
        self._observer.published(Published(self.now_s, self.version, merged, models, totals))
        self._state = self.executor.seal(state)

    def _quoted(self, state: Any, device: Device) -> Quote | None:
        work = self.method.plan(self, state, device) if device.samples else None
        return None if work is None else self.quote(device, work)

    def _offer(self, device: Device, asked: Asked) -> None:
        """Ask the method for work for *device*, and start it if it fits; one without examples declines."""
        if self.batteries.ready_s(device, self.now_s) > self.now_s:
            self._refuse(device, "battery", asked)
            return
        work = self.method.plan(self, self._state, device) if device.samples else None
        if work is None:
            self._refuse(device, "declined", asked)
            return
        present = device if self._reported else device.reporting(self.conditions.of(device, self.now_s))
        errand = self.pricing.errand(device.profile, work, self._holds(device))
        if errand.memory_bytes > present.memory_bytes:
            self._refuse(device, "oom", asked)
        elif self.dynamics.storage is not FULL and self.pricing.nbytes(errand.down) > present.storage_bytes:
            self._refuse(device, "storage", asked)
        else:
            self.busy[device.id] = Task(self, present, errand, host=self.edges.host(device))
            asked.tasks.append(self.busy[device.id])

    def _refuse(self, device: Device, why: str, asked: Asked) -> None:
        asked.refusals[why] += 1
        asked.unwilling.append(device)
        self.recorder.mark(device.id, self.now_s, why, version=self.version)

    def _next_change(self, devices: Iterable[Device]) -> float:
        return min((self.availability.next_change(device.key, self.now_s) for device in devices), default=math.inf)

    def _holds(self, device: Device) -> set[str]:
        return {self.shard(device).key, *self._world.preinstalled, *self._kept.get(device.id, ())}

    def _keep(self, task: Task, keys: list[str]) -> None:
        """Let a device forget what its merged task did not keep; the public set stays."""
        public = {self.public.key} if self.public else set()
        kept = (self._kept.pop(task.device.id, set()) & public) | set(keys)
        if kept:
            self._kept[task.device.id] = kept


def _interrupt(process: simpy.Process) -> None:
    if process.is_alive:
        process.interrupt("stop")
