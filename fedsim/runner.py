"""The one place where everything meets: scenario, data, fleet, method, executor, clock, results."""

from __future__ import annotations

import hashlib
import os
import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

import fedsim.results as store
from fedsim.errors import InputError
from fedsim.evaluation import Evaluation
from fedsim.execute.build import Choice, build
from fedsim.fleet import Always, Availability, Fleet, Group, Markov, link_from, load_profile, profile_names
from fedsim.learn.datasets import dataset_names
from fedsim.learn.models import MODELS
from fedsim.learn.partition import PARTITIONS
from fedsim.learn.problem import Problem, Wanted, initial_model, make_problem
from fedsim.learn.values import measure
from fedsim.methods import METHODS
from fedsim.provenance import package_digest
from fedsim.results import Results, RunKey
from fedsim.scenario import Catalogue, MethodTable, Scenario, SyncSchedule, digest, find, load
from fedsim.sim import Async, Schedule, Simulation, Sync, World
from fedsim.training import Train
from fedsim.work import Ref

_ALL_DEVICES = 10_000


class Progress(Protocol):
    """Hears how far each run is: versions done of those to come, and the virtual time."""

    def started(self, run: RunKey, versions: int) -> None: ...
    def moved(self, run: RunKey, version: int, at_s: float) -> None: ...
    def finished(self, run: RunKey) -> None: ...


@dataclass(frozen=True, slots=True)
class Where:
    """Folders a run reads and writes; None: the environment's, else the default."""

    out: Path = Path("results")
    data_dir: Path | None = None
    cache: Path | None = None

    def data(self) -> Path | None:
        return self.data_dir or _from_environment("FEDSIM_DATA")


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
    where: Where | None = None,
    choice: Choice | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
) -> Results:
    """Run every method of *scenario* with every seed, and return the results.

    scenario: a path or a packaged name; overrides: dotted keys, such as {"schedule.rounds": 5};
    choice: executor, workers and torch device; fresh: read neither earlier results nor the cache.
    A killed run picks up where it stopped. Raises InputError before anything is written.
    """
    place, chosen = where or Where(), choice or Choice()
    experiment = prepare(scenario, overrides or {}, place, seeds=seeds)
    chosen.check()
    path = store.create(place.out, experiment.folder)
    how = How(place, chosen, progress, fresh)
    done = [_once(experiment, key, path=path, how=how) for key in experiment.keys]
    summary = {"name": experiment.scenario.name, "digest": experiment.digest, "out": str(path), "runs": done}
    made = Results(path, experiment.keys, summary)
    store.write_scenario(made, experiment.text)
    return made


@dataclass(frozen=True, slots=True)
class Experiment:
    """A checked scenario with its data: everything that is known before the clock starts."""

    scenario: Scenario
    text: Mapping[str, Any]
    digest: str
    problems: Mapping[int, Problem]

    @property
    def folder(self) -> str:
        return f"{self.scenario.name}-{self.digest}"

    @property
    def keys(self) -> list[RunKey]:
        return [RunKey(method.label, seed) for method in self.scenario.method for seed in self.problems]

    def method(self, label: str) -> MethodTable:
        return next(method for method in self.scenario.method if method.label == label)

    def world(self, key: RunKey) -> World:
        """Return the world that the methods of one seed have in common, with this method's first model."""
        table, problem = self.scenario, self.problems[key.seed]
        return World(
            fleet=fleet_of(table, problem),
            availability=_availability(table, key.seed),
            on_dropout=table.availability.on_dropout,
            server=load_profile(table.server.profile),
            server_link=link_from(table.server.link),
            initial=self.initial(key),
            public=problem.public,
            shard=lambda device: problem.shard(device.id, device.key),
            stop_s=table.run.stop.time,
        )

    def initial(self, key: RunKey) -> Ref:
        table = self.method(key.method).model or self.scenario.task.model
        return initial_model(table.model_dump(), self.problems[key.seed], key.seed)

    def build_method(self, label: str) -> Any:
        """Make the method with its options and its own training."""
        table = self.method(label)
        train = Train(**{**self.scenario.train, **table.train})
        return METHODS[table.name](**table.options, train=train)

    def schedule(self, label: str) -> Schedule:
        table = self.scenario.schedule_of(self.method(label))
        if isinstance(table, SyncSchedule):
            return Sync(table.rounds, table.cohort, table.deadline, table.over_select)
        return Async(table.merges, table.concurrency, table.buffer, table.deadline)


def prepare(
    scenario: str | Path, overrides: Mapping[str, Any], where: Where, *, seeds: Sequence[int] | None = None
) -> Experiment:
    """Check a scenario against everything that it names, data included; write nothing."""
    path = find(str(scenario))
    changes = {**overrides, "run.seeds": list(seeds)} if seeds else overrides
    text, table = load(path, changes, catalogue(where.data()))
    task = table.task
    wanted = Wanted(
        data=task.data,
        partition=task.partition.model_dump(),
        public=task.public if task.public is None or isinstance(task.public, int) else task.public.model_dump(),
        samples_per_device=task.samples_per_device,
        folder=path.parent,
        data_dir=where.data(),
    )
    try:
        problems = {seed: make_problem(wanted, devices=table.devices, seed=seed) for seed in table.run.seeds}
        experiment = Experiment(table, text, digest(table), problems)
        for key in experiment.keys:
            experiment.initial(key)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return experiment


def catalogue(data_dir: Path | None) -> Catalogue:
    """Return what a scenario may name."""
    there = data_dir if data_dir and data_dir.is_dir() else None
    return Catalogue(METHODS, Train, MODELS, dataset_names(there), PARTITIONS, profile_names())


def fleet_of(scenario: Scenario, problem: Problem) -> Fleet:
    """Return the fleet as columns."""
    groups = [Group(load_profile(g.profile), link_from(g.link), g.count) for g in scenario.fleet]
    return Fleet(tuple(groups), problem.samples)


def cache_folder(where: Where) -> Path:
    """Return the value cache: --cache, $FEDSIM_CACHE, else the user's cache folder."""
    chosen = where.cache or _from_environment("FEDSIM_CACHE")
    base = _from_environment("XDG_CACHE_HOME") or Path.home() / ".cache"
    return chosen or base / "fedsim"


def _once(experiment: Experiment, key: RunKey, *, path: Path, how: How) -> dict[str, Any]:
    """Run one method with one seed, unless that has been done by this very code."""
    choice, progress, fresh = how.choice, how.progress, how.fresh
    world = experiment.world(key)
    made_by = {"code": package_digest(), "executor": choice.executor, "inputs": _inputs(experiment, key, world)}
    known = None if fresh else store.read_manifest(path, key)
    if known and known["made_by"] == made_by:
        jobs = known["summary"]["jobs_run"] + known["summary"]["jobs_cached"]
        return {**known["summary"], "jobs_run": 0, "jobs_cached": jobs, "wall_s": 0.0, "peak_rss_bytes": _peak(children=False)}
    began = time.perf_counter()
    problem = experiment.problems[key.seed]
    executor = build(choice, sources=problem, measure=measure, root=cache_folder(how.where), fresh=fresh)
    schedule = experiment.schedule(key.method)
    evaluation = Evaluation(
        executor, problem.test, every=experiment.scenario.run.evaluate_every, window=choice.window,
        moved=(lambda version, at_s: progress.moved(key, version, at_s)) if progress else None,
    )  # fmt: skip
    try:
        if progress:
            progress.started(key, schedule.merges)
        method = experiment.build_method(key.method)
        sim = Simulation(world, method=method, schedule=schedule, executor=executor, observer=evaluation, seed=key.seed)
        timeline = sim.run()
        metrics = evaluation.finish()
        counts = {"jobs_run": executor.jobs_run, "jobs_cached": executor.jobs_cached}
    finally:
        executor.close()
    last = metrics[-len(evaluation.models) :][0]
    summary = {
        "method": key.method,
        "seed": key.seed,
        "status": "done" if sim.complete else "stopped",
        "timeline_digest": timeline.digest(),
        "accuracy": last["accuracy"],
        "virtual_s": sim.now_s,
        **asdict(sim.recorder.totals),
        "rounds": sim.rounds_done,
        **counts,
        "wall_s": time.perf_counter() - began,
        "peak_rss_bytes": _peak(children=choice.executor == "pool"),
        "executor": choice.executor,
        "to_target": evaluation.to_target(experiment.scenario.run.target),
    }
    tables = {
        "timeline": timeline.table,
        "metrics": pa.Table.from_pylist(metrics, store.METRICS),
        "devices": devices_table(world.fleet, problem, store.usage(timeline)),
    }
    store.write_run(path, key, tables, manifest={"made_by": made_by, "summary": summary})
    if progress:
        progress.finished(key)
    return summary


def devices_table(fleet: Fleet, problem: Problem, used: pa.Table) -> pa.Table:
    """Join what each device is with what it did; above 10,000 devices only those that were asked."""
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
    return still


def _inputs(experiment: Experiment, key: RunKey, world: World) -> str:
    """Digest what a run reads beside its scenario: profiles, links, data."""
    problem = experiment.problems[key.seed]
    parts = (world.fleet.groups, world.server, world.server_link, world.initial.key, problem.digest)
    rates = [sorted((str(k), r) for k, r in g.profile.rates.items()) for g in world.fleet.groups]
    radios = [sorted(g.profile.radio.items()) for g in world.fleet.groups]
    server = sorted((str(k), r) for k, r in world.server.rates.items())
    return hashlib.sha256(repr((parts, rates, radios, server)).encode()).hexdigest()[:16]


def _availability(scenario: Scenario, seed: int) -> Availability:
    table = scenario.availability
    if table.kind == "always":
        return Always()
    return Markov(table.mean_online, table.mean_offline, seed)


def _from_environment(name: str) -> Path | None:
    value = os.environ.get(name)
    return Path(value).expanduser() if value else None


def _peak(*, children: bool) -> int:
    """Return the largest resident memory of this process, and of its largest child, in bytes."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN) if children else (resource.RUSAGE_SELF,)
    return 1024 * sum(resource.getrusage(one).ru_maxrss for one in who)
