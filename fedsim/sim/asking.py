"""Who is asked in one run: pools of devices in the order of the schedule's selector, and a book of what was heard."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from fedsim.errors import NeedsValues
from fedsim.fleet import Device
from fedsim.sim.selection import Heard, Selector, Sight
from fedsim.work import Ref

if TYPE_CHECKING:
    from fedsim.sim.simulation import Simulation
    from fedsim.sim.task import Task

_CANDIDATES_PER_PLACE = 20
_LARGEST = 1e9  # what a loss counts as that is no finite number


@dataclass(slots=True)
class Asked:
    """Who went to work, who did not, and why; ``everyone`` if the whole fleet was asked."""

    tasks: list[Task] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    offline: list[Device] = field(default_factory=list)
    unwilling: list[Device] = field(default_factory=list)
    everyone: bool = False


def candidates(sim: Simulation, asked: Asked, *, most: int, labels: Sequence[object]) -> Iterator[Device]:
    """Yield those of *most* candidates that can be asked, and take down why the others cannot."""
    for count, number in enumerate(sim.fleet.candidates(sim.seed("select", *labels))):
        if count == most:
            return
        if number in sim.busy:
            asked.refusals["busy"] += 1
        elif not sim.availability.online((device := sim.fleet.device(number)).key, sim.now_s):
            asked.refusals["offline"] += 1
            asked.offline.append(device)
        else:
            yield sim.seen(device)
    asked.everyone = True


class Choice:
    """Whom a run asks, by its schedule's selector; has one line for each device that has worked, if that is of use."""

    def __init__(self, sim: Simulation, selector: Selector, *, loss: Callable[[Ref, Ref], Ref] | None) -> None:
        self._sim, self._selector, self._ranking = sim, selector, selector.begin()
        self._loss_of = loss
        self._heard: dict[int, Heard] = {}
        self._begun: dict[int, tuple[float, Ref | None]] = {}

    def most(self, places: int) -> int:
        """Return how many candidates are drawn at most, so that a short cohort goes ahead."""
        return math.ceil(max(self._selector.pool, _CANDIDATES_PER_PLACE) * places)

    def ranked(self, there: Iterator[Device], want: int, labels: Sequence[object]) -> Sequence[Device]:
        """Return as many of those that are *there* as make a pool for *want*, the first to be asked first."""
        pool = list(islice(there, math.ceil(self._selector.pool * want)))
        return self._ranking.order(pool, self._sight(want, labels)) if pool else pool

    def began(self, tasks: Iterable[Task]) -> None:
        """Hear of those that have just gone to work, all from one version."""
        if self._selector.hears:
            for task in tasks:
                self._begun[task.device.id] = self._sim.now_s, self._loss(task.device)

    def ended(self, task: Task) -> None:
        """Hear that a device is free again."""
        if task.device.id not in self._begun:
            return
        began_s, loss = self._begun.pop(task.device.id)
        past = self._heard.get(task.device.id, Heard(0, 0, 0.0, task.device.samples, None))
        now = past._replace(times=past.times + 1, duration_s=self._sim.now_s - began_s)
        self._heard[task.device.id] = now._replace(round=self._sim.version + 1, loss=loss) if task.reply else now

    def _sight(self, want: int, labels: Sequence[object]) -> Sight:
        sim = self._sim
        return Sight(
            round=sim.version + 1, want=want, merges=sim.rounds, seed=sim.seed("select", *labels, "order"),
            heard=self._heard, losses=self._losses, seconds=self._seconds,
        )  # fmt: skip

    def _loss(self, device: Device) -> Ref | None:
        """Name the loss of the present model on the examples of *device*, if that is of use."""
        if not self._selector.needs_losses:
            return None
        assert self._loss_of is not None, "this world tells no losses"
        return self._loss_of(self._sim.model, self._sim.shard(device))

    def _seconds(self, device: Device) -> float:
        """Predict what the method's work would take *device*, alone on its link; inf: it has none that fits."""
        quote = self._sim.next_quote(device)
        return quote.seconds if quote and quote.fits else math.inf

    def _losses(self, refs: Sequence[Ref]) -> list[float]:
        """Return losses, of which one that is no finite number is a very large one; raises NeedsValues."""
        try:
            found = self._sim.executor.get_all(refs) if refs else []
        except NeedsValues:
            raise unseen(self._selector) from None
        return [loss if math.isfinite(loss) else _LARGEST for loss in found]


def unseen(selector: Selector) -> NeedsValues:
    """Return the error that devices' losses are asked for where no value is ever computed."""
    return NeedsValues(
        f"schedule.select = {selector.kind!r} ranks devices by their losses, and the cost-only executor computes none; "
        f"choose --executor lazy, or select = 'random', 'battery', 'fair', or 'tifl' that is not adaptive"
    )
