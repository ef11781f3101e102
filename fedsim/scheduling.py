"""From a scenario's [schedule] to the schedule that runs: whom it asks, and by when."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fedsim.scenario import AdaptiveTable, AsyncSchedule, HierarchicalSchedule, SyncSchedule
from fedsim.scenario.table import Table
from fedsim.sim import Adaptive, Async, Hierarchical, Schedule, Selector, Sync
from fedsim.sim.oort import Oort
from fedsim.sim.selection import Battery, Fair, PowerOfChoice, Random
from fedsim.sim.tifl import Tifl

_KINDS = (Random, PowerOfChoice, Oort, Tifl, Battery, Fair)
SELECTORS: Mapping[str, Callable[..., Selector]] = {kind.kind: kind for kind in _KINDS}


def make_schedule(table: SyncSchedule | AsyncSchedule | HierarchicalSchedule) -> Schedule:
    """Return the schedule that *table* describes."""
    select = _selector(table.select)
    if isinstance(table, AsyncSchedule):
        return Async(table.merges, table.concurrency, table.buffer, deadline_s=table.deadline, select=select)
    start_s, adaptive = _deadline(table.deadline)
    how: dict[str, Any] = {"select": select, "adaptive": adaptive, "every_s": table.every or 0.0}
    if isinstance(table, HierarchicalSchedule):
        return Hierarchical(table.rounds, table.cohort, start_s, **how)
    return Sync(table.rounds, table.cohort, start_s, over_select=table.over_select, **how)


def _selector(given: str | Table) -> Selector:
    options = {"kind": given} if isinstance(given, str) else given.model_dump()
    return SELECTORS[options.pop("kind")](**options)


def _deadline(given: float | AdaptiveTable | None) -> tuple[float | None, Adaptive | None]:
    """Return the first round's deadline, and what the others follow by."""
    if not isinstance(given, AdaptiveTable):
        return given, None
    adaptive = Adaptive(given.quantile, given.slack, given.memory, least_s=given.least, most_s=given.most)
    return given.start, adaptive
