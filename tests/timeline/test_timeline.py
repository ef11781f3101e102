"""The timeline: one canonical order, one digest, sums that follow the spans."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.timeline import COLUMNS, SCHEMA, Recorder, Timeline, read_table, write_table
from fedsim.timeline import table as table_module
from fedsim.timeline.recorder import Span

spans = st.builds(
    Span,
    st.just("device-0"), st.integers(-1, 3), st.sampled_from(["download", "compute", "upload", "idle", "wait"]),
    st.sampled_from(["", "lte"]), st.sampled_from(["", "train"]), st.floats(0, 100), st.floats(100, 200),
    st.integers(0, 10**12), st.floats(0, 1e6), st.integers(0, 5),
    st.sampled_from(["", "home-0"]), st.floats(0, 1e6),
)  # fmt: skip
outcomes = st.sampled_from(["done", "late", "cut"])
logs = st.lists(st.tuples(spans, outcomes), max_size=12)

ONE = Span("device-0", 0, "upload", "lte", "", 1.0, 3.0, 10, 4.0, 2, "cell-0", 0.5)


def recorded(log):
    recorder = Recorder()
    for span, outcome in log:
        recorder.count(span)
        recorder.span(span, outcome)
    return recorder, recorder.close()


def test_a_span_is_a_row():
    _, timeline = recorded([(ONE, "late")])
    assert timeline.table.to_pylist() == [
        {
            "place": "device-0", "device": 0, "kind": "upload", "link": "lte", "job": "", "start_s": 1.0, "end_s": 3.0,
            "bytes": 10, "energy_j": 4.0, "version": 2, "outcome": "late",
            "bottleneck": "cell-0", "waited_s": 0.5,
        }
    ]  # fmt: skip


def test_a_mark_is_a_row_without_length():
    recorder = Recorder()
    recorder.mark(7, 2.5, "declined", version=3)
    (row,) = recorder.close().table.to_pylist()
    assert (row["place"], row["kind"], row["start_s"], row["end_s"], row["outcome"]) == (
        "device-7", "mark", 2.5, 2.5, "declined",
    )  # fmt: skip


def test_a_run_in_which_nothing_happened_has_a_timeline_and_a_digest():
    timeline = Recorder().close()
    assert (timeline.table.schema.names, timeline.table.num_rows, len(timeline.digest())) == (list(COLUMNS), 0, 16)


@given(logs, st.randoms(use_true_random=False))
def test_the_digest_does_not_depend_on_the_order_of_recording(log, shuffler):
    shuffled = log[:]
    shuffler.shuffle(shuffled)
    assert recorded(log)[1].digest() == recorded(shuffled)[1].digest()


CHANGES = {
    "place": "device-9", "device": 1, "kind": "download", "link": "wifi", "job": "train", "start_s": 1.1, "end_s": 3.1,
    "nbytes": 11, "energy_j": 4.1, "version": 3,
}  # fmt: skip


@pytest.mark.parametrize("column", CHANGES)
def test_every_column_counts_in_the_digest(column):
    other = ONE._replace(**{column: CHANGES[column]})
    assert recorded([(ONE, "done")])[1].digest() != recorded([(other, "done")])[1].digest()


def test_the_outcome_counts_in_the_digest():
    assert recorded([(ONE, "done")])[1].digest() != recorded([(ONE, "late")])[1].digest()


def test_a_billionth_of_a_second_does_not_count():
    near = ONE._replace(end_s=3.0 + 1e-11, energy_j=4.0 - 1e-11, start_s=1.0 + 1e-11)
    assert recorded([(ONE, "done")])[1].digest() == recorded([(near, "done")])[1].digest()


def test_neither_the_chunks_nor_their_size_show(monkeypatch):
    log = [(ONE._replace(start_s=random.Random(n).random(), job=f"job-{n % 7}"), "done") for n in range(100)]
    whole = recorded(log)[1]
    monkeypatch.setattr("fedsim.timeline.recorder._CHUNK", 7)
    pieces = recorded(log)[1]
    assert pieces.table.to_pylist() == whole.table.to_pylist()
    assert pieces.digest() == whole.digest()


def test_a_timeline_comes_back_from_disk_as_it_was(tmp_path):
    _, timeline = recorded([(ONE, "done"), (ONE._replace(start_s=0.5), "cut")])
    write_table(timeline.table, tmp_path / "timeline.parquet")
    back = Timeline(read_table(tmp_path / "timeline.parquet"))
    assert (back.digest(), back.table.schema.equals(SCHEMA)) == (timeline.digest(), True)


def test_a_table_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "timeline.parquet"
    write_table(recorded([(ONE, "done")])[1].table, path)
    before = path.read_bytes()

    def half(table: pa.Table, temporary, **options):
        temporary.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(table_module.pq, "write_table", half)
    with pytest.raises(OSError, match="disk full"):
        write_table(recorded([])[1].table, path)
    assert path.read_bytes() == before


@given(logs)
def test_totals_are_sums_over_devices_spans(log):
    recorder, timeline = recorded(log)
    rows = [row for row in timeline.table.to_pylist() if row["device"] >= 0]
    totals = recorder.totals
    assert totals.up_bytes == sum(row["bytes"] for row in rows if row["kind"] == "upload")
    assert totals.down_bytes == sum(row["bytes"] for row in rows if row["kind"] == "download")
    assert totals.energy_j == pytest.approx(sum(row["energy_j"] for row in rows), rel=1e-9)
    assert totals.wasted_bytes == sum(row["bytes"] for row in rows if row["outcome"] != "done")


@given(logs)
def test_the_servers_energy_stands_apart(log):
    recorder, timeline = recorded(log)
    server = sum(row["energy_j"] for row in timeline.table.to_pylist() if row["device"] == -1)
    assert recorder.totals.server_energy_j == pytest.approx(server, rel=1e-9)
