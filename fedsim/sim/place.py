"""A place that works for others: it holds values, and computes what it is asked for and lacks."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import simpy

from fedsim.fleet import Profile
from fedsim.sim.pricing import Pricing
from fedsim.timeline import Recorder
from fedsim.timeline.recorder import SERVER, Span
from fedsim.work import Ref, missing_at


class Place:
    """The server: one processor, first come first served; a value is computed once, then held."""

    def __init__(self, env: simpy.Environment, profile: Profile, *, pricing: Pricing, recorder: Recorder) -> None:
        self.name, self.profile = "server", profile
        self.holds: set[str] = set()
        self._env, self._pricing, self._recorder = env, pricing, recorder
        self._processor = simpy.Resource(env, 1)
        self._under_way: dict[str, simpy.Event] = {}

    def ensure(self, refs: Sequence[Ref], version: int) -> simpy.Event | None:
        """Return an event that fires once *refs* are held here; None if they are already."""
        wanted = tuple(ref for ref in refs if ref.key not in self.holds)
        return self._env.process(self._prepare(wanted, version)) if wanted else None

    def close(self) -> None:
        """Bill the idle power of the whole run."""
        idle_j = self.profile.idle_w * self._env.now
        self._note(Span(self.name, SERVER, "idle", "", "", 0.0, self._env.now, 0, idle_j, 0))

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
            start_s = self._env.now
            yield self._env.timeout(cost.seconds)
            now = self._env.now
            self._note(Span(self.name, SERVER, "compute", "", ref.label, start_s, now, 0, cost.joules, version))
        self.holds.add(ref.key)
        self._pricing.executor.hint(ref)
        del self._under_way[ref.key]
        done.succeed()

    def _note(self, span: Span) -> None:
        self._recorder.count(span)
        self._recorder.span(span, "done")
