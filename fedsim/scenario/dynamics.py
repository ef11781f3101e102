"""What changes and what goes wrong while devices work: the tables [dynamics], [failures] and [[event]]."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from fedsim.fleet import (
    FULL,
    Always,
    Availability,
    Clock,
    Crashes,
    Dynamics,
    Event,
    Failures,
    Level,
    Markov,
    Members,
    Product,
    Spared,
    Switched,
    all_of,
)
from fedsim.scenario.presence import Drawing
from fedsim.scenario.table import Share, Span, Table
from fedsim.scenario.wording import said
from fedsim.units import Seconds

_LASTS = {"crash": 30.0}
_LEAVING = ("slow", "memory", "storage")
_RULES: list[Any] = [
    {"if": {"required": ["leaves"]}, "then": {"properties": {"what": {"enum": [*_LEAVING]}}}},
    {"if": {"properties": {"what": {"const": "join"}}}, "then": {"not": {"required": ["lasts"]}}},
    {
        "if": {"properties": {"what": {"const": "slow"}, "leaves": {"const": 0}}, "required": ["leaves"]},
        "then": {"required": ["lasts"]},
    },
]  # what _sound refuses, for the JSON Schema


class AtTimesTable(Table):
    """Something that comes after *every* in the mean, and *lasts* so long in the mean; both are exponential."""

    every: Span
    lasts: Span

    @classmethod
    def example(cls) -> str:
        return "{ every = '20 min', lasts = '5 min' }"

    def process(self, drawing: Drawing, name: str) -> Availability:
        """Return what is off while it lasts."""
        return Markov(self.every, self.lasts, drawing.at(name).seed)


class LeavingTable(AtTimesTable):
    """Something that *leaves* work a share of a device meanwhile."""

    leaves: Share = 0.5

    def level(self, drawing: Drawing, name: str) -> Level:
        return Switched(self.process(drawing, name), self.leaves)


class ClockTable(AtTimesTable):
    """A processor that saves power at times, at a share of its speed and of its watts."""

    speed: Annotated[float, Field(gt=0, le=1)] = 0.6
    power: Annotated[float, Field(ge=0, le=1)] = 0.4


class DynamicsTable(Table):
    """What of a device changes while it works; left out, nothing does.

    load: other programs, which leave so much of the processor. clock: it saves power. thermal: it throttles, as its
    profile says. memory, storage: what is left free. reported: methods see what a device has when it is asked.
    """

    load: LeavingTable | None = None
    clock: ClockTable | None = None
    thermal: bool = False
    memory: LeavingTable | None = None
    storage: LeavingTable | None = None
    reported: bool = True

    @classmethod
    def example(cls) -> str:
        return "[dynamics] with thermal = true"


class LateTable(Table):
    """A share of devices that joins late, uniformly within a time."""

    share: Share
    within: Span

    @classmethod
    def example(cls) -> str:
        return "{ share = 0.2, within = '1 h' }"


class FailuresTable(Table):
    """What goes wrong; left out, nothing does.

    dropout: the share of tasks cut by an absence, which begins somewhere within it and lasts *back* in the mean. crash:
    a device fails, and what was in its RAM is gone. outage: its network is down. corrupted, truncated: shares of
    uploads that the server refuses, each sent again up to *retries* times. leave: for ever, after so long in the mean.
    """

    dropout: Share = 0.0
    back: Span = 60.0
    crash: AtTimesTable | None = None
    outage: AtTimesTable | None = None
    corrupted: Share = 0.0
    truncated: Share = 0.0
    retries: Annotated[int, Field(ge=0, le=1000)] = 1
    leave: Span | None = None
    late: LateTable | None = None

    @classmethod
    def example(cls) -> str:
        return "[failures] with dropout = 0.1"

    @model_validator(mode="after")
    def _shares(self) -> FailuresTable:
        if self.corrupted + self.truncated > 1:
            raise said(f"has corrupted and truncated uploads that add up to {self.corrupted + self.truncated}, over 1")
        if self.crash and self.crash.lasts > self.crash.every:
            raise said("has crashes that last longer than the time between them: raise crash.every, or lower lasts")
        return self


def _group(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str) or (isinstance(value, int) and value < 0):
        raise said("must be the number of a group under [[fleet]], from 0, or a profile's name")
    return value


class EventTable(Table):
    """Something at an instant: to a *group*, by its number under [[fleet]] or its profile, or to all; to a *share*.

    leave: for ever or as long as it *lasts*; join: before *at* they are not there; crash, outage: as under [failures];
    slow, memory, storage: what of it is left (*leaves*), for ever or as long as it lasts.
    """

    model_config = ConfigDict(json_schema_extra={"allOf": _RULES})

    at: Seconds
    what: Literal["leave", "join", "crash", "outage", "slow", "memory", "storage"]
    group: Annotated[Annotated[int, Field(ge=0)] | str, BeforeValidator(_group)] | None = None
    share: Share = 1.0
    lasts: Span | None = None
    leaves: Share | None = None

    @classmethod
    def example(cls) -> str:
        return "{ at = '300 s', what = 'leave', group = 'phone-mid', share = 0.5 }"

    @model_validator(mode="after")
    def _sound(self) -> EventTable:
        if self.leaves is not None and self.what not in _LEAVING:
            raise said(f"has leaves, which goes with {', '.join(_LEAVING)}, not with {self.what!r}: take it out")
        if self.lasts is not None and self.what == "join":
            raise said("joins, and has lasts: who joins stays; add an event 'leave' for those who go again")
        if self.what == "slow" and self.leaves == 0 and self.lasts is None:
            raise said("leaves nothing of the speed for ever: write lasts, or what = 'leave'")
        return self

    def events(self, number: int, groups: Sequence[int | None]) -> list[Event]:
        """Return the event for each of the *groups* that it befalls (None: for all at once)."""
        return [
            Event(self.what, self.at, self.at + self.lasts_s, group, self.share, factor=self.left, number=number)
            for group in groups
        ]

    @property
    def lasts_s(self) -> float:
        """How long it lasts; inf: for ever."""
        return _LASTS.get(self.what, math.inf) if self.lasts is None else self.lasts

    @property
    def left(self) -> float:
        """What is left meanwhile, half of it unless the table says."""
        return 0.5 if self.leaves is None else self.leaves


def presence_of(
    base: Availability, events: Sequence[Event], failures: FailuresTable, *, drawing: Drawing
) -> Availability:
    """Return when devices are there: as *base* says, but for those who crash, leave or have not joined yet."""
    parts = [base, rebooting_of(events, failures, drawing)]
    if failures.leave or failures.late:
        late, within_s = (failures.late.share, failures.late.within) if failures.late else (0.0, 0.0)
        seed, mean_s = drawing.at("members").seed, failures.leave or math.inf
        parts.append(Members(late, within_s, mean_s=mean_s, seed=seed))
    parts += [Spared(event, drawing.seed) for event in events if event.what in {"leave", "join"}]
    return all_of(*parts)


def rebooting_of(events: Sequence[Event], failures: FailuresTable, drawing: Drawing) -> Availability:
    """Return what is off while a device that crashed is away."""
    crash = failures.crash
    drawn = Crashes(crash.every, crash.lasts, drawing.at("crash").seed) if crash else Always()
    return all_of(drawn, *(Spared(event, drawing.seed) for event in events if event.what == "crash"))


def dynamics_of(
    table: DynamicsTable, events: Sequence[Event], failures: FailuresTable, *, drawing: Drawing
) -> Dynamics:
    """Return all laws but those of the batteries."""
    outage = failures.outage.process(drawing, "outage") if failures.outage else Always()
    outages = (Spared(event, drawing.seed) for event in events if event.what == "outage")
    clock = table.clock
    wrong = {name: getattr(failures, name) for name in ("dropout", "corrupted", "truncated", "retries")}
    return Dynamics(
        speed=_level(table.load, "slow", events, drawing=drawing),
        clock=Clock(clock.process(drawing, "clock"), clock.speed, clock.power) if clock else Clock(),
        heat=table.thermal,
        memory=_level(table.memory, "memory", events, drawing=drawing),
        storage=_level(table.storage, "storage", events, drawing=drawing),
        network=all_of(outage, *outages),
        rebooting=rebooting_of(events, failures, drawing),
        failures=Failures(**wrong, back_s=failures.back, seed=drawing.at("failures").seed),
        reported=table.reported,
    )


def _level(table: LeavingTable | None, what: str, events: Sequence[Event], *, drawing: Drawing) -> Level:
    drawn = [table.level(drawing, what)] if table else []
    scripted = [Switched(Spared(event, drawing.seed), event.factor) for event in events if event.what == what]
    return Product((*drawn, *scripted)) if drawn or scripted else FULL
