"""Quantities carry units; a bare number is an error that says what to write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.errors import InputError
from fedsim.units import UNITS, parse

pairs = st.sampled_from([(kind, unit) for kind, units in UNITS.items() for unit in units])


@given(pairs, st.floats(0.0, 1e12))
def test_a_number_and_a_unit_is_their_product(pair, number):
    kind, unit = pair
    assert parse(f"{number!r} {unit}", kind) == number * UNITS[kind][unit]


@given(pairs, st.integers(0, 999))
def test_spaces_do_not_matter(pair, number):
    kind, unit = pair
    assert parse(f"{number}{unit}", kind) == parse(f"  {number}   {unit} ", kind)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("8 Mbit/s", "rate", 1e6), ("1 MB/s", "rate", 1e6), ("1 Kibit/s", "rate", 128.0), ("1 kB", "size", 1000.0),
        ("1 KiB", "size", 1024.0), ("1.5 h", "time", 5400.0), ("2 d", "time", 172800.0), ("1e3 ms", "time", 1.0),
        ("1 Wh", "energy", 3600.0), ("250 mW", "power", 0.25), ("2 GFLOP/s", "compute", 2e9), ("0 s", "time", 0.0),
        ("-5 C", "temperature", -5.0), ("6 K/W", "rise", 6.0),
        ("1 uJ/bit", "energy of a bit", 8e-6), ("50 nJ/bit", "energy of a bit", 4e-7),
    ],
)  # fmt: skip
def test_units_mean_what_they_say(text, kind, value):
    assert parse(text, kind) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("number", [5, 5.0, 0, -1])
def test_a_bare_number_is_refused_with_an_example(number):
    with pytest.raises(InputError, match=r"has no unit: write a number and a unit, such as '90 s'"):
        parse(number, "time")


@pytest.mark.parametrize("text", ["-1 s", "nan s", "inf s", "-0.5 s"])
def test_negative_and_infinite_numbers_are_refused(text):
    with pytest.raises(InputError, match="not a finite number of at least 0"):
        parse(text, "time")


def test_an_unknown_unit_names_the_nearest():
    with pytest.raises(InputError, match="unknown unit 'mins'; did you mean 'min'"):
        parse("3 mins", "time")


@pytest.mark.parametrize("value", ["", "s", "five s", "1 2 s", "3", None, True, ["3 s"], {"s": 3}])
def test_anything_else_is_refused(value):
    with pytest.raises(InputError):
        parse(value, "time")


@given(st.text(max_size=20))
def test_any_text_is_a_quantity_or_an_input_error(text):
    try:
        size = parse(text, "size")
    except InputError:
        size = 0.0
    assert 0.0 <= size < float("inf")
