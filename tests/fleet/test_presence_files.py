"""Records are read in every shape they come in, or refused with the file, the line, the value and the way out."""

import csv
import gzip
import json
import os
import pickle
import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsim.errors import InputError
from fedsim.fleet.presence import DAY_S, Life, Living, lived
from fedsim.fleet.presence_files import read_presence

HOUR_S = 3600.0


@pytest.fixture
def read(tmp_path):
    """Return what writes a file and reads its lives."""

    def read_it(content, *, name="lives.csv", **said):
        data = content.encode() if isinstance(content, str) else content
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return read_presence(tmp_path / name, seed=0, **said)

    return read_it


def daily(*hours, days=1):
    """Return a looped life that is online between pairs of hours."""
    pairs = zip(hours[::2], hours[1::2], strict=True)
    return lived([(a * HOUR_S, b * HOUR_S) for a, b in pairs], length_s=days * DAY_S, loops=True)


INTERVALS = "start_s,device,model,end_s\n7200,b,X,10800\n0,a,,3600\n3600,b,X,7200\n90000,a,,93600\n"


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_a_table_of_intervals_is_read_in_any_order(read, name):
    assert read(INTERVALS, name=name).lives == (daily(1, 3, days=2), daily(0, 1, 25, 26, days=2))


def test_loops_are_as_long_as_the_record_where_offsets_lose_the_hour(read):
    assert [life.length_s for life in read(INTERVALS, offset="any").lives] == [93600.0] * 2
    assert [life.length_s for life in read(INTERVALS, offset="none").lives] == [2 * DAY_S] * 2


def test_without_loop_the_end_is_the_end(read):
    (life, _) = read(INTERVALS, loop=False).lives
    assert life == Life((3600.0, 10800.0), 2 * DAY_S, loops=False)


STATES = """\
user,first_weekday,start_s,end_s,charging,network,battery_start,battery_end
u1,0,0,7200,1,wifi,0.1,0.9
u1,0,7200,10800,1,no_wifi,0.9,0.9
u1,0,10800,14400,0,wifi,0.9,0.8
u1,0,14400,86400,0,unknown,0.8,0.1
u2,3,3600,7200,0,no_wifi,1.0,1.0
u2,3,7200,90000,1,wifi,1.0,1.0
"""


@pytest.mark.parametrize(
    ("needs", "first"),
    [(None, daily(0, 2)), (("charging", "wifi"), daily(0, 2)), (("charging",), daily(0, 3))],
)
def test_a_table_of_states_is_online_where_all_needs_hold(read, needs, first):
    assert read(STATES, needs=needs).lives == (first, daily(2, 25))


def test_a_need_not_known_is_a_hole_unless_another_fails(read):
    off, held = (read(STATES, needs=("wifi",), holes=holes).lives[0] for holes in ("off", "hold"))
    assert off == daily(0, 2, 3, 4)
    assert held == daily(0, 2, 3, 24)
    text = "user,start_s,end_s,charging,network\na,0,3600,1,wifi\na,3600,86400,0,unknown\n"
    assert read(text, holes="hold").lives == (daily(0, 1),)


def test_a_column_that_is_not_needed_need_not_be_there(read):
    text = "device,start_s,end_s,network\na,0,3600,wifi\na,3600,86400,no_wifi\n"
    assert read(text, needs=("wifi",)).lives == (daily(0, 1),)


FEDSCALE = {
    1: {"duration": 7200, "inactive": [3600, 90000], "finish_time": 172800, "active": [0, 86400], "model": "CPH1801"},
    2: {"duration": 0, "inactive": [], "finish_time": 86400, "active": [], "model": "Mi 5"},
    3: {"duration": 0, "inactive": [5, 99999], "finish_time": 86400, "active": [10, 82800], "model": "Mi 5"},
}


@pytest.mark.parametrize("name", ["client_behave_trace", "trace.pkl.gz"])
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_fedscales_pickle_is_read(read, name, protocol):
    lives = read(pickle.dumps(FEDSCALE, protocol), name=name).lives
    assert lives == (daily(0, 1, 24, 25, days=2), daily(), daily(23, 24))


def test_fedscales_records_are_read_as_json_too(read):
    found = read(json.dumps(FEDSCALE), name="trace.json", offset="any")
    assert found.lives == read(pickle.dumps(FEDSCALE), name="trace", offset="any").lives
    assert found.lives[2] == daily(23, 24)


def test_a_fedscale_client_is_active_modulo_its_finish_time(read):
    record = {"active": [100, 300], "inactive": [200, 350], "finish_time": 500}
    (life,) = read(json.dumps({"1": record}), name="t.json", offset="any").lives
    for at_s in range(0, 5000, 7):
        norm = at_s % 500
        assert Living(life).online(at_s) == (100 <= norm < 200 or 300 <= norm < 350)


def messages(*lines):
    return {"guid": "g", "model": "SM-A300M", "messages": "\n".join(line.replace("|", "\t") for line in lines) + "\n"}


FLASH = {
    "0": messages(
        "2020-01-31 01:00:00|battery_charged_on", "2020-01-31 02:00:00|WIFI", "2020-01-31 02:30:00|55.0%",
        "2020-01-31 03:00:00|screen_lock", "2020-01-31 05:00:00|screen_on", "2020-01-31 06:00:00|screen_unlock",
        "2020-01-31 07:00:00|screen_off", "2020-01-31 08:00:00|4G", "2020-01-31 09:00:00|battery_charged_off",
    ),
    "1": messages(
        "2020-02-01 00:00:00|screen_lock", "2020-02-01 00:00:00|battery_charged_on", "2020-02-01 00:00:00|wifi",
        "2020-02-01 03:00:00|50%", "2020-02-01 02:00:00|Unknown",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("needs", "first"),
    [(None, daily(3, 6)), (("charging",), daily(1, 9)), (("wifi", "charging"), daily(2, 8)),
     (("screen_off", "wifi"), daily(7, 8)), (("idle",), daily(3, 6))],
)  # fmt: skip
def test_flashs_states_are_read_as_its_authors_do_or_for_other_needs(read, needs, first):
    assert read(json.dumps(FLASH), name="state_traces.json", needs=needs, holes="off").lives[0] == first


def test_flashs_messages_are_sorted_and_count_from_the_midnight_before_the_first_of_all(read):
    (_, second) = read(json.dumps(FLASH), name="t.json", loop=False).lives
    assert second == Life((24 * HOUR_S, 26 * HOUR_S), 2 * DAY_S, loops=False)


def test_the_digest_is_that_of_content_and_reading(read):
    first, again, other, *ways = (
        read(text, name=name, **said).digest
        for text, name, said in [
            (STATES, "a.csv", {}), (STATES, "b.csv", {}), (STATES + "u3,0,0,9,0,wifi,1,1\n", "a.csv", {}),
            (STATES, "a.csv", {"needs": ("wifi",)}), (STATES, "a.csv", {"holes": "off"}),
            (STATES, "a.csv", {"loop": False}),
        ]
    )  # fmt: skip
    assert first == again
    assert len({first, other, *ways}) == 5


STATE = "user,start_s,end_s,charging,network\n"
WRONG = {
    "no table, JSON or pickle": ("5\n9\n", "x.trace", {}, "x.trace: is no record of comings and goings: a table ends "),
    "nothing": ("", "x.csv", {}, "x.csv, line 1: has no column device (its columns: none): name it so"),
    "no end": ("device,start_s,end\na,0,1\n", "x.csv", {}, "has no column end_s (its columns: device, start_s, end): "),
    "no device": ("device,start_s,end_s\n", "x.csv", {}, "x.csv: none of its 0 devices is ever online: give another f"),
    "nobody ever": (
        STATE + "a,0,9,0,wifi\nb,0,9,1,no_wifi\n", "x.csv", {}, "x.csv: none of its 2 devices is ever online: give",
    ),
    "backwards": ("device,start_s,end_s\na,0,1\na,5,3\n", "x.csv", {}, "line 3: end_s is 3, before start_s 5: exchang"),
    "no number": ("device,start_s,end_s\na,soon,1\n", "x.csv", {}, "line 2: start_s is 'soon': write seconds from"),
    "no time": ("device,start_s,end_s\na,,1\n", "x.csv", {}, "line 2: start_s is '': write seconds from the first"),
    "no end of it": ("device,start_s,end_s\na,0,inf\n", "x.csv", {}, "line 2: end_s is 'inf': write seconds from"),
    "before the first": ("device,start_s,end_s\na,-5,1\n", "x.csv", {}, "line 2: start_s is '-5': write seconds from"),
    "an epoch": (
        "device,start_s,end_s\na,1700000000,1700000009\n", "x.csv", {},
        "line 2: start_s is 1700000000, over ten years: times count from 0, so subtract the first",
    ),
    "a cell too few": ("device,start_s,end_s\na,0\n", "x.csv", {}, "line 2: has 2 cells, the header 3: leave unknown"),
    "an open quote": (
        'device,start_s,end_s\na,0,"' + 200_000 * "1", "x.csv", {}, "x.csv: is no table of comings and goings (field",
    ),
    "needs of what does not tell": (
        "device,start_s,end_s\na,0,1\n", "x.csv", {"needs": ("charging", "wifi")},
        "x.csv: says only when devices are online, so it cannot tell charging and wifi: leave needs out, or give a fil",
    ),
    "idle of a table": (
        STATE, "x.csv", {"needs": ("idle", "wifi")}, "x.csv: does not tell idle, only charging, wifi: need those",
    ),
    "no network": ("user,start_s,end_s,charging\n", "x.csv", {}, "line 1: has no column network (its columns: user, s"),
    "no user": ("start_s,end_s,charging,network\n", "x.csv", {}, "line 1: has no column user (its columns: start_s"),
    "charging yes": (STATE + "a,0,9,yes,wifi\n", "x.csv", {}, "line 2: charging is 'yes': write one of 1, 0, -1"),
    "a network of its own": (STATE + "a,0,9,1,5G\n", "x.csv", {}, "line 2: network is '5G': write one of wifi, no_wif"),
    "told twice": (
        STATE + "a,5,9,1,wifi\na,0,6,0,wifi\n", "x.csv", {}, "line 2: 'a' is told of twice, from 5 and until 6: mend o",
    ),
    "nothing known": (
        STATE + "a,0,9,1,wifi\nb,0,9,1,unknown\n", "x.csv", {},
        "line 3: of 'b' nothing is known of what is needed: remove it, or need less",
    ),
    "an unknown need": (STATE, "x.csv", {"needs": ("wify",)}, "unknown need 'wify'; did you mean 'wifi'? (known: char"),
    "no need": (STATE, "x.csv", {"needs": ()}, "needs is empty: name one or more of charging, wifi, idle, screen_off"),
    "an unknown offset": (STATE, "x.csv", {"offset": "day"}, "unknown offset 'day'; did you mean 'days'?"),
    "an unknown filling": (STATE, "x.csv", {"holes": "skip"}, "unknown holes 'skip' (known: borrow, hold, off)"),
    "an unknown draw": (STATE, "x.csv", {"draw": "ordre"}, "unknown draw 'ordre'; did you mean 'order'?"),
    "half JSON": ('{"1":\n {"active": [', "x.json", {}, "x.json, line 2: is no JSON (Expecting value): fetch or write"),
    "deep JSON": ('{"a":' * 100_000, "x.json", {}, "x.json: is no record of comings and goings (maximum recursion"),
    "a number without end": ('{"1": ' + "9" * 9999, "x.json", {}, "x.json: is no record of comings and goings (Exc"),
    "no devices": ("{}", "x.json", {}, "x.json: holds no devices by name: write FedScale's {"),
    "another kind": ('{"1": {"speed": 1}}', "x.json", {}, "x.json, device '1': is of no known kind: write FedScale's "),
    "half a pickle": (pickle.dumps(FEDSCALE)[:-9], "x", {}, "x: is no pickle of plain dicts, lists and numbers ("),
    "a pickled list": (pickle.dumps([1]), "x", {}, "x: holds no devices by name: write FedScale's {"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_record_is_refused(read, case):
    content, name, said, message = WRONG[case]
    with pytest.raises(InputError, match=re.escape(message)):
        read(content, name=name, **said)


PAIRS = {"active": [0], "inactive": [5], "finish_time": 9}
WRONG_DEVICES = {
    "no inactive": (
        {"active": [0], "finish_time": 9},
        "has no inactive: write active, inactive and finish_time, in sec",
    ),
    "uneven": (PAIRS | {"active": [0, 7]}, "has 2 active and 1 inactive times: give one of each in a pair"),
    "no list": (PAIRS | {"active": 5}, "active is 5: write a list of seconds"),
    "text": (PAIRS | {"inactive": ["5"]}, "inactive, number 1 is '5': write finite seconds"),
    "a truth": (PAIRS | {"finish_time": True}, "finish_time, number 1 is True: write finite seconds"),
    "no time": (PAIRS | {"finish_time": 0}, "finish_time is 0: write the seconds after which the record starts again"),
    "never": (PAIRS | {"active": [float("nan")]}, "active, number 1 is nan: write finite seconds"),
    "beyond floats": (PAIRS | {"active": [-(10**400)]}, "active, number 1 is -1000"),
    "no record": ([1], "is [1]: write active, inactive and finish_time"),
}


@pytest.mark.parametrize("case", WRONG_DEVICES)
def test_what_fedscale_cannot_have_written_is_refused_by_device(read, case):
    record, message = WRONG_DEVICES[case]
    with pytest.raises(InputError, match=re.escape(f"x.json, device 'b': {message}")):
        read(json.dumps({"a": PAIRS, "b": record}), name="x.json")


WRONG_MESSAGES = {
    "a date that never was": (
        "2020-02-30 00:00:00|wifi",
        "message 2 is '2020-02-30 00:00:00\\twifi': write 2020-01-02",
    ),
    "a date of another kind": (
        "20200201|wifi",
        "message 2 is '20200201\\twifi': write 2020-01-02 00:00:00, a tab, and",
    ),
    "a state of its own": (
        "2020-02-01 00:00:00|wify",
        "message 2 says 'wify'; did you mean 'wifi'?: write one of battery",
    ),
    "no tab": ("2020-02-01 00:00:00 wifi", "message 2 is '2020-02-01 00:00:00 wifi': write 2020-01-02 00:00:00, a tab"),
    "a charge of nothing": ("2020-02-01 00:00:00|%", "message 2 says '%': write one of"),
}


@pytest.mark.parametrize("case", WRONG_MESSAGES)
def test_what_flash_cannot_have_written_is_refused_by_device_and_message(read, case):
    line, message = WRONG_MESSAGES[case]
    record = messages("2020-01-31 00:00:00|wifi", line, "2020-02-02 00:00:00|wifi")
    with pytest.raises(InputError, match=re.escape(f"x.json, device 'b': {message}")):
        read(json.dumps({"a": FLASH["0"], "b": record}), name="x.json")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"messages": ["a"]}, "messages is ['a']: write lines of time, tab and what changed"),
        ({}, "messages is None: write lines of"),
        (messages("2020-02-02 00:00:00|wifi", "2020-02-02 00:00:00|4G"), "its 2 messages cover no time: remove it"),
        (messages(), "its 0 messages cover no time: remove it"),
    ],
)
def test_a_flash_record_without_messages_or_time_is_refused_by_device(read, record, message):
    with pytest.raises(InputError, match=re.escape(f"x.json, device 'b': {message}")):
        read(json.dumps({"a": FLASH["0"], "b": record}), name="x.json")


def test_needs_of_fedscales_record_are_refused(read):
    with pytest.raises(InputError, match="says only when devices are active, so it cannot tell wifi: leave needs out"):
        read(json.dumps(FEDSCALE), name="x.json", needs=("wifi",))


def test_a_life_never_online_is_one_among_others(read):
    lives = read(STATE + "a,0,86400,0,wifi\nb,0,86400,1,wifi\n").lives
    assert [Living(life).online(5.0) for life in lives] == [False, True]


class Malice:
    """What runs a command as it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_runs_code_is_refused_and_runs_none(read, tmp_path, protocol):
    data = pickle.dumps({1: Malice(tmp_path / "made")}, protocol)
    pickle.loads(pickle.dumps(Malice(tmp_path / "by pickle itself"), protocol))
    with pytest.raises(
        InputError, match=r"trace: is no pickle of plain dicts.*it asks for (posix|nt)\.mkdir, and so could"
    ):
        read(data, name="trace")
    assert (tmp_path / "by pickle itself").exists()
    assert not (tmp_path / "made").exists()


@settings(max_examples=200)
@given(st.data())
def test_a_damaged_pickle_is_read_or_refused_and_never_fails_otherwise(tmp_path_factory, data):
    content = bytearray(pickle.dumps(FEDSCALE, data.draw(st.integers(2, pickle.HIGHEST_PROTOCOL))))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(1, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "trace"
    path.write_bytes(content)
    with suppress(InputError):
        assert len(read_presence(path, seed=0).lives) >= 1


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"cannot read the trace .*none\.csv: No such file or directory"):
        read_presence(tmp_path / "none.csv", seed=0)


MEASUREMENTS = os.environ.get("FEDSIM_MEASUREMENTS")


def recorded(path):
    """Return the hours of the day at which each phone of a table was recorded."""
    found = {}
    with gzip.open(path, "rt") as file:
        for row in csv.DictReader(file):
            first, last = int(row["start_s"]) // 3600, (int(row["end_s"]) - 1) // 3600
            found.setdefault(row["user"], set()).update(hour % 24 for hour in range(first, last + 1))
    return list(found.values())


def share(life, hour):
    """Return the share of an hour of the day that a life is online, over its days, every five minutes."""
    days = int(life.length_s / DAY_S)
    times = [day * DAY_S + hour * HOUR_S + minute * 60.0 for day in range(days) for minute in range(0, 60, 5)]
    return sum(Living(life).online(at_s) for at_s in times) / len(times)


@pytest.mark.skipif(MEASUREMENTS is None, reason="FEDSIM_MEASUREMENTS names no measurements")
@pytest.mark.parametrize(
    ("needs", "column"),
    [(None, "charging_and_wifi"), (("charging",), "charging"), (("wifi",), "wifi")],
)
def test_phones_that_were_recorded_are_there_at_the_hours_they_were(needs, column):
    folder = Path(str(MEASUREMENTS)) / "availability"
    path = folder / "extrasensory_state_intervals.csv.gz"
    lives = read_presence(path, seed=0, needs=needs).lives
    seen = recorded(path)
    with (folder / "extrasensory_hourly.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["days"] == "all"]
    differences = []
    for row in rows:
        hour = int(row["local_hour"])
        shares = [share(life, hour) for life, hours in zip(lives, seen, strict=True) if hour in hours]
        differences.append(sum(shares) / len(shares) - float(row[f"{column}_mean_over_users"]))
    assert (len(lives), len(rows)) == (37, 24)
    assert max(map(abs, differences)) < 0.05
    assert abs(sum(differences) / 24) < 0.012
