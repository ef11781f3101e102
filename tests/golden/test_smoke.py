"""The smoke scenarios, one per method, give what they gave: python -m tests.golden.write says it anew."""

from __future__ import annotations

import pytest

from fedsim.experiment import catalogue
from fedsim.methods import METHODS
from fedsim.scenario import find, load
from tests.golden.write import NAMES, golden, measured

_VALUES_STEER_TIME = {
    "zlib",
    "fl-pqsu",
    "prunefl",
}  # whose sizes, and so times, differ a little between kinds of machines
_ACCURACY = 0.05


@pytest.mark.parametrize("name", NAMES)
def test_a_smoke_scenario_gives_its_golden_output(name):
    found, expected = measured(name), golden(name)
    assert [run["method"] for run in found] == [run["method"] for run in expected]
    for run, wanted in zip(found, expected, strict=True):
        steered = run["method"] in _VALUES_STEER_TIME
        numbers = {key: wanted[key] for key in wanted if isinstance(wanted[key], int | float) and key != "accuracy"}
        assert {key: run[key] for key in numbers} == pytest.approx(numbers, rel=0.02 if steered else 1e-9)
        assert run["accuracy"] == pytest.approx(wanted["accuracy"], abs=_ACCURACY)
        assert steered or run["timeline_digest"] == wanted["timeline_digest"]


def test_every_method_has_a_smoke_scenario():
    shown = {method.name for name in NAMES for method in load(find(f"smoke/{name}"), {}, catalogue(None)).method}
    assert set(METHODS) <= shown
