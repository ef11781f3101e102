"""A scenario as a document: its JSON Schema, for editors and for readers, and its text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING
from typing import Any

import tomli_w
from pydantic import ConfigDict, TypeAdapter

from fedsim.fleet import link_names
from fedsim.fleet.curve import curve_names
from fedsim.scenario.around import Catalogue
from fedsim.scenario.options import options_of
from fedsim.scenario.presets import PRESETS, SharedLinkTable
from fedsim.scenario.schema import Scenario


def json_schema(catalogue: Catalogue) -> dict[str, Any]:
    """Return the JSON Schema of a scenario, with all that the *catalogue* lets it name."""
    schema = Scenario.model_json_schema()
    tables = schema["$defs"]
    training = {"type": "object", "properties": _options(catalogue.train), "additionalProperties": False}
    schema["properties"]["train"] = training
    tables["MethodTable"]["properties"]["train"] = training
    tables["MethodTable"]["properties"]["model"] = _name_or(tables["MethodTable"]["properties"]["model"], catalogue)
    tables["TaskTable"]["properties"]["model"] = _name_or({"$ref": "#/$defs/ModelTable"}, catalogue)
    tables["TaskTable"]["properties"]["public"]["anyOf"].insert(0, {"type": "string"})
    _choose(tables["ModelTable"], "name", catalogue.models)
    _choose(tables["PartitionTable"], "kind", catalogue.partitions)
    _choose(tables["MethodTable"], "name", catalogue.methods)
    _choose(tables["NetworkTable"], "preset", PRESETS)
    tables["SharedLinkTable"] = SharedLinkTable.model_json_schema()
    for table in ("DiurnalTable", "DiurnalPart", "ChargerPart"):
        tables[table]["properties"]["curve"]["anyOf"][0]["enum"] = curve_names()
    for link in (tables["SharedLinkTable"], tables["TierTable"]):
        _suggest(link["properties"]["link"]["anyOf"][0], link_names())
    for table in ("FleetTable", "ServerTable"):
        _suggest(tables[table]["properties"]["profile"], catalogue.profiles)
        _suggest(tables[table]["properties"]["link"]["anyOf"][0], link_names())
    _suggest(tables["TaskTable"]["properties"]["data"], catalogue.data_sets)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "A fedsim scenario"}


def to_toml(tables: Mapping[str, Any]) -> str:
    """Write plain tables as TOML, short lists on one line.

    >>> print(to_toml({"run": {"seeds": [0, 1]}}), end="")
    [run]
    seeds = [0, 1]
    """
    return re.sub(r"\[\n((?: +[^\[\]{}\n]+,\n)+) *\]", _on_one_line, tomli_w.dumps(dict(tables)))


def _on_one_line(found: re.Match[str]) -> str:
    line = f"[{' '.join(found[1].split()).removesuffix(',')}]"
    return line if len(line) <= 100 else found[0]


def _choose(table: dict[str, Any], key: str, known: Mapping[str, Callable[..., Any]]) -> None:
    """Allow the *known* names, and with each the options it takes."""
    table["properties"][key]["enum"] = sorted(known)
    table["allOf"] = [
        {"if": {"required": [key], "properties": {key: {"const": name}}}, "then": {"properties": _options(kind)}}
        for name, kind in sorted(known.items())
    ]
    table["unevaluatedProperties"] = False
    table.pop("additionalProperties", None)


def _options(kind: Callable[..., Any]) -> dict[str, Any]:
    described = {}
    for name, option in options_of(kind).items():
        described[name] = TypeAdapter(option.type, config=ConfigDict(strict=True)).json_schema()
        described[name].pop("$defs", None)  # those there are, are the scenario's
        if option.default is not MISSING:
            described[name]["default"] = option.written(option.default)
    return described


def _name_or(table: dict[str, Any], catalogue: Catalogue) -> dict[str, Any]:
    return {"anyOf": [{"type": "string", "enum": sorted(catalogue.models)}, table]}


def _suggest(text: dict[str, Any], names: Any) -> None:
    text["examples"] = sorted(names)
