"""A mask survives training exactly, travels in the bytes it says, and keeps as many weights as it should."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsim.learn.data import DataSize
from fedsim.learn.masks import (
    KeptSize,
    Mask,
    MaskSize,
    SharedNet,
    filled_in,
    kept_entries,
    kept_values,
    magnitude_mask,
    masked,
    masked_load,
    masked_sgd,
    weights_of,
)
from fedsim.learn.models import make_spec
from fedsim.learn.parts import layout, weight_entries
from fedsim.learn.train import local_sgd
from fedsim.learn.values import Model, flatten
from fedsim.training import Train
from fedsim.work import Reply, source
from tests.methods.hand import CLASSES, SHAPE, examples

NETS = {"mlp": {"hidden": 6}, "cnn": {"width": 0.1}, "vgg16": {"convs": (2,) * 13, "hidden": (3, 3)}}
TRAININGS = {
    "plain": Train(momentum=0.0),
    "momentum": Train(momentum=0.9, weight_decay=0.1),
    "clipped": Train(clip_norm=0.01),
    "adam": Train(optimizer="adam", weight_decay=0.1),
    "adamw": Train(optimizer="adamw", weight_decay=0.5),
}


def net(name="mlp", seed=0):
    shape = (1, 32, 32) if name == "vgg16" else SHAPE
    spec = make_spec(name, CLASSES, shape, **NETS[name])
    torch.manual_seed(seed)
    return Model(spec.as_params(), {n: t.detach() for n, t in spec.build().state_dict().items()})


def pruned(model, density=0.3, scope="global"):
    mask = magnitude_mask.value(model, (), density=density, scope=scope)
    return masked.value(model, mask), mask


@pytest.mark.parametrize("name", ["mlp", "cnn"])
@pytest.mark.parametrize("how", TRAININGS)
def test_what_a_mask_dropped_is_exactly_zero_after_training_and_the_rest_has_moved(name, how):
    model, mask = pruned(net(name))
    training = {**TRAININGS[how].at(0, 1), "epochs": 3, "batch_size": 8}
    trained = weights_of(masked_sgd.value(model, mask, examples(0, 24), **training, seed=1))
    assert (bool(trained[~mask.kept].any()), bool((trained != weights_of(model))[mask.kept].any())) == (False, True)


@pytest.mark.parametrize("how", TRAININGS)
def test_a_mask_that_keeps_everything_leaves_training_as_it_was(how):
    model, mask = pruned(net(), density=1.0)
    training = TRAININGS[how].at(0, 1)
    alike = masked_sgd.value(model, mask, examples(0, 24), **training, seed=1)
    plain = local_sgd.value(model, examples(0, 24), **training, seed=1)
    assert torch.equal(flatten(alike.state), flatten(plain.state))


def test_gradients_that_do_not_count_do_not_count_in_the_norm_either():
    model, mask = pruned(net(), density=0.05)
    training = Train(clip_norm=1e-3, momentum=0.0, lr=1.0, batch_size=24).at(0, 1)
    trained = masked_sgd.value(model, mask, examples(0, 24), **training, seed=1)
    step = flatten(trained.state) - flatten(model.state)
    assert float(step.norm()) == pytest.approx(1e-3, rel=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.001, 1.0), st.sampled_from(["global", "layer"]), st.sampled_from(sorted(NETS)), st.booleans())
def test_as_many_weights_are_kept_as_declared_even_if_all_are_alike(density, scope, name, alike):
    model = net(name)
    if alike:
        model = Model(model.spec, {n: torch.zeros_like(t) for n, t in model.state.items()})
    mask = magnitude_mask.value(model, (), density=density, scope=scope)
    assert mask.size() == magnitude_mask.size(model.size(), (), density=density, scope=scope)
    if scope == "global":
        assert int(mask.kept.sum()) == max(1, math.floor(round(density * len(mask.kept), 6)))


def test_the_largest_weights_of_all_layers_are_kept_and_of_equal_ones_the_last():
    model = net()
    weights, mask = weights_of(model).abs(), pruned(model)[1]
    assert float(weights[mask.kept].min()) >= float(weights[~mask.kept].max())
    same = Model(model.spec, {n: torch.ones_like(t) for n, t in model.state.items()})
    kept = pruned(same)[1].kept
    assert kept.tolist() == sorted(kept.tolist())


def test_by_layer_every_layer_keeps_its_share():
    mask = pruned(net(), density=0.5, scope="layer")[1]
    counts = [int(part.sum()) for part in torch.split(mask.kept, [64 * 6, 6 * CLASSES])]
    assert counts == [64 * 3, 3 * CLASSES]


def test_what_was_dropped_once_does_not_come_back_before_zeros_that_were_kept():
    model, mask = pruned(net(), density=0.5)
    gone = Model(model.spec, {n: torch.zeros_like(t) for n, t in model.state.items()})
    again = magnitude_mask.value(gone, (mask,), density=0.4, scope="global")
    assert not bool((again.kept & ~mask.kept).any())


@pytest.mark.parametrize("name", NETS)
def test_only_weights_of_convolutions_and_linear_layers_are_dropped(name):
    model = net(name)
    small = {
        n: torch.full_like(t, 0.001 if t.dim() < 2 and t.is_floating_point() else 1) for n, t in model.state.items()
    }
    ones = Model(model.spec, small)
    kept = masked.value(ones, magnitude_mask.value(ones, (), density=0.01, scope="global"))
    assert all(bool(t.all()) for t in kept.state.values() if t.dim() < 2)
    assert weight_entries(layout(model.spec)) == sum(t.numel() for t in model.state.values() if t.dim() > 1)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 1.0), st.sampled_from(sorted(NETS)))
def test_values_and_mask_are_the_network_again_bit_for_bit(density, name):
    model, mask = pruned(net(name), density)
    kept = kept_values.value(model, mask)
    again = filled_in.value(kept, mask)
    assert all(torch.equal(t, again.state[n]) for n, t in model.state.items())
    sent = 4 * len(kept.values) + sum(t.numel() * t.element_size() for t in kept.rest.values())
    assert kept_values.size(model.size(), mask.size()) == KeptSize(model.size(), sent)


def test_a_mask_is_a_bit_a_weight_and_nothing_where_all_are_kept():
    model = net().size()
    assert [MaskSize(model, kept).nbytes for kept in (1, 407, 408)] == [51, 51, 0]


def test_80_percent_of_the_parameters_are_77_percent_of_the_bytes_with_the_mask_in_it():
    model = Model((spec := make_spec("cnn", 10, (1, 28, 28)).as_params()), {}).size()
    mask = magnitude_mask.size(model, (), density=0.2, scope="global")
    values = kept_values.size(model, mask).nbytes
    assert mask.kept / weight_entries(layout(spec)) == pytest.approx(0.2, abs=1e-6)
    assert 1 - values / model.nbytes == pytest.approx(0.80, abs=0.001)
    assert 1 - (values + mask.nbytes) / model.nbytes == pytest.approx(0.769, abs=0.001)


def test_the_load_tells_the_density_and_no_work_less_than_that_of_dense_training():
    model, mask = pruned(net(), density=0.25)
    given_ = {**Train().at(0, 1), "seed": 0}
    sizes = (model.size(), mask.size(), DataSize(24, SHAPE, CLASSES, 4))
    load, dense = masked_load(*sizes, **given_), local_sgd.load(sizes[0], sizes[2], **given_)
    assert (load.density, dense.density) == (0.25, 1.0)
    assert load.flops > dense.flops
    assert load.memory_bytes == dense.memory_bytes + len(mask.kept)


def test_kept_entries_are_the_exempt_ones_and_those_of_the_mask():
    model = net()
    kept = torch.zeros(408, dtype=torch.bool)
    entries = kept_entries(Mask(model.spec, kept))
    assert int(entries.sum()) == 6 + CLASSES


def test_replies_to_an_earlier_mask_do_not_count():
    replies = [Reply(n, (source("values", n=n),), (), version=n, samples=1) for n in range(4)]
    shared = SharedNet(source("model"), (source("mask"),), version=4, since=2)
    assert [reply.device for reply in shared.fresh(replies)] == [2, 3]
    merged = shared.merged(replies)
    assert (len(merged.model.inputs[0]), merged.version) == (2, 5)
    assert shared.merged(replies[:2]) == SharedNet(shared.model, shared.masks, 5, 2)
