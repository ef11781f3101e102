"""What the living world costs: cost-only rounds over a large fleet, with all dynamics on and with all off.

    python tests/bench/dynamics.py [--repeat 3] [--devices 100000] [--rounds 30] [--cohort 1000]

Runs `studies/fleet-scale` with devices always there and still, and with everything that can change or fail, in turn,
each in a process of its own; prints the wall seconds of the runs, and the median of the ratios of neighbours.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile

SHARES = (0.5, 0.3, 0.2)  # of the scenario's three groups
PARTS = (
    "{kind = 'battery', floor = 0.2}",
    "{kind = 'diurnal', curve = 'wifi', zones = ['0 h', '8 h']}",
    "{kind = 'markov', mean_online = '40 min', mean_offline = '10 min'}",
)
OFF = ['availability={kind = "always"}']
LEVELS = {
    "load": "{every = '10 min', lasts = '2 min'}",
    "clock": "{every = '1 h', lasts = '10 min'}",
    "memory": "{every = '30 min', lasts = '5 min'}",
    "storage": "{every = '1 h', lasts = '5 min'}",
}
FAILURES = {
    "dropout": "0.05",
    "crash": "{every = '10 h', lasts = '1 min'}",
    "outage": "{every = '1 h', lasts = '20 s'}",
    "corrupted": "0.01",
    "truncated": "0.01",
    "leave": "'100 h'",
    "late": "{share = 0.1, within = '1 h'}",
}
EVENTS = (
    "{at = '5 min', what = 'slow', lasts = '5 min'}",
    "{at = '20 min', what = 'leave', group = 0, share = 0.1}",
)
ON = [
    f"availability={{kind = 'all', of = [{', '.join(PARTS)}]}}",
    "dynamics.thermal=true",
    *(f"dynamics.{name}={level}" for name, level in LEVELS.items()),
    *(f"failures.{name}={failure}" for name, failure in FAILURES.items()),
    f"event=[{', '.join(EVENTS)}]",
]


def once(chosen: argparse.Namespace, settings: list[str]) -> dict[str, float]:
    """Run once; wall seconds of the run alone, and its rounds."""
    counts = [f"fleet.{i}.count={round(chosen.devices * share)}" for i, share in enumerate(SHARES)]
    size = [f"schedule.rounds={chosen.rounds}", f"schedule.cohort={chosen.cohort}"]
    sets = [f"--set={setting}" for setting in (*counts, *size, *settings)]
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "fedsim", "run", "studies/fleet-scale", "--executor", "cost-only", "--json"]
        done = subprocess.run([*command, "--out", out, *sets], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    run = json.loads(done.stdout)["runs"][0]
    return {"wall_s": run["wall_s"], "virtual_s": run["virtual_s"], "wasted_s": run["wasted_s"]}


def main() -> None:
    """Print a table of pairs and the median ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--cohort", type=int, default=1000)
    chosen = parser.parse_args()
    ratios = []
    print("| off, wall s | on, wall s | ratio | off, virtual s | on, virtual s |\n| ---: | ---: | ---: | ---: | ---: |")
    for _ in range(chosen.repeat):
        off, on = once(chosen, OFF), once(chosen, ON)
        ratios.append(on["wall_s"] / off["wall_s"])
        numbers = f"{off['virtual_s']:.0f} | {on['virtual_s']:.0f}"
        print(f"| {off['wall_s']:.2f} | {on['wall_s']:.2f} | {ratios[-1]:.2f} | {numbers} |", flush=True)
    print(f"\nmedian ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
