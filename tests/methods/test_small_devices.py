"""Devices that are too small for anything, or whose replies never come: the others go on, under every method."""

import pytest

from fedsim.fleet.packaged import packaged
from tests.contract.small import NAMES, TASK
from tests.methods.runs import ALONE, billed, executed, method, scenario

STILL = {"kind": "always"}


@pytest.mark.parametrize("name", NAMES)
def test_a_device_without_memory_is_passed_over(name, tmp_path):
    text = (packaged("device_profiles") / "raspberry-pi-4.toml").read_text()
    line = next(line for line in text.splitlines() if line.startswith("memory"))
    (tmp_path / "tiny.toml").write_text(text.replace(line, 'memory = "1 KiB"'))
    fleet = [{**ALONE[0], "count": 2}, {**ALONE[0], "profile": "tiny.toml", "count": 3}]
    schedule = {"kind": "sync", "rounds": 3, "cohort": 4}
    path = scenario(tmp_path, task=TASK, fleet=fleet, availability=STILL, schedule=schedule, method=[method(name)])
    results = executed(path, "cost-only")
    timeline = results.timeline
    assert set(timeline[timeline.outcome.isin(["oom", "declined"])].device) == {2, 3, 4}
    assert set(timeline[timeline.kind == "upload"].device) == {0, 1}
    assert billed(results, "rounds") == [3]


DEADLINED = {
    "sync": {"kind": "sync", "rounds": 3, "cohort": 4, "deadline": "10 s"},
    "async": {"kind": "async", "merges": 3, "concurrency": 4, "buffer": 2, "deadline": "10 s"},
}


@pytest.mark.parametrize("kind", DEADLINED)
@pytest.mark.parametrize("name", NAMES)
def test_replies_that_never_come_are_waited_for_until_the_deadline_and_no_longer(name, kind, tmp_path):
    mute = {**ALONE[0], "link": {"down": "10 Mbit/s", "up": "8 bit/s", "latency": "10 ms"}, "count": 2}
    fleet = [{**ALONE[0], "count": 2}, mute]
    path = scenario(
        tmp_path, task=TASK, fleet=fleet, availability=STILL, schedule=DEADLINED[kind], method=[method(name)]
    )
    results = executed(path, "cost-only")
    timeline = results.timeline
    uploads = timeline[timeline.kind == "upload"]
    assert set(uploads[uploads.outcome == "done"].device) == {0, 1}
    assert set(timeline[timeline.outcome.isin(["late", "cut", "declined"])].device) >= {2, 3}
    assert results.metrics.version.max() == DEADLINED[kind].get("rounds", 3)
