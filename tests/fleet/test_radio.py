"""Radios come by technology from one file; a profile overrides what it has numbers of its own for."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.errors import InputError
from fedsim.fleet import Group, Link, link_names, load_link, load_profile
from fedsim.fleet.radio import Line, Radio, radio_from, shared_radios
from fedsim.fleet.table import Table
from tests.sim.toys import profile
from tests.strategies import radios

LTE = Radio(Line(0.581, 79.04 * 8e-9), Line(0.308, 16.58 * 8e-9), ((0.308, 9.9),), 0.905)


def test_lte_is_a_line_each_way_ten_seconds_of_tail_and_nearly_one_to_wake() -> None:
    assert shared_radios()["lte"] == LTE


def test_ten_megabit_up_over_lte_take_what_was_measured() -> None:
    assert LTE.transfer_j(1.0, 1_250_000, up=True) == pytest.approx(1.3714)
    assert LTE.transfer_j(1.0, 27_000_000 // 8, up=False) == pytest.approx(0.75566)


@pytest.mark.parametrize(
    ("seconds", "joules"),
    [(0.0, 0.0), (0.5, 1.0), (1.0, 2.0), (3.0, 4.0), (4.0, 5.0), (99.0, 5.0), (float("inf"), 5.0)],
)
def test_a_tail_goes_through_its_states_and_is_over(seconds: float, joules: float) -> None:
    assert replace(LTE, tail=((2.0, 1.0), (1.0, 3.0))).tail_j(seconds) == joules


@given(radios, st.floats(0.0, 50.0), st.floats(0.0, 50.0))
def test_a_longer_tail_takes_no_less_and_no_more_than_all_of_it(radio: Radio, first_s: float, then_s: float) -> None:
    assert 0.0 <= radio.tail_j(first_s) <= radio.tail_j(first_s + then_s) + 1e-9
    assert radio.tail_j(radio.tail_s) == pytest.approx(radio.tail_j(), abs=1e-9)


@pytest.mark.parametrize("name", link_names())
def test_every_link_of_ours_has_a_radio(name: str) -> None:
    assert load_link(name).technology in shared_radios()


@pytest.mark.parametrize("name", sorted(shared_radios()))
def test_every_number_of_a_shared_radio_has_a_source_a_year_and_a_quality(name: str) -> None:
    radio = shared_radios()[name]
    assert {s.what for s in radio.sources} >= {"tx", "rx"} | ({"tail"} if radio.tail else set())
    told = re.compile(r"[\w.-]+/[\w.-]+@\w{7,40}:.*$|assumed$|.*\(\w+ \d{4}\)$")
    assert all(s.quality and told.match(s.source) for s in radio.sources)


@pytest.mark.parametrize("name", sorted(shared_radios()))
def test_no_tail_draws_more_than_the_transfer_before_it(name: str) -> None:
    radio = shared_radios()[name]
    assert all(watts <= min(radio.tx.w, radio.rx.w) for watts, _ in radio.tail)


# --- overriding -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, LTE),
        ({"tx": "2 W"}, replace(LTE, tx=Line(2.0))),
        ({"tx": "2 W", "tx_per_bit": "1 uJ/bit"}, replace(LTE, tx=Line(2.0, 8e-6))),
        ({"rx": "1 W"}, replace(LTE, rx=Line(1.0))),
        ({"tail": []}, replace(LTE, tail=())),
        ({"tail": [{"power": "1 W", "time": "2 s"}]}, replace(LTE, tail=((1.0, 2.0),))),
    ],
)
def test_what_a_radio_leaves_out_is_that_of_its_technology(own: dict[str, object], expected: Radio) -> None:
    assert radio_from(Table("toy", own), LTE) == expected


def test_a_number_of_ones_own_drops_the_source_of_the_shared_one() -> None:
    found = radio_from(Table("toy", {"tx": "2 W", "tail": []}), shared_radios()["lte"])
    assert [s.what for s in found.sources] == ["rx", "promotion"]


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"tx": "1 W"}, r"toy: the key 'rx' is missing"),
        ({"tx": "1 W", "rx": "1"}, r"toy: rx: '1' is not a quantity"),
        ({"tx": "1 W", "rx": "1 W", "tail": "1 W"}, r"toy: tail: '1 W' is no list of tables"),
        ({"tx": "1 W", "rx": "1 W", "tail": [{"power": "1 W"}]}, r"\[\[tail\]\] 1: the key 'time' is missing"),
        ({"tx": "1 W", "rx": "1 W", "tails": []}, r"toy: unknown key 'tails'"),
        ({"tx_per_bit": "1 uJ/bit"}, r"toy: the key 'tx' is missing"),
        ({"tx": "1 W", "tx_per_bit": "1 W", "rx": "1 W"}, r"tx_per_bit: '1 W' has the unknown unit 'W'"),
    ],
)
def test_wrong_radios_are_refused(own: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        radio_from(Table("toy", own))


# --- which one ------------------------------------------------------------------------------------------
def test_a_device_takes_the_radio_of_its_link() -> None:
    phone = load_profile("phone-mid")
    assert phone.radio_for("lte") == LTE
    assert phone.radio_for("wifi") == Radio(Line(0.56), Line(0.81))
    assert load_profile("raspberry-pi-4").radio_for("wifi") == shared_radios()["wifi"]


def test_a_link_whose_technology_nobody_knows_is_refused() -> None:
    pigeon = Link("dovecote", 1.0, 1.0, 3600.0, "pidgeon")
    with pytest.raises(InputError, match=r"profile 'laptop': unknown technology 'pidgeon'.*\[radio.pidgeon\]"):
        Group(load_profile("laptop"), pigeon, 1)
    assert Group(profile(), pigeon, 1).profile.radio_for("pidgeon") == profile().radio["default"]
