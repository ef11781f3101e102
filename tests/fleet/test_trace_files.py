"""Traces are read in every shape they come in, or refused with the file, the line, the value and the way out."""

import gzip
import re
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsim.errors import InputError
from fedsim.fleet.trace_files import read_traces
from fedsim.fleet.traces import looped

MBIT = 125_000.0


@pytest.fixture
def read(tmp_path):
    """Return what writes a file and reads it as a trace of both ways, or of one."""

    def read_it(text, *, name="t.csv", way=None):
        data = text.encode() if isinstance(text, str) else text
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return read_traces({way: name} if way else name, tmp_path)

    return read_it


def mbits(times, values, *, end_s):
    """Return the series of rates in Mbit/s."""
    return looped(times, [value * MBIT for value in values], end_s=end_s)


SHAPES = {
    "both ways, named traces": (
        "trace,technology,t_s,down_mbps,up_mbps\na,LTE,0,2.5,0.5\na,LTE,1,6.0,1.0\nb,LTE,0,7,\nb,LTE,1,8,\n",
        [mbits([0, 1], [2.5, 6.0], end_s=2), mbits([0, 1], [7, 8], end_s=2)],
        [mbits([0, 1], [0.5, 1.0], end_s=2), None],
    ),
    "uneven steps": ("trace,mode,t_s,down_mbps\nx,bus,0.0,1\nx,bus,1.01,2\nx,bus,2.0,3\nx,bus,9.0,4\n",
                     [mbits([0, 1.01, 2, 9], [1, 2, 3, 4], end_s=9.0 + 1.01)], []),
    "one trace without a name": ("t_s,down_mbps\n5,1\n6,2\n", [mbits([5, 6], [1, 2], end_s=7)], []),
    "mbps is down": ("trace,set,t_s,mbps,rtt_ms\na,s,0,1,\na,s,1,2,\n", [mbits([0, 1], [1, 2], end_s=2)], []),
    "tcp_mbps is up": ("trace,place,t_s,tcp_mbps,wifi\na,p,0,1,n\na,p,1,2,n\n", [], [mbits([0, 1], [1, 2], end_s=2)]),
    "an empty cell keeps the rate before": ("t_s,down_mbps\n0,1\n1,\n2,3\n", [mbits([0, 2], [1, 3], end_s=3)], []),
    "empty cells at the end are no part of it": (
        "t_s,down_mbps,up_mbps\n0,1,4\n1,2,5\n2,,6\n",
        [mbits([0, 1], [1, 2], end_s=2)], [mbits([0, 1, 2], [4, 5, 6], end_s=3)],
    ),
    "an instant told twice": ("t_s,down_mbps\n0,1\n1,2\n1,3\n2,4\n", [mbits([0, 1, 2], [1, 3, 4], end_s=3)], []),
    "a mark of the byte order, and lines that are blank": (
        "\ufefft_s,down_mbps\r\n0,1\r\n\r\n1,2\r\n", [mbits([0, 1], [1, 2], end_s=2)], [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_table_is_read(read, shape, name):
    text, down, up = SHAPES[shape]
    found = read(text, name=name)
    assert (list(found.down), list(found.up)) == (down, up)


@pytest.mark.parametrize(
    ("column", "way"), [("mbps", "up"), ("mbps", "down"), ("tcp_mbps", "down"), ("down_mbps", "down")]
)
def test_a_table_given_for_one_way_serves_that_way(read, column, way):
    found = read(f"t_s,{column},up_mbps_not\n0,1,9\n1,2,9\n", way=way)
    assert getattr(found, way) == (mbits([0, 1], [1, 2], end_s=2),)
    assert getattr(found, {"up": "down", "down": "up"}[way]) == ()


def test_a_column_of_ones_own_way_comes_before_the_others(read):
    found = read("t_s,mbps,up_mbps\n0,1,5\n1,2,6\n", way="up")
    assert found.up == (mbits([0, 1], [5, 6], end_s=2),)


def test_a_mahimahi_trace_is_counted_in_tenths_of_a_second(read):
    found = read("50\n100\n101\n400\n", name="x.down", way="down")
    assert found.down == (looped([0.0, 0.1, 0.2, 0.3], [30e3, 15e3, 0.0, 15e3], end_s=0.4),)
    assert found.up == ()


@settings(max_examples=50)
@given(st.lists(st.integers(0, 300), min_size=1, max_size=40).filter(any))
def test_a_period_of_mahimahi_has_the_bytes_of_its_packets(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("trace")
    times = list(accumulate(steps))
    (folder / "x.up").write_text("\n".join(map(str, times)))
    (series,) = read_traces({"up": "x.up"}, folder).up
    ends = [*series.starts_s[1:], series.starts_s[0] + series.period_s]
    carried = sum(rate * (end - start) for start, end, rate in zip(series.starts_s, ends, series.rates, strict=True))
    assert series.period_s == times[-1] / 1000
    assert carried == pytest.approx(1500 * len(times), rel=1e-9)


def test_the_digest_is_that_of_content_and_way(read):
    first, again, other, way = (
        read(text, name=name, way=way).digest
        for text, name, way in [
            ("5\n9\n", "x.down", "down"), ("5\n9\n", "y.down", "down"), ("5\n8\n", "x.down", "down"),
            ("5\n9\n", "x.down", "up"),
        ]
    )  # fmt: skip
    assert first == again
    assert len({first, other, way}) == 3


WRONG = {
    "no time": ("down_mbps\n1\n", "t.csv", None, "t.csv, line 1: has no column t_s (its columns: down_mbps): name"),
    "no rate": ("t_s,use\n1,2\n", "t.csv", None, "line 1: has no column down_mbps or mbps or up_mbps or tcp_mbps (its"),
    "no rate of a way": ("t_s,up_mbps\n1,2\n", "t.csv", "down", "no column down_mbps or mbps or tcp_mbps (its columns"),
    "nothing": ("", "t.csv", None, "line 1: has no column t_s (its columns: none)"),
    "a header alone": ("t_s,mbps\n", "t.csv", None, "t.csv: its column mbps holds no rate at all: fill it, or"),
    "rates that are empty": ("t_s,mbps\n0,\n1,\n", "t.csv", None, "t.csv: its column mbps holds no rate at all: fill"),
    "one row": ("t_s,mbps\n3,1\n", "t.csv", None, "line 2: the trace covers no time, all of it at t_s 3: give two"),
    "one instant": ("trace,t_s,mbps\na,3,1\na,3,2\n", "t.csv", None, "line 2: trace 'a' covers no time, all of it at"),
    "nothing ever": (
        "trace,t_s,mbps\na,0,1\na,1,1\nb,0,0\nb,1,0\n", "t.csv", None,
        "line 4: trace 'b' is 0 throughout, so nothing would ever arrive: remove it",
    ),
    "nothing but for an instant": (
        "t_s,mbps\n0,5\n0,0\n1,0\n", "t.csv", None, "line 2: the trace is 0 throughout, so nothing would ever arrive",
    ),
    "an open quote": ('t_s,mbps\n0,"' + 200_000 * "1", "t.csv", None, "t.csv: is no table of rates (field larger"),
    "packets of an epoch": (
        "1700000000000\n1700000000010\n", "t.down", "down",
        "t.down: its last packet is at 1700000000010 ms, over a month: times count from 0, so subtract the first",
    ),
    "less than nothing": ("t_s,mbps\n0,1\n1,-2\n", "t.csv", None, "line 3: mbps is '-2': write a finite number of"),
    "no number": ("t_s,mbps\n0,nan\n1,2\n", "t.csv", None, "line 2: mbps is 'nan': write a finite number of at least"),
    "text": ("t_s,mbps\n0,fast\n1,2\n", "t.csv", None, "line 2: mbps is 'fast': write a finite number of at least 0"),
    "without end": ("t_s,mbps\n0,inf\n1,2\n", "t.csv", None, "line 2: mbps is 'inf': write a finite number"),
    "no such time": ("t_s,mbps\n0,1\n,2\n", "t.csv", None, "line 3: t_s is '': write the seconds as a finite number"),
    "backwards": ("t_s,mbps\n0,1\n5,2\n4,3\n", "t.csv", None, "line 4: t_s is 4 after 5: sort each trace by time, or"),
    "a cell too few": ("t_s,mbps\n0,1\n5\n", "t.csv", None, "line 3: has 1 cells, the header 2: leave unknown ones"),
    "no text": (b"\xff\xfe", "t.csv", None, "t.csv: is no text (byte 0): give a trace; packed ones end in .gz"),
    "a Mahimahi trace for both": ("5\n", "x.down", None, "a Mahimahi trace serves one way: write trace = { down ="),
    "a table under another name": ("t_s,mbps\n", "x.txt", "up", "x.txt, line 1: 't_s,mbps' is no whole number of ms"),
    "packets backwards": ("5\n4\n", "x.up", "up", "x.up, line 2: 4 ms comes after 5 ms: sort the packets by time"),
    "packets that are half": ("5\n6.5\n", "x.up", "up", "x.up, line 2: '6.5' is no whole number of ms"),
    "packets of no time": ("0\n0\n", "x.up", "up", "x.up: covers no time: a Mahimahi trace has the ms of a packet on"),
    "no packets": ("", "x.up", "up", "x.up: covers no time: a Mahimahi trace has the ms of a packet on"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_trace_is_refused(read, case):
    text, name, way, message = WRONG[case]
    with pytest.raises(InputError, match=re.escape(message)):
        read(text, name=name, way=way)


def test_a_file_that_is_not_there_or_half_packed_is_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"cannot read the trace .*none\.csv: No such file or directory; paths start at"
    ):
        read_traces("none.csv", tmp_path)
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(b"t_s,mbps\n" * 99)[:20])
    with pytest.raises(InputError, match=r"x\.csv\.gz: is no whole gzip file"):
        read_traces("x.csv.gz", tmp_path)


@pytest.mark.parametrize(
    ("value", "message"), [({}, "trace names no file"), ({"dwon": "x"}, "trace names dwon: write")]
)
def test_a_trace_of_no_way_is_refused(tmp_path, value, message):
    (tmp_path / "x").write_text("5\n")
    with pytest.raises(InputError, match=message):
        read_traces(value, tmp_path)
