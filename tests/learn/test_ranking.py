"""Ranked units compute what they did, and the front of them is what L1 pruning keeps."""

import pytest
import torch

from fedsim.errors import InputError
from fedsim.learn.models import make_spec
from fedsim.learn.ranking import ranked_units
from fedsim.learn.values import Model, model_size

CHAINS = {
    "mlp": ((1, 8, 8), {"hidden": (9, 7)}), "cnn": ((1, 8, 8), {"width": 0.2}), "lenet5": ((1, 12, 12), {}),
    "vgg16": ((1, 32, 32), {"convs": (4,) * 13, "hidden": (6, 5)}),
}  # fmt: skip


def model_of(name):
    torch.manual_seed(0)
    shape, options = CHAINS[name]
    module = make_spec(name, 3, shape, **options).build()
    for buffer in (b for b in module.buffers() if b.dim()):
        buffer.uniform_(0.5, 1.5)
    return Model(make_spec(name, 3, shape, **options).as_params(), module.state_dict())


@pytest.mark.parametrize("name", CHAINS)
def test_ranking_changes_no_output(name):
    model, x = model_of(name), torch.randn(4, *CHAINS[name][0])
    ranked = ranked_units.value(model)
    assert torch.allclose(ranked.module().eval()(x), model.module().eval()(x), atol=1e-5)
    assert not torch.equal(next(iter(ranked.state.values())), next(iter(model.state.values())))


@pytest.mark.parametrize("name", CHAINS)
def test_the_largest_units_of_the_first_layer_come_first(name):
    first = next(iter(ranked_units.value(model_of(name)).state.values())).abs().flatten(1).sum(1)
    assert torch.equal(first, first.sort(descending=True).values)


def test_a_network_with_shortcuts_is_refused_before_anything_is_computed():
    spec = make_spec("resnet8", 3, (1, 32, 32), width=0.1)
    with pytest.raises(InputError, match="'resnet8' is no plain chain of layers: choose mlp"):
        ranked_units.size(model_size(spec.as_params()))
