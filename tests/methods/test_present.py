"""Methods that fit work to devices fit it to what those have now: whole runs, cost-only, in which devices slow down."""

from __future__ import annotations

import pytest

import fedsim

SCENARIO = """
name = "present"
task = { data = "digits", model = "cnn", public = 100 }
fleet = [
  { profile = "raspberry-pi-4", count = 2, link = "fibre" },
  { profile = "raspberry-pi-4", count = 2, link = "fibre" },
]
availability = { kind = "always" }
event = [{ at = "100 s", what = "slow", leaves = 0.5 }]
schedule = { kind = "sync", rounds = 4, cohort = 4, every = "60 s", deadline = "30 s" }
"""
REFT = '[[method]]\nname = "reft"\nf_lambda = "20 GFLOP/s"\n'
VIT = '{ name = "vit_tiny", dim = 48, heads = 3, depth = 2, patch = 4 }'
RAFFM = f'[[method]]\nname = "raffm"\nmodel = {VIT}\nbudget = "600 ms"\n'
EQUITABLE = '[[method]]\nname = "equitable-fl"\ndensities = [1.0, 0.9]\nround_budget = "600 ms"\nrescore = "round"\n'


@pytest.fixture
def sent(tmp_path):
    """Return what runs: the bytes that devices received before the slow-down, and after it."""

    def run(method, **overrides):
        path = tmp_path / "present.toml"
        path.write_text(SCENARIO + method)
        spans = fedsim.run(path, overrides, executor="cost-only", out=tmp_path / "out").timeline
        down = spans[spans.kind == "download"]
        return [int(rows.bytes.sum()) for rows in (down[down.start_s < 100], down[down.start_s >= 100])]

    return run


@pytest.mark.parametrize("method", [REFT, RAFFM], ids=["reft", "raffm"])
def test_a_device_that_has_slowed_down_gets_less(sent, method):
    before, after = sent(method)
    assert 0 < after < 0.8 * before


def test_a_device_short_of_the_score_is_left_out_of_a_round(sent):
    before, after = sent(EQUITABLE, **{"event.0.group": 1, "event.0.leaves": 0.1})
    assert 0 < after < 0.8 * before


@pytest.mark.parametrize("method", [REFT, RAFFM, EQUITABLE], ids=["reft", "raffm", "equitable-fl"])
def test_a_slow_down_that_nobody_reports_changes_no_work(sent, method):
    before, after = sent(method, **{"dynamics.reported": False})
    assert after == pytest.approx(before, rel=0.25)  # what raffm draws differs from round to round
