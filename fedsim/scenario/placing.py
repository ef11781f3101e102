"""The paths in a scenario."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

Place = Callable[[str], str]


def placed(tables: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a resolved scenario whose paths, which start at *folder*, are absolute.

    Paths are those of data sets, partitions, tokenizers, models, profiles and the traces of links and of availability.
    """

    def at(path: str) -> str:
        return str((folder / Path(path).expanduser()).resolve())

    tables = tables | {key: _traced(tables[key], at) for key in ("fleet", "server", "network")}
    task = tables["task"]
    for table in (task, task.get("public")):
        if isinstance(table, dict) and table.get("data", "").startswith("npz:"):
            table["data"] = f"npz:{at(table['data'].removeprefix('npz:'))}"
    models = [table["model"] for table in (task, *tables["method"]) if "model" in table]
    _place([(task["partition"], "path"), (task, "tokenizer"), *((model, "path") for model in models)], at)
    _place([(part, "file") for part in _presences(tables)], at)
    profiles = [(table, "profile") for table in (*tables["fleet"], tables["server"])]
    profiles += [(tier, "edge") for tier in tables["network"].get("tier", ())]
    _place([(table, key) for table, key in profiles if table.get(key, "").endswith(".toml")], at)
    return tables


def _presences(tables: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every table of availability, however deep."""
    stack = [tables["availability"], *(group["availability"] for group in tables["fleet"] if "availability" in group)]
    while stack:
        part = stack.pop()
        yield part
        stack += [*part.get("of", ()), *([part["plugged"]] if "plugged" in part else ())]


def _place(paths: list[tuple[dict[str, Any], str]], at: Place) -> None:
    for table, key in paths:
        if table.get(key):
            table[key] = at(table[key])


def _traced(part: Any, at: Place) -> Any:
    """Return *part* with the file of every trace in it placed: one, or one of each direction."""
    if isinstance(part, list):
        return [_traced(one, at) for one in part]
    if not isinstance(part, Mapping):
        return part
    return {key: _files(value, at) if key == "trace" else _traced(value, at) for key, value in part.items()}


def _files(trace: str | Mapping[str, str], at: Place) -> str | dict[str, str]:
    return at(trace) if isinstance(trace, str) else {way: at(path) for way, path in trace.items()}
