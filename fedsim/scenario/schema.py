"""The tables of a scenario and their defaults; design/interface.md is the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from fedsim.errors import InputError, unknown
from fedsim.fleet import link_from
from fedsim.scenario.options import check_options
from fedsim.scenario.table import Count, Table, Time, said


class ModelTable(Table):
    """A model's name and its options, which are checked with the data's shape."""

    model_config = ConfigDict(extra="allow")

    name: str

    @field_validator("name")
    @classmethod
    def _known(cls, value: str, info: ValidationInfo) -> str:
        return _one_of("model", value, info)


class PartitionTable(Table):
    """How the examples are divided among the devices; the options go with the kind."""

    model_config = ConfigDict(extra="allow")

    kind: str = "dirichlet"

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, data: Any) -> Any:
        bare = isinstance(data, dict) and not data
        return {"kind": "dirichlet", "alpha": 0.5, "min_partition_size": 8} if bare else data

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str, info: ValidationInfo) -> str:
        return _one_of("partition", value, info)


class PublicTable(Table):
    """Another data set as the public one, or *n* of its training examples."""

    data: str
    n: Count | None = None


class TaskTable(Table):
    """What is learnt, from which data, divided how."""

    data: str
    model: ModelTable
    partition: PartitionTable = Field(default_factory=lambda: PartitionTable.model_validate({}))
    public: Annotated[int, Field(ge=0)] | PublicTable | None = None
    samples_per_device: Count = 64

    @field_validator("model", mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("data")
    @classmethod
    def _known(cls, value: str, info: ValidationInfo) -> str:
        return value if value.startswith("npz:") else _one_of("data set", value, info)


class LinkedTable(Table):
    """Something with a profile and a link: a preset's name, or {down, up, latency} with units."""

    profile: str
    link: str | dict[str, Any]

    @field_validator("profile")
    @classmethod
    def _known_profile(cls, value: str, info: ValidationInfo) -> str:
        return value if value.endswith(".toml") else _one_of("profile", value, info)

    @field_validator("link")
    @classmethod
    def _known_link(cls, value: Any) -> Any:
        try:
            link_from(value)
        except InputError as error:
            raise said(str(error)) from None
        return value


class FleetTable(LinkedTable):
    """A group of equal devices."""

    count: Count = 10
    link: str | dict[str, Any] = "wifi-home"


class ServerTable(LinkedTable):
    """The server; its energy stands apart."""

    profile: str = "edge-server"
    link: str | dict[str, Any] = "fibre"


OnDropout = Literal["discard", "restart", "resume"]


class AlwaysTable(Table):
    """Every device is always online."""

    kind: Literal["always"]
    on_dropout: OnDropout = "resume"


class MarkovTable(Table):
    """Devices come and go for exponential times."""

    kind: Literal["markov"]
    mean_online: Time = 2400.0
    mean_offline: Time = 600.0
    on_dropout: OnDropout = "resume"

    @model_validator(mode="after")
    def _positive(self) -> MarkovTable:
        for key in ("mean_online", "mean_offline"):
            if getattr(self, key) <= 0:
                raise said(f"{key} must be above 0 s; for devices that are always there write kind = 'always'")
        return self


class SyncSchedule(Table):
    """Rounds over a cohort; see `fedsim.sim.Sync`."""

    kind: Literal["sync"]
    rounds: Count
    cohort: Count
    deadline: Time | None = None
    over_select: Annotated[float, Field(ge=1)] = 1.0
    select: Literal["random"] = "random"

    @property
    def places(self) -> int:
        return self.cohort


class AsyncSchedule(Table):
    """A number of devices at work at any time; see `fedsim.sim.Async`."""

    kind: Literal["async"]
    merges: Count
    concurrency: Count
    buffer: Count = 1
    deadline: Time | None = None

    @property
    def places(self) -> int:
        return self.concurrency


ScheduleTable = Annotated[SyncSchedule | AsyncSchedule, Field(discriminator="kind")]
AvailabilityTable = Annotated[AlwaysTable | MarkovTable, Field(discriminator="kind")]


class MethodTable(Table):
    """A method to run: every other key is one of its options."""

    model_config = ConfigDict(extra="allow")

    name: str
    label: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.=+-]{1,64}$")] = ""
    model: ModelTable | None = None
    train: dict[str, Any] = Field(default_factory=dict)
    schedule: dict[str, Any] = Field(default_factory=dict)

    @field_validator("model", mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("name")
    @classmethod
    def _known(cls, value: str, info: ValidationInfo) -> str:
        return _one_of("method", value, info)

    @field_validator("train")
    @classmethod
    def _train(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        return check_options("train", _context(info)["train"], value)

    @model_validator(mode="after")
    def _options(self, info: ValidationInfo) -> MethodTable:
        given = check_options(self.name, _context(info)["methods"][self.name], self.model_extra or {})
        label = self.label or self.name
        return self.model_copy(update={"label": label, **given})

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class StopTable(Table):
    """When a run ends before its schedule does."""

    time: Time = 86400.0


class RunTable(Table):
    """Seeds, evaluation and the end of a run."""

    seeds: list[Annotated[int, Field(ge=0)]] = Field(default_factory=lambda: [0], min_length=1)
    evaluate_every: Count = 1
    stop: StopTable = StopTable()
    target: dict[Literal["accuracy", "loss"], float] = Field(default_factory=dict)

    @field_validator("seeds")
    @classmethod
    def _differ(cls, value: list[int]) -> list[int]:
        if len(set(value)) != len(value):
            raise said("seeds must differ")
        return value


class Scenario(Table):
    """One experiment: methods compared in one world."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]
    description: str = ""
    task: TaskTable
    train: dict[str, Any] = Field(default_factory=dict)
    fleet: Annotated[list[FleetTable], Field(min_length=1)]
    server: ServerTable = ServerTable.model_construct()
    availability: AvailabilityTable = Field(default_factory=lambda: MarkovTable(kind="markov"))
    schedule: ScheduleTable
    method: Annotated[list[MethodTable], Field(min_length=1)]
    run: RunTable = RunTable()

    @field_validator("train")
    @classmethod
    def _train(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        return check_options("train", _context(info)["train"], value)

    @property
    def devices(self) -> int:
        return sum(group.count for group in self.fleet)

    @model_validator(mode="after")
    def _consistent(self) -> Scenario:
        labels = [method.label for method in self.method]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise said(f"two methods are called {twice[0]!r}: give each [[method]] a label of its own")
        for schedule in [self.schedule, *(self.schedule_of(method) for method in self.method)]:
            if schedule.places > self.devices:
                key = "cohort" if schedule.kind == "sync" else "concurrency"
                raise said(
                    f"schedule.{key} = {schedule.places} is larger than the fleet of {self.devices} devices: "
                    f"lower it to at most {self.devices}, or raise a [[fleet]] count"
                )
        return self

    def schedule_of(self, method: MethodTable) -> SyncSchedule | AsyncSchedule:
        """Return the scenario's schedule with the method's own changes."""
        kind = method.schedule.get("kind", self.schedule.kind)
        table = SyncSchedule if kind == "sync" else AsyncSchedule
        same = kind == self.schedule.kind
        base = self.schedule.model_dump(exclude_unset=True, exclude={"deadline"}) if same else {"kind": kind}
        made = table.model_validate(base | method.schedule)
        kept = self.schedule.deadline if "deadline" not in method.schedule else made.deadline
        return made.model_copy(update={"deadline": kept})


def json_schema(methods: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of a scenario, with the names of the *methods* there are."""
    schema = Scenario.model_json_schema()
    schema["$defs"]["MethodTable"]["properties"]["name"]["enum"] = sorted(methods)
    return schema


def _one_of(what: str, value: str, info: ValidationInfo) -> str:
    known = _context(info)[f"{what}s"]
    if value not in known:
        raise said(unknown(what, value, known))
    return value


def _context(info: ValidationInfo) -> dict[str, Any]:
    """Return the catalogue: a scenario is never checked without one."""
    assert isinstance(info.context, dict)
    return info.context
