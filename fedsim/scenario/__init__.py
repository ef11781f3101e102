"""A scenario: one experiment as a file, checked in full before anything runs."""

from fedsim.scenario.load import Catalogue, digest, find, load, parse_override, read, scenario_names
from fedsim.scenario.schema import AsyncSchedule, MethodTable, Scenario, SyncSchedule, json_schema

__all__ = [
    "AsyncSchedule",
    "Catalogue",
    "MethodTable",
    "Scenario",
    "SyncSchedule",
    "digest",
    "find",
    "json_schema",
    "load",
    "parse_override",
    "read",
    "scenario_names",
]
