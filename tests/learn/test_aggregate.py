"""Arithmetic on models, entry by entry."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedsim.learn.aggregate import add_scaled, average, difference, mix
from fedsim.learn.models import make_spec
from fedsim.learn.values import Model, flatten, model_size

SPEC = make_spec("mlp", 2, (1, 2, 2), hidden=3).as_params()
weights = st.lists(st.integers(1, 1000), min_size=1, max_size=5)


def model(*values):
    """Return a model with a float tensor and a counter."""
    return Model(SPEC, {"w": torch.tensor(values, dtype=torch.float32), "count": torch.tensor(int(values[0]))})


def w(result):
    return result.state["w"].tolist()


def test_an_average_is_weighted():
    assert w(average.value((model(1.0, 10.0), model(4.0, 40.0)), (1, 2))) == [3.0, 30.0]


@given(weights)
def test_the_average_of_one_model_is_that_model(some):
    one = model(0.1, -2.5, 1e-8)
    assert w(average.value((one,) * len(some), tuple(some))) == pytest.approx(w(one), rel=1e-7)


@given(weights, st.integers(2, 9))
def test_only_the_shares_of_the_weights_matter(some, factor):
    models = tuple(model(float(at), at * 0.3) for at in range(len(some)))
    larger = tuple(factor * weight for weight in some)
    assert w(average.value(models, tuple(some))) == pytest.approx(w(average.value(models, larger)))


def test_an_average_of_a_thousand_does_not_drift():
    tenth = model(0.1)
    assert w(average.value((tenth,) * 1000, (1,) * 1000)) == w(tenth)


def test_a_mixture_leans_by_its_rate():
    assert w(mix.value(model(1.0), model(3.0), rate=0.25)) == [1.5]


def test_a_difference_added_again_is_the_model():
    old, new = model(0.5, 2.0), model(1.0, -3.0)
    assert w(add_scaled.value(old, (difference.value(new, old),), (1.0,))) == w(new)


def test_updates_are_added_by_their_weights():
    assert w(add_scaled.value(model(1.0), (model(10.0), model(100.0)), (0.5, 0.25))) == [31.0]


def test_whole_numbers_are_taken_over_and_not_averaged():
    assert average.value((model(3.0), model(4.0)), (1, 1)).state["count"].item() == 3
    assert difference.value(model(3.0), model(1.0)).state["count"].item() == 3


def test_inputs_are_left_alone():
    first, second = model(1.0), model(2.0)
    average.value((first, second), (1, 1))
    assert (w(first), w(second)) == ([1.0], [2.0])


def test_precision_of_weights_is_kept():
    half = Model(SPEC, {"w": torch.ones(2, dtype=torch.float16)})
    assert average.value((half, half), (1, 2)).state["w"].dtype == torch.float16


def test_the_declared_size_is_the_results():
    torch.manual_seed(0)
    size = model_size(SPEC)
    built = make_spec("mlp", 2, (1, 2, 2), hidden=3).build()
    one = Model(SPEC, dict(built.state_dict()))
    assert average.size((size, size), (1, 1)) == average.value((one, one), (1, 1)).size() == size
    assert flatten(one.state).numel() == size.entries
