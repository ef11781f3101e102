"""A front slice is a smaller network of its own; put back unchanged, it changes nothing."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsim.errors import InputError
from fedsim.learn.data import DataSize
from fedsim.learn.models import MODELS, ModelSpec, make_spec
from fedsim.learn.slices import WIDTHS, front_slice, head_names, merge_slices, narrowed
from fedsim.learn.train import training_load
from fedsim.learn.values import Model, flatten, model_size
from tests.learn.specs import any_spec

SHAPES = {"mlp": (1, 8, 8), "cnn": (1, 8, 8), "lenet5": (1, 12, 12), "resnet12": (1, 16, 16)}
SMALL = {
    "mlp": {"hidden": (9, 5)}, "cnn": {"width": 0.25}, "vgg16": {"convs": (8,) * 13, "hidden": (9, 6)},
    "resnet8": {"width": 0.25}, "resnet12": {"width": 0.5}, "resnet18": {"width": 0.125},
}  # fmt: skip
TRAINING = {"epochs": 1, "batch_size": 8, "optimizer": "sgd", "momentum": 0.9}
widths = st.floats(0.05, 1.0)
names = pytest.mark.parametrize("name", WIDTHS)


def spec_of(name):
    return make_spec(name, 3, SHAPES.get(name, (1, 32, 32)), **SMALL.get(name, {}))


def model_of(name, seed=0):
    torch.manual_seed(seed)
    spec = spec_of(name)
    return Model(spec.as_params(), spec.build().state_dict())


def shifted(model, by):
    return Model(model.spec, {n: t + by if t.is_floating_point() else t for n, t in model.state.items()})


@names
@settings(max_examples=4)
@given(width=widths)
def test_a_slice_is_a_network_that_runs_and_as_large_as_declared(name, width):
    model = model_of(name)
    cut = front_slice.value(model, width=width)
    assert cut.size() == front_slice.size(model.size(), width=width) == model_size(narrowed(model.spec, width))
    assert cut.module().eval()(torch.zeros(2, *SHAPES.get(name, (1, 32, 32)))).shape == (2, 3)


@names
@settings(max_examples=4)
@given(width=widths)
def test_a_slice_put_back_unchanged_changes_nothing(name, width):
    model = model_of(name)
    cut = front_slice.value(model, width=width)
    merged = merge_slices.value(model, (cut, cut), (3, 5))
    assert torch.allclose(flatten(merged.state), flatten(model.state), atol=1e-7)


@names
@settings(max_examples=4)
@given(width=widths, by=st.floats(-2.0, 2.0))
def test_what_was_merged_is_cut_out_again(name, width, by):
    model = model_of(name)
    changed = shifted(front_slice.value(model, width=width), by)
    again = front_slice.value(merge_slices.value(model, (changed,), (7,)), width=width)
    assert torch.allclose(flatten(again.state), flatten(changed.state), atol=1e-6)


@names
def test_the_whole_width_is_the_whole_model(name):
    model = model_of(name)
    cut = front_slice.value(model, width=1.0)
    assert (cut.spec, torch.equal(flatten(cut.state), flatten(model.state))) == (model.spec, True)


@names
def test_an_entry_is_averaged_over_those_that_hold_it_and_else_stays(name):
    model = model_of(name)
    whole, cut = shifted(model, 1.0), shifted(front_slice.value(model, width=0.5), -3.0)
    merged = merge_slices.value(model, (whole, cut), (1, 3)).state
    alone = merge_slices.value(model, (cut,), (3,)).state
    for entry, t in model.state.items():
        if t.is_floating_point():
            inside = torch.zeros_like(t, dtype=torch.bool)
            inside[tuple(slice(0, side) for side in cut.state[entry].shape)] = True
            assert torch.allclose((merged[entry] - t)[inside], torch.tensor(-2.0), atol=1e-5)
            assert torch.allclose((merged[entry] - t)[~inside], torch.tensor(1.0), atol=1e-5)
            assert torch.equal(alone[entry][~inside], t[~inside])


@pytest.mark.parametrize("name", ["mlp", "cnn", "lenet5"])
def test_a_slice_computes_what_the_model_does_with_the_other_channels_at_zero(name):
    model = model_of(name)
    cut = front_slice.value(model, width=0.5)
    x = torch.randn(4, *SHAPES[name])
    zero = Model(model.spec, {n: torch.zeros_like(t) for n, t in model.state.items()})
    embedded = merge_slices.value(zero, (cut,), (1,))
    assert torch.allclose(cut.module()(x), embedded.module()(x), atol=1e-6)


@names
def test_a_slices_training_costs_what_its_architecture_does(name):
    spec = spec_of(name)
    data = DataSize(8, spec.shape, 3, 10)
    small = ModelSpec.from_params(narrowed(spec.as_params(), 0.5))
    fresh = make_spec(small.name, 3, small.shape, **dict(small.options))
    load = training_load(front_slice.size(model_size(spec.as_params()), width=0.5), data, **TRAINING)
    assert load == training_load(model_size(fresh.as_params()), data, **TRAINING)
    assert load.flops < training_load(model_size(spec.as_params()), data, **TRAINING).flops


def test_half_of_the_published_resnet8_has_a_quarter_of_the_weights():
    full = make_spec("resnet8", 10, (3, 32, 32)).as_params()
    assert model_size(narrowed(full, 0.5)).entries == pytest.approx(model_size(full).entries / 4, rel=0.01)


@pytest.mark.parametrize("width", [1.0, 0.5, 0.25, 0.125, 0.0625])
def test_heterofls_widths_exist_for_every_model_at_full_size(width):
    for name in WIDTHS:
        shape = (3, 32, 32)
        cut = narrowed(make_spec(name, 10, shape).as_params(), width)
        with torch.device("meta"):
            assert ModelSpec.from_params(cut).build()(torch.empty(2, *shape)).shape == (2, 10)


def test_rows_of_absent_classes_are_merged_over_those_that_have_them():
    model = model_of("mlp")
    up, down = shifted(model, 1.0), shifted(model, -1.0)
    present = torch.tensor([True, True, False]), torch.tensor([False, True, False])
    merged = merge_slices.value(model, (up, down), (1, 1), present).state
    weight, bias = head_names(model.spec)
    assert torch.allclose(merged[bias] - model.state[bias], torch.tensor([1.0, 0.0, 0.0]), atol=1e-6)
    assert torch.allclose((merged[weight] - model.state[weight]).mean(1), torch.tensor([1.0, 0.0, 0.0]), atol=1e-6)
    assert torch.allclose(merged["1.bias"], model.state["1.bias"], atol=1e-6)


@pytest.mark.parametrize("name", sorted(set(MODELS) - set(WIDTHS)))
def test_a_model_without_front_slices_is_refused(name):
    with pytest.raises(InputError, match=rf"model '{name}' cannot be cut by width: choose one of .*resnet8"):
        narrowed(any_spec(name).as_params(), 0.5)


@pytest.mark.parametrize("width", [0.0, 1.5, -1.0])
def test_a_width_that_is_no_share_is_refused(width):
    with pytest.raises(InputError, match="above 0 and at most 1"):
        narrowed(spec_of("mlp").as_params(), width)
