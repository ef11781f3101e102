"""How wall time and memory grow with the fleet, at one cohort: cost-only rounds with churn.

    python tests/bench/fleet_scale.py [--repeat 3] [--rounds 100] [--cohort 1000]

Runs `fedsim run studies/fleet-scale --executor cost-only` with 10,000, 100,000 and 1,000,000 devices in turn,
each in a process of its own, and prints the medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time

SHARES = (0.5, 0.3, 0.2)  # of the scenario's three groups


def once(devices: int, rounds: int, cohort: int) -> dict[str, float]:
    """Run once; wall seconds of the whole command and of the run, peak memory and spans per second."""
    counts = [f"--set=fleet.{i}.count={round(devices * share)}" for i, share in enumerate(SHARES)]
    with tempfile.TemporaryDirectory() as out:
        command = [
            sys.executable, "-m", "fedsim", "run", "studies/fleet-scale", "--executor", "cost-only", "--json",
            "--fresh",
            "--out", out, f"--set=schedule.rounds={rounds}", f"--set=schedule.cohort={cohort}", *counts,
        ]  # fmt: skip
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        command_s = time.perf_counter() - began
    run = json.loads(done.stdout)["runs"][0]
    return {"command_s": command_s, "run_s": run["wall_s"], "peak_mb": run["peak_rss_bytes"] / 1e6}


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--cohort", type=int, default=1000)
    chosen = parser.parse_args()
    fleets = (10_000, 100_000, 1_000_000)
    found: dict[int, list[dict[str, float]]] = {devices: [] for devices in fleets}
    for _ in range(chosen.repeat):
        for devices in fleets:
            found[devices].append(once(devices, chosen.rounds, chosen.cohort))
    print("| devices | whole command (s) | run (s) | peak memory (MB) |\n| ---: | ---: | ---: | ---: |")
    for devices, runs in found.items():
        middle = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        print(f"| {devices:,} | {middle['command_s']:.1f} | {middle['run_s']:.1f} | {middle['peak_mb']:.0f} |")


if __name__ == "__main__":
    main()
