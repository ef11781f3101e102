"""The tables of a link: spelled out, or like a packaged one with changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, model_validator

from fedsim.fleet import link_names
from fedsim.fleet.link import MOST_LOSS, WIFI
from fedsim.scenario.table import Rate, Table
from fedsim.scenario.wording import no_such, said
from fedsim.units import Seconds


class TraceTable(Table):
    """A file of each direction, a table of rates or a Mahimahi trace; a direction left out keeps its rate."""

    down: str | None = None
    up: str | None = None

    @model_validator(mode="after")
    def _of_something(self) -> TraceTable:
        if self.down is None and self.up is None:
            raise said("names no file: write { down = 'FILE', up = 'FILE' }, or one of the two")
        return self

    @classmethod
    def example(cls) -> str:
        return "{ down = 'FILE', up = 'FILE' }, or the path of one .csv file"


def _trace(value: Any) -> Any:
    return value if isinstance(value, str | TraceTable) else TraceTable.model_validate(value)


Trace = Annotated[str | TraceTable, BeforeValidator(_trace)]


def _packaged(value: Any) -> Any:
    if isinstance(value, str) and value not in link_names():
        raise said(no_such("link", value, link_names()))
    return value


class LinkTable(Table):
    """A link of one's own: what `fedsim.fleet.link_from` reads.

    loss: share of packets sent again; shared: both ways have one capacity, down's; trace: rates over time, from files.
    """

    down: Rate
    up: Rate
    latency: Seconds
    technology: str = WIFI
    name: str = "custom"
    loss: Annotated[float, Field(ge=0, le=MOST_LOSS)] = 0.0
    shared: bool = False
    trace: Trace | None = None

    @classmethod
    def example(cls) -> str:
        return "{ down = '20 Mbit/s', up = '5 Mbit/s', latency = '20 ms' }, or a link's name"


class LikeTable(Table):
    """A packaged link with changes; varies: its rates change as those of its technology do."""

    like: Annotated[str, BeforeValidator(_packaged)]
    down: Rate | None = None
    up: Rate | None = None
    latency: Seconds | None = None
    technology: str | None = None
    name: str | None = None
    loss: Annotated[float, Field(ge=0, le=MOST_LOSS)] = 0.0
    shared: bool = False
    trace: Trace | None = None
    varies: bool = False


class _Described:
    """Tell the JSON Schema of a link what its table may hold."""

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        tables = [handler(table.__pydantic_core_schema__) for table in (LinkTable, LikeTable)]
        return {"anyOf": [{"type": "string"}, *tables]}


DESCRIBED = _Described()


def link_table(value: Any) -> dict[str, Any]:
    """Return a link's table, checked, with what it says and nothing else."""
    kind = LikeTable if isinstance(value, Mapping) and "like" in value else LinkTable
    written = kind.model_validate(value).model_dump(mode="json", exclude_none=True)
    return {key: part for key, part in written.items() if part not in (False, 0.0)}
