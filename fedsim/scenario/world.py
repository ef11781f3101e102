"""What is learnt and by whom: the tables of task, fleet and server."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    model_serializer,
    model_validator,
)

from fedsim.errors import InputError
from fedsim.fleet import link_from, link_names, load_profile
from fedsim.scenario.around import Around, Catalogue, around, named, profile_at
from fedsim.scenario.assign import Assign
from fedsim.scenario.links import DESCRIBED, link_table
from fedsim.scenario.options import Option, fill_options, options_of
from fedsim.scenario.presence import GroupPresence
from fedsim.scenario.table import Count, Errors, Table
from fedsim.scenario.wording import no_such, said, wrong


class Open(Table):
    """A table that names something, and has the options of what it names as its other keys."""

    model_config = ConfigDict(extra="allow")

    called: ClassVar[str]
    what: ClassVar[str]
    others: ClassVar[str] = ""

    _takes: Mapping[str, Option] = PrivateAttr(default_factory=dict)

    @classmethod
    @abstractmethod
    def known(cls, catalogue: Catalogue) -> Mapping[str, Callable[..., Any]]:
        """Return what the table may name, with the callables that take its options."""

    @classmethod
    def other_keys(cls, data: Mapping[str, Any], info: ValidationInfo) -> tuple[dict[str, Any], Errors]:
        known, name = cls.known(around(info).catalogue), data.get(cls.called, cls.model_fields[cls.called].default)
        if not isinstance(name, str):
            return {}, []
        if name not in known:
            return {}, [wrong((cls.called,), name, no_such(cls.what, name, known) + cls.others)]
        options = {key: value for key, value in data.items() if key not in cls.model_fields}
        return fill_options(known[name], options, info.context)

    def model_post_init(self, context: Any) -> None:
        """Remember what types the options have, so that they can be written."""
        assert isinstance(context, Around)
        kind = self.known(context.catalogue).get(getattr(self, self.called))  # None: refused already
        self._takes = options_of(kind) if kind else {}

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        made: dict[str, Any] = handler(self)
        if info.mode == "json":
            made |= {key: self._takes[key].written(self.options[key]) for key in made.keys() & self._takes.keys()}
        return made

    @property
    def options(self) -> dict[str, Any]:
        """The options of what the table names, defaults included."""
        return dict(self.model_extra or {})


NameAlone = BeforeValidator(lambda value: {"name": value} if isinstance(value, str) else value)


class ModelTable(Open):
    """A model's name and its options; whether they fit the data shows with the data."""

    called: ClassVar[str] = "name"
    what: ClassVar[str] = "model"

    name: str

    @classmethod
    def known(cls, catalogue: Catalogue) -> Mapping[str, Callable[..., Any]]:
        return catalogue.models

    @classmethod
    def example(cls) -> str:
        return "{ name = 'cnn', width = 1.0 }, or a model's name"


class PartitionTable(Open):
    """How the examples are divided among the devices; the options go with the kind."""

    called: ClassVar[str] = "kind"
    what: ClassVar[str] = "partition"

    kind: str = "dirichlet"

    @classmethod
    def known(cls, catalogue: Catalogue) -> Mapping[str, Callable[..., Any]]:
        return catalogue.partitions

    @classmethod
    def example(cls) -> str:
        return "{ kind = 'dirichlet', alpha = 0.5 }"


def _data_set(value: Any, info: ValidationInfo) -> Any:
    known = around(info).catalogue.data_sets
    if isinstance(value, str) and not value.startswith("npz:") and value not in known:
        raise said(f"{no_such('data set', value, known)}; or write 'npz:PATH', or put NAME.npz into --data-dir")
    return value


DataSet = Annotated[str, BeforeValidator(_data_set)]


class PublicTable(Table):
    """Another data set as the public one, or *n* of its training examples; without *data*, *n* of the task's own.

    preinstalled: devices hold it from the start, so that it is never sent.
    """

    data: DataSet | None = None
    n: Count | None = None
    preinstalled: bool = False

    @model_validator(mode="after")
    def _of_something(self) -> PublicTable:
        if self.data is None and self.n is None:
            raise said("names neither data nor n: write { n = 500 }, or { data = 'mnist' }")
        return self


def _public(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, str):
        value = {"data": value}
    if isinstance(value, dict):
        return PublicTable.model_validate(value, context=info.context)
    if not isinstance(value, PublicTable) and (type(value) is not int or value < 0):
        raise said("must be a number of examples from 0, a data set's name, or { data = 'mnist', n = 500 }")
    return value


Public = Annotated[int | PublicTable, BeforeValidator(_public)]


class SubsetTable(Table):
    """How many examples of each part are used, drawn alike for every seed; left out: all."""

    train: Count | None = None
    test: Count | None = None


class TaskTable(Table):
    """What is learnt, from which data, divided how.

    tokens: how many of a text are read; tokenizer: a tokenizer.json or a folder with one, unless
    one is to be trained on the training texts. Both are for data sets of texts.
    """

    data: DataSet
    model: Annotated[ModelTable, NameAlone]
    partition: Annotated[PartitionTable, Field(default_factory=dict, validate_default=True)]
    assign: Assign = None
    public: Public | None = None
    subset: SubsetTable = SubsetTable()
    samples_per_device: Count = 64
    tokens: Annotated[int, Field(ge=1, le=4096)] | None = None
    tokenizer: str | None = None

    @classmethod
    def example(cls) -> str:
        return "[task] with data = 'digits' and model = 'cnn'"


def _profile(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str) or not value.endswith(".toml"):
        return named("profile", value, around(info).catalogue.profiles)
    try:
        load_profile(profile_at(value, around(info).folder))
    except InputError as error:
        raise said(str(error)) from None
    return value


def _link(value: Any, info: ValidationInfo) -> Any:
    link = named("link", value, link_names()) if isinstance(value, str) else link_table(value)
    folder = around(info).folder
    try:
        technology = link_from(link, folder).technology
        if "profile" in info.data:
            load_profile(profile_at(info.data["profile"], folder)).radio_for(technology)
    except InputError as error:
        raise said(str(error)) from None
    return link


Profile = Annotated[str, BeforeValidator(_profile)]
Link = Annotated[str | dict[str, Any], BeforeValidator(_link), DESCRIBED]


def _mode(value: Any, info: ValidationInfo) -> Any:
    if "profile" in info.data and isinstance(value, str):
        try:
            load_profile(profile_at(info.data["profile"], around(info).folder)).in_mode(value)
        except InputError as error:
            raise said(str(error)) from None
    return value


class FleetTable(Table):
    """A group of equal devices; mode: a power mode of its profile."""

    profile: Profile
    count: Count = 10
    link: Link = "wifi-home"
    behind: str = ""  # loaded: the outermost tier of the network's preset, else the server
    availability: GroupPresence | None = None  # in place of [availability], whose on_dropout stays
    mode: Annotated[str, BeforeValidator(_mode)] | None = None


class ServerTable(Table):
    """The server; its energy stands apart."""

    profile: Profile = "edge-server"
    link: Link = "fibre"
