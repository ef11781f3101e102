"""Values as tensors and JSON: what a job may return, and how that is stored."""

from __future__ import annotations

import importlib
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

Tensors = dict[str, Tensor]


def pack(value: Any, *, fresh: bool = True) -> tuple[Tensors, Any]:
    """Split *value* into contiguous tensors in fresh CPU memory and a JSON skeleton that names them.

    With *fresh* False the tensors are the very ones inside *value*.

    A value is a tensor, None, bool, int, float, str, or a tuple, list, dict (of str) or dataclass
    of values; anything else is a TypeError.
    """
    tensors: Tensors = {}
    return tensors, _skeleton(value, tensors, fresh=fresh)


def unpack(tensors: Tensors, skeleton: Any) -> Any:
    """Put a packed value together again."""
    if not isinstance(skeleton, list):
        return skeleton
    kind, *rest = skeleton
    if kind == "tensor":
        return tensors[rest[0]]
    if kind in ("tuple", "list"):
        items = [unpack(tensors, item) for item in rest[0]]
        return tuple(items) if kind == "tuple" else items
    named = {key: unpack(tensors, item) for key, item in rest[-1].items()}
    return named if kind == "dict" else _class_named(rest[0])(**named)


def map_tensors(value: Any, device: str) -> Any:
    """Return *value* with its tensors on *device*."""
    tensors, skeleton = pack(value, fresh=False)
    return unpack({name: t.to(device) for name, t in tensors.items()}, skeleton)


def nbytes(tensors: Tensors) -> int:
    """Return the memory that *tensors* take."""
    return sum(t.numel() * t.element_size() for t in tensors.values())


def _skeleton(value: Any, tensors: Tensors, *, fresh: bool) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Tensor):
        name = f"t{len(tensors)}"
        plain = value.detach()
        tensors[name] = plain.to("cpu", copy=True).contiguous() if fresh else plain
        return ["tensor", name]
    if type(value) in (tuple, list):
        return [type(value).__name__, [_skeleton(item, tensors, fresh=fresh) for item in value]]
    if type(value) is dict:
        return ["dict", {_text(k): _skeleton(v, tensors, fresh=fresh) for k, v in value.items()}]
    if is_dataclass(value) and not isinstance(value, type):
        named = {f.name: _skeleton(getattr(value, f.name), tensors, fresh=fresh) for f in fields(value) if f.init}
        return ["object", f"{type(value).__module__}:{type(value).__qualname__}", named]
    raise TypeError(
        f"a job returned {type(value).__name__} {value!r:.60}; allowed are tensors, None, bool, int, float, str, "
        f"and tuples, lists, dicts and dataclasses of them"
    )


def _text(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a job returned a dict with the key {key!r}; keys are str")
    return key


def _class_named(path: str) -> Any:
    module, _, name = path.partition(":")
    found = getattr(importlib.import_module(module), name)
    if not is_dataclass(found):
        raise TypeError(f"a stored value names {path}, which is no dataclass")
    return found
