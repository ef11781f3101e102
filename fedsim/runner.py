"""The one place where everything meets: scenario, data, fleet, method, executor, clock, results."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

import fedsim.results as store
from fedsim.errors import NeedsValues, Stalled
from fedsim.evaluation import Evaluation
from fedsim.execute.build import Choice, build
from fedsim.execute.cost_only import CostOnly
from fedsim.experiment import Experiment, Where, prepare
from fedsim.fleet import Fleet, peaks_only, unmetered
from fedsim.learn.problem import Problem
from fedsim.learn.values import measure
from fedsim.provenance import code_digest, package_digest
from fedsim.results import Results, RunKey
from fedsim.scenario import to_toml
from fedsim.sim import Simulation, unseen
from fedsim.timeline import Timeline

COST_ONLY = "cost-only"
_ALL_DEVICES = 10_000


class Progress(Protocol):
    """Hears how far each run is: versions done of those to come, and the virtual time."""

    def started(self, run: RunKey, versions: int) -> None: ...
    def moved(self, run: RunKey, version: int, at_s: float) -> None: ...
    def finished(self, run: RunKey) -> None: ...


@dataclass(frozen=True, slots=True)
class How:
    """By which means the runs of a scenario are made."""

    where: Where
    choice: Choice
    progress: Progress | None
    fresh: bool


def run(
    scenario: str | Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    seeds: Sequence[int] | None = None,
    out: str | Path = "results",
    executor: str = "lazy",
    workers: int | None = None,
    torch_device: str = "cpu",
    data_dir: str | Path | None = None,
    cache: str | Path | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
) -> Results:
    """Run every method of *scenario* with every seed, and return the results.

    scenario: a path or a packaged name; overrides: dotted keys, such as {"schedule.rounds": 5};
    executor: lazy, eager, pool (with so many workers) or cost-only; fresh: read neither earlier
    results nor the cache. A killed run picks up where it stopped. Raises InputError before
    anything is written; after any other error what has been finished is whole.
    """
    where = Where(Path(out), _path(data_dir), _path(cache))
    choice = Choice(executor, workers, torch_device)
    choice.check()
    experiment = prepare(scenario, overrides or {}, where, seeds=seeds)
    path = where.out / experiment.name
    store.check_folder("--out", path)
    if executor == COST_ONLY:
        _check_costs(experiment)
    else:
        store.check_folder("--cache", where.values)
    return _run_all(experiment, path, How(where, choice, progress, fresh))


def _run_all(experiment: Experiment, path: Path, how: How) -> Results:
    store.make_folder("--out", path)
    done: list[dict[str, Any]] = []
    summary = {
        "name": experiment.scenario.name, "digest": experiment.digest, "out": str(path),
        "peaks_only": peaks_only(experiment.profiles), "unmetered": unmetered(experiment.profiles), "runs": done,
    }  # fmt: skip
    try:
        for key in experiment.keys:
            done.append(_once(experiment, key, path=path, how=how))  # noqa: PERF401 - what is done counts
    finally:
        made = Results(path, experiment.keys[: len(done)], summary)
        if done:
            store.write_scenario(made, to_toml(experiment.movable()))
    return made


def _check_costs(experiment: Experiment) -> None:
    """Raise NeedsValues if a first message's size is known only by computing it, or devices are ranked by losses."""
    for label in [method.label for method in experiment.scenario.method]:
        key = RunKey(label, experiment.scenario.run.seeds[0])
        sim = experiment.simulation(key, CostOnly(experiment.problems[key.seed]), None)
        try:
            if sim.schedule.select.needs_losses:
                raise unseen(sim.schedule.select)
            sim.first_quote(sim.fleet.device(0))
        except NeedsValues as error:
            raise NeedsValues(f"--executor {COST_ONLY}: method {label!r}: {error}") from None


def _once(experiment: Experiment, key: RunKey, *, path: Path, how: How) -> dict[str, Any]:
    """Run one method with one seed, unless that has been done by this very code."""
    choice, progress, fresh = how.choice, how.progress, how.fresh
    code = f"{package_digest()} {code_digest(type(experiment.build_method(key.method)).__module__)}"
    made_by = {"code": code, "executor": choice.executor, "inputs": experiment.inputs(key), "on": choice.environment}
    known = None if fresh else store.read_manifest(path, key)
    if known and known["made_by"] == made_by:
        jobs = known["summary"]["jobs_run"] + known["summary"]["jobs_cached"]
        now = {"jobs_run": 0, "jobs_cached": jobs, "wall_s": 0.0, "peak_rss_bytes": _peak(children=False)}
        return {**known["summary"], **now}
    began = time.perf_counter()
    problem = experiment.problems[key.seed]
    executor = build(choice, sources=problem, measure=measure, root=how.where.values, fresh=fresh)
    evaluation = Evaluation(
        executor, problem.test, every=experiment.scenario.run.evaluate_every, window=choice.window,
        by_label=experiment.scenario.run.by_label,
        moved=(lambda version, at_s: progress.moved(key, version, at_s)) if progress else None,
    )  # fmt: skip
    try:
        sim = experiment.simulation(key, executor, evaluation)
        if progress:
            progress.started(key, sim.rounds)
        timeline = _run(sim, key)
        metrics = evaluation.finish()
        counts = {"jobs_run": executor.jobs_run, "jobs_cached": executor.jobs_cached}
    finally:
        executor.close()
    totals = asdict(sim.recorder.totals)
    server_energy_j = totals.pop("server_energy_j")
    summary = {
        "method": key.method,
        "seed": key.seed,
        "status": "diverged" if evaluation.diverged else "done" if sim.complete else "stopped",
        "timeline_digest": timeline.digest(),
        "accuracy": evaluation.accuracy,
        "virtual_s": sim.now_s,
        **totals,
        "rounds": sim.rounds_done,
        **counts,
        "wall_s": time.perf_counter() - began,
        "peak_rss_bytes": _peak(children=choice.executor == "pool"),
        "executor": choice.executor,
        "to_target": evaluation.to_target(experiment.scenario.run.target.model_dump(exclude_none=True)),
        "server_energy_j": server_energy_j,
    }
    tables = {
        "timeline": timeline.table,
        "metrics": pa.Table.from_pylist(metrics, store.METRICS),
        "devices": devices_table(sim.fleet, problem, store.usage(timeline), until_s=sim.now_s),
    }
    store.write_run(path, key, tables, manifest={"made_by": made_by, "summary": summary})
    if progress:
        progress.finished(key)
    return summary


def _run(sim: Simulation, key: RunKey) -> Timeline:
    """Run *sim*; what ends it early says whose run it was."""
    try:
        return sim.run()
    except (Stalled, NeedsValues) as error:
        raise type(error)(f"method {key.method!r}, seed {key.seed}: {error}") from error


def devices_table(fleet: Fleet, problem: Problem, used: pa.Table, *, until_s: float) -> pa.Table:
    """Join what each device is with what it did; above 10,000 devices only those that were asked.

    ``outside_j`` is what a device idled away outside its tasks, by the end of the run at *until_s*.
    """
    asked = used["device"].to_pylist()
    numbers = range(len(fleet)) if len(fleet) <= _ALL_DEVICES else asked
    devices = [fleet.device(number) for number in numbers]
    still = pa.table(
        {
            "device": pa.array(numbers, pa.int64()),
            "profile": [d.profile.name for d in devices],
            "link": [d.link.name for d in devices],
            "samples": pa.array([d.samples for d in devices], pa.int64()),
            "label_counts": [problem.label_counts(d.id, d.key) for d in devices],
        }
    )
    row = {number: at for at, number in enumerate(asked)}
    take = pa.array([row.get(number) for number in numbers], pa.int64())
    for name in used.column_names[1:]:
        column = used[name].combine_chunks().take(take).fill_null(0)
        still = still.append_column(name, column)
    idle_w = np.array([device.profile.idle_w for device in devices])
    return still.append_column("outside_j", pa.array(idle_w * (until_s - still["asked_s"].to_numpy())))


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given).expanduser()


def _peak(*, children: bool) -> int:
    """Return the largest resident memory of this process, and of its largest child, in bytes."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN) if children else (resource.RUSAGE_SELF,)
    return 1024 * sum(resource.getrusage(one).ru_maxrss for one in who)
