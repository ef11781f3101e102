"""A scenario: one experiment as a file, checked in full before anything runs."""

from fedsim.scenario.around import Catalogue, profile_at
from fedsim.scenario.asking import AdaptiveTable
from fedsim.scenario.assign import AssignTable
from fedsim.scenario.document import json_schema, to_toml
from fedsim.scenario.laws import laws_of
from fedsim.scenario.load import Draft, digest, draft, find, load, read, scenario_names
from fedsim.scenario.options import option_defaults
from fedsim.scenario.override import parse_override
from fedsim.scenario.placing import placed
from fedsim.scenario.presence import Drawing
from fedsim.scenario.schema import AsyncSchedule, HierarchicalSchedule, MethodTable, Scenario, SyncSchedule
from fedsim.scenario.telling import plain, told
from fedsim.scenario.world import FleetTable, ModelTable, PublicTable, TaskTable

__all__ = [
    "AdaptiveTable",
    "AssignTable",
    "AsyncSchedule",
    "Catalogue",
    "Draft",
    "Drawing",
    "FleetTable",
    "HierarchicalSchedule",
    "MethodTable",
    "ModelTable",
    "PublicTable",
    "Scenario",
    "SyncSchedule",
    "TaskTable",
    "digest",
    "draft",
    "find",
    "json_schema",
    "laws_of",
    "load",
    "option_defaults",
    "parse_override",
    "placed",
    "plain",
    "profile_at",
    "read",
    "scenario_names",
    "to_toml",
    "told",
]
