"""What the smoke scenarios give, written beside this file. After a change that is meant to alter results:

.venv/bin/python -m tests.golden.write
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import fedsim
from fedsim.scenario import scenario_names

FOLDER = Path(__file__).parent
NAMES = [name.removeprefix("smoke/") for name in scenario_names() if name.startswith("smoke/")]
KEPT = (
    "method", "seed", "status", "timeline_digest", "accuracy", "virtual_s", "up_bytes", "down_bytes", "energy_j",
    "wasted_s", "wasted_bytes", "wasted_j", "server_energy_j", "rounds",
)  # fmt: skip


def measured(name: str) -> list[dict[str, Any]]:
    """Run a smoke scenario afresh and return what is kept of its summary."""
    with tempfile.TemporaryDirectory() as folder:
        results = fedsim.run(f"smoke/{name}", out=Path(folder, "out"), cache=Path(folder, "cache"))
        return [{key: run[key] for key in KEPT} for run in results.summary["runs"]]


def golden(name: str) -> list[dict[str, Any]]:
    """Return what the smoke scenario gave when the file was written."""
    found: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found


def main() -> None:
    """Write one file per smoke scenario."""
    for name in NAMES:
        (FOLDER / f"{name}.json").write_text(json.dumps(measured(name), indent=1) + "\n", encoding="utf-8")
        sys.stdout.write(f"tests/golden/{name}.json\n")


if __name__ == "__main__":
    main()
