"""Whom to ask, and by when: the tables of a schedule's keys select and deadline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationInfo, WrapValidator, model_validator

from fedsim.scenario.table import Count, Span, Table, by_kind
from fedsim.scenario.wording import no_such, said
from fedsim.units import Seconds

Pool = Annotated[float, Field(ge=1, le=10**6)]
Share = Annotated[float, Field(ge=0, le=1)]


class RandomTable(Table):
    """Whoever comes first in the draw; loaded, the name alone."""

    kind: Literal["random"]


class PowerOfChoiceTable(Table):
    """See `fedsim.sim.selection.PowerOfChoice`."""

    kind: Literal["power-of-choice"]
    pool: Pool = 3.0


class OortTable(Table):
    """See `fedsim.sim.oort.Oort`."""

    kind: Literal["oort"]
    pool: Pool = 20.0
    alpha: Annotated[float, Field(ge=0)] = 2.0
    exploration: Share = 0.9
    exploration_decay: Share = 0.98
    exploration_least: Share = 0.2
    explore: Literal["speed", "random"] = "speed"
    pace: Annotated[float, Field(gt=0, le=1)] = 0.3
    pace_step: Share = 0.05
    window: Count = 20
    max_participation: Annotated[int, Field(ge=0)] = 0


class TiflTable(Table):
    """See `fedsim.sim.tifl.Tifl`."""

    kind: Literal["tifl"]
    pool: Pool = 10.0
    tiers: Count = 5
    adaptive: bool = False
    credits: Annotated[int, Field(ge=0)] = 0


class BatteryTable(Table):
    """See `fedsim.sim.selection.Battery`."""

    kind: Literal["battery"]
    pool: Pool = 10.0


class FairTable(Table):
    """See `fedsim.sim.selection.Fair`."""

    kind: Literal["fair"]
    pool: Pool = 10.0


SelectName = Literal["random", "power-of-choice", "oort", "tifl", "battery", "fair"]
SELECTS: Mapping[str, type[Table]] = {
    "random": RandomTable,
    "power-of-choice": PowerOfChoiceTable,
    "oort": OortTable,
    "tifl": TiflTable,
    "battery": BatteryTable,
    "fair": FairTable,
}


def _named(value: Any) -> Any:
    """Read a name as the table of its defaults."""
    if isinstance(value, str):
        if value not in SELECTS:
            raise said(f"{no_such('policy', value, SELECTS)}; or a table such as {{ kind = 'oort', alpha = 1.0 }}")
        return {"kind": value}
    return value


def _shortened(value: Any) -> Any:
    return value.kind if isinstance(value, RandomTable) else value


Select = Annotated[
    SelectName | RandomTable | PowerOfChoiceTable | OortTable | TiflTable | BatteryTable | FairTable,
    BeforeValidator(_shortened),
    by_kind(SELECTS),
    BeforeValidator(_named),
]


class AdaptiveTable(Table):
    """A deadline that follows how long rounds took; see `fedsim.sim.deadlines.Adaptive`. The first is *start*."""

    start: Span
    quantile: Annotated[float, Field(gt=0, le=1)] = 0.8
    slack: Annotated[float, Field(ge=1)] = 1.2
    memory: Count = 3
    least: Seconds = 0.0
    most: Span = 86400.0

    @classmethod
    def example(cls) -> str:
        return "{ start = '120 s', quantile = 0.8, slack = 1.2 }"

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.least <= self.start <= self.most:
            raise said("must have least <= start <= most (24 h unless given)")
        return self


_SPAN: TypeAdapter[float] = TypeAdapter(Span)


def _deadline(value: Any, _: Any, info: ValidationInfo) -> Any:
    if isinstance(value, dict):
        return AdaptiveTable.model_validate(value, context=info.context)
    return value if isinstance(value, AdaptiveTable) else _SPAN.validate_python(value, strict=True)


def _fixed(value: Any) -> Any:
    if isinstance(value, dict):
        raise said("an asynchronous schedule has no rounds to learn from: write a time such as '120 s'")
    return value


Fixed = Annotated[Span, BeforeValidator(_fixed)]
Deadline = Annotated[AdaptiveTable | Span, WrapValidator(_deadline)]
