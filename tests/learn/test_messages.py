"""Messages of every model there is: as long as declared, and back again in the same shapes."""

from __future__ import annotations

import pytest
import torch

from fedsim.learn.messages import decode, encode
from fedsim.learn.models import MODELS, ModelSpec
from fedsim.learn.prune import drop_small
from fedsim.learn.values import Model, measure, model_size
from tests.learn.specs import any_spec


def model_of(name):
    spec = any_spec(name).as_params()
    torch.manual_seed(0)
    return Model(spec, {key: t.detach() for key, t in ModelSpec.from_params(spec).build().state_dict().items()})


@pytest.mark.parametrize("name", MODELS)
def test_a_whole_message_of_any_model_comes_back_in_its_shapes(name):
    model = model_of(name)
    back = decode.value(encode.value(drop_small.value(model, rate=0.0, scope="global"), coder="bitmask"))
    assert [(n, t.shape, t.dtype) for n, t in back.state.items()] == [
        (n, t.shape, t.dtype) for n, t in model.state.items()
    ]
    assert all(torch.equal(back.state[n], t) for n, t in model.state.items())


@pytest.mark.parametrize("name", MODELS)
def test_the_declared_size_of_a_bitmask_message_is_its_length(name):
    model = model_of(name)
    declared = encode.size(drop_small.size(model_size(model.spec), rate=0.7, scope="global"), coder="bitmask")
    assert declared == measure(encode.value(drop_small.value(model, rate=0.7, scope="global"), coder="bitmask"))
