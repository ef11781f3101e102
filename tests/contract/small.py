"""Small scenarios for whole runs, and how to run them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomli_w

from fedsim.method import Combines
from fedsim.methods import METHODS
from fedsim.results import Results, RunKey
from fedsim.runner import run

TRANSFORMER = {"name": "vit_tiny", "dim": 8, "heads": 2, "depth": 2, "patch": 4}

# What a method needs beside its name to run on the scenario below; most need nothing.
OPTIONS: dict[str, dict[str, Any]] = {
    "fedmd": {"by_group": ["mlp", "cnn"]},  # which it can do without, and is the harder case
    "fl-pqsu": {"selective": False},  # an upload that may be left out has no declared size
    "equitable-fl": {"round_budget": "1 s"},  # not every schedule has a deadline
    "prunefl": {"first_rounds": 0, "every": 2, "density": 0.5},  # a mask that values decide has no declared size
    "raffm": {"model": TRANSFORMER, "attention": [1.0, 0.5], "spp": "qk+ffn"},
    "raffm-lora": {"model": TRANSFORMER, "attention": [1.0, 0.5], "rank": 2},
}
NAMES = sorted(METHODS)
COMBINING = [name for name in NAMES if issubclass(METHODS[name], Combines)]

TASK = {
    "data": "digits",
    "model": {"name": "mlp", "hidden": 8},
    "partition": {"kind": "iid"},
    "public": 20,
}
FLEET = [
    {"profile": "raspberry-pi-4", "count": 3, "link": "wifi-home"},
    {"profile": "phone-mid", "count": 3, "link": {"down": "1 Mbit/s", "up": "400 kbit/s", "latency": "50 ms"}},
]
CHURN = {"kind": "markov", "mean_online": "120 ms", "mean_offline": "120 ms"}
SCHEDULES = {
    "sync": {"kind": "sync", "rounds": 3, "cohort": 3, "over_select": 1.3, "deadline": "2 s"},
    "async": {"kind": "async", "merges": 5, "concurrency": 3, "buffer": 2, "deadline": "3 s"},
}
EDGES = {"preset": "edge-tree", "edges": 2}
AT_EDGES = {"schedule": {"kind": "hierarchical", "rounds": 3, "cohort": 5, "deadline": "2 s"}, "network": EDGES}


def method(name: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, **OPTIONS.get(name, {}), **changes}


def scenario(folder: Path, **changes: Any) -> Path:
    """Write a scenario of six devices, two kinds, churn and a deadline; *changes* replace whole tables."""
    table = {
        "name": "small",
        "task": TASK,
        "train": {"batch_size": 32},
        "fleet": FLEET,
        "availability": CHURN,
        "schedule": SCHEDULES["sync"],
        "method": [method("fedavg")],
        **changes,
    }
    path = folder / "small.toml"
    path.write_text(tomli_w.dumps(table))
    return path


def executed(path: Path, executor: str = "lazy", *, out: str = "out", cache: str = "cache", **options: Any) -> Results:
    """Run the scenario in *path* with results and cache beside it."""
    workers = 2 if executor == "pool" else None
    kept = {"out": path.parent / out, "cache": path.parent / cache}
    return run(path, **{"executor": executor, "workers": workers, **kept, **options})


def digests(results: Results) -> list[str]:
    return [one["timeline_digest"] for one in results.summary["runs"]]


def jobs(results: Results) -> int:
    return sum(one["jobs_run"] for one in results.summary["runs"])


def metrics(results: Results, label: str) -> list[dict[str, Any]]:
    """Return the rows of one method's metrics, every column."""
    found: list[dict[str, Any]] = Results(results.path, [RunKey(label, 0)]).metrics.to_dict("records")
    return found
