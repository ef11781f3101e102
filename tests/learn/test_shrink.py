"""Shrinking keeps the units of largest norm, and the smaller network computes what the masked one does."""

from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedsim.errors import InputError
from fedsim.learn.loads import macs
from fedsim.learn.models import ModelSpec, make_spec
from fedsim.learn.parameters import trained_entries
from fedsim.learn.shrink import (
    Policy,
    cap,
    cut,
    groups_of,
    listed,
    norms,
    shrink,
    shrink_worst,
    strongest,
    uniform,
)
from fedsim.learn.values import Model, model_size

SMALL = {
    "mlp": {"hidden": (9, 7)}, "cnn": {"width": 0.2}, "vgg16": {"convs": (6,) * 13, "hidden": (9, 5)},
    "resnet8": {"width": 0.125}, "resnet12": {"width": 0.25}, "resnet18": {"width": 0.125},
    "mobilenet_v2": {"width": 0.25}, "vit_tiny": {"dim": 24, "depth": 2},
}  # fmt: skip
names = pytest.mark.parametrize("name", [*SMALL, "lenet5"])
FL_PQSU = (16, 16, 32, 32, 32, 32, 64, 64, 64, 64, 128, 128, 128, 1600, 1600)


@cache
def model_of(name):
    """Return a small network in which every tensor is random, statistics and norms too."""
    torch.manual_seed(0)
    spec = make_spec(name, 3, (1, 32, 32), **SMALL.get(name, {}))
    state = spec.build().state_dict()
    for t in state.values():
        if t.dim() == 1:
            t.uniform_(0.5, 1.5)
    return Model(spec.as_params(), state)


@cache
def whole_vgg16():
    return make_spec("vgg16", 10, (3, 32, 32)).as_params()


def masked(model, widths, *, norms_too):
    """Return *model* with the units that shrinking drops set to zero, in what makes them or wherever they are made."""
    state = {name: t.clone() for name, t in model.state.items()}
    for group in groups_of(model.spec):
        if group.name in dict(widths):
            gone = torch.ones(group.units, dtype=torch.bool)
            gone[strongest(group, norms(group, model.state), dict(widths)[group.name])] = False
            made = group.makers if not norms_too else [a.tensor for a in group.axes if a.dim == 0]
            for name in made:
                if "running" not in name:
                    state[name][gone.repeat_interleave(len(state[name]) // group.units)] = 0.0
                if not norms_too:
                    state[name.replace("weight", "bias")][gone] = 0.0
    return Model(model.spec, state)


def output(model):
    torch.manual_seed(1)
    with torch.no_grad():
        return model.module().eval()(torch.randn(5, 1, 32, 32))


# --- What is computed -----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["mlp", "lenet5", "cnn", "vgg16"])
def test_a_shrunk_network_computes_what_the_masked_one_does(name):
    model = model_of(name)
    widths = uniform(model.spec, 0.4)
    shrunk, whole = shrink.value(model, widths=widths), masked(model, widths, norms_too=True)
    assert torch.allclose(output(shrunk), output(whole), atol=1e-5)


def test_masking_the_convolution_alone_lets_what_the_norm_adds_flow_on():
    model = model_of("vgg16")
    widths = uniform(model.spec, 0.4)
    shrunk, half = shrink.value(model, widths=widths), masked(model, widths, norms_too=False)
    assert float((output(shrunk) - output(half)).abs().max()) > 1e-2


@names
def test_every_model_runs_when_shrunk_and_is_as_large_as_declared(name):
    model = model_of(name)
    for widths in (uniform(model.spec, 0.5), cap(model.spec, 1.0, {"conv": 4, "linear": 3})):
        small = shrink.value(model, widths=widths)
        assert small.size() == shrink.size(model.size(), widths=widths)
        assert {n: t.shape for n, t in small.state.items()} == {
            n: t.shape for n, t in small.module().state_dict().items()
        }
        assert small.size().entries < model.size().entries
        assert output(small).isfinite().all()


def test_what_was_shrunk_can_be_shrunk_again():
    model = model_of("cnn")
    half = shrink.value(model, widths=uniform(model.spec, 0.5))
    quarter = shrink.value(half, widths=uniform(half.spec, 0.5))
    at_once = shrink.value(model, widths=ModelSpec.from_params(quarter.spec).widths)
    assert quarter.spec == at_once.spec
    assert torch.equal(quarter.state["0.weight"], at_once.state["0.weight"])  # no earlier cut changes its norms


# --- Which units stay -----------------------------------------------------------------------------------
@given(st.lists(st.integers(0, 3), min_size=6, max_size=6), st.integers(1, 6))
def test_the_largest_norms_stay_in_order_and_ties_go_by_index(scores, units):
    (group,) = groups_of(make_spec("mlp", 3, (1, 2, 2), hidden=(6,)).as_params())
    found = strongest(group, torch.tensor(scores, dtype=torch.float64), units).tolist()
    assert found == sorted(sorted(range(6), key=lambda n: (-scores[n], n))[:units])


def test_a_units_norm_sums_the_rows_of_all_layers_that_are_added_up():
    model = model_of("resnet8")
    group = next(group for group in groups_of(model.spec) if len(group.makers) > 1)
    by_hand = sum(model.state[name].abs().double().flatten(1).sum(1) for name in group.makers)
    assert torch.allclose(norms(group, model.state), by_hand)


def test_each_block_of_a_norm_keeps_as_many():
    group = next(group for group in groups_of(model_of("resnet8").spec) if group.blocks > 1)
    norm = torch.arange(group.units, dtype=torch.float64)  # the last block has all the largest
    kept = strongest(group, norm, group.blocks).view(group.blocks, -1)
    per_block = group.units // group.blocks
    assert kept.flatten().tolist() == [(n + 1) * per_block - 1 for n in range(group.blocks)]


@names
def test_globally_the_least_mean_weights_go_and_every_block_keeps_its_best(name):
    model = model_of(name)
    small = shrink_worst.value(model, level=0.5)
    assert output(small).isfinite().all()
    left = {group.name: group.units for group in groups_of(small.spec)}
    before = [group for group in groups_of(model.spec) if group.kind != "attention"]
    assert all(left[g.name] >= g.blocks and left[g.name] % g.blocks == 0 for g in before)
    assert sum(left[g.name] for g in before) >= sum(g.units for g in before) // 2


def test_globally_exactly_the_level_goes_where_no_norm_divides_a_layer():
    torch.manual_seed(3)
    spec = make_spec("mlp", 3, (1, 2, 2), hidden=(10, 10))
    model = Model(spec.as_params(), spec.build().state_dict())
    model.state["1.weight"].mul_(100.0)
    small = shrink_worst.value(model, level=0.3)
    assert [g.units for g in groups_of(small.spec)] == [10, 4]
    assert [g.units for g in groups_of(shrink_worst.value(model, level=0.9).spec)] == [1, 1]


# --- How many -------------------------------------------------------------------------------------------
def test_uniform_drops_the_floor_of_each_block_and_never_all_of_it():
    spec = model_of("mlp").spec  # 9 and 7 units
    found = [dict(uniform(spec, level)) for level in (0.0, 0.1, 0.3, 0.99)]
    assert found == [{}, {}, {"1": 7, "3": 5}, {"1": 1, "3": 1}]


def test_caps_fall_geometrically_from_the_widest_layer():
    spec = whole_vgg16()
    convs = [max(w for n, w in cap(spec, s, {"conv": 64, "linear": 128}) if int(n) < 45) for s in (1 / 3, 2 / 3, 1.0)]
    hidden = [max(w for _, w in cap(spec, s, {"conv": 64, "linear": 128})) for s in (0.2, 0.4, 1.0)]
    assert (convs, hidden, cap(spec, 0.0, {"conv": 64, "linear": 128})) == ([256, 128, 64], [2048, 1024, 128], ())


@names
def test_policies_leave_heads_alone_and_blocks_equal(name):
    spec = model_of(name).spec
    for level in (0.2, 0.7, 0.95):
        for policy in ("uniform", "cap"):
            small = cut(spec, Policy(policy, 0.95, 3, 2).widths(spec, level))
            pairs = list(zip(groups_of(spec), groups_of(small), strict=True))
            assert all(after.units % after.blocks == 0 and after.units >= after.blocks for _, after in pairs)
            assert all(before.units == after.units for before, after in pairs if before.kind == "attention")


@pytest.mark.parametrize(
    ("widths", "parameters", "mib", "gmac"),
    [
        ((), 33_646_666, 128.35, 0.3321),
        (cap(whole_vgg16(), 1.0, {"conv": 64, "linear": 128}), 472_714, 1.803, 0.0677),
        (listed(whole_vgg16(), FL_PQSU), 3_318_266 + sum(FL_PQSU[:13]), 12.66, 0.0147),  # theirs has no conv biases
    ],
    ids=["whole", "reft", "fl-pqsu"],
)
def test_vgg16_has_the_published_sizes(widths, parameters, mib, gmac):
    spec = cut(whole_vgg16(), widths)
    assert trained_entries(spec) == parameters
    assert trained_entries(spec) * 4 / 2**20 == pytest.approx(mib, abs=0.005)
    assert macs(spec) / 1e9 == pytest.approx(gmac, abs=0.00005)


# --- What is refused ------------------------------------------------------------------------------------
def test_a_list_of_another_length_is_refused():
    with pytest.raises(InputError, match=r"widths is \[3\]: model 'mlp' has 2 layers to cut, of 9, 7 units; give one"):
        listed(model_of("mlp").spec, (3,))


@pytest.mark.parametrize(
    ("name", "widths", "said"),
    [
        ("mlp", (("1", 10),), "cut to 10 units: allowed are from 1 to 9"),
        ("mlp", (("1", 0),), "cut to 0 units"),
        ("mlp", (("7", 3),), "unknown layer of model 'mlp' '7'"),
        ("resnet8", (("0", 3),), "in steps of 2"),
    ],
)
def test_widths_that_cannot_be_are_refused_with_what_can(name, widths, said):
    with pytest.raises(InputError, match=said):
        shrink.size(model_size(model_of(name).spec), widths=widths)
