"""A scenario made ready: checked against all that it names, its data loaded and divided, nothing run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedsim.dividing import assignment, to_blame, wanted_by
from fedsim.errors import InputError, NeedsValues
from fedsim.execute import Executor
from fedsim.execute.cost_only import CostOnly
from fedsim.fleet import (
    Fleet,
    Group,
    Link,
    Profile,
    Topology,
    link_from,
    load_profile,
    profile_names,
)
from fedsim.learn.assign import Assignment
from fedsim.learn.datasets import dataset_names
from fedsim.learn.evaluate import mean_loss
from fedsim.learn.models import MODELS
from fedsim.learn.partition import PARTITIONS
from fedsim.learn.problem import Problem, initial_model, make_problem
from fedsim.methods import METHODS
from fedsim.results import RunKey
from fedsim.scenario import (
    Catalogue,
    Draft,
    Drawing,
    FleetTable,
    HierarchicalSchedule,
    MethodTable,
    ModelTable,
    PublicTable,
    Scenario,
    digest,
    draft,
    find,
    laws_of,
    placed,
    profile_at,
)
from fedsim.scheduling import make_schedule
from fedsim.sim import Schedule, Simulation, World, first_refs
from fedsim.training import Train
from fedsim.work import Ref


@dataclass(frozen=True, slots=True)
class Where:
    """Folders a run reads and writes; None: the environment's, else the default."""

    out: Path = Path("results")
    data_dir: Path | None = None
    cache: Path | None = None

    @property
    def data(self) -> Path | None:
        """The folder of data sets: --data-dir, else $FEDSIM_DATA."""
        return self.data_dir or _from_environment("FEDSIM_DATA")

    @property
    def values(self) -> Path:
        """The value cache: --cache, $FEDSIM_CACHE, else in the user's cache folder."""
        chosen = self.cache or _from_environment("FEDSIM_CACHE")
        base = _from_environment("XDG_CACHE_HOME") or Path.home() / ".cache"
        return chosen or base / "fedsim"


@dataclass(frozen=True, slots=True)
class Experiment:
    """A checked scenario with its data: everything that is known before the clock starts.

    folder: where the scenario's relative paths start.
    """

    scenario: Scenario
    folder: Path
    problems: Mapping[int, Problem]

    @property
    def digest(self) -> str:
        return digest(self.scenario)

    @property
    def name(self) -> str:
        """What the folder of its results is called."""
        return f"{self.scenario.name}-{self.digest}"

    @property
    def keys(self) -> list[RunKey]:
        return [RunKey(method.label, seed) for method in self.scenario.method for seed in self.problems]

    @property
    def profiles(self) -> list[Profile]:
        """The profiles of the fleet's groups, the server's, then those of edges that merge."""
        table = self.scenario
        names = [*(group.profile for group in table.fleet), table.server.profile]
        merge = any(isinstance(table.schedule_of(method), HierarchicalSchedule) for method in table.method)
        tiers = table.network.tiers(table.devices, self.folder) if merge else ()
        return [*map(self._profile, names), *(tier.edge for tier in tiers if tier.edge)]

    def movable(self) -> dict[str, Any]:
        """Return the resolved scenario with absolute paths, so that its file can be run from anywhere."""
        return placed(self.scenario.resolved(), self.folder)

    def method(self, label: str) -> MethodTable:
        return next(method for method in self.scenario.method if method.label == label)

    def world(self, key: RunKey) -> World:
        """Return the world that the methods of one seed have in common, with this method's first model."""
        table, problem = self.scenario, self.problems[key.seed]
        fleet, drawing = self._fleet(problem), Drawing(key.seed, self.folder)
        availability, dynamics = laws_of(table, _profiles(fleet), drawing)
        return World(
            fleet=fleet,
            availability=availability,
            dynamics=dynamics,
            on_dropout=table.availability.on_dropout,
            server=self._profile(table.server.profile),
            topology=Topology(self._link(table.server.link), table.network.tiers(table.devices, self.folder)),
            transport=table.network.transport,
            initial=self._initial(key),
            public=problem.public,
            shard=lambda device: problem.shard(device.id, device.key),
            stop_s=table.run.stop.time,
            preinstalled=_preinstalled(table, problem),
            loss=mean_loss,
        )

    def simulation(self, key: RunKey, executor: Executor, observer: Any) -> Simulation:
        """Return one run, ready to start."""
        return Simulation(
            self.world(key),
            method=self.build_method(key.method),
            schedule=self.schedule(key.method),
            executor=executor,
            observer=observer,
            seed=key.seed,
        )

    def build_method(self, label: str) -> Any:
        """Make the method with its options and its own training."""
        table = self.method(label)
        train = Train(**{**self.scenario.train, **table.train})
        return METHODS[table.name](**table.options, train=train)

    def schedule(self, label: str) -> Schedule:
        """Make the method's schedule."""
        return make_schedule(self.scenario.schedule_of(self.method(label)))

    def inputs(self, key: RunKey) -> str:
        """Digest what a run reads beside its scenario: profiles, links, tiers, data."""
        world, problem = self.world(key), self.problems[key.seed]
        parts = (world.fleet.groups, world.server, world.topology, world.transport, world.initial.key, problem.digest)
        found = [*self.profiles, *(tier.edge for tier in world.topology.tiers if tier.edge)]
        rates = [(sorted(p.rates.items()), sorted(p.exact.items()), p.thermal, sorted(p.modes.items())) for p in found]
        radios = [g.profile.radio_for(g.link.technology) for g in world.fleet.groups]  # those in use alone
        whole = (parts, rates, radios, world.availability, world.dynamics)
        return hashlib.sha256(repr(whole).encode()).hexdigest()[:16]

    def _fleet(self, problem: Problem) -> Fleet:
        return Fleet(_groups(self.scenario.fleet, self.folder), problem.samples)

    def _link(self, value: str | Mapping[str, Any]) -> Link:
        return link_from(value, self.folder)

    def _profile(self, name: str) -> Profile:
        return load_profile(profile_at(name, self.folder))

    def _initial(self, key: RunKey) -> Ref:
        table = self.method(key.method).model or self.scenario.task.model
        return initial_model(table.model_dump(), self.problems[key.seed], key.seed, folder=self.folder)


def prepare(
    scenario: str | Path, overrides: Mapping[str, Any], where: Where, *, seeds: Sequence[int] | None = None
) -> Experiment:
    """Check a scenario against everything that it names, data included; write nothing.

    Raises InputError that reports all that is wrong.
    """
    if where.data is not None and not where.data.is_dir():
        raise InputError(f"{str(where.data)!r} is no folder of data sets: correct --data-dir or $FEDSIM_DATA")
    path = find(str(scenario))
    changes = overrides if seeds is None else {**overrides, "run.seeds": list(seeds)}
    found = draft(path, changes, catalogue(where.data))
    problems = _problems(found, where.data)
    experiment = Experiment(found.finished(), path.parent, problems)
    for number, method in enumerate(experiment.scenario.method):
        _check_method(found, experiment, number=number, key=RunKey(method.label, next(iter(problems))))
    found.finished()
    return experiment


def catalogue(data_dir: Path | None) -> Catalogue:
    """Return what a scenario may name."""
    return Catalogue(METHODS, Train, MODELS, dataset_names(data_dir), PARTITIONS, profile_names())


def _problems(found: Draft, data_dir: Path | None) -> dict[int, Problem]:
    """Load and divide the data for every seed, as far as the draft is sound; what does not fit goes into it."""
    if not found.parts.keys() >= {"task", "fleet"}:
        return {}
    wanted = wanted_by(found.parts["task"], found.path.parent, data_dir)
    devices = sum(group.count for group in found.parts["fleet"])
    problems: dict[int, Problem] = {}
    for seed in found.parts["run"].seeds if "run" in found.parts else [0]:
        try:
            like = next(iter(problems.values()), None)  # the seeds share one data set in memory
            assign = _assignment(found, seed)
            problems[seed] = make_problem(wanted, devices=devices, seed=seed, like=like, assign=assign)
        except InputError as error:
            found.wrong(("task", to_blame(wanted, devices=devices, seed=seed)), str(error))
            break
    if problems:
        _check_models(found, next(iter(problems.values())))
    return problems


def _assignment(found: Draft, seed: int) -> Assignment | None:
    """Return which shards go to which devices, if the scenario says and its tables are sound; raises InputError."""
    table = found.parts["task"].assign
    if table is None or not found.parts.keys() >= {"availability", "dynamics", "failures", "event"}:
        return None
    fleet = Fleet(_groups(found.parts["fleet"], found.path.parent))
    availability, _ = laws_of(found.scenario, _profiles(fleet), Drawing(seed, found.path.parent))
    return assignment(table, fleet, availability, seed=seed)


def _profiles(fleet: Fleet) -> list[Profile]:
    return [group.profile for group in fleet.groups]


def _groups(tables: Sequence[FleetTable], folder: Path) -> tuple[Group, ...]:
    own = [load_profile(profile_at(table.profile, folder)) for table in tables]
    profiles = [profile.in_mode(t.mode) if t.mode else profile for profile, t in zip(own, tables, strict=True)]
    return tuple(
        Group(profile, link_from(table.link, folder), table.count, table.behind)
        for profile, table in zip(profiles, tables, strict=True)
    )


def _check_models(found: Draft, problem: Problem) -> None:
    """Check that every model in use takes the data's shape."""
    methods = found.parts.get("method", ())
    models: dict[tuple[int | str, ...], ModelTable]
    models = {("method", n, "model"): method.model for n, method in enumerate(methods) if method.model}
    if len(models) < len(methods) or not methods:
        models["task", "model"] = found.parts["task"].model
    for place, model in models.items():
        try:
            initial_model(model.model_dump(), problem, 0, folder=found.path.parent)
        except InputError as error:
            found.wrong(place, str(error))


def _check_method(found: Draft, experiment: Experiment, *, number: int, key: RunKey) -> None:
    """Take down what a method itself refuses, at first or of a group: its options, its model, what is lacking."""
    try:
        sim = experiment.simulation(key, CostOnly(experiment.problems[key.seed]), None)
        for ref in first_refs(sim):
            sim.executor.size(ref)
    except NeedsValues:  # which is no fault: an executor that computes values will know
        return
    except InputError as error:
        found.wrong(("method", number, "name"), str(error))


def _preinstalled(scenario: Scenario, problem: Problem) -> frozenset[str]:
    """Return the key of the public set if devices hold it from the start."""
    table = scenario.task.public
    if problem.public is None or not isinstance(table, PublicTable) or not table.preinstalled:
        return frozenset()
    return frozenset({problem.public.key})


def _from_environment(name: str) -> Path | None:
    value = os.environ.get(name)
    return Path(value).expanduser() if value else None
