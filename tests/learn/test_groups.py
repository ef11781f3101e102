"""Groups of units: what is cut together leaves a network that runs, and one that the cut units never reached."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fedsim.errors import InputError
from fedsim.learn.groups import find_groups, kept_units, narrow, slices
from fedsim.learn.models import ModelSpec, make_spec
from fedsim.learn.trace import built
from fedsim.learn.values import Model

SHAPES = {"mlp": (1, 8, 8), "cnn": (1, 8, 8), "lenet5": (1, 12, 12), "resnet12": (1, 16, 16), "vit_tiny": (1, 8, 8)}
SMALL = {
    "mlp": {"hidden": (9, 5)}, "cnn": {"width": 0.25}, "vgg16": {"convs": (8,) * 13, "hidden": (9, 6)},
    "resnet8": {"width": 0.25}, "resnet12": {"width": 0.5}, "resnet18": {"width": 0.125},
    "mobilenet_v2": {"width": 0.25}, "vit_tiny": {"dim": 24, "heads": 3, "depth": 2},
}  # fmt: skip
names = pytest.mark.parametrize("name", SMALL | dict.fromkeys(["lenet5"]))


def spec_of(name):
    return make_spec(name, 3, SHAPES.get(name, (1, 32, 32)), **SMALL.get(name, {}))


def narrower(spec, share):
    """Return *spec* with the *share* of every group's units, at least one a block."""
    widths = [(g.name, g.blocks * max(1, int(share * g.units / g.blocks))) for g in spec.groups()]
    return ModelSpec(spec.name, spec.classes, spec.shape, spec.options, tuple(sorted(widths)))


@names
def test_every_hidden_layer_is_in_a_group_and_the_output_in_none(name):
    spec = spec_of(name)
    made = {maker for group in spec.groups() for maker in group.makers}
    layers = [(n, m) for n, m in built(spec.build).named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    output = layers[-1][0]
    assert f"{output}.weight" not in made
    if name != "vit_tiny":  # whose residual stream is not cut
        assert made == {f"{n}.weight" for n, m in layers[:-1] if getattr(m, "groups", 1) == 1}


@names
@settings(max_examples=3)
@given(share=st.floats(0.1, 1.0))
def test_a_cut_network_runs_and_has_the_widths_of_its_spec(name, share):
    spec = narrower(spec_of(name), share)
    module = spec.build().eval()
    assert module(torch.zeros(2, *spec.shape)).shape == (2, 3)
    wanted, shapes = dict(spec.widths), {n: t.shape for n, t in module.state_dict().items()}
    for group in spec.groups():
        assert {shapes[a.tensor][a.dim] // a.span for a in group.axes} == {wanted[group.name]}


@names
def test_layers_know_the_sizes_that_are_left(name):
    for layer in narrower(spec_of(name), 0.5).build().modules():
        if isinstance(layer, nn.Linear):
            assert layer.weight.shape == (layer.out_features, layer.in_features)
        if isinstance(layer, nn.Conv2d):
            assert layer.weight.shape[:2] == (layer.out_channels, layer.in_channels // layer.groups)
        if isinstance(layer, nn.GroupNorm):
            assert len(layer.weight) == layer.num_channels


def test_a_spec_without_widths_is_written_as_before_and_one_with_them_reads_back():
    spec = spec_of("cnn")
    assert len(spec.as_params()) == 4
    cut = narrower(spec, 0.5)
    assert ModelSpec.from_params(cut.as_params()) == cut
    assert Model(cut.as_params(), cut.build().state_dict()).module()(torch.zeros(2, *cut.shape)).shape == (2, 3)


def test_kept_units_are_the_first_of_every_block():
    attention = spec_of("vit_tiny").groups()[0]
    assert (attention.units, attention.blocks) == (24, 3)
    assert kept_units(attention, 6).tolist() == [0, 1, 8, 9, 16, 17]


def test_a_channel_takes_all_that_it_spans_of_a_flattened_map():
    spec = spec_of("cnn")
    group = spec.groups()[1]
    span = next(axis.span for axis in group.axes if axis.dim == 1)
    (columns,) = slices(spec.groups(), {group.name: torch.tensor([1])})["7.weight"].values()
    assert span > 1
    assert columns.tolist() == list(range(span, 2 * span))


def test_groups_are_found_for_a_module_of_ones_own():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(1, 4, 3), nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 3)

        def forward(self, x):
            return self.c(self.a(x) + self.b(x))

    module = Two()
    (group,) = find_groups(module, (1, 8, 8))
    assert group.makers == ("a.weight", "b.weight")
    assert narrow(module, (group,), (("a", 2),))(torch.zeros(1, 1, 8, 8)).shape == (1, 2, 4, 4)


def test_inputs_out_of_order_are_refused_by_layer():
    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(1, 4, 3), nn.Conv2d(1, 4, 3), nn.Conv2d(8, 2, 3)

        def forward(self, x):
            return self.c(torch.cat([self.a(x), self.b(x)], 1))

    with pytest.raises(InputError, match="layer 'c' takes its inputs from several layers at once"):
        find_groups(Dense(), (1, 8, 8))
