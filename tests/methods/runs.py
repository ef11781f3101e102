"""Short runs of a method, and the models that they published."""

from __future__ import annotations

from typing import Any

import torch

from fedsim.execute.cache import Cache, environment
from fedsim.learn.values import flatten
from tests.contract.small import executed, method, metrics, scenario

__all__ = ["apart", "billed", "executed", "method", "scenario", "together", "vectors"]

STILL = {"kind": "always"}
ALONE = [{"profile": "raspberry-pi-4", "count": 1, "link": "wifi-home"}]
EQUAL = [{"profile": "raspberry-pi-4", "count": 4, "link": "wifi-home"}]
SYNTHETIC = {"data": "synthetic", "model": {"name": "mlp", "hidden": 8}, "samples_per_device": 32}


def together(folder: Any, *methods: dict[str, Any], rounds: int = 3, **changes: Any) -> Any:
    """Run *methods* on equal, steady devices that all take part; return the path and the results."""
    fleet = changes.pop("fleet", EQUAL)
    schedule = {"kind": "sync", "rounds": rounds, "cohort": sum(group["count"] for group in fleet)}
    tables = {"task": SYNTHETIC, "fleet": fleet, "availability": STILL, "schedule": schedule, **changes}
    path = scenario(folder, method=list(methods), **tables)
    return path, executed(path)


def vectors(path: Any, results: Any, label: str) -> list[torch.Tensor]:
    """Return every published model of a run as one vector, (N,)."""
    cache = Cache(path.parent / "cache", env=environment("cpu"), budget_bytes=1 << 30)
    rows = [row for row in metrics(results, label) if row["model"] == metrics(results, label)[0]["model"]]
    return [flatten(cache.get(row["key"]).state) for row in rows]


def apart(path: Any, results: Any, *labels: str) -> float:
    """Return the largest difference between the last models of two runs."""
    first, second = (vectors(path, results, label)[-1] for label in labels)
    return float((first - second).abs().max())


def billed(results: Any, name: str) -> list[Any]:
    """Return one column of the summary, a value per run."""
    return [run[name] for run in results.summary["runs"]]
