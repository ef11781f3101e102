"""Evaluates published versions, in windows so that an executor can work side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from fedsim.execute import Executor
from fedsim.execute.cost_only import CostOnly
from fedsim.learn.evaluate import evaluate, evaluate_labels
from fedsim.sim import Published
from fedsim.work import Ref

Moved = Callable[[int, float], None]
WHOLE = "test"  # the split of rows about the whole test set; those about one class are of the split label-<k>


class Evaluation:
    """Hears of versions, evaluates every so many and the last; rows come in order.

    Without a test set, or where no value is ever computed, accuracy and loss are None. by_label: after the row of
    the whole test set, one for each class.
    """

    def __init__(
        self,
        executor: Executor,
        test: Ref | None,
        *,
        every: int,
        window: int,
        by_label: bool = False,
        moved: Moved | None = None,
    ) -> None:
        self._executor, self._every, self._window, self._moved = executor, every, window, moved
        self._evaluate = evaluate_labels if by_label else evaluate
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
        found = [row["accuracy"] for row in self._first()]
        return found[-1] if found else None

    @property
    def diverged(self) -> bool:
        """Whether the first model's last loss is no finite number."""
        found = [row["loss"] for row in self._first() if row["loss"] is not None]
        return bool(found) and not math.isfinite(found[-1])

    def to_target(self, targets: Mapping[Any, float]) -> dict[str, Any]:
        """Return for each target when the first model reached it, and at what cost (None: never)."""
        found = {}
        for metric, goal in targets.items() if self._rows else ():
            first = [row for row in self._first() if row[metric] is not None]
            hits = [row for row in first if _reached(metric, row[metric], goal)]
            names = ("version", "at_s", "energy_j", "up_bytes", "down_bytes")
            found[f"{metric}={goal:g}"] = {name: hits[0][name] for name in names} if hits else None
        return found

    def _first(self) -> list[dict[str, Any]]:
        """Return the rows of the first model on the whole test set."""
        return [row for row in self._rows if row["model"] == self.models[0] and row["split"] == WHOLE]

    def _flush(self) -> None:
        jobs = [(news, name, ref) for news in self._pending for name, ref in news.models.items()]
        values = self._values([ref for _, _, ref in jobs])
        for (news, name, ref), value in zip(jobs, values, strict=True):
            about = {"version": news.version, "at_s": news.at_s, "model": name}
            self._rows += [about | part | dict(news.totals) | {"key": ref.key} for part in _by_split(value)]
        if self._pending and self._moved:
            self._moved(self._pending[-1].version, self._pending[-1].at_s)
        self._pending = []

    def _values(self, models: list[Ref]) -> list[dict[str, Any]]:
        if self._test is None:
            return [{"accuracy": None, "loss": None} for _ in models]
        return self._executor.get_all([self._evaluate(ref, self._test) for ref in models])


def _by_split(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a model reached on the whole test set and, where that is known, on each class."""
    labels = {f"label-{k}": part for k, part in enumerate(value.get("labels", ()))}
    every = {WHOLE: value, **labels}
    return [{"split": split, "accuracy": part["accuracy"], "loss": part["loss"]} for split, part in every.items()]


def _reached(metric: str, value: float, goal: float) -> bool:
    return value <= goal if metric == "loss" else value >= goal
