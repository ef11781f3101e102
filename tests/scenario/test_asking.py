"""Whom a scenario asks and by when: the keys select and deadline of a schedule."""

from __future__ import annotations

import json

import pytest

from fedsim.errors import InputError
from fedsim.experiment import Where, catalogue, prepare
from fedsim.scenario import json_schema, load, to_toml
from fedsim.scenario.asking import SELECTS
from fedsim.scheduling import SELECTORS
from fedsim.sim import Adaptive, Async, Hierarchical, Sync
from fedsim.sim.oort import Oort
from fedsim.sim.selection import Fair, PowerOfChoice, Random
from fedsim.sim.tifl import Tifl
from tests.command import changed, fedsim, write

EDGES = {"preset": "edge-tree", "edges": 2}
ROUNDS = {"kind": "hierarchical", "rounds": 2, "cohort": 2}
ASYNC = {"kind": "async", "merges": 2, "concurrency": 2}


@pytest.fixture
def scheduled(tmp_path):
    """Return what makes the first method's schedule of a scenario with changes."""

    def make(overrides=None, **changes):
        experiment = prepare(write(tmp_path, changed(**changes)), overrides or {}, Where())
        return experiment.schedule("fedavg")

    return make


@pytest.mark.parametrize("name", SELECTS)
def test_a_name_stands_for_the_defaults_of_its_policy(scheduled, name):
    assert scheduled(schedule__select=name).select == SELECTORS[name]()


def test_tables_and_policies_are_the_same():
    assert list(SELECTS) == list(SELECTORS)


@pytest.mark.parametrize(
    ("select", "policy"),
    [
        ({"kind": "random"}, Random()),
        ({"kind": "power-of-choice", "pool": 2.5}, PowerOfChoice(2.5)),
        ({"kind": "tifl", "tiers": 3, "adaptive": True, "credits": 4}, Tifl(tiers=3, adaptive=True, credits=4)),
        ({"kind": "oort", "alpha": 1.0, "explore": "random"}, Oort(alpha=1.0, explore="random")),
    ],
)
def test_a_table_gives_a_policy_its_options(scheduled, select, policy):
    assert scheduled(schedule__select=select).select == policy


def test_an_option_of_a_name_alone_can_be_set_from_outside(scheduled):
    assert scheduled({"schedule.select.pool": 4.0}, schedule__select="fair").select == Fair(pool=4.0)


def test_a_deadline_may_be_fixed_or_adaptive(scheduled):
    given = {"start": "9 s", "quantile": 0.5, "slack": 2.0, "memory": 4, "least": "3 s", "most": "1 h"}
    assert scheduled(schedule__deadline="9 s") == Sync(2, 3, 9.0)
    assert scheduled(schedule__deadline=given) == Sync(2, 3, 9.0, adaptive=Adaptive(0.5, 2.0, 4, 3.0, 3600.0))


def test_a_schedule_at_edges_takes_both(scheduled):
    made = scheduled(schedule={**ROUNDS, "deadline": {"start": "9 s"}, "select": "fair"}, network=EDGES,
                     method=[{"name": "fedavg"}])  # fmt: skip
    assert made == Hierarchical(2, 2, 9.0, select=Fair(), adaptive=Adaptive(most_s=86400.0))


def test_a_method_under_another_kind_of_schedule_keeps_the_policy(scheduled):
    assert scheduled(schedule__select="fair", method__0__schedule=ASYNC) == Async(2, 2, select=Fair())


def test_a_method_may_have_a_policy_of_its_own(scheduled):
    own = {"select": {"kind": "oort", "pool": 5.0}, "deadline": {"start": "5 s"}}
    made = scheduled(schedule__select="fair", method__0__schedule=own)
    assert made == Sync(2, 3, 5.0, select=Oort(pool=5.0), adaptive=Adaptive(most_s=86400.0))


@pytest.mark.parametrize(
    "schedule",
    [
        {"schedule__select": "oort", "schedule__deadline": {"start": "90 s", "most": "2 min"}},
        {"schedule__select": {"kind": "tifl", "adaptive": True}, "method__0__schedule": {"select": "battery"}},
        {"schedule__select": "power-of-choice", "method__0__schedule": {"deadline": {"start": "1 s"}}},
    ],
)
def test_a_resolved_scenario_is_the_same_again(tmp_path, schedule):
    first = load(write(tmp_path, changed(**schedule)), {}, catalogue(None))
    path = tmp_path / "again.toml"
    path.write_text(to_toml(first.resolved()))
    assert load(path, {}, catalogue(None)) == first


def test_random_is_written_as_its_name_alone(tmp_path):
    table = load(write(tmp_path, changed(schedule__select={"kind": "random"})), {}, catalogue(None))
    assert table.resolved()["schedule"]["select"] == "random"


SOUND = [
    {"schedule__select": "oort"},
    {"schedule__select": {"kind": "random"}},
    {"schedule__select": {"kind": "tifl", "adaptive": True}},
    {"schedule__deadline": {"start": "9 s", "least": "1 s"}},
    {"schedule": {**ASYNC, "select": "fair", "deadline": "3 s"}},
]
UNSOUND = {
    "unknown policy": ({"schedule__select": "ort"}, "schedule.select = 'ort': unknown policy; did you mean 'oort'?"),
    "unknown kind": ({"schedule__select": {"kind": "fare"}}, "schedule.select.kind = 'fare': unknown kind; did you"),
    "no kind": ({"schedule__select": {"pool": 3.0}}, "schedule.select.kind: is missing; give it 'random' or 'power-of"),
    "no policy at all": (
        {"schedule__select": 3},
        "schedule.select = 3: must be a table with the key kind, 'random' or",
    ),
    "another's option": (
        {"schedule__select": {"kind": "fair", "alpha": 1.0}},
        "schedule.select.alpha = 1.0: unknown key (known: kind, pool)",
    ),
    "pool too small": (
        {"schedule__select": {"kind": "fair", "pool": 0.5}},
        "schedule.select.pool = 0.5: must be at least 1",
    ),
    "no start": ({"schedule__deadline": {"slack": 2.0}}, "schedule.deadline.start: is missing; give it a value"),
    "no unit": ({"schedule__deadline": {"start": 9}}, "schedule.deadline.start = 9: has no unit: write a number and"),
    "quantile": (
        {"schedule__deadline": {"start": "9 s", "quantile": 80}},
        "schedule.deadline.quantile = 80: must be at most 1",
    ),
    "shrinking": (
        {"schedule__deadline": {"start": "9 s", "slack": 0.5}},
        "schedule.deadline.slack = 0.5: must be at l",
    ),
    "async": (
        {"schedule": {**ASYNC, "deadline": {"start": "9 s"}}},
        "schedule.deadline = { start = '9 s' }: an asynchronous schedule has no rounds to learn from: write a",
    ),
    "async of a method": (
        {"schedule__deadline": {"start": "9 s"}, "method__0__schedule": ASYNC},
        "method.fedavg.schedule.deadline = { start = '9 s' }: an asynchronous schedule has no rounds to learn from",
    ),
}
OUT_OF_ORDER = {"schedule__deadline": {"start": "9 s", "least": "10 s"}}


@pytest.mark.parametrize("case", UNSOUND)
def test_what_is_wrong_is_named(tmp_path, case):
    changes, said = UNSOUND[case]
    with pytest.raises(InputError) as error:
        load(write(tmp_path, changed(**changes)), {}, catalogue(None))
    (line,) = str(error.value).splitlines()
    assert line.removeprefix(f"{tmp_path / 's.toml'}: ").startswith(said)


def test_a_deadline_starts_within_its_bounds(tmp_path):
    with pytest.raises(InputError, match=r"must have least <= start <= most"):
        load(write(tmp_path, changed(**OUT_OF_ORDER)), {}, catalogue(None))


@pytest.mark.parametrize("changes", SOUND, ids=json.dumps)
def test_the_schema_and_the_loader_take_what_is_sound(tmp_path, changes):
    jsonschema = pytest.importorskip("jsonschema")
    load(write(tmp_path, changed(**changes)), {}, catalogue(None))
    jsonschema.Draft202012Validator(json_schema(catalogue(None))).validate(changed(**changes))


@pytest.mark.parametrize("case", [case for case in UNSOUND if case != "async of a method"])
def test_the_schema_refuses_what_is_not(case):
    jsonschema = pytest.importorskip("jsonschema")
    assert not jsonschema.Draft202012Validator(json_schema(catalogue(None))).is_valid(changed(**UNSOUND[case][0]))


def test_a_cost_only_run_by_losses_is_refused_before_anything_is_written(tmp_path):
    path = write(tmp_path, changed(schedule__select="oort"))
    ran = fedsim("run", path, "--executor", "cost-only", "--out", tmp_path / "out", "--cache", tmp_path / "cache")
    assert (ran.code, ran.out) == (2, "")
    assert "method 'fedavg': schedule.select = 'oort' ranks devices by their losses" in ran.err
    assert sorted(tmp_path.iterdir()) == [path]


def test_check_takes_a_policy_by_losses(tmp_path):
    assert fedsim("check", write(tmp_path, changed(schedule__select="oort"))).code == 0
