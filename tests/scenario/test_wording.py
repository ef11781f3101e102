"""Names, places and values as messages write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.scenario.wording import show_place, shown
from fedsim.units import UNITS, parse, written


@given(st.sampled_from(sorted(UNITS)), st.floats(0, 1e12, allow_subnormal=False))
def test_a_quantity_reads_back_as_it_was_written(kind, value):
    assert parse(written(value, kind), kind) == value


def test_a_long_value_is_cut():
    assert shown("x" * 100) == "'" + "x" * 58 + "…"


@pytest.mark.parametrize(
    ("methods", "expected"),
    [
        ([{"name": "fedavg"}], "method.fedavg.x"),
        ([{"name": "fedavg", "label": "a"}], "method.a.x"),
        ([{"name": "fedavg"}, {"name": "fedavg"}], "method.0.x"),
        ([{"name": "a b"}], "method.0.x"),
        ([{"name": 3}], "method.0.x"),
        ([3], "method.0.x"),
        (3, "method.0.x"),
    ],
)
def test_a_method_is_called_by_label_or_name_where_that_is_plain(methods, expected):
    assert show_place(("method", 0, "x"), {"method": methods}) == expected
