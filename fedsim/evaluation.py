"""Evaluates published versions, in windows so that an executor can work side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from fedsim.execute import Executor
from fedsim.execute.cost_only import CostOnly
from fedsim.learn.evaluate import evaluate
from fedsim.sim import Published
from fedsim.work import Ref

Moved = Callable[[int, float], None]


class Evaluation:
    """Hears of versions, evaluates every so many and the last; rows come in order.

    Without a test set, or where no value is ever computed, accuracy and loss are None.
    """

    def __init__(
        self, executor: Executor, test: Ref | None, *, every: int, window: int, moved: Moved | None = None
    ) -> None:
        self._executor, self._every, self._window, self._moved = executor, every, window, moved
        self._test = None if isinstance(executor, CostOnly) else test
        self._pending: list[Published] = []
        self._last: Published | None = None
        self._rows: list[dict[str, Any]] = []
        self.models: tuple[str, ...] = ()

    def published(self, news: Published) -> None:
        self._last = news
        self.models = tuple(news.models)
        if news.version % self._every == 0:
            self._pending.append(news)
        if len(self._pending) >= self._window:
            self._flush()

    def finish(self) -> list[dict[str, Any]]:
        """Evaluate what is left, the last version in any case, and return all rows."""
        if self._last is not None and self._last.version % self._every:
            self._pending.append(self._last)
        self._flush()
        return self._rows

    @property
    def accuracy(self) -> float | None:
        """The first model's last accuracy; None if it was never evaluated."""
        found = [row["accuracy"] for row in self._rows if row["model"] == self.models[0]]
        return found[-1] if found else None

    @property
    def diverged(self) -> bool:
        """Whether the first model's last loss is no finite number."""
        found = [row["loss"] for row in self._rows if row["model"] == self.models[0] and row["loss"] is not None]
        return bool(found) and not math.isfinite(found[-1])

    def to_target(self, targets: Mapping[Any, float]) -> dict[str, Any]:
        """Return for each target when the first model reached it, and at what cost (None: never)."""
        found = {}
        for metric, goal in targets.items() if self._rows else ():
            first = [row for row in self._rows if row["model"] == self.models[0] and row[metric] is not None]
            hits = [row for row in first if _reached(metric, row[metric], goal)]
            names = ("version", "at_s", "energy_j", "up_bytes", "down_bytes")
            found[f"{metric}={goal:g}"] = {name: hits[0][name] for name in names} if hits else None
        return found

    def _flush(self) -> None:
        jobs = [(news, name, ref) for news in self._pending for name, ref in news.models.items()]
        values = self._values([ref for _, _, ref in jobs])
        for (news, name, ref), value in zip(jobs, values, strict=True):
            self._rows.append(
                {"version": news.version, "at_s": news.at_s, "model": name, "split": "test", **value}
                | dict(news.totals)
                | {"key": ref.key}
            )
        if self._pending and self._moved:
            self._moved(self._pending[-1].version, self._pending[-1].at_s)
        self._pending = []

    def _values(self, models: list[Ref]) -> list[dict[str, float | None]]:
        if self._test is None:
            return [{"accuracy": None, "loss": None} for _ in models]
        return self._executor.get_all([evaluate(ref, self._test) for ref in models])


def _reached(metric: str, value: float, goal: float) -> bool:
    return value <= goal if metric == "loss" else value >= goal
