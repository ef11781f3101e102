"""A device too small for anything is passed over, by every method, and the others go on."""

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
    schedule = {"kind": "sync", "rounds": 2, "cohort": 4}
    path = scenario(tmp_path, task=TASK, fleet=fleet, availability=STILL, schedule=schedule, method=[method(name)])
    results = executed(path, "cost-only")
    timeline = results.timeline
    assert set(timeline[timeline.outcome.isin(["oom", "declined"])].device) == {2, 3, 4}
    assert set(timeline[timeline.kind == "upload"].device) == {0, 1}
    assert billed(results, "rounds") == [2]
