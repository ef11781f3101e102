"""Networks by name from anywhere: ours, torchvision's, timm's, or those of a Python file; built without memory."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fedsim.errors import InputError, nearest
from fedsim.learn.data import is_tokens
from fedsim.learn.models import make_spec, network_name
from fedsim.learn.trace import built

# What the code of others raises where it is asked for too much; OSError: weights that it would download.
_FOREIGN = (
    RuntimeError, ValueError, TypeError, AssertionError, LookupError, AttributeError, NameError, ImportError, OSError,
    SyntaxError,
)  # fmt: skip


class Network(NamedTuple):
    """A network, on the meta device where it can be, and what the names of its steps call it."""

    module: nn.Module
    name: str


def find_network(text: str, *, classes: int, shape: tuple[int, ...], options: Mapping[str, object]) -> Network:
    """Return the network that *text* names: a model of ours, ``torchvision:NAME``, ``timm:NAME``, ``FILE.py:FUNCTION``.

    shape: one example's, (C, H, W) or (T,) of tokens; options go to what builds it, a FUNCTION is given nothing else.
    Raises InputError on an unknown network or option, a missing library, or examples that do not fit.
    """
    origin, colon, name = text.rpartition(":")
    if not colon:
        spec = make_spec(text, classes, shape, **options)
        return Network(built(spec.build), spec.in_full)
    module = _foreign(text, partial(_builder(origin, name, classes=classes, shape=shape), **options))
    reason = _misfit(module, classes, shape)
    if reason:
        raise InputError(
            f"model {text!r} does not fit examples of shape {shape} in {classes} classes: {reason}; "
            f"give the shape, the classes and the options that go together"
        )
    return Network(module, network_name(text, classes, shape, options))


def example_of(shape: tuple[int, ...], batch: int) -> tuple[Tensor, Tensor]:
    """Return a batch without values: examples (batch, *shape), int64 where they are tokens, and classes (batch,)."""
    kind = torch.int64 if is_tokens(shape) else torch.float32
    return torch.empty((batch, *shape), dtype=kind, device="meta"), torch.empty(batch, dtype=torch.int64, device="meta")


def _builder(origin: str, name: str, *, classes: int, shape: tuple[int, ...]) -> Callable[..., Any]:
    if origin == "torchvision":
        models = _library("torchvision.models")
        _check_known(f"torchvision:{name}", name, models.list_models(module=models))
        return partial(models.get_model, name, weights=None, num_classes=classes)
    if origin == "timm":
        timm = _library("timm")
        _check_known(f"timm:{name}", name.partition(".")[0], timm.list_models())
        return partial(timm.create_model, name, num_classes=classes, in_chans=shape[0])
    if origin.endswith(".py"):
        return _function(Path(origin), name)
    raise InputError(
        f"model {f'{origin}:{name}'!r}: write a name of ours, torchvision:NAME, timm:NAME or FILE.py:FUNCTION"
    )


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise InputError(
            f"the models {package}:NAME need the package {package!r} ({error}): pip install {package}"
        ) from None


def _check_known(text: str, name: str, known: list[str]) -> None:
    if name not in known:
        raise InputError(f"unknown model {text!r}{nearest(name, known)} (list_models() there names all {len(known)})")


def _function(path: Path, name: str) -> Callable[..., Any]:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise InputError(f"cannot read {path}: give a .py file that is there")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except _FOREIGN as error:
        raise InputError(f"cannot import {path}: {type(error).__name__}: {error}; correct the file") from error
    found = getattr(module, name, None)
    if not callable(found):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise InputError(
            f"{path} has no function {name!r}{nearest(name, known)}: name one that returns a torch.nn.Module"
        )
    build: Callable[..., Any] = found
    return build


def _foreign(text: str, build: Callable[[], Any]) -> nn.Module:
    """Build a network that others wrote, and say so where that goes wrong."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of weights, which nobody will see
            module = built(build)
    except _FOREIGN as error:
        raise InputError(f"cannot build model {text!r}: {error}; correct its options, shape or classes") from error
    if not isinstance(module, nn.Module):
        raise InputError(f"{text!r} returns {type(module).__name__}; allowed is a torch.nn.Module")
    return module


def _misfit(module: nn.Module, classes: int, shape: tuple[int, ...]) -> str:
    """Say why *module* cannot be trained on such examples, having run two on the meta device; "" if it can."""
    try:
        with torch.device("meta"), torch.no_grad():
            out = copy.deepcopy(module).to("meta").train()(example_of(shape, 2)[0])
    except _FOREIGN as error:
        return f"{error}".partition("\n")[0].rstrip(".")
    if isinstance(out, Tensor):
        return "" if out.shape == (2, classes) else f"of 2 examples it makes {tuple(out.shape)}"
    return f"it makes {type(out).__name__}, no tensor"
