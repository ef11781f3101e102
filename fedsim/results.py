"""The store of results: one folder per scenario, files whole or not at all.

OUT/<name>-<digest>/scenario.toml, devices.parquet, summary.json, summary.md
OUT/<name>-<digest>/runs/<method>/seed-<n>/manifest.json, timeline.parquet, metrics.parquet, devices.parquet

A run is there once its manifest is, which is written last.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import tomli_w

from fedsim.errors import InputError, RunError
from fedsim.timeline import Timeline, read_table, write_table
from fedsim.units import show_bytes, show_energy, show_time

if TYPE_CHECKING:
    import pandas as pd

METRICS = pa.schema(
    [
        ("version", pa.int64()),
        ("at_s", pa.float64()),
        ("model", pa.string()),
        ("split", pa.string()),
        ("accuracy", pa.float64()),
        ("loss", pa.float64()),
        ("up_bytes", pa.int64()),
        ("down_bytes", pa.int64()),
        ("energy_j", pa.float64()),
        ("wasted_s", pa.float64()),
        ("wasted_bytes", pa.int64()),
        ("wasted_j", pa.float64()),
        ("key", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class RunKey:
    """Which run of a scenario: a method's label and a seed."""

    method: str
    seed: int


class Results:
    """Runs of one scenario, on disk; tables come as pandas frames with the columns run, method, seed first."""

    def __init__(self, path: Path, runs: Sequence[RunKey], summary: Mapping[str, Any] | None = None) -> None:
        self.path, self.runs = path, tuple(runs)
        self._summary = summary

    @classmethod
    def find(cls, path: str | Path, **where: Any) -> Results:
        """Open a results folder; *where* narrows its runs, such as method="fedavg" or seed=0."""
        root = Path(path)
        manifests = sorted(root.glob("runs/*/seed-*/manifest.json"))
        if not manifests:
            raise InputError(f"{str(path)!r} holds no finished run: give a folder such as results/quickstart-…")
        runs = [RunKey(m.parent.parent.name, int(m.parent.name.removeprefix("seed-"))) for m in manifests]
        fitting = [run for run in runs if all(getattr(run, key) == value for key, value in where.items())]
        return cls(root, sorted(fitting, key=lambda run: (run.method, run.seed)))

    @property
    def timeline(self) -> pd.DataFrame:
        """One row per span."""
        return self._frame("timeline")

    @property
    def metrics(self) -> pd.DataFrame:
        """One row per evaluated version and model."""
        return self._frame("metrics")

    @property
    def devices(self) -> pd.DataFrame:
        """One row per device and run."""
        return self._frame("devices")

    @property
    def summary(self) -> dict[str, Any]:
        """What ``fedsim run --json`` prints."""
        if self._summary is None:
            self._summary = json.loads((self.path / "summary.json").read_text(encoding="utf-8"))
        return dict(self._summary)

    def manifest(self, run: RunKey) -> dict[str, Any]:
        """Return what is known of one run; raises InputError if it is not there."""
        found = read_manifest(self.path, run)
        if found is None:
            raise InputError(f"{self.path} holds no finished run of {run.method} with seed {run.seed}")
        return found

    def __repr__(self) -> str:
        return f"<Results {self.path} of {len(self.runs)} runs>"

    def _repr_html_(self) -> str:
        import pandas as pd

        return pd.DataFrame(self.summary["runs"]).to_html(index=False)

    def _frame(self, name: str) -> pd.DataFrame:
        tables = [read_table(run_folder(self.path, run) / f"{name}.parquet") for run in self.runs]
        frame: pd.DataFrame = pa.concat_tables(tables, promote_options="permissive").to_pandas()
        return frame


def create(root: Path, name: str) -> Path:
    """Make the folder of a scenario's results; raises InputError if it cannot be written."""
    path = root / name
    try:
        (path / "runs").mkdir(parents=True, exist_ok=True)
        probe = path / f".{os.getpid()}.tmp"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"--out {str(root)!r}: the results folder cannot be written ({error.strerror}); choose another"
        ) from None
    return path


def run_folder(path: Path, run: RunKey) -> Path:
    """Return the folder of one run."""
    return path / "runs" / run.method / f"seed-{run.seed}"


def read_manifest(path: Path, run: RunKey) -> dict[str, Any] | None:
    """Return the manifest of a finished run, or None."""
    try:
        found: dict[str, Any] = json.loads((run_folder(path, run) / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def write_run(path: Path, run: RunKey, tables: Mapping[str, pa.Table], *, manifest: Mapping[str, Any]) -> None:
    """Write a run's tables, then its manifest."""
    folder = run_folder(path, run)

    def write() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.json").unlink(missing_ok=True)
        for name, table in tables.items():
            write_table(with_run(table, path.name, run), folder / f"{name}.parquet")
        write_text(folder / "manifest.json", json.dumps(manifest, indent=1) + "\n")

    _guarded(write, folder)


def write_scenario(results: Results, scenario: Mapping[str, Any]) -> None:
    """Write the scenario as it was run, the summary and the table of devices."""

    def write() -> None:
        write_text(results.path / "scenario.toml", tomli_w.dumps(dict(scenario)))
        devices = [read_table(run_folder(results.path, run) / "devices.parquet") for run in results.runs]
        if devices:
            write_table(pa.concat_tables(devices, promote_options="permissive"), results.path / "devices.parquet")
        write_text(results.path / "summary.json", json.dumps(results.summary, indent=1) + "\n")
        write_text(results.path / "summary.md", markdown(results.summary))

    _guarded(write, results.path)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def with_run(table: pa.Table, name: str, run: RunKey) -> pa.Table:
    """Put the columns run, method and seed before a run's table."""
    rows = table.num_rows
    words = [pa.array([word], pa.string()).dictionary_encode() for word in (name, run.method)]
    zeros = pa.nulls(rows, pa.int32()).fill_null(0)
    columns = [pa.DictionaryArray.from_arrays(zeros, word.dictionary) for word in words]
    columns.append(pa.nulls(rows, pa.int64()).fill_null(run.seed))
    for at, (column, label) in enumerate(zip(columns, ("run", "method", "seed"), strict=True)):
        table = table.add_column(at, label, column)
    return table


def usage(timeline: Timeline) -> pa.Table:
    """Return per device that was asked: seconds and joules busy, bytes, and how its tasks ended.

    ``asked`` counts tasks, each of which has one span of kind idle that carries its outcome.
    """
    import pandas as pd

    rows = timeline.table.select(["device", "kind", "start_s", "end_s", "bytes", "energy_j", "outcome"]).to_pandas()
    rows = rows[rows.device >= 0].astype({"kind": str, "outcome": str})
    busy = rows[rows.kind.isin(["download", "compute", "upload"])]
    tasks, marks = rows[rows.kind == "idle"], rows[rows.kind == "mark"]
    index = pd.Index(sorted(rows.device.unique()), name="device")
    by = {
        "busy_s": (busy.end_s - busy.start_s).groupby(busy.device).sum(),
        "energy_j": rows.energy_j.groupby(rows.device).sum(),
        "up_bytes": _sum(rows[rows.kind == "upload"]),
        "down_bytes": _sum(rows[rows.kind == "download"]),
        "asked": tasks.groupby("device").size(),
        **{name: tasks[tasks.outcome == name].groupby("device").size() for name in ("done", "late", "cut", "lost")},
        "declined": marks.groupby("device").size(),
    }
    table = pd.DataFrame({name: column.reindex(index, fill_value=0) for name, column in by.items()}, index=index)
    return pa.Table.from_pandas(table.reset_index(), preserve_index=False)


def markdown(summary: Mapping[str, Any]) -> str:
    """Write a summary as a Markdown table."""
    head = "| method | seed | accuracy | virtual time | up | down | energy | wasted | rounds |"
    lines = [f"# {summary['name']}", "", head, "| --- |" + " ---: |" * 8]
    lines += [f"| {' | '.join(cells(run))} |" for run in summary["runs"]]
    return "\n".join(lines) + "\n"


def cells(run: Mapping[str, Any]) -> list[str]:
    """Return what a table says of a run: method, seed, accuracy, time, up, down, energy, wasted, rounds."""
    accuracy = "-" if run["accuracy"] is None else f"{run['accuracy']:.2%}"
    wasted = f"{run['wasted_j'] / run['energy_j']:.1%}" if run["energy_j"] else "-"
    return [
        run["method"], str(run["seed"]), accuracy, show_time(run["virtual_s"]), show_bytes(run["up_bytes"]),
        show_bytes(run["down_bytes"]), show_energy(run["energy_j"]), wasted, str(run["rounds"]),
    ]  # fmt: skip


def _sum(rows: pd.DataFrame) -> pd.Series[Any]:
    return rows.bytes.groupby(rows.device).sum()


def _guarded(write: Callable[[], None], where: Path) -> None:
    try:
        write()
    except OSError as error:
        raise RunError(f"{where}: cannot be written ({error.strerror}); what was computed is in the cache") from error
