"""The laws of a scenario: when its devices are there, and what of them changes while they work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fedsim.fleet import Availability, ByGroup, Charging, Dynamics, Event, Profile
from fedsim.scenario.dynamics import EventTable, dynamics_of, presence_of
from fedsim.scenario.presence import Drawing
from fedsim.scenario.schema import Scenario
from fedsim.scenario.table import Errors
from fedsim.scenario.wording import no_such, wrong
from fedsim.scenario.world import FleetTable


def laws_of(scenario: Scenario, profiles: Sequence[Profile], drawing: Drawing) -> tuple[Availability, Dynamics]:
    """Return when devices are there, and what changes of them; *profiles* are those of the fleet's groups."""
    events, charging = _events(scenario), scenario.availability.charging(drawing)
    base = _base(scenario, profiles, drawing, charging=charging)
    availability = presence_of(base, events, scenario.failures, drawing=drawing)
    dynamics = dynamics_of(scenario.dynamics, events, scenario.failures, drawing=drawing)
    return availability, replace(dynamics, charging=charging)


def misplaced(events: Sequence[EventTable], fleet: Sequence[FleetTable]) -> Errors:
    """Return what is wrong with the groups that *events* name."""
    found = []
    for number, event in enumerate(events):
        at = ("event", number, "group")
        if isinstance(event.group, int) and not 0 <= event.group < len(fleet):
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
