from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.fleet.fitting import Column, Fit, Row, coverage, spread
from fedsim.fleet.profile import Rate
from fedsim.work import Load, Op

FLOPS, BYTES = Column("flops", ("conv",)), Column("bytes", ("memory.forward", "memory.backward"))


def row(gflop: float, gbyte: float, seconds: float, family: str = "") -> Row:
    half = Op(bytes=gbyte * 5e8)
    ops = {"conv.forward.3x3": Op(flops=gflop * 1e9), "memory.forward.plain": half, "memory.backward.pool": half}
    return Row("row", Load(ops), seconds, family)


@given(st.floats(0.1, 10), st.floats(0.1, 10))
def test_costs_that_explain_all_rows_are_found(per_gflop: float, per_gbyte: float) -> None:
    rows = [row(a, b, a * per_gflop + b * per_gbyte) for a, b in ((1, 1), (3, 1), (1, 4))]
    assert Fit((FLOPS, BYTES)).solve(rows) * 1e9 == pytest.approx([per_gflop, per_gbyte], rel=1e-6)


def test_nothing_is_faster_than_its_peak() -> None:
    fit = Fit((FLOPS, BYTES), peak_flops_per_s=5e8, peak_bytes_per_s=1e9)
    assert fit.solve([row(1, 1, 0.1), row(2, 1, 0.2)]).tolist() == pytest.approx([2e-9, 1e-9])


def test_a_disturbed_row_bends_a_tolerant_fit_less() -> None:
    rows = [row(a, 0, a) for a in (1, 2, 3, 4)] + [row(5, 0, 15)]
    strict, tolerant = (Fit((FLOPS,), tolerance=t).solve(rows)[0] for t in (0.0, 0.05))
    assert abs(tolerant - 1e-9) < abs(strict - 1e-9)


def test_a_family_is_predicted_without_its_own_rows() -> None:
    rows = [row(1, 0, 1, "a"), row(2, 0, 2, "a"), row(1, 0, 9, "b")]
    assert Fit((FLOPS,)).left_out(rows)[2] == pytest.approx(1.0)


def test_calls_outside_the_columns_have_the_given_cost() -> None:
    load = Load({"conv.forward.3x3": Op(flops=1e9, calls=10), "matmul": Op(calls=5), "allocate": Op(calls=7)})
    fit = Fit((FLOPS, Column("calls", ("matmul",))), call_s=0.1)
    assert fit.predict(np.array([1e-9, 0.2]), [Row("row", load, 1.0)]).tolist() == pytest.approx([1 + 1 + 1])


def test_rates_are_of_what_columns_name_or_of_the_kinds_asked_for() -> None:
    fit = Fit((FLOPS, BYTES), call_s=1e-6)
    assert fit.rates(np.array([1e-9, 0.0])).keys() == {"conv", "memory.forward", "memory.backward"}
    asked = fit.rates(np.array([1e-9, 5e-10]), ["conv.forward.3x3", "memory.backward.pool"])
    assert asked == {
        "conv.forward.3x3": Rate(pytest.approx(1e9), call_s=1e-6),
        "memory.backward.pool": Rate(bytes_per_s=pytest.approx(2e9), call_s=1e-6),
    }


def test_the_interval_widens_with_fewer_families() -> None:
    factors = [1.1, 0.9, 1.1, 0.9]
    few, many = spread(factors, list("aabb")), spread(factors, list("abcd"))
    assert few[0] < many[0] < 0.9
    assert 1.1 < many[1] < few[1]


def test_coverage_is_of_the_interval_that_the_other_families_give() -> None:
    assert coverage([1.1, 0.9, 1.1, 5.0], list("abcd")) == 0.75
