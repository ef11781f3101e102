"""The models by name, and the plain value that names one: what a job can carry as a parameter.

Every builder takes (classes, shape) and options, and initialises as PyTorch does from the
caller's torch seed. Shapes in comments: B examples, C channels, H x W pixels, T tokens.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from fedsim.errors import InputError, unknown
from fedsim.learn.data import is_tokens
from fedsim.learn.groups import Group, Widths, find_groups, narrow
from fedsim.learn.options import bind_options, default_options
from fedsim.learn.pretrained import KINDS, completed, hf_bert, hf_distilbert, hf_roberta, hf_vit, torchvision_vit
from fedsim.learn.resnet import GROUPS, resnet8, resnet12, resnet18
from fedsim.learn.text import bert_tiny, lstm
from fedsim.learn.trace import built
from fedsim.learn.vit import vit, vit_tiny

Option = bool | int | float | str | tuple[int, ...]

VGG16_CONVS = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
VGG16_POOLED = (1, 3, 6, 9, 12)  # a 2x2 pool follows these convolutions
SMALL_SIDE = 96  # below it mobilenet_v2 halves the sides three times, not five


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Name an architecture in full: every option bound, sorted by name.

    shape: one example's, (C, H, W), or (T,) of tokens; widths: how many units are left of the groups
    that were cut, sorted by group. Equal specs build equal architectures.
    """

    name: str
    classes: int
    shape: tuple[int, ...]
    options: tuple[tuple[str, Option], ...] = ()
    widths: Widths = ()

    @property
    def dtype(self) -> torch.dtype:
        """The type of what the network takes: whole numbers for tokens."""
        return torch.int64 if is_tokens(self.shape) else torch.float32

    @property
    def in_full(self) -> str:
        """The name with what differs from the defaults, classes and shape, such as "resnet18(width=0.5)/10/3x32x32".

        Cut networks go by the name of the whole one.
        """
        usual = default_options(MODELS[self.name])
        return network_name(self.name, self.classes, self.shape, {k: v for k, v in self.options if v != usual[k]})

    def build(self) -> nn.Module:
        """Build the module on the current torch device, initialised from the torch seed."""
        whole = MODELS[self.name](self.classes, self.shape, **dict(self.options))
        return narrow(whole, self.groups(), self.widths) if self.widths else whole

    def groups(self) -> tuple[Group, ...]:
        """Return the groups of units of the whole network; raises InputError where units cannot be cut."""
        return _groups(replace(self, widths=()))

    def as_params(self) -> tuple[Any, ...]:
        """Return the spec as nested plain tuples, fit to be a job's parameter."""
        whole = self.name, self.classes, self.shape, self.options
        return (*whole, self.widths) if self.widths else whole

    @classmethod
    def from_params(cls, params: tuple[Any, ...]) -> ModelSpec:
        """Return the spec that ``as_params`` wrote."""
        return cls(*params)


def network_name(name: str, classes: int, shape: tuple[int, ...], options: Mapping[str, object]) -> str:
    """Return what a network is called in the names of steps.

    >>> network_name("mlp", 10, (1, 28, 28), {"hidden": (64, 32)})
    'mlp(hidden=64x32)/10/1x28x28'
    """
    given = ",".join(f"{key}={_across(value)}" for key, value in sorted(options.items()))
    return f"{name}({given})/{classes}/{_across(shape)}" if given else f"{name}/{classes}/{_across(shape)}"


def build_model(name: str, *, classes: int, shape: tuple[int, ...], **options: object) -> nn.Module:
    """Build model *name* for examples of *shape* (C, H, W), or (T,) of tokens.

    Raises InputError as make_spec does.

    >>> sum(p.numel() for p in build_model("lenet5", classes=10, shape=(1, 28, 28)).parameters())
    61706
    """
    return make_spec(name, classes, shape, **options).build()


def make_spec(name: str, classes: int, shape: tuple[int, ...], **options: object) -> ModelSpec:
    """Return the checked spec of model *name* for examples of *shape* (C, H, W), or (T,) of tokens.

    Raises InputError on an unknown model or option, or data that the model cannot take.
    """
    if name not in MODELS:
        raise InputError(f"{unknown('model', name, MODELS)}; choose one of these")
    _check_positive(f"model {name!r}", "classes", (int(classes),))
    _check_positive(f"model {name!r}", "shape", shape)
    _check_kind(name, shape)
    bound = bind_options(f"model {name!r}", MODELS[name], options)
    bound = completed(name, MODELS[name], bound) if name in KINDS else bound
    for option, value in bound.items():
        if option not in FROM_ZERO and not isinstance(value, str):
            _check_positive(f"model {name!r}", option, value if isinstance(value, tuple) else (value,))
    spec = ModelSpec(name, int(classes), tuple(int(side) for side in shape), tuple(sorted(bound.items())))
    reason = _misfit(spec)
    if reason:
        raise InputError(_misfit_message(spec, reason))
    return spec


def mlp(classes: int, shape: tuple[int, ...], *, hidden: tuple[int, ...] = (200, 200)) -> nn.Module:
    """Build a perceptron with ReLU; the default is the 2NN of McMahan et al. 2017 (arXiv 1602.05629)."""
    widths = (torch.Size(shape).numel(), *hidden)
    layers: list[nn.Module] = [nn.Flatten()]  # (B, C, H, W) -> (B, C * H * W)
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], classes))


def lenet5(classes: int, shape: tuple[int, ...], *, width: float = 1.0) -> nn.Module:
    """Build LeNet-5 with ReLU and max-pooling; sides below 32 are padded by 2, as 28 is to 32.

    width: factor on the 6 and 16 channels and the 120 and 84 hidden units.
    Source: LeCun et al. 1998, figure 2; 61,706 parameters at (1, 28, 28), 10 classes and width 1.
    """
    c1, c2, u1, u2 = (max(1, round(width * n)) for n in (6, 16, 120, 84))
    padding = 2 if min(shape[1:]) < 32 else 0
    features = nn.Sequential(
        nn.Conv2d(shape[0], c1, 5, padding=padding), nn.ReLU(), nn.MaxPool2d(2),  # (B, C, 28, 28) -> (B, 6, 14, 14)
        nn.Conv2d(c1, c2, 5), nn.ReLU(), nn.MaxPool2d(2),  # (B, 16, 5, 5)
        nn.Flatten(),  # (B, 400)
    )  # fmt: skip
    hidden = nn.Linear(_flat(features, shape), u1), nn.ReLU(), nn.Linear(u1, u2), nn.ReLU()
    return nn.Sequential(*features, *hidden, nn.Linear(u2, classes))


def cnn(classes: int, shape: tuple[int, ...], *, width: float = 1.0) -> nn.Module:
    """Build the CNN of McMahan et al. 2017 (arXiv 1602.05629, section 3).

    width: factor on the 32 and 64 channels and the 512 hidden units.
    1,663,370 parameters at (1, 28, 28), 10 classes and width 1.
    """
    c1, c2, units = (max(1, round(width * n)) for n in (32, 64, 512))
    features = nn.Sequential(
        nn.Conv2d(shape[0], c1, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),  # (B, C, H, W) -> (B, 32, H/2, W/2)
        nn.Conv2d(c1, c2, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),  # (B, 64, H/4, W/4)
        nn.Flatten(),  # (B, 64 * H/4 * W/4)
    )  # fmt: skip
    return nn.Sequential(*features, nn.Linear(_flat(features, shape), units), nn.ReLU(), nn.Linear(units, classes))


def vgg16(
    classes: int,
    shape: tuple[int, ...],
    *,
    convs: tuple[int, ...] = VGG16_CONVS,
    hidden: tuple[int, ...] = (4096, 4096),
) -> nn.Module:
    """Build the VGG-16 with BatchNorm that REFT prunes (arXiv 2308.13662): 33,646,666 parameters.

    convs: the 13 convolutions' channels; hidden: the two hidden layers' units. No dropout.
    Widths 64 and 128 throughout give 472,714 parameters, the paper's smallest model.
    """
    for name, widths, count in (("convs", convs, 13), ("hidden", hidden, 2)):
        if len(widths) != count:
            raise InputError(f"option {name!r} of model 'vgg16' has {len(widths)} widths {widths}: give {count}")
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(pairwise((shape[0], *convs))):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if i in VGG16_POOLED else []  # five times: (B, C, 32, 32) -> (B, 512, 1, 1)
    features = nn.Sequential(*layers, nn.Flatten())  # (B, 512)
    units = (_flat(features, shape), *hidden)
    for a, b in pairwise(units):
        features.extend([nn.Linear(a, b), nn.ReLU()])
    return features.append(nn.Linear(units[-1], classes))


def mobilenet_v2(classes: int, shape: tuple[int, ...], *, width: float = 1.0) -> nn.Module:
    """Build torchvision's MobileNetV2 with GroupNorm and no dropout.

    width: factor on all channels. Below 96 pixels the stem and the second stage keep their
    sides, which leaves 4 x 4 of 32 x 32. Source: Sandler et al. 2018, arXiv 1801.04381, table 2.
    """
    from torchvision.models import MobileNetV2  # here: it takes a second

    early = 1 if min(shape[1:]) < SMALL_SIDE else 2
    stages = [[1, 16, 1, 1], [6, 24, 2, early], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2],
              [6, 320, 1, 1]]  # fmt: skip
    net: nn.Module = MobileNetV2(
        classes, width_mult=width, inverted_residual_setting=stages, norm_layer=_group_norm, dropout=0.0
    )
    old = net.get_submodule("features.0.0")
    assert isinstance(old, nn.Conv2d)
    stem = nn.Conv2d(shape[0], old.out_channels, 3, early, padding=1, bias=False)  # (B, C, H, W) -> (B, 32, H, W)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out")  # as torchvision does
    net.set_submodule("features.0.0", stem)
    return net


MODELS: Mapping[str, Callable[..., nn.Module]] = {
    "mlp": mlp,
    "lenet5": lenet5,
    "cnn": cnn,
    "resnet8": resnet8,
    "resnet12": resnet12,
    "resnet18": resnet18,
    "vgg16": vgg16,
    "mobilenet_v2": mobilenet_v2,
    "vit_tiny": vit_tiny,
    "vit": vit,
    "torchvision_vit": torchvision_vit,
    "hf_vit": hf_vit,
    "lstm": lstm,
    "bert_tiny": bert_tiny,
    "hf_bert": hf_bert,
    "hf_roberta": hf_roberta,
    "hf_distilbert": hf_distilbert,
}
TOKEN_MODELS = frozenset({"lstm", "bert_tiny", "hf_bert", "hf_roberta", "hf_distilbert"})
FROM_ZERO = frozenset({"pad", "sep", "dropout"})  # options that may be 0; all others are above it


@cache
def _groups(whole: ModelSpec) -> tuple[Group, ...]:
    return find_groups(built(whole.build), whole.shape)


def _group_norm(channels: int) -> nn.Module:
    return nn.GroupNorm(GROUPS, channels)


def _flat(features: nn.Module, shape: tuple[int, ...]) -> int:
    """Ask *features* for the width of its output on one example, without computing it."""
    with torch.no_grad():
        out = copy.deepcopy(features).to("meta").eval()(torch.empty(1, *shape, device="meta"))
    return int(out[0].numel())


def _across(value: object) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _check_positive(what: str, name: str, values: tuple[Any, ...]) -> None:
    if not all(value > 0 for value in values):
        raise InputError(f"{name} of {what} is {values}: allowed are numbers above 0")


def _check_kind(name: str, shape: tuple[int, ...]) -> None:
    """Raise InputError if a model of images meets tokens, or the other way round."""
    tokens = is_tokens(shape)
    if tokens != (name in TOKEN_MODELS):
        takes = "images (channels, height, width)" if tokens else "tokens"
        meets = f"sequences of {shape[0]} tokens" if tokens else f"of shape {shape}"
        fit = [other for other in MODELS if (other in TOKEN_MODELS) == tokens]
        raise InputError(f"model {name!r} takes {takes}, but the data are {meets}: choose one of {', '.join(fit)}")


def _misfit(spec: ModelSpec) -> str:
    """Say why the model cannot take its shape, having run one meta example; "" if it can."""
    try:
        with torch.device("meta"), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of layers without elements; they are refused below
            out = spec.build().eval()(torch.empty(1, *spec.shape, dtype=spec.dtype))
    except (RuntimeError, ValueError, IndexError) as error:
        return str(error).splitlines()[0].rstrip(".")
    return "" if out.shape == (1, spec.classes) else f"its output has shape {tuple(out.shape)}"


def _misfit_message(spec: ModelSpec, reason: str) -> str:
    if is_tokens(spec.shape):
        return f"model {spec.name!r} does not fit sequences of {spec.shape[0]} tokens: {reason}"
    least = next((s for s in range(1, 65) if not _misfit(_square(spec, s))), None)
    allowed = f"; allowed is (channels, height, width), the least (1, {least}, {least})" if least else ""
    others = [name for name in MODELS if name not in TOKEN_MODELS | KINDS.keys() and not _misfit(_default(name, spec))]
    advice = f"; models that take it: {', '.join(others)}" if others else ""
    return f"model {spec.name!r} does not fit data of shape {spec.shape}: {reason}{allowed}{advice}"


def _square(spec: ModelSpec, side: int) -> ModelSpec:
    return ModelSpec(spec.name, spec.classes, (1, side, side), spec.options)


def _default(name: str, like: ModelSpec) -> ModelSpec:
    return ModelSpec(name, like.classes, like.shape)
