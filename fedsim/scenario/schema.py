"""The tables of a scenario and their defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError, ValidationInfo

from fedsim.scenario.around import Catalogue, around
from fedsim.scenario.asking import Deadline, Fixed, Select
from fedsim.scenario.dynamics import DynamicsTable, EventTable, FailuresTable
from fedsim.scenario.network import NetworkTable
from fedsim.scenario.options import check_options, fill_options
from fedsim.scenario.presence import AvailabilityTable
from fedsim.scenario.table import Count, Label, Name, Span, Table, by_kind
from fedsim.scenario.wording import said
from fedsim.scenario.world import FleetTable, ModelTable, NameAlone, Open, ServerTable, TaskTable


class SyncSchedule(Table):
    """Rounds over a cohort; see `fedsim.sim.Sync`. every: from the start of one to that of the next, at least."""

    kind: Literal["sync"]
    rounds: Count
    cohort: Count
    deadline: Deadline | None = None
    over_select: Annotated[float, Field(ge=1)] = 1.0
    select: Select = "random"
    every: Span | None = None

    places_key: ClassVar[str] = "cohort"

    @property
    def places(self) -> int:
        return self.cohort


class AsyncSchedule(Table):
    """A number of devices at work at any time; see `fedsim.sim.Async`."""

    kind: Literal["async"]
    merges: Count
    concurrency: Count
    buffer: Count = 1
    deadline: Fixed | None = None
    select: Select = "random"

    places_key: ClassVar[str] = "concurrency"

    @property
    def places(self) -> int:
        return self.concurrency


class HierarchicalSchedule(Table):
    """Rounds that merge at edge aggregators first, then at the server; see `fedsim.sim.Hierarchical`."""

    kind: Literal["hierarchical"]
    rounds: Count
    cohort: Count
    deadline: Deadline | None = None
    select: Select = "random"
    every: Span | None = None

    places_key: ClassVar[str] = "cohort"

    @property
    def places(self) -> int:
        return self.cohort


Schedule = SyncSchedule | AsyncSchedule | HierarchicalSchedule
SCHEDULES: Mapping[str, type[Schedule]] = {
    "sync": SyncSchedule,
    "async": AsyncSchedule,
    "hierarchical": HierarchicalSchedule,
}
ScheduleTable = Annotated[Schedule, by_kind(SCHEDULES)]


def _training(check: Callable[..., Any]) -> BeforeValidator:
    def read(value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, dict):
            raise said("must be a table, such as { epochs = 1, lr = 0.05 }")
        good, errors = check(around(info).catalogue.train, value)
        if errors:
            raise ValidationError.from_exception_data("train", errors)
        return good

    return BeforeValidator(read)


class MethodTable(Open):
    """A method to run: every other key is one of its options."""

    called: ClassVar[str] = "name"
    what: ClassVar[str] = "method"
    others: ClassVar[str] = "; for one of your own give --plugin FILE.py"

    name: str
    label: Label = ""  # loaded: its name
    model: Annotated[ModelTable, NameAlone] | None = None
    train: Annotated[dict[str, Any], _training(check_options)] = Field(default_factory=dict)
    schedule: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def known(cls, catalogue: Catalogue) -> Mapping[str, Callable[..., Any]]:
        return catalogue.methods

    @classmethod
    def example(cls) -> str:
        return "[[method]] with name = 'fedavg'"


class StopTable(Table):
    """When a run ends before its schedule does."""

    time: Span = 86400.0

    @classmethod
    def example(cls) -> str:
        return "{ time = '24 h' }"


class TargetTable(Table):
    """What to reach: when, and at what cost, goes into the summary."""

    accuracy: Annotated[float, Field(ge=0, le=1)] | None = None
    loss: float | None = None


def _differ(value: list[int]) -> list[int]:
    if len(set(value)) != len(value):
        raise said("must differ from each other")
    return value


class RunTable(Table):
    """Seeds, evaluation and the end of a run; by_label: on each class too."""

    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**63)]], Field(min_length=1), AfterValidator(_differ)] = Field(
        default_factory=lambda: [0]
    )
    evaluate_every: Count = 1
    by_label: bool = False
    stop: StopTable = StopTable()
    target: TargetTable = TargetTable()


class Scenario(Table):
    """One experiment: methods compared in one world. Made by `fedsim.scenario.load`, which checks it in full."""

    name: Name
    description: str = ""
    task: TaskTable
    train: Annotated[dict[str, Any], _training(fill_options), Field(default_factory=dict)]
    fleet: Annotated[list[FleetTable], Field(min_length=1)]
    server: ServerTable = ServerTable.model_construct()
    network: Annotated[NetworkTable, Field(default_factory=dict)]
    availability: Annotated[AvailabilityTable, Field(default_factory=dict)]
    dynamics: DynamicsTable = DynamicsTable()
    failures: FailuresTable = FailuresTable()
    event: list[EventTable] = Field(default_factory=list)
    schedule: ScheduleTable
    method: Annotated[list[MethodTable], Field(min_length=1)]
    run: RunTable = RunTable()

    @property
    def devices(self) -> int:
        return sum(group.count for group in self.fleet)

    def schedule_of(self, method: MethodTable) -> Schedule:
        """Return the scenario's schedule with the method's own changes."""
        base = self.schedule.model_dump(mode="json", exclude_none=True)
        return schedule_adapter.validate_python(merged_schedule(base, method.schedule))

    def resolved(self) -> dict[str, Any]:
        """Return the scenario as plain tables with units, defaults filled in, fit to be loaded again."""
        tables = self.model_dump(mode="json", exclude_none=True)
        may_be_empty = [(tables["run"], "target"), (tables["task"], "subset")]
        may_be_empty += [(method, key) for method in tables["method"] for key in ("train", "schedule")]
        may_be_empty += [(tables["network"], "tier")]
        for table, key in may_be_empty:
            if not table[key]:
                del table[key]
        if not self.run.by_label:
            del tables["run"]["by_label"]
        if self.network.tier:
            del tables["network"]["preset"]
        if self.schedule.kind != "sync" and self.schedule.select == "random":
            del tables["schedule"]["select"]
        for key, none in (("dynamics", DynamicsTable()), ("failures", FailuresTable()), ("event", [])):
            if getattr(self, key) == none:
                del tables[key]
        return tables


schedule_adapter: TypeAdapter[Schedule] = TypeAdapter(ScheduleTable)


def merged_schedule(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a method's schedule: its own keys over the scenario's; another kind keeps only by when and whom to ask."""
    same = own.get("kind", base.get("kind")) == base.get("kind")
    kept = base if same else {key: base[key] for key in ("deadline", "select") if key in base}
    return {**kept, **own}
