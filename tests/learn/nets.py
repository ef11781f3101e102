"""Networks to prune, quantise and code: a published one, and laid-out tensors of any shape and any bits."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np
from torch import Tensor, nn

from fedsim.learn.models import make_spec
from fedsim.learn.parts import Layout, Parts, layout_of, take_apart
from fedsim.learn.values import Model

AWKWARD = [0.0, -0.0, float("nan"), float("inf"), -float("inf"), 1e-45, -1e-40, 3.4e38]
shapes = st_np.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
patterns = st.integers(0, 2**32 - 1) | st.sampled_from([int(np.float32(x).view(np.uint32)) for x in AWKWARD])


@cache
def he_resnet12() -> Model:
    """Return the network that the published sizes were worked out for."""
    torch.manual_seed(0)
    spec = make_spec("resnet12", 10, (3, 32, 32))
    module = spec.build()
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return Model(spec.as_params(), {name: t.detach() for name, t in module.state_dict().items()})


@st.composite
def floats(draw: st.DrawFn) -> Tensor:
    """Draw an fp32 tensor of any shape from all bit patterns: several NaNs, -0.0 and denormals among them."""
    words = draw(st_np.arrays(np.uint32, draw(shapes), elements=patterns))
    return torch.from_numpy(words.view(np.float32).copy())


@st.composite
def wholes(draw: st.DrawFn) -> Tensor:
    return torch.from_numpy(draw(st_np.arrays(draw(st.sampled_from([np.int64, np.uint8])), draw(shapes))).copy())


@st.composite
def states(draw: st.DrawFn) -> dict[str, Tensor]:
    """Draw a state_dict of at least one floating-point tensor, the others in any order."""
    found = [draw(floats()), *draw(st.lists(floats() | wholes(), max_size=4))]
    return {f"t{n}": t for n, t in enumerate(draw(st.permutations(found)))}


@st.composite
def pruned(draw: st.DrawFn) -> tuple[Parts, Layout]:
    """Draw a state_dict with any of its entries dropped, and some of its tensors to be quantised."""
    state = draw(states())
    slots = layout_of(state, {name for name, t in state.items() if t.is_floating_point() and draw(st.booleans())})
    n = sum(t.numel() for t in state.values() if t.is_floating_point())
    mask = torch.tensor(draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=torch.bool)
    return take_apart(Model((), state), mask), slots


def bits_of(state: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Return shape, type and bytes of every tensor: what must be equal, bit for bit."""
    return {name: (tuple(t.shape), t.dtype, t.numpy(force=True).tobytes()) for name, t in state.items()}
