"""Points: measured times beside a profile's rates, read strictly and written as they are read."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.errors import InputError
from fedsim.fleet.points import STEPS, Point, read_points, write_points
from fedsim.fleet.table import Table, read_toml

GOOD = """
columns = ["name", "family", "step", "batch", "seconds", "fitted", "left_out", "gflop"]
rows = [["resnet18", "resnet", "training", 16, 10.92, 10.4, 11.3, 174.2], ["mm", "products", "operator", 1, 2, 3, 0, 4]]
"""


def points(tmp_path: Path, text: str) -> tuple[Point, ...]:
    (tmp_path / "toy.toml").write_text(text)
    return read_points(read_toml(tmp_path / "toy.toml"))


def test_points_are_read_in_order(tmp_path: Path) -> None:
    assert points(tmp_path, GOOD) == (
        Point("resnet18", "resnet", "training", 16, 10.92, 10.4, 11.3, 174.2),
        Point("mm", "products", "operator", 1, 2.0, 3.0, 0.0, 4.0),
    )


def test_joules_may_follow(tmp_path: Path) -> None:
    text = 'columns = ["name", "family", "step", "batch", "seconds", "fitted", "left_out", "gflop", "joules"]\n'
    assert points(tmp_path, text + 'rows = [["a", "b", "check", 1, 1, 1, 0, 1, 2.5]]')[0].joules == 2.5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"gflop"]', '"gflops"]', r"columns: \['name'.*'gflops'\] is not allowed; write \['name', .*, and 'joules' at"),
        ("174.2]", "174.2, 1]", r"rows: row 1 is \[.*\]; write 8 values: name, family, step, batch"),
        ('"training"', '"trained"', r"rows: row 1: step is 'trained'; allowed is one of 'training', 'head'"),
        ("16,", "0,", r"row 1: batch is 0; allowed is a whole number of at least 1"),
        ("10.92", "0", r"row 1: seconds is 0; allowed is a finite number of seconds above 0"),
        ("10.4", "inf", r"row 1: fitted is inf; allowed is a finite number of seconds above 0"),
        ("3, 0, 4", "3, -1, 4", r"row 2: left_out is -1; allowed is a finite number of seconds, 0 where none was left"),
        ("174.2", "nan", r"row 1: gflop is nan"),
        ('"products"', '""', r"row 2: family is ''; allowed is a non-empty text"),
        ("rows", "row", r"the key 'rows' is missing; did you mean 'row'"),
    ],
)
def test_wrong_points_are_refused_by_row_and_column(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(InputError, match=message):
        points(tmp_path, GOOD.replace(old, new, 1))


def test_no_rows_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"rows: \[\] is no list of rows; .* or leave \[points\] out"):
        points(tmp_path, GOOD.partition("rows")[0] + "rows = []")


NUMBERS = st.integers(1, 9999).map(lambda n: n / 100)
POINTS = st.builds(
    Point, st.text('aö"\\', min_size=1), st.just("f"), st.sampled_from(STEPS), st.integers(1, 64), NUMBERS, NUMBERS,
    st.just(0.0) | NUMBERS, NUMBERS, st.just(0.0) | NUMBERS,
)  # fmt: skip


@given(st.lists(POINTS, min_size=1, max_size=4))
def test_what_is_written_is_read_again(found: list[Point]) -> None:
    import tomllib

    table = Table("toy.toml", tomllib.loads(write_points(found))).table("points")
    assert read_points(table) == tuple(found)


def test_a_check_was_never_seen_by_the_rates() -> None:
    check, operator = (Point("a", "b", step, 1, 1.0, 3.0, 0.0, 1.0) for step in ("check", "operator"))
    assert (check.unseen_s, operator.unseen_s) == (3.0, 0.0)
