"""Profiles are read strictly, and every number of the packaged ones says where it comes from."""

import pickle
import re
import tomllib
from pathlib import Path

import pytest

from fedsim.errors import InputError
from fedsim.fleet.packaged import packaged
from fedsim.fleet.profile import KINDS, QUALITIES, Profile, Rate, load_profile, profile_names
from fedsim.fleet.radio import Line, Radio, shared_radios
from fedsim.work import KINDS as WORK
from fedsim.work import Op, OpClass

EIGHT = {
    "raspberry-pi-3", "raspberry-pi-4", "raspberry-pi-5", "jetson-nano", "jetson-xavier-nx",
    "phone-low", "phone-mid", "phone-high", "laptop", "edge-server",
}  # fmt: skip
MORE = {
    "raspberry-pi-zero-2w", "odroid-n2-plus", "orange-pi-5", "orange-pi-cm4", "arduino-uno-q", "visionfive-2",
    "lattepanda-mu", "jetson-tx2-nx", "jetson-agx-xavier", "jetson-orin-nano", "jetson-orin-nx", "jetson-agx-orin",
    "google-pixel", "google-pixel-3", "google-pixel-3a", "google-pixel-5", "google-pixel-6", "xiaomi-redmi-note-7",
    "macbook-neo", "mac-mini-m4", "framework-desktop", "nvidia-t4", "nvidia-rtx-4090", "nvidia-a100",
}  # fmt: skip
SCALED = sorted(MORE | {"raspberry-pi-3", "laptop", "edge-server"})


def rates(flops: str = "2 GFLOP/s") -> str:
    return "\n".join(f'[rates.{kind.value}]\nflops = "{flops}"' for kind in OpClass)


GOOD = f"""
name = "toy"
title = "A toy"
kind = "sbc"
year = 2020
quality = "peak only"
memory = "4 GiB"
storage = "32 GB"
[power]
idle = "1 W"
busy = "500 mW"
[radio.default]
tx = "2 W"
rx = "1 W"
[radio.lte]
tx = "4 W"
rx = "3 W"
[rates]
spread = [0.5, 2.0]
{rates()}
[[source]]
what = "memory"
value = "4 GB"
source = "its box"
year = 2020
"""


def load(tmp_path: Path, text: str) -> Profile:
    path = tmp_path / "toy.toml"
    path.write_text(text)
    return load_profile(path)


def test_profile_of_your_own_is_read_by_path(tmp_path: Path) -> None:
    found = load(tmp_path, GOOD)
    assert (found.memory_bytes, found.idle_w, found.busy_w, found.spread) == (2.0**32, 1.0, 0.5, (0.5, 2.0))
    assert found.rates[OpClass.CONV] == Rate(flops_per_s=2e9)


def test_path_may_be_text(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD) == load_profile(str(tmp_path / "toy.toml"))


def test_the_rate_of_sparse_kernels_is_read_where_there_is_one(tmp_path: Path) -> None:
    conv = '[rates.conv]\nflops = "2 GFLOP/s"'
    found = load(tmp_path, GOOD.replace(conv, f'{conv}\nsparse_flops = "1 GFLOP/s"')).rates
    assert (found[OpClass.CONV].sparse_flops_per_s, found[OpClass.MATMUL].sparse_flops_per_s) == (1e9, None)


def watts(found: Profile) -> list[float]:
    asked = [("lte", True), ("lte", False), ("5g-mmwave", True), ("wifi", False)]
    return [found.radio_for(technology).transfer_j(1.0, 0, up=up) for technology, up in asked]


def test_a_default_radio_of_its_own_stands_for_all_but_its_others(tmp_path: Path) -> None:
    assert watts(load(tmp_path, GOOD)) == [4, 3, 2, 1]


def test_a_default_radio_has_no_tail_and_no_slope(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD).radio_for("hspa") == Radio(Line(2.0), Line(1.0))


def test_a_profile_without_radios_has_the_shared_ones(tmp_path: Path) -> None:
    without = re.sub(r"\[radio\.\w+\]\ntx = .*\nrx = .*\n", "", GOOD)
    assert load(tmp_path, without).radio == shared_radios()


def test_a_radio_of_its_own_stands_beside_the_shared_ones(tmp_path: Path) -> None:
    found = load(tmp_path, GOOD.replace("[radio.default]", "[radio.wifi]")).radio
    assert found.keys() == shared_radios().keys()
    assert (found["wifi"], found["hspa"]) == (Radio(Line(2.0), Line(1.0)), shared_radios()["hspa"])


def test_a_battery_is_read_where_there_is_one(tmp_path: Path) -> None:
    with_one = load(tmp_path, GOOD.replace("[power]", 'battery = "10 Wh"\n[power]', 1))
    assert (load(tmp_path, GOOD).battery_j, with_one.battery_j) == (None, 36_000.0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('idle = "1 W"', 'idel = "1 W"', r"toy.toml: \[power\]: the key 'idle' is missing; did you mean 'idel'"),
        ('idle = "1 W"', 'idle = "1 W"\nbusyy = "1 W"', r"\[power\]: unknown key 'busyy'; did you mean 'busy'"),
        ('idle = "1 W"', 'idle = "-1 W"', r"\[power\]: idle: '-1 W' is not a finite number of at least 0"),
        ('idle = "1 W"', 'idle = "nan W"', r"'nan W' is not a finite number"),
        ('idle = "1 W"', "idle = 1", r"idle: 1 has no unit"),
        ('idle = "1 W"', 'idle = "1 s"', r"unknown unit 's'"),
        ('name = "toy"', "", r"toy.toml: the key 'name' is missing"),
        ('name = "toy"', 'name = "toy"\ncolour = "red"', r"toy.toml: unknown key 'colour'"),
        ('"sbc"', '"sbcs"', r"kind is 'sbcs'; did you mean 'sbc'\? \(allowed: 'sbc', 'jetson'"),
        ('"peak only"', '"guessed"', r"quality is 'guessed' \(allowed: 'measured training'"),
        ("year = 2020", "year = 20", r"year: 20 is no year"),
        ("[0.5, 2.0]", "[1.5, 2.0]", r"spread is \[1.5, 2.0\]; allowed are factors with low <= 1 <= high"),
        ("[0.5, 2.0]", "[nan, 2.0]", r"write a list of 2 finite numbers above 0"),
        ("[rates.conv]", "[rates.convs]", r"\[rates\]: the key 'conv' is missing; did you mean 'convs'"),
        ('[rates.conv]\nflops = "2 GFLOP/s"', "[rates.conv]", r"\[conv\] is empty, so this class would be free"),
        ('[rates.conv]\nflops = "2 GFLOP/s"', '[rates.conv]\nflops = "0 FLOP/s"', r"a rate is 0"),
        ('[radio.default]\ntx = "2 W"', "[radio.default]", r"\[radio\]: \[default\]: the key 'tx' is missing"),
        ('name = "toy"', 'name = "toy"\nbattery = "10 mAh"', r"toy.toml: battery: .* unknown unit 'mAh'"),
        ('source = "its box"', "", r"\[\[source\]\] 1: the key 'source' is missing"),
        ('source = "its box"', 'source = ""', r"source: '' is no text"),
        ("[power]", "[power", r"toy.toml is no TOML"),
    ],
)
def test_wrong_files_are_refused_by_key_and_value(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(InputError, match=message):
        load(tmp_path, GOOD.replace(old, new, 1))


def test_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"unknown profile 'rasberry-pi-4'; did you mean 'raspberry-pi-4'"):
        load_profile("rasberry-pi-4")


def test_missing_file_is_refused() -> None:
    with pytest.raises(InputError, match=r"cannot read nowhere.toml: No such file"):
        load_profile("nowhere.toml")


def test_the_promised_devices_are_packaged() -> None:
    assert set(profile_names()) >= EIGHT | MORE


def test_every_kind_of_device_is_packaged() -> None:
    assert {load_profile(name).kind for name in profile_names()} == set(KINDS)


@pytest.mark.parametrize("name", profile_names())
def test_packaged_profile_is_named_after_its_file_and_survives_a_process_border(name: str) -> None:
    found = load_profile(name)
    assert found.name == name
    assert pickle.loads(pickle.dumps(found)) == found
    assert {kind for kind in WORK if found.rate(kind) == Rate()} <= {OpClass.ALLOCATE, OpClass.IMAGE}


@pytest.mark.parametrize("name", profile_names())
def test_every_number_of_a_packaged_profile_has_a_source(name: str) -> None:
    raw = tomllib.loads((packaged("device_profiles") / f"{name}.toml").read_text())
    wanted = {"memory", "storage", "rates"} | {f"power.{key}" for key in raw["power"]}
    wanted |= {f"radio.{key}" for key in raw.get("radio", {})} | ({"battery"} & raw.keys())
    assert wanted == {source["what"] for source in raw["source"]}


@pytest.mark.parametrize("name", profile_names())
def test_sources_are_files_at_a_commit_or_say_what_else_they_are(name: str) -> None:
    read = r"[\w.-]+/[\w.-]+(@\w{7,40})?(:.*)?$|assumed$|.*(data sheet|product brief)$"
    told = re.compile(rf"{read}|the operating system|fedsim devices measure$|not measured: ")
    assert [s.source for s in load_profile(name).sources if not told.match(s.source)] == []


def width(profile: Profile) -> float:
    low, high = profile.spread
    return high / low


def test_worse_quality_has_a_wider_spread() -> None:
    widths = {quality: [] for quality in QUALITIES}
    for name in profile_names():
        profile = load_profile(name)
        widths[profile.quality].append(width(profile))
    narrowest = [min(widths[quality]) for quality in QUALITIES]
    assert narrowest == sorted(narrowest)
    assert narrowest[0] > 1.2
    assert narrowest[1] > 2.5


def origin(profile: Profile) -> tuple[str, str]:
    """Return what a profile's rates were scaled from, and by what."""
    note = next(source.note for source in profile.sources if source.what == "rates")
    return re.match(r"the rates of (.*?), faster by: .* follow from (inference|peaks)", note).groups()


def test_of_what_was_scaled_from_one_device_peaks_are_never_surer_than_inference() -> None:
    found = [(load_profile(name), *origin(load_profile(name))) for name in SCALED]
    for one, base, by in found:
        for other, like, known_by in found:
            if base == like and (by, known_by) == ("inference", "peaks"):
                assert other.spread[0] <= one.spread[0] <= one.spread[1] <= other.spread[1]


@pytest.mark.parametrize("name", SCALED)
def test_what_was_scaled_says_from_what_and_is_no_surer_than_that(name: str) -> None:
    profile = load_profile(name)
    base, by = origin(profile)
    assert profile.quality == {"inference": "measured inference", "peaks": "peak only"}[by]
    if base in profile_names():
        known = load_profile(base)
        assert profile.spread[0] <= known.spread[0] <= known.spread[1] <= profile.spread[1]


def test_a_rate_adds_arithmetic_traffic_and_calls() -> None:
    assert Rate(2.0, 4.0, 0.5).seconds(Op(flops=6, bytes=8, calls=3)) == 3 + 2 + 1.5


def test_an_absent_term_costs_nothing() -> None:
    assert Rate(flops_per_s=2.0).seconds(Op(flops=6, bytes=1e30, calls=1e9)) == 3
