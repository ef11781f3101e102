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

from fedsim.errors import InputError, RunError
from fedsim.fleet.trust import said_of, said_of_power
from fedsim.timeline import Timeline, read_table, write_table
from fedsim.units import short_bytes, short_energy, short_time

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
        ("server_energy_j", pa.float64()),
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
    def find(cls, path: str | Path, *, method: str | None = None, seed: int | None = None) -> Results:
        """Open a results folder, or those of its runs with this method and this seed; raises InputError."""
        root = Path(path)
        manifests = sorted(root.glob("runs/*/seed-*/manifest.json"))
        runs = [RunKey(m.parent.parent.name, int(m.parent.name.removeprefix("seed-"))) for m in manifests]
        fitting = [run for run in runs if method in (None, run.method) and seed in (None, run.seed)]
        if not fitting:
            raise InputError(_not_found(root, runs))
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
        """What ``fedsim run --json`` prints; of a folder opened later, with the runs that were asked for."""
        if self._summary is None:
            whole = _read_json(self.path / "summary.json") or {"runs": []}
            said = {(one["method"], one["seed"]): one for one in whole["runs"]}
            runs = [said.get((run.method, run.seed)) or self.manifest(run)["summary"] for run in self.runs]
            self._summary = {**whole, "runs": runs}
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


def check_folder(option: str, path: Path) -> None:
    """Raise InputError if *path* is no folder that can be written, nor could become one; write nothing."""
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists() or folder.is_symlink())
    if not there.is_dir():
        raise InputError(f"{option} {str(path)!r}: cannot be written, for {str(there)!r} is no folder; choose another")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(
            f"{option} {str(path)!r}: cannot be written, {str(there)!r} is write-protected; choose another"
        )


def make_folder(option: str, path: Path) -> None:
    """Make *path*; raises InputError where only trying tells that it cannot be written."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{option} {str(path)!r}: cannot be written ({error.strerror}); choose another") from None


def run_folder(path: Path, run: RunKey) -> Path:
    """Return the folder of one run."""
    return path / "runs" / run.method / f"seed-{run.seed}"


def read_manifest(path: Path, run: RunKey) -> dict[str, Any] | None:
    """Return the manifest of a finished run, or None."""
    return _read_json(run_folder(path, run) / "manifest.json")


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


def write_scenario(results: Results, scenario: str) -> None:
    """Write the scenario as it was run, the summary and the table of devices."""

    def write() -> None:
        results.path.mkdir(parents=True, exist_ok=True)
        write_text(results.path / "scenario.toml", scenario)
        runs = Results.find(results.path).runs  # those of earlier calls too
        devices = [read_table(run_folder(results.path, run) / "devices.parquet") for run in runs]
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
    """Return per device that was asked: seconds and joules busy, bytes, how its tasks ended, and all its joules.

    ``asked`` counts tasks, each of which has one span of kind idle that carries its outcome. ``transfer_s`` is the part
    of ``busy_s`` in transfers, ``waited_s`` what of that was lost to others on shared links.
    """
    import pandas as pd

    names = ["device", "kind", "start_s", "end_s", "bytes", "energy_j", "outcome", "waited_s"]
    rows = timeline.table.select(names).to_pandas()
    rows = rows[rows.device >= 0].astype({"kind": str, "outcome": str})
    busy = rows[rows.kind.isin(["download", "compute", "upload"])]
    tasks, marks, moves = rows[rows.kind == "idle"], rows[rows.kind == "mark"], busy[busy.kind != "compute"]
    index = pd.Index(sorted(rows.device.unique()), name="device")
    by = {
        "busy_s": (busy.end_s - busy.start_s).groupby(busy.device).sum(),
        "busy_j": busy.groupby("device").energy_j.sum(),
        **{f"{way}_bytes": rows[rows.kind == f"{way}load"].groupby("device").bytes.sum() for way in ("up", "down")},
        "asked": tasks.groupby("device").size(),
        **{name: _times(tasks, name) for name in ("done", "late", "cut", "lost")},
        **{name: _times(marks, name) for name in ("declined", "oom", "battery", "storage", "crash", "outage")},
        "energy_j": rows.groupby("device").energy_j.sum(),
        "transfer_s": (moves.end_s - moves.start_s).groupby(moves.device).sum(),
        "waited_s": moves.groupby("device").waited_s.sum(),
        "asked_s": (tasks.end_s - tasks.start_s).groupby(tasks.device).sum(),
    }
    table = pd.DataFrame({name: column.reindex(index, fill_value=0) for name, column in by.items()}, index=index)
    return pa.Table.from_pandas(table.reset_index(), preserve_index=False)


def markdown(summary: Mapping[str, Any]) -> str:
    """Write a summary as a Markdown table."""
    lines = [f"# {summary['name']}", "", f"| {' | '.join(HEADERS)} |", "| --- |" + " ---: |" * (len(HEADERS) - 1)]
    lines += [f"| {' | '.join(cells(run))} |" for run in summary["runs"]]
    lines += ["", CAPTION]
    if summary["peaks_only"]:
        lines += ["", said_of(summary["peaks_only"])]
    if summary["unmetered"]:
        lines += ["", said_of_power(summary["unmetered"])]
    return "\n".join([*lines, ""])


HEADERS = ("method", "seed", "acc", "time", "up", "down", "energy", "wasted", "rounds", "jobs")
CAPTION = "time: virtual; energy: of the devices, while asked or in a tail; wasted: the share of it that no merge used"


def cells(run: Mapping[str, Any]) -> list[str]:
    """Return what a table says of a run under HEADERS."""
    accuracy = "-" if run["accuracy"] is None else f"{run['accuracy']:.1%}"
    wasted = f"{run['wasted_j'] / run['energy_j']:.1%}" if run["energy_j"] else "-"
    return [
        run["method"], str(run["seed"]), accuracy, short_time(run["virtual_s"]), short_bytes(run["up_bytes"]),
        short_bytes(run["down_bytes"]), short_energy(run["energy_j"]), wasted, str(run["rounds"]),
        str(run["jobs_run"]),
    ]  # fmt: skip


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def _times(rows: pd.DataFrame, outcome: str) -> pd.Series[Any]:
    return rows[rows.outcome == outcome].groupby("device").size()


def _not_found(root: Path, runs: Sequence[RunKey]) -> str:
    if runs:
        held = ", ".join(f"{run.method} with seed {run.seed}" for run in runs)
        return f"{str(root)!r} holds no such run; it holds {held}"
    inside = sorted(path.name for path in root.glob("*/") if (path / "runs").is_dir())
    advice = f"one of those in it: {', '.join(inside)}" if inside else "a folder such as results/quickstart-…"
    return f"{str(root)!r} holds no finished run; give {advice}"


def _guarded(write: Callable[[], None], where: Path) -> None:
    """Call *write*; whatever ends it early, leave no file half-written."""
    try:
        write()
    except BaseException as error:
        for path in where.glob(f".*.{os.getpid()}.tmp"):
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            reason = error.strerror or error
            raise RunError(f"{where}: cannot be written ({reason}); what was computed is in the cache") from error
        raise
