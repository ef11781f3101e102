"""A place that works for others: it holds values, and computes what it is asked for and lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Generator, Sequence
from functools import partial
from typing import Protocol

import simpy

from fedsim.fleet import Profile
from fedsim.sim.pricing import Cost, Pricing
from fedsim.timeline import Recorder
from fedsim.timeline.recorder import SERVER, Span
from fedsim.work import Ref, missing_at


class Host(Protocol):
    """Whom devices work for: the server, or an aggregator on the way to it."""

    def ensure(self, refs: Sequence[Ref], version: int) -> simpy.Event | None:
        """Return an event that fires once *refs* are held here; None if they are already."""
        ...

    def receive(self, refs: Sequence[Ref]) -> None:
        """Hold *refs*, which a reply brought."""
        ...

    def drop(self, refs: Sequence[Ref], *, but: Container[str]) -> None:
        """Forget *refs* of a reply, save those with keys in *but* and what another reply brought too."""
        ...


class Place:
    """The server, or an aggregator: one processor, first come first served; a value is computed once, then held."""

    def __init__(
        self, env: simpy.Environment, profile: Profile, *, name: str, pricing: Pricing, recorder: Recorder
    ) -> None:
        self.name, self.profile = name, profile
        self.holds: set[str] = set()
        self._brought: Counter[str] = Counter()
        self._env, self._pricing, self._recorder = env, pricing, recorder
        self._processor = simpy.Resource(env, 1)
        self._under_way: dict[str, simpy.Event] = {}
        self._running: Callable[[], Span] | None = None

    def ensure(self, refs: Sequence[Ref], version: int) -> simpy.Event | None:
        """Return an event that fires once *refs* are held here; None if they are already."""
        wanted = tuple(ref for ref in refs if ref.key not in self.holds)
        return self._env.process(self._prepare(wanted, version)) if wanted else None

    def receive(self, refs: Sequence[Ref]) -> None:
        keys = [ref.key for ref in refs]
        self._brought.update(keys)
        self.holds.update(keys)

    def drop(self, refs: Sequence[Ref], *, but: Container[str]) -> None:
        for ref in refs:
            self._brought[ref.key] -= 1
            if self._brought[ref.key] <= 0:
                del self._brought[ref.key]
                if ref.key not in but:
                    self.holds.discard(ref.key)

    def note(self, span: Span, outcome: str) -> None:
        """Write down what was done here."""
        self._recorder.count(span)
        self._recorder.span(span, outcome)

    def close(self) -> None:
        """Bill the idle power of the whole run, and what the end of the run cuts."""
        if self._running is not None:
            self.note(self._running(), "cut")
        idle_j = self.profile.idle_w * self._env.now
        self.note(Span(self.name, SERVER, "idle", "", "", 0.0, self._env.now, 0, idle_j, 0), "done")

    def _prepare(self, wanted: tuple[Ref, ...], version: int) -> Generator[simpy.Event, None, None]:
        for ref in missing_at(self.name, self.holds, wanted):
            if ref.key in self._under_way:
                yield self._under_way[ref.key]
            elif ref.key not in self.holds:
                yield from self._compute(ref, version)

    def _compute(self, ref: Ref, version: int) -> Generator[simpy.Event, None, None]:
        done = self._under_way[ref.key] = self._env.event()
        cost = self._pricing.cost(self.profile, ref)
        with self._processor.request() as turn:
            yield turn
            self._running = partial(self._so_far, ref.label, self._env.now, cost, version=version)
            yield self._env.timeout(cost.seconds)
            self.note(self._running(), "done")
            self._running = None
        self.holds.add(ref.key)
        self._pricing.executor.hint(ref)
        del self._under_way[ref.key]
        done.succeed()

    def _so_far(self, job: str, start_s: float, cost: Cost, *, version: int) -> Span:
        """Return the span of a job that began at *start_s*, up to now."""
        now_s = self._env.now
        share = (now_s - start_s) / cost.seconds if cost.seconds else 1.0
        joules = cost.joules * min(1.0, share)
        return Span(self.name, SERVER, "compute", "", job, start_s, now_s, 0, joules, version)
