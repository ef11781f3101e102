"""What is known is not computed again: repeated, longer and changed runs, and other hash seeds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from fedsim.execute.cache import Cache
from tests.contract.small import digests, executed, jobs, method, metrics, scenario

PRUNED = method("message-pruning", coder="zlib")
BOTH = [method("fedavg"), PRUNED]


@pytest.fixture
def finished(tmp_path):
    """A run of two methods, one of which sends messages whose size only computing tells."""
    path = scenario(tmp_path, method=BOTH)
    return path, executed(path)


def remove_models(path):
    files = list((path.parent / "cache").rglob("*.safetensors"))
    for file in files:
        file.unlink()
    return len(files)


def test_a_finished_run_repeats_without_a_job(finished):
    path, first = finished
    again = executed(path)
    assert (jobs(first) > 0, jobs(again), digests(again)) == (True, 0, digests(first))


def test_a_finished_run_repeats_without_the_cache(finished):
    path, first = finished
    shutil.rmtree(path.parent / "cache")
    again = executed(path)
    assert (jobs(again), metrics(again, "fedavg")) == (0, metrics(first, "fedavg"))


def test_a_run_whose_results_were_removed_repeats_without_a_job_or_a_model(finished):
    path, first = finished
    before = {label: metrics(first, label) for label in ("fedavg", "message-pruning")}
    shutil.rmtree(path.parent / "out")
    assert remove_models(path) > 0
    again = executed(path)
    assert (jobs(again), digests(again)) == (0, digests(first))
    assert {label: metrics(again, label) for label in before} == before


def test_fresh_reads_neither_results_nor_cache(tmp_path):
    path = scenario(tmp_path)
    first, again = executed(path), executed(path, fresh=True)
    assert (jobs(again), digests(again)) == (jobs(first), digests(first))


def test_an_executor_reads_what_another_computed(finished):
    path, _ = finished
    assert jobs(executed(path, "pool", out="pool")) == 0


def test_a_longer_run_computes_only_its_new_rounds(tmp_path):
    """A round of 2 devices is 2 trainings, an average and an evaluation: 4 jobs."""
    still = {"kind": "always"}
    path = scenario(tmp_path, availability=still, schedule={"kind": "sync", "rounds": 8, "cohort": 2})
    assert jobs(executed(path)) == 2 + 8 * 4  # the first model, and how good it is
    assert jobs(executed(path, overrides={"schedule.rounds": 12})) == 4 * 4


def test_a_longer_run_begins_as_the_shorter_one(tmp_path):
    path = scenario(tmp_path)
    short, long = executed(path), executed(path, overrides={"schedule.rounds": 5})
    assert metrics(long, "fedavg")[: len(metrics(short, "fedavg")) - 1] == [
        row | {"run": long.path.name} for row in metrics(short, "fedavg")[:-1]
    ]


@pytest.mark.parametrize("link", ["fibre", {"down": "1 Mbit/s", "up": "1 Mbit/s", "latency": "1 s"}])
def test_another_link_trains_nothing_where_time_decides_nothing(tmp_path, link):
    still = {"kind": "always"}
    path = scenario(tmp_path, availability=still, schedule={"kind": "sync", "rounds": 3, "cohort": 3}, method=BOTH)
    first = executed(path)
    other = executed(path, overrides={"fleet.0.link": link})
    assert (jobs(first) > 0, jobs(other), digests(other) != digests(first)) == (True, 0, True)


def test_methods_share_what_they_have_in_common(tmp_path):
    twin = method("fedavg", label="twin")
    first, second = executed(scenario(tmp_path, method=[method("fedavg"), twin])).summary["runs"]
    assert (first["jobs_run"] > 0, second["jobs_run"]) == (True, 0)


def test_a_repeated_run_asks_the_cache_for_numbers_only(finished, monkeypatch):
    path, _ = finished
    shutil.rmtree(path.parent / "out")
    read, get = [], Cache.get

    def noting(self, key):
        read.append(get(self, key))
        return read[-1]

    monkeypatch.setattr(Cache, "get", noting)
    executed(path)
    assert {frozenset(value) for value in read} == {frozenset({"accuracy", "loss"})}


def test_another_hash_seed_is_the_same_run(tmp_path):
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from tests.contract.small import digests, executed, metrics\n"
        "results = executed(Path(sys.argv[1]), out=sys.argv[2], cache=sys.argv[2] + '-cache')\n"
        "print(json.dumps([digests(results), metrics(results, 'fedavg'), metrics(results, 'message-pruning')]))\n"
    )
    path = scenario(tmp_path, method=BOTH)
    told = []
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", code, str(path), f"out-{seed}"], env=env, capture_output=True, text=True, check=True
        )
        told.append(json.loads(done.stdout))
    assert told[0] == told[1]
