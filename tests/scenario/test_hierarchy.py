"""A hierarchical schedule in a scenario: what it takes, and what is refused."""

from __future__ import annotations

import pytest

from fedsim.errors import InputError
from fedsim.experiment import Where, prepare
from fedsim.method import Combines
from fedsim.methods import METHODS
from fedsim.scenario import HierarchicalSchedule
from fedsim.sim import Hierarchical
from tests.command import changed, write

ROUNDS = {"kind": "hierarchical", "rounds": 2, "cohort": 3}
TREE = {"preset": "edge-tree", "edges": 2}


def prepared(tmp_path, *methods, **changes):
    """Return the experiment of these methods under a hierarchical schedule in a tree of edges."""
    whole = {"schedule": ROUNDS, "network": TREE, "method": list(methods) or [{"name": "fedavg"}], **changes}
    return prepare(write(tmp_path, changed(**whole)), {}, Where())


def test_a_hierarchical_schedule_is_read_and_made(tmp_path):
    experiment = prepared(tmp_path, schedule={**ROUNDS, "deadline": "9 s"})
    assert experiment.scenario.schedule == HierarchicalSchedule(**ROUNDS, deadline="9 s")
    assert experiment.schedule("fedavg") == Hierarchical(2, 3, 9.0)


def test_a_method_may_be_hierarchical_alone(tmp_path):
    methods = {"name": "scaffold"}, {"name": "fedavg", "schedule": ROUNDS}
    experiment = prepared(tmp_path, *methods, schedule={**ROUNDS, "kind": "sync"})
    assert isinstance(experiment.schedule("fedavg"), Hierarchical)


@pytest.mark.parametrize("network", [{"preset": "star"}, {"preset": "wifi-homes"}])
def test_a_network_without_edges_is_refused(tmp_path, network):
    with pytest.raises(InputError, match=r"schedule\.kind = 'hierarchical': merges at edge .*preset = 'edge-tree'"):
        prepared(tmp_path, network=network)


def test_it_is_said_of_the_schedule_that_asks_for_edges(tmp_path):
    with pytest.raises(InputError, match=r"method\.fedavg\.schedule\.kind = 'hierarchical': merges at edge"):
        prepared(tmp_path, {"name": "fedavg", "schedule": ROUNDS}, schedule={**ROUNDS, "kind": "sync"}, network={})


def test_a_method_that_cannot_combine_is_refused_with_those_that_can(tmp_path):
    able = ", ".join(sorted(name for name, kind in METHODS.items() if issubclass(kind, Combines)))
    with pytest.raises(InputError, match=rf"method\.scaffold\.name = 'scaffold': cannot merge at .*; {able} can"):
        prepared(tmp_path, {"name": "scaffold"})


REFUSED = {
    "error feedback": (
        {"name": "message-pruning", "direction": "up", "error_feedback": True},
        "error_feedback follows",
    ),
    "uniform": ({"name": "reft", "importance": "uniform"}, "importance is 'uniform', which edges"),
    "confidence": ({"name": "reft", "importance": "confidence"}, "importance is 'confidence', which edges"),
}


@pytest.mark.parametrize(("method", "message"), REFUSED.values(), ids=REFUSED)
def test_options_that_edges_cannot_heed_are_refused_when_checked(tmp_path, method, message):
    with pytest.raises(InputError, match=message):
        prepared(tmp_path, method, task={"data": "digits", "model": "mlp", "public": 20})


def test_the_edges_are_among_the_profiles_where_they_merge(tmp_path):
    tier = {"name": "hut", "down": "1 Mbit/s", "up": "1 Mbit/s", "edge": "mac-mini-m4"}
    changes = {"network": {"tier": [tier]}, "fleet__0__behind": "hut"}
    assert [p.name for p in prepared(tmp_path, **changes).profiles][-1] == "mac-mini-m4"
    sync = prepared(tmp_path, **changes, schedule={**ROUNDS, "kind": "sync"})
    assert "mac-mini-m4" not in [p.name for p in sync.profiles]
