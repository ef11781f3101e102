"""Finding out about many candidates at once changes nothing of a run."""

from __future__ import annotations

import pytest

from fedsim.fleet import All, Charging, Crashes, Diurnal, Dynamics, Fleet, Group, Markov, Switched, load_curve
from fedsim.sim import Sync, asking, simulation
from fedsim.sim.selection import Fair, Random
from tests.sim.toys import SLOW, profile, simulate

FLEET = Fleet((Group(profile(battery_j=5_000.0), SLOW, 600),), 1)
THERE = All((Diurnal(load_curve("wifi"), 1, (0.0, 28_800.0)), Markov(2_400.0, 600.0, 2), Crashes(36_000.0, 60.0, 3)))
LAWS = Dynamics(
    speed=Switched(Markov(480.0, 120.0, 4), 0.5),
    network=Markov(3_600.0, 20.0, 5),
    charging=Charging(Diurnal(load_curve("charging"), 6), 0.2, 0.3, (0.1, 1.0), 0.5, 0.04, 7),
)


@pytest.mark.parametrize("cohort", [40, 100, 400])
@pytest.mark.parametrize("select", [Random(), Fair()])
def test_a_run_that_foresees_is_one_that_asks_devices_one_by_one(monkeypatch, select, cohort):
    digests, foreseen = [], []
    foresee = simulation.Conditions.foresee
    monkeypatch.setattr(
        simulation.Conditions, "foresee", lambda *asked: (foreseen.append(len(asked[1])), foresee(*asked))
    )
    for together in (10**9, 16):
        monkeypatch.setattr(asking, "TOGETHER", together)
        assert not foreseen
        sim, timeline = simulate(Sync(3, cohort, select=select), fleet=FLEET, availability=THERE, dynamics=LAWS)
        digests.append((timeline.digest(), sim.now_s))
    assert foreseen
    assert digests[0] == digests[1]
