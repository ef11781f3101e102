"""Progress on a terminal: versions, virtual time and the time to go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from fedsim.results import RunKey
from fedsim.units import short_time


@contextmanager
def ticking(total: int, *, hidden: bool) -> Iterator[Callable[[str], None]]:
    """Show a bar of *total* ticks on stderr; each call moves it by one and names what was done."""
    columns = BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("ETA"), TimeRemainingColumn(compact=True)
    with Progress(
        *columns, TextColumn("{task.description}"), console=Console(stderr=True), disable=hidden, transient=True
    ) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.update(task, advance=1, description=done)


class Bars:
    """A bar per run on *console*; nothing at all when hidden."""

    def __init__(self, console: Console, *, hidden: bool) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(),
            TextColumn("virtual {task.fields[at]}"), TextColumn("ETA"), TimeRemainingColumn(compact=True),
            console=console, disable=hidden,
        )  # fmt: skip
        self._bars: dict[RunKey, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def started(self, run: RunKey, versions: int) -> None:
        label = f"{run.method}, seed {run.seed}"
        self._bars[run] = self._progress.add_task(label, total=versions, at=short_time(0.0))

    def moved(self, run: RunKey, version: int, at_s: float) -> None:
        self._progress.update(self._bars[run], completed=version, at=short_time(at_s))

    def finished(self, run: RunKey) -> None:
        task = self._bars[run]
        self._progress.update(task, total=self._progress.tasks[task].completed)
