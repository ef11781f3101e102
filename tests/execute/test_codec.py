"""What a job may return, and that it comes back as it was."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedsim.execute.codec import map_tensors, nbytes, pack, unpack


@dataclass(frozen=True)
class Pair:
    left: Any
    right: Any


dtypes = st.sampled_from([torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool, torch.bfloat16])
tensors = st.builds(
    lambda shape, dtype: torch.arange(torch.Size(shape).numel()).reshape(shape).to(dtype),
    st.lists(st.integers(0, 3), max_size=3),
    dtypes,
)
numbers = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    numbers | tensors,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(), inner, max_size=3)
        | st.builds(Pair, inner, inner)
    ),
    max_leaves=8,
)


def equal(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, Pair):
        return equal(a.left, b.left) and equal(a.right, b.right)
    return a == b


def through_json(value):
    parts, skeleton = pack(value)
    return unpack(parts, json.loads(json.dumps(skeleton)))


@given(values)
def test_a_value_comes_back_as_it_was(value):
    assert equal(through_json(value), value)


@given(values)
def test_packed_tensors_are_contiguous_and_nobody_elses(value):
    mine = {t.data_ptr() for t in pack(value, fresh=False)[0].values() if t.numel()}
    for packed in pack(value)[0].values():
        assert packed.is_contiguous()
        assert packed.data_ptr() not in mine or not packed.numel()


def test_a_transposed_view_is_stored_straight():
    value = torch.arange(6).reshape(2, 3).T
    assert torch.equal(through_json(value), value)


def test_gradients_are_left_behind():
    value = torch.ones(2, requires_grad=True)
    assert not through_json(value).requires_grad


@pytest.mark.parametrize(
    "value",
    [
        {1, 2}, b"x", np.float64(1.0), np.zeros(2), object(), print, {1: 2}, {("a",): 1}, [{"a": {3}}], Pair, 1j,
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_a_type_error(value):
    with pytest.raises(TypeError, match="a job returned"):
        pack(value)


def test_a_class_that_is_no_dataclass_is_not_made():
    with pytest.raises(TypeError, match="no dataclass"):
        unpack({}, ["object", "os:system", {}])


def test_bytes_count_every_entry():
    assert nbytes(pack((torch.zeros(3), {"a": torch.zeros(2, dtype=torch.uint8)}))[0]) == 14


@given(values)
def test_moving_tensors_keeps_the_rest(value):
    assert equal(map_tensors(value, "cpu"), value)
