"""Links come by name or are spelled out; anything else is refused with the way out."""

import pytest

from fedsim.errors import InputError
from fedsim.fleet.capacity import Constant
from fedsim.fleet.link import Link, link_from, link_names, load_link
from fedsim.fleet.traces import Trace

TABLE = "t_s,down_mbps,rtt_ms\n0,8,\n1,16,\n"


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


def test_a_link_like_another_differs_where_it_says_so() -> None:
    lte = load_link("lte")
    assert link_from({"like": "lte"}) == lte
    assert link_from({"like": "lte", "down": "8 kbit/s", "name": "slow", "loss": 0.1}) == Link(
        "slow", 1000.0, lte.up_bytes_per_s, lte.latency_s, "lte", loss=0.1
    )


def test_a_link_varies_as_its_technology_does_about_its_own_rates() -> None:
    link = link_from({"like": "lte", "varies": True, "down": "8 kbit/s"})
    whole, own = (found.capacity((0, 1), seed=2, up=False) for found in (load_link("lte", varies=True), link))
    assert own.rate(77.0) / 1000.0 == pytest.approx(whole.rate(77.0) / load_link("lte").down_bytes_per_s)
    assert link_from({"like": "lte", "varies": False}) == load_link("lte")


def test_a_trace_gives_the_rates_it_has_and_the_nominal_one_stays(tmp_path) -> None:
    (tmp_path / "t.csv").write_text(TABLE)
    link = link_from({"like": "lte", "trace": "t.csv"}, tmp_path)
    down, up = (link.capacity((0, 1), seed=2, up=up) for up in (False, True))
    assert isinstance(down, Trace)
    assert sorted(down.series.rates) == [1e6, 2e6]
    assert up == Constant(load_link("lte").up_bytes_per_s)
    assert (link.name, link.down_bytes_per_s) == ("lte", load_link("lte").down_bytes_per_s)


def test_each_way_may_have_a_trace_of_its_own(tmp_path) -> None:
    (tmp_path / "x.down").write_text("100\n")
    (tmp_path / "t.csv").write_text(TABLE)
    trace = {"down": "x.down", "up": "t.csv"}
    with pytest.raises(InputError, match=r"t\.csv, line 1: has no column up_mbps or mbps or tcp_mbps"):
        link_from({"like": "lte", "trace": trace}, tmp_path)
    (tmp_path / "t.csv").write_text(TABLE.replace("down", "up"))
    link = link_from({"like": "lte", "trace": trace}, tmp_path)
    assert link.capacity((0, 1), seed=2, up=False).rate(5.0) == 15_000.0
    assert link.capacity((0, 1), seed=2, up=True).rate(5.0) in {1e6, 2e6}


def test_links_with_the_same_trace_are_equal_and_with_another_are_not(tmp_path) -> None:
    def made(text: str) -> Link:
        (tmp_path / "x.down").write_text(text)
        return link_from({"like": "lte", "trace": {"down": "x.down"}}, tmp_path)

    assert made("5\n") == made("5\n") != made("6\n")
    assert repr(made("5\n")) != repr(made("6\n"))


def test_a_shared_link_has_one_capacity_that_of_down(tmp_path) -> None:
    (tmp_path / "t.csv").write_text(TABLE)
    for more in ({}, {"varies": True}, {"trace": "t.csv"}):
        link = link_from({"like": "wifi-home", "shared": True, **more}, tmp_path)
        assert link.shared
        assert link.up_bytes_per_s == link.down_bytes_per_s == load_link("wifi-home").down_bytes_per_s
        down, up = (link.capacity((0, 1), seed=2, up=up) for up in (False, True))
        assert down == up


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"like": "wifi"}, r"unknown link 'wifi'; did you mean 'wifi-home'"),
        ({"like": "lte", "down": "0 B/s"}, r"a rate is 0"),
        ({"like": "ethernet", "varies": True}, r"link 'ethernet' does not vary: leave varies out, or give it a trace"),
        ({"like": "lte", "varies": 1}, r"link: varies: 1 is neither true nor false"),
        ({"like": "lte", "loss": 0.6}, r"link: loss: 0\.6 is no share of packets .* write a number from 0 to 0\.5"),
        ({"like": "lte", "varies": True, "trace": "t.csv"}, r"varies and trace both say how the rates change"),
        (
            {"like": "lte", "shared": True, "up": "1 B/s"},
            r"shared, so both ways have one capacity: give up the rate of",
        ),
        ({"like": "lte", "shared": True, "trace": {"up": "x.up"}}, r"the capacity of down, for which it has no trace"),
        ({"down": "1 B/s", "up": "1 B/s", "latency": "1 s", "varies": True}, r"varies needs the link whose variation"),
    ],
)
def test_what_a_link_cannot_be_is_refused(tmp_path, value: object, message: str) -> None:
    (tmp_path / "x.up").write_text("5\n")
    (tmp_path / "t.csv").write_text(TABLE)
    with pytest.raises(InputError, match=message):
        link_from(value, tmp_path)


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
