"""A run that is killed with -9 and started again ends as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.contract.small import digests, executed, jobs, metrics, scenario

CODE = (
    "import sys\n"
    "from pathlib import Path\n"
    "from tests.contract.small import executed\n"
    "if __name__ == '__main__':\n"
    "    executed(Path(sys.argv[1]), sys.argv[2])\n"
)
LONG = {"kind": "sync", "rounds": 40, "cohort": 4}
TRAIN = {"epochs": 3, "batch_size": 8}


def descendants(pid: int) -> set[int]:
    """Return the processes below *pid*."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(status.parent.name)] = int(fields[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def values(path: Path) -> int:
    return sum(1 for _ in (path.parent / "cache").rglob("*.safetensors"))


def kill_after(path: Path, executor: str, *, n: int) -> set[int]:
    """Start the run, kill it once *n* values are in its cache, and return its orphans after 30 s of grace."""
    child = subprocess.Popen([sys.executable, "-c", CODE, str(path), executor], stderr=subprocess.DEVNULL)
    while values(path) < n and child.poll() is None:
        time.sleep(0.005)
    assert child.poll() is None, "it ended before it could be killed"
    below = descendants(child.pid)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    end = time.monotonic() + 30.0
    while any(alive(pid) for pid in below) and time.monotonic() < end:
        time.sleep(0.05)
    return {pid for pid in below if alive(pid)}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    path = scenario(tmp_path_factory.mktemp("undisturbed"), schedule=LONG, train=TRAIN)
    results = executed(path)
    return digests(results), metrics(results, "fedavg"), jobs(results)


@pytest.mark.parametrize(("executor", "seed"), [("lazy", 1), ("lazy", 2), ("pool", 3)])
def test_a_killed_run_started_again_ends_the_same_and_repeats_only_what_was_in_flight(
    undisturbed, tmp_path, executor, seed
):
    digest, rows, count = undisturbed
    path = scenario(tmp_path, schedule=LONG, train=TRAIN)
    assert kill_after(path, executor, n=random.Random(seed).randrange(20, 160)) == set()
    kept = values(path)
    again = executed(path, executor)
    assert (digests(again), metrics(again, "fedavg")) == (digest, rows)
    assert jobs(again) <= count - kept
