"""A spec of every model, at a size that a test can carry."""

from __future__ import annotations

import pytest

from fedsim.learn.models import TOKEN_MODELS, ModelSpec, make_spec
from fedsim.learn.pretrained import KINDS

_TINY = {"dim": 16, "heads": 2, "depth": 1}
_SIZES = {
    "vit": _TINY,
    "lstm": {"hidden": 16},
    "bert_tiny": {"dim": 16},
    "torchvision_vit": _TINY | {"ffn": 32},
    **{name: _TINY | {"ffn": 32} for name in KINDS},
}


def any_spec(name: str, classes: int = 10) -> ModelSpec:
    """Return the spec of model *name* for small examples of its kind; skip the test where its library is missing."""
    if name in KINDS:
        pytest.importorskip("transformers")
    if name in TOKEN_MODELS:
        return make_spec(name, classes, (12,), vocab=20, **_SIZES[name])
    shape = (1, 28, 28) if name in ("mlp", "lenet5", "cnn") else (3, 32, 32)
    return make_spec(name, classes, shape, **_SIZES.get(name, {}))
