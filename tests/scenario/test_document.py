"""The JSON Schema accepts what the loader accepts."""

from __future__ import annotations

import re

import pytest

from fedsim.experiment import catalogue
from fedsim.scenario import find, json_schema, read, scenario_names
from tests.command import changed


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


TRACE = {"like": "lte", "trace": {"down": "x.down"}, "loss": 0.1, "shared": True}
OWN = {"down": "5 Mbit/s", "up": "5 Mbit/s", "latency": "1 ms"}


SOUND = ["lte", OWN, TRACE, {"like": "lte", "varies": True}, {**OWN, "trace": "t.csv"}]
UNSOUND = [{"varies": True}, {"like": "lte", "vary": True}, {**TRACE, "loss": 0.6}, {**OWN, "trace": 3}]


@pytest.mark.parametrize(("link", "sound"), [*((link, True) for link in SOUND), *((link, False) for link in UNSOUND)])
def test_a_link_is_a_name_or_one_of_two_tables(schema, link, sound):
    jsonschema = pytest.importorskip("jsonschema")
    made = changed(fleet__0__link=link, server={"link": link})
    assert jsonschema.Draft202012Validator(schema).is_valid(made) is sound
