"""A scenario: one experiment as a file, checked in full before anything runs."""

from fedsim.scenario.asking import AdaptiveTable
from fedsim.scenario.document import json_schema, to_toml
from fedsim.scenario.load import Draft, digest, draft, find, load, read, scenario_names
from fedsim.scenario.options import option_defaults
from fedsim.scenario.override import parse_override
from fedsim.scenario.placing import placed
from fedsim.scenario.schema import AsyncSchedule, HierarchicalSchedule, MethodTable, Scenario, SyncSchedule
from fedsim.scenario.world import Catalogue, ModelTable, PublicTable, profile_at

__all__ = [
    "AdaptiveTable",
    "AsyncSchedule",
    "Catalogue",
    "Draft",
    "HierarchicalSchedule",
    "MethodTable",
    "ModelTable",
    "PublicTable",
    "Scenario",
    "SyncSchedule",
    "digest",
    "draft",
    "find",
    "json_schema",
    "load",
    "option_defaults",
    "parse_override",
    "placed",
    "profile_at",
    "read",
    "scenario_names",
    "to_toml",
]
