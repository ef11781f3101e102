"""By when: a deadline that follows how long rounds took."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedsim.sim.simulation import Simulation
    from fedsim.sim.task import Task


@dataclass(frozen=True, slots=True)
class Adaptive:
    """The next round's deadline: *slack* times the *quantile* of how long the tasks of the last *memory* rounds took.

    Tasks that sent no reply (late, cut) took longer than all others; where the quantile falls among them, the deadline
    grows by *slack*. It stays between *least_s* and *most_s*.
    """

    quantile: float = 0.8
    slack: float = 1.2
    memory: int = 3
    least_s: float = 0.0
    most_s: float = math.inf

    def following(self, deadline_s: float, durations_s: Iterable[float]) -> float:
        """Return what comes after *deadline_s*; *durations_s* hold inf for every task without a reply.

        >>> Adaptive(quantile=0.5, slack=1.5).following(9.0, [2.0, 4.0, math.inf])
        6.0
        >>> Adaptive(quantile=0.9, slack=1.5, most_s=12.0).following(9.0, [2.0, 4.0, math.inf])
        12.0
        """
        found_s = quantile(sorted(durations_s), self.quantile)
        next_s = self.slack * (deadline_s if math.isinf(found_s) else found_s)
        return min(max(next_s, self.least_s), self.most_s)


class Pace:
    """Sets the deadlines of one run's rounds by those before; None: they stay as they are."""

    def __init__(self, sim: Simulation, how: Adaptive | None) -> None:
        self._sim, self._how = sim, how
        self._rounds: deque[list[float]] = deque(maxlen=how.memory if how else 0)

    def after(self, tasks: Iterable[Task], *, began_s: float) -> None:
        """Hear of a round of *tasks* that began at *began_s* and is over."""
        if self._how is None or self._sim.deadline_s is None:
            return
        self._rounds.append([task.ended_s - began_s if task.reply else math.inf for task in tasks])
        known_s = [duration_s for past in self._rounds for duration_s in past]
        self._sim.deadline_s = self._how.following(self._sim.deadline_s, known_s)


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value that *share* of all are at most, the least such; 0 of none.

    >>> [quantile([1.0, 2.0, 3.0, 4.0], share) for share in (0.0, 0.5, 0.8, 1.0)], quantile([], 0.5)
    ([1.0, 2.0, 4.0, 4.0], 0.0)
    """
    return ordered[max(math.ceil(round(share * len(ordered), 9)), 1) - 1] if ordered else 0.0
