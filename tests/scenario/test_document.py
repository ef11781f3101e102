"""The JSON Schema accepts what the loader accepts."""

from __future__ import annotations

import re
from contextlib import nullcontext

import pytest

from fedsim.errors import InputError
from fedsim.experiment import catalogue
from fedsim.scenario import find, json_schema, load, read, scenario_names
from tests.command import changed, write


@pytest.fixture(scope="module")
def schema():
    """Return the schema that `fedsim schema` prints."""
    return json_schema(catalogue(None))


def test_every_reference_leads_somewhere(schema):
    found = re.findall(r"#/\$defs/(\w+)", str(schema))
    assert found
    assert set(found) <= set(schema["$defs"])


def test_required_are_the_keys_of_the_interface(schema):
    assert schema["required"] == ["name", "task", "fleet", "schedule", "method"]
    assert schema["additionalProperties"] is False


def test_every_method_is_there_with_its_options(schema):
    table = schema["$defs"]["MethodTable"]
    options = {one["if"]["properties"]["name"]["const"]: one["then"]["properties"] for one in table["allOf"]}
    assert list(options) == table["properties"]["name"]["enum"]
    assert options["fedprox"]["mu"] == {"minimum": 0, "type": "number", "default": 0.01}
    assert (options["heterofl"]["budget"]["type"], options["heterofl"]["budget"]["default"]) == ("string", "0 s")


@pytest.mark.parametrize("name", scenario_names())
def test_a_packaged_scenario_is_valid(schema, name):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator(schema).validate(read(find(name)))


@pytest.mark.parametrize(
    "wrong", [{"sede": 1}, {"schedule__deadline": 5}, {"method__1__mu": -1.0}, {"train__lrr": 1.0}]
)
def test_a_wrong_scenario_is_not(schema, wrong):
    jsonschema = pytest.importorskip("jsonschema")
    assert not jsonschema.Draft202012Validator(schema).is_valid(changed(**wrong))


AT_TIMES = {"every": "1 h", "lasts": "1 min"}
CURVE = {"hourly": [0.5] * 24, "long_stay": "1 h"}
LEAVES = {"at": "3 s", "what": "slow", "leaves": 0.5}


def of(*parts):
    return {"availability": {"kind": "all", "of": list(parts)}}


def whole(**keys):
    return {"availability": keys}


SOUND_LIVES = [
    whole(mean_online="1 h"),
    whole(kind="diurnal", curve=CURVE, zones=["0 h", "8 h"], spread="1 h", on_dropout="partial"),
    whole(kind="trace", file="lives.csv", needs=["wifi"], offset="any", loop=False, holes="off", draw="random"),
    whole(kind="battery", plugged={"curve": "wifi"}, only_plugged=True, start=[0, 1], charge=1, use=0),
    whole(kind="battery", plugged={"kind": "markov"}),
    of({"kind": "battery"}, {"kind": "markov"}, {"kind": "always"}),
    {"fleet__0__availability": {"kind": "diurnal", "curve": "charging"}},
    {"dynamics": {"load": {**AT_TIMES, "leaves": 0}, "clock": {**AT_TIMES, "speed": 1, "power": 0}, "thermal": True}},
    {"dynamics": {"memory": AT_TIMES, "storage": AT_TIMES, "reported": False}},
    {"failures": {"dropout": 1, "back": "1 s", "crash": AT_TIMES, "outage": AT_TIMES, "retries": 0}},
    {"failures": {"corrupted": 0.1, "truncated": 0.1, "leave": "1 h", "late": {"share": 0.2, "within": "1 h"}}},
    {"event": [LEAVES, {"at": "3 s", "what": "leave", "group": "laptop", "share": 0, "lasts": "1 s"}]},
    {"event": [{"at": "3 s", "what": "join", "group": 1}, {**LEAVES, "leaves": 0, "lasts": "1 s"}]},
]
UNSOUND_LIVES = [
    whole(kind="allways"),
    whole(kind="diurnal", curve="wify"),
    whole(kind="diurnal", curve={**CURVE, "hourly": [0.5] * 23}),
    whole(kind="diurnal", curve={**CURVE, "hourly": [0.0] * 24}),
    whole(kind="diurnal", curve={**CURVE, "short_stay": "9 s"}),
    whole(kind="diurnal", zones=[]),
    whole(kind="diurnal", zones=["-8 h"]),
    whole(kind="trace"),
    whole(kind="trace", file="lives.csv", needs=[]),
    whole(kind="trace", file="lives.csv", draw="ordr"),
    whole(kind="battery", flor=0.2),
    whole(kind="battery", start=[0.5]),
    whole(kind="battery", plugged={"mean_online": "1 h"}),
    whole(kind="battery", plugged={"kind": "battery"}),
    of({"kind": "always"}),
    of({"kind": "battery"}, {"kind": "battery"}),
    of({"kind": "markov"}, {"mean_online": "1 h"}),
    of({"kind": "markov"}, {"kind": "battery", "on_dropout": "partial"}),
    {"fleet__0__availability": {"mean_online": "1 h"}},
    {"fleet__0__availability": {"kind": "battery"}},
    {"fleet__0__mode": 3},
    {"dynamics": {"load": {"every": "1 h"}}},
    {"dynamics": {"clock": {**AT_TIMES, "speed": 0}}},
    {"dynamics": {"thermal": 1}},
    {"failures": {"dropout": 1.5}},
    {"failures": {"droput": 0.5}},
    {"failures": {"crash": "1 h"}},
    {"event": [{**LEAVES, "what": "leave"}]},
    {"event": [{**LEAVES, "leaves": 0}]},
    {"event": [{"at": "3 s", "what": "join", "lasts": "1 s"}]},
    {"event": [{"at": "3 s", "what": "leave", "group": -1}]},
    {"event": [{"at": "3 s", "what": "leave", "group": 1.5}]},
    {"event": [{"what": "leave"}]},
]


@pytest.mark.parametrize(
    ("changes", "sound"), [*((one, True) for one in SOUND_LIVES), *((one, False) for one in UNSOUND_LIVES)]
)
def test_schema_and_loader_agree_on_what_happens_to_devices(schema, tmp_path, changes, sound):
    jsonschema = pytest.importorskip("jsonschema")
    (tmp_path / "lives.csv").write_text("user,start_s,end_s,charging,network\na,0,40000,1,wifi\n")
    path = write(tmp_path, changed(**changes))
    assert jsonschema.Draft202012Validator(schema).is_valid(read(path)) is sound
    with nullcontext() if sound else pytest.raises(InputError):
        load(path, {}, catalogue(None))


TRACE = {"like": "lte", "trace": {"down": "x.down"}, "loss": 0.1, "shared": True}
OWN = {"down": "5 Mbit/s", "up": "5 Mbit/s", "latency": "1 ms"}


SOUND = ["lte", OWN, TRACE, {"like": "lte", "varies": True}, {**OWN, "trace": "t.csv"}]
UNSOUND = [{"varies": True}, {"like": "lte", "vary": True}, {**TRACE, "loss": 0.6}, {**OWN, "trace": 3}]


@pytest.mark.parametrize(("link", "sound"), [*((link, True) for link in SOUND), *((link, False) for link in UNSOUND)])
def test_a_link_is_a_name_or_one_of_two_tables(schema, link, sound):
    jsonschema = pytest.importorskip("jsonschema")
    made = changed(fleet__0__link=link, server={"link": link})
    assert jsonschema.Draft202012Validator(schema).is_valid(made) is sound
