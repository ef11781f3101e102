"""The laws of a scenario: when its devices are there, and what of them changes while they work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fedsim.errors import InputError
from fedsim.fleet import STILL, Availability, ByGroup, Charging, Dynamics, Event, Profile, load_profile
from fedsim.scenario.around import profile_at
from fedsim.scenario.dynamics import DynamicsTable, EventTable, FailuresTable, dynamics_of, presence_of
from fedsim.scenario.presence import Drawing, PartTable
from fedsim.scenario.schema import Scenario
from fedsim.scenario.table import Errors
from fedsim.scenario.wording import Place, no_such, wrong
from fedsim.scenario.world import FleetTable
from fedsim.units import written


def laws_of(scenario: Scenario, profiles: Sequence[Profile], drawing: Drawing) -> tuple[Availability, Dynamics]:
    """Return when devices are there, and what changes of them; *profiles* are those of the fleet's groups."""
    events, charging = _events(scenario), scenario.availability.charging(drawing)
    base = _base(scenario, profiles, drawing, charging=charging)
    if charging is None and nothing(scenario):
        return base, STILL
    availability = presence_of(base, events, scenario.failures, drawing=drawing)
    dynamics = dynamics_of(scenario.dynamics, events, scenario.failures, drawing=drawing)
    return availability, replace(dynamics, charging=charging)


def nothing(scenario: Scenario) -> bool:
    """Tell whether nothing changes and nothing goes wrong, whenever devices are there."""
    return not scenario.event and (scenario.dynamics, scenario.failures) == (DynamicsTable(), FailuresTable())


def outlived(availability: PartTable, fleet: Sequence[FleetTable], folder: Path) -> Errors:
    """Return what is wrong with recorded lives, taken in order, that are fewer than the devices of a group."""
    found = []
    for number, group in enumerate(fleet):
        at: Place = ("fleet", number, "availability") if group.availability else ("availability",)
        table = group.availability or availability
        battery = load_profile(profile_at(group.profile, folder)).battery_j is not None
        for place, part in table.recorded(battery=battery):
            try:
                part.law(Drawing(0, folder)).require(group.count)
            except InputError as error:
                found.append(wrong((*at, *place, "draw"), part.draw, f"of group {number}, {group.profile}, {error}"))
    return found


def never(events: Sequence[EventTable], stop_s: float) -> Errors:
    """Return which *events* come only when a run has stopped."""
    ended = (
        f"comes when the run has ended, at {written(stop_s, 'time')!r}: write an earlier one, or raise run.stop.time"
    )
    return [
        wrong(("event", number, "at"), written(event.at, "time"), ended)
        for number, event in enumerate(events)
        if event.at >= stop_s
    ]


def misplaced(events: Sequence[EventTable], fleet: Sequence[FleetTable]) -> Errors:
    """Return what is wrong with the groups that *events* name."""
    found = []
    for number, event in enumerate(events):
        at = ("event", number, "group")
        if isinstance(event.group, int) and event.group >= len(fleet):
            message = f"is no group: there are {len(fleet)} under [[fleet]], counted from 0"
            found.append(wrong(at, event.group, message))
        if isinstance(event.group, str) and event.group not in {group.profile for group in fleet}:
            message = no_such("profile of the fleet", event.group, {group.profile for group in fleet})
            found.append(wrong(at, event.group, message))
    return found


def _base(
    scenario: Scenario, profiles: Sequence[Profile], drawing: Drawing, *, charging: Charging | None
) -> Availability:
    """Return the law of availability, or one for each group where groups have their own, or no battery to charge."""
    whole, own = scenario.availability.law(drawing), [group.availability for group in scenario.fleet]
    mains = [charging is not None and profile.battery_j is None for profile in profiles]
    if not any(own) and not any(mains):
        return whole
    without = scenario.availability.mains(drawing)
    laws = [without if is_mains else whole for is_mains in mains]
    return ByGroup(tuple(table.law(drawing) if table else law for table, law in zip(own, laws, strict=True)))


def _events(scenario: Scenario) -> list[Event]:
    return [
        event
        for number, table in enumerate(scenario.event)
        for event in table.events(number, _groups(table.group, scenario.fleet))
    ]


def _groups(named: int | str | None, fleet: Sequence[FleetTable]) -> list[int | None]:
    if not isinstance(named, str):
        return [named]
    return [number for number, group in enumerate(fleet) if group.profile == named]
