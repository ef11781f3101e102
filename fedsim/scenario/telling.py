"""What changes and what may go wrong in a scenario, in words: a line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fedsim.fleet import Profile
from fedsim.scenario.dynamics import AtTimesTable, DynamicsTable, EventTable, FailuresTable
from fedsim.scenario.laws import nothing
from fedsim.scenario.presence import AllPart, BatteryPart, PartTable
from fedsim.scenario.schema import Scenario
from fedsim.units import short_time

_CUT = {
    "discard": "work that is cut is lost",
    "restart": "work that is cut starts over once its device is back",
    "resume": "work that is cut goes on once its device is back",
    "partial": "of work that is cut, the whole passes count",
}
_BEFALLS = {
    "leave": "leave", "join": "join, and are not there before", "crash": "crash", "outage": "lose their network",
    "slow": "keep {} of their speed", "memory": "keep {} of their memory", "storage": "keep {} of their storage",
}  # fmt: skip


def plain(scenario: Scenario) -> bool:
    """Tell whether nothing happens to devices but that they come and go by one chain, if that."""
    simple = scenario.availability.kind in {"always", "markov"} and not any(g.availability for g in scenario.fleet)
    return simple and nothing(scenario)


def told(scenario: Scenario, profiles: Sequence[Profile]) -> list[str]:
    """Return what the tables say; *profiles* are those of the fleet's groups."""
    return [
        _CUT[scenario.availability.on_dropout],
        *_batteries(scenario.availability, profiles),
        *_dynamics(scenario.dynamics, profiles),
        *_failures(scenario.failures),
        *(_event(event, scenario) for event in scenario.event),
    ]


def _batteries(table: PartTable, profiles: Sequence[Profile]) -> Iterator[str]:
    parts = table.of if isinstance(table, AllPart) else [table]
    for part in parts:
        if isinstance(part, BatteryPart):
            above = f", or above {_share(part.floor)} of the battery; once empty, again from {_share(part.resume)}"
            yield f"devices work while plugged in{'' if part.only_plugged else above}"
            yield from _lacking("always plugged in, without a battery", [p for p in profiles if p.battery_j is None])


def _dynamics(table: DynamicsTable, profiles: Sequence[Profile]) -> Iterator[str]:
    if table.load:
        yield f"other programs leave {_share(table.load.leaves)} of the processor {_times(table.load)}"
    if table.clock:
        yield f"processors run at {_share(table.clock.speed)} of their speed to save power {_times(table.clock)}"
    if table.thermal:
        yield "processors that get too hot slow down until they have cooled"
        yield from _lacking("never hot, as far as is known", [p for p in profiles if p.thermal is None])
    for name, part in (("memory", table.memory), ("storage", table.storage)):
        if part:
            yield f"{_share(part.leaves)} of the {name} is left {_times(part)}"
    if not table.reported:
        yield "methods do not see what is left of a device"


def _failures(table: FailuresTable) -> Iterator[str]:
    if table.dropout:
        yield f"{_share(table.dropout)} of tasks are cut by an absence of {short_time(table.back)}"
    if table.crash:
        yield f"devices crash {_times(table.crash)}, and lose what is in their RAM"
    if table.outage:
        yield f"networks are down {_times(table.outage)}"
    if table.corrupted or table.truncated:
        bad = f"{_share(table.corrupted)} of uploads arrive corrupted, {_share(table.truncated)} truncated"
        yield f"{bad}; retries: {table.retries}"
    if table.late:
        yield f"{_share(table.late.share)} of devices join late, within {short_time(table.late.within)}"
    if table.leave:
        yield f"devices leave for ever after {short_time(table.leave)} in the mean"


def _event(event: EventTable, scenario: Scenario) -> str:
    group = scenario.fleet[event.group].profile if isinstance(event.group, int) else event.group
    whom = f"{'all' if event.share == 1 else f'{_share(event.share)}'} of {group or 'the fleet'}"
    befalls = _BEFALLS[event.what].format(_share(event.left))
    lasts = f" for {short_time(event.lasts_s)}" if event.lasts_s < float("inf") else ""
    return f"at {short_time(event.at)} {whom} {befalls}{lasts}"


def _share(value: float) -> str:
    return f"{100 * value:.3g} %"


def _times(table: AtTimesTable) -> str:
    return f"for {short_time(table.lasts)} at a time, {short_time(table.every)} apart"


def _lacking(what: str, profiles: Sequence[Profile]) -> Iterator[str]:
    if profiles:
        yield f"{what}: {', '.join(dict.fromkeys(profile.name for profile in profiles))}"
