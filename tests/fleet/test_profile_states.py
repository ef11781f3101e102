"""The heat and the power modes of a profile are read strictly, and say where they come from."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from fedsim.errors import InputError
from fedsim.fleet.mode import Mode
from fedsim.fleet.profile import load_profile, profile_names
from fedsim.fleet.source import Source
from fedsim.fleet.thermal import Thermal
from tests.fleet.test_profile import GOOD, load

HEAT = """
[thermal]
ambient = "-5 C"
rise = "10 K/W"
tau = "1 min"
limit = "80 C"
resume = "75 C"
speed = 0.5
power = 0.4
"""
MODES = "[modes.15w]\nspeed = 0.5\npower = 0.25\n[modes.boost]\nspeed = 1.2\npower = 1.5\n"


def test_its_own_heat_is_read_where_it_is_given(tmp_path: Path) -> None:
    law = Thermal(-5.0, 10.0, 60.0, 80.0, 75.0, 0.5, 0.4)
    assert (load(tmp_path, GOOD).thermal, load(tmp_path, GOOD + HEAT).thermal) == (None, law)


def test_a_phone_has_the_heat_of_phones_unless_it_has_its_own(tmp_path: Path) -> None:
    phone = GOOD.replace('"sbc"', '"phone"')
    assert load(tmp_path, phone).thermal == load_profile("google-pixel-3").thermal
    assert load(tmp_path, phone + HEAT).thermal == load(tmp_path, GOOD + HEAT).thermal


def test_power_modes_are_read_by_name(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD).modes == {}
    assert load(tmp_path, GOOD + MODES).modes == {"15w": Mode(0.5, 0.25), "boost": Mode(1.2, 1.5)}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('limit = "80 C"', 'limit = "80"', r"\[thermal\]: limit: '80' is not a quantity: .* such as '25 C'"),
        ('limit = "80 C"', 'limit = "74 C"', r"\[thermal\]: resume is 75 C; allowed is less than limit, 74 C"),
        ('ambient = "-5 C"', 'ambient = "-300 C"', r"ambient: '-300 C' is not a finite number of at least -273.15"),
        (
            'ambient = "-5 C"',
            'ambient = "70 C"',
            r"at its idle 1 W the device is at 80.0 C, so that it would never cool",
        ),
        ('tau = "1 min"', 'tau = "0 s"', r"\[thermal\]: tau is 0 s"),
        ('tau = "1 min"', "", r"\[thermal\]: the key 'tau' is missing"),
        ('tau = "1 min"', 'tau = "1 min"\ntua = "1 s"', r"\[thermal\]: unknown key 'tua'; did you mean 'tau'"),
        (
            "speed = 0.5\npower = 0.4",
            "speed = 1.5\npower = 0.4",
            r"speed: 1.5 is not allowed; .* above 0 and at most 1",
        ),
        ("speed = 0.5\npower = 0.4", "speed = 0\npower = 0.4", r"speed: 0 is not allowed"),
        ("speed = 1.2", "sped = 1.2", r"\[modes\]: \[boost\]: the key 'speed' is missing; did you mean 'sped'"),
        ("power = 1.5", 'power = "1.5 W"', r"power: '1.5 W' is not allowed; .*, without a unit"),
        ("power = 1.5", "power = 1.5\nidle = 2", r"\[boost\]: unknown key 'idle'"),
    ],
)
def test_wrong_heat_and_modes_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in HEAT + MODES
    with pytest.raises(InputError, match=message):
        load(tmp_path, GOOD + (HEAT + MODES).replace(old, new, 1))


def kept(sources: Iterable[Source]) -> set[str]:
    """Return the keys that *sources* speak of."""
    return {key for source in sources for key in source.what.split(", ")}


def test_every_number_of_heat_and_modes_has_a_source() -> None:
    found = [load_profile(name) for name in profile_names()]
    heat = [profile.thermal for profile in found if profile.thermal]
    modes = [mode for profile in found for mode in profile.modes.values()]
    assert {frozenset(kept(law.sources)) for law in heat} == {
        frozenset({"ambient", "rise", "tau", "limit", "resume", "speed", "power"})
    }
    assert {frozenset(kept(mode.sources)) for mode in modes} == {frozenset({"speed", "power"})}


def test_the_heat_of_phones_says_what_is_assumed() -> None:
    quality = {source.what: source.quality for source in load_profile("phone-mid").thermal.sources}
    assert quality == {
        "ambient": "assumed", "rise": "assumed", "tau": "assumed", "limit, resume": "maker", "speed, power": "assumed",
    }  # fmt: skip
