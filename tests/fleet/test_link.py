"""Links come by name or are spelled out; anything else is refused with the way out."""

import pytest

from fedsim.errors import InputError
from fedsim.fleet.link import Link, link_from, link_names, load_link


def test_the_promised_links_are_packaged() -> None:
    assert set(link_names()) >= {
        "wifi-home", "lte", "5g-low-band", "5g-mmwave", "hspa", "cable", "fibre", "ethernet", "satellite",
    }  # fmt: skip


def test_preset_is_in_bytes_per_second_and_one_way_seconds() -> None:
    assert load_link("lte") == Link("lte", 27.1e6 / 8, 10.6e6 / 8, 0.0424, "lte")


@pytest.mark.parametrize("name", link_names())
def test_preset_is_no_faster_up_than_down_and_reaches_the_moon_in_time(name: str) -> None:
    link = load_link(name)
    assert 0 < link.up_bytes_per_s <= link.down_bytes_per_s
    assert 0 < link.latency_s < 1.3


def test_name_and_inline_table_make_links() -> None:
    spelled = {"down": "20 Mbit/s", "up": "5 Mbit/s", "latency": "20 ms"}
    assert link_from("fibre") is load_link("fibre")
    assert link_from(spelled) == Link("custom", 2.5e6, 625e3, 0.02, "wifi")
    assert link_from({**spelled, "technology": "default"}) == link_from(spelled)
    assert link_from({**spelled, "technology": "lte", "name": "attic"}) == Link("attic", 2.5e6, 625e3, 0.02, "lte")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("wifi", r"unknown link 'wifi'; did you mean 'wifi-home'.*or write one inline: \{ down"),
        (7, r"link is 7; allowed is one of 5g-low-band"),
        ({"down": "20 Mbit/s", "up": "5 Mbit/s"}, r"link: the key 'latency' is missing"),
        ({"down": "20 Mbit/s", "up": 5, "latency": "1 ms"}, r"link: up: 5 has no unit"),
        ({"down": "20 Mbit/s", "up": "0 bit/s", "latency": "1 ms"}, r"a rate is 0"),
        ({"down": "1 MB/s", "up": "1 MB/s", "latency": "1 ms", "jitter": "1 ms"}, r"unknown key 'jitter'"),
        ({"down": "1 MB/s", "up": "1 MB/s", "latncy": "1 ms"}, r"'latency' is missing; did you mean 'latncy'"),
    ],
)
def test_wrong_links_are_refused(value: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        link_from(value)
