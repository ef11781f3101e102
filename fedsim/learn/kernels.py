"""What one kernel costs, from the shapes of its arguments and its result: its kind, FLOP and bytes.

One multiply-add is 2 FLOP and a bias is free; bytes are those the kernel reads and writes. What caches save is
left to the measured rates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from math import prod
from typing import Any

import torch
from torch import Tensor

from fedsim.work import Op, OpClass

Counted = tuple[str, Op]
aten = torch.ops.aten
_PLAIN, _STRIDED = f"{OpClass.MEMORY}.forward.plain", f"{OpClass.MEMORY}.forward.strided"
_BATCH_NORM = f"{OpClass.NORM}.forward.batch"
_CURVED = "gelu", "silu", "sigmoid", "tanh", "softmax", "hardswish", "mish", "erf"


def tensors(tree: Any) -> Iterator[Tensor]:
    """Yield the tensors inside nested tuples, lists and dicts."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, (tuple, list)):
        for item in tree:
            yield from tensors(item)
    elif isinstance(tree, dict):
        yield from tensors(tuple(tree.values()))


def storage_key(tensor: Tensor) -> int:
    """Return what tensors that share memory share; meta tensors have no address."""
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001 -- torch names no other identity


def storage_bytes(tensor: Tensor) -> int:
    """Return the bytes of the memory behind a tensor, of which it may be a part."""
    return int(tensor.untyped_storage().nbytes())


def unique_bytes(many: Iterable[Tensor]) -> int:
    """Return the bytes of the memory behind *many* tensors, shared memory once."""
    return sum({storage_key(t): storage_bytes(t) for t in many}.values())


def nbytes(*trees: Any) -> int:
    """Return the bytes that reading these tensors moves; an expanded one is no larger than its storage."""
    return sum(min(t.numel() * t.element_size(), storage_bytes(t)) for t in tensors(trees))


def count(kernel: Any, args: tuple[Any, ...], out: Any) -> Counted:
    """Return the kind and the work of one call of an aten *kernel* with these arguments and result."""
    if kernel in _COUNTERS:
        return _COUNTERS[kernel](args, out)
    kind = _passing(kernel.__name__)
    if kind == _BATCH_NORM and not args[5]:
        kind = _PLAIN  # in evaluation it multiplies and adds
    return _STRIDED if kind == _PLAIN and any(map(_is_strided, tensors(args))) else kind, _memory(args, out)


def fresh_bytes(args: tuple[Any, ...], out: Any) -> list[int]:
    """Return the bytes of each piece of memory that a kernel's result takes anew."""
    held = {storage_key(t) for t in tensors(args)}
    return [storage_bytes(t) for t in tensors(out) if storage_key(t) not in held]


@cache
def _passing(name: str) -> str:
    """Return the kind of a kernel that passes over memory, by its name."""
    way = "backward" if "backward" in name else "forward"
    if "_norm" in name and "linalg" not in name and "no_training" not in name:
        return f"{OpClass.NORM}.{way}.{'batch' if 'batch' in name else 'layer'}"
    form = "pool" if "pool" in name else "activation" if any(part in name for part in _CURVED) else "plain"
    return f"{OpClass.MEMORY}.{way}.{form}"


def _is_strided(tensor: Tensor) -> bool:
    return not tensor.is_contiguous() and 0 not in tensor.stride()  # a stride of 0 repeats one number


def _memory(args: tuple[Any, ...], out: Any) -> Op:
    numbers = sum(t.numel() for t in tensors(out))
    return Op(numbers, nbytes(args, out), 1)


def _gather(args: tuple[Any, ...], out: Tensor) -> Counted:
    """Count a lookup by the rows it takes; the rest of the table is not touched."""
    return _PLAIN, Op(0, 2 * nbytes(out) + nbytes(args[1:]), 1)


def _scatter(args: tuple[Any, ...], _: Tensor) -> Counted:
    values = nbytes(args[-1] if isinstance(args[-1], Tensor) else args[2])
    return _PLAIN, Op(values / 4, 2 * values + nbytes(args[1:]), 1)


def _fill(_: tuple[Any, ...], out: Any) -> Counted:
    return _PLAIN, Op(0, nbytes(out), 1)


def _conv_kind(weight: Tensor, way: str, *, transposed: bool, groups: int) -> str:
    inputs, side = weight.shape[0] if transposed else weight.shape[1] * groups, max(weight.shape[2:])
    form = "large" if side > 3 else "3x3"
    if groups == inputs > 1:
        return f"{OpClass.DEPTHWISE}.{way}.{form}"
    if side == groups == 1:
        return f"{OpClass.POINTWISE}.{way}"
    return f"{OpClass.CONV}.{way}.{'grouped' if groups > 1 else 'thin' if inputs <= 4 else form}"


def _conv_flops(x: Tensor, weight: Tensor, result: Tensor, *, transposed: bool) -> int:
    """Count multiply-adds: each number of the input (transposed) or of the result meets one filter of its own group."""
    return 2 * (x if transposed else result).numel() * prod(weight.shape[1:])


def _conv(args: tuple[Any, ...], out: Tensor) -> Counted:
    x, weight, transposed, groups = args[0], args[1], args[6], args[8]
    op = Op(_conv_flops(x, weight, out, transposed=transposed), nbytes(args[:3], out), groups)
    return _conv_kind(weight, "forward", transposed=transposed, groups=groups), op


def _conv_backward(args: tuple[Any, ...], out: Any) -> Counted:
    """Count the gradients asked for: the first layer wants none of its input; a call for each group of channels."""
    grad, x, weight, transposed, groups, mask = args[0], args[1], args[2], args[7], args[9], args[10]
    flops = _conv_flops(x, weight, grad, transposed=transposed) * (mask[0] + mask[1])
    moved = mask[0] * nbytes(grad, weight, out[0]) + mask[1] * nbytes(grad, x, out[1]) + mask[2] * nbytes(out[2])
    kind = _conv_kind(weight, "backward", transposed=transposed, groups=groups)
    return kind, Op(flops, moved, groups * (mask[0] + mask[1]))


def _product(left: int) -> Callable[[tuple[Any, ...], Tensor], Counted]:
    """Count a matrix product whose left factor is argument number *left*; its last side is summed over."""

    def counted(args: tuple[Any, ...], out: Tensor) -> Counted:
        return OpClass.MATMUL, Op(2 * out.numel() * args[left].shape[-1], nbytes(args, out), 1)

    return counted


def _attention(args: tuple[Any, ...], out: Any) -> Counted:
    """Two products: scores and their use. Shapes (batch, heads, tokens, width); causality is not exploited."""
    q, k, v = args[:3]
    flops = 2 * prod(q.shape[:3]) * k.shape[2] * (q.shape[3] + v.shape[3])
    return f"{OpClass.ATTENTION}.forward", Op(flops, nbytes(q, k, v, out), 1)


def _attention_backward(args: tuple[Any, ...], out: Any) -> Counted:
    """Five products: the scores again, and the gradients of weights, values, queries and keys."""
    q, k, v = args[1:4]
    flops = 2 * prod(q.shape[:3]) * k.shape[2] * (3 * q.shape[3] + 2 * v.shape[3])
    return f"{OpClass.ATTENTION}.backward", Op(flops, nbytes(args[:6], out), 1)


def _packets(*names: str) -> list[Any]:
    return [getattr(aten, name) for name in names if hasattr(aten, name)]


_SDPA = (
    "flash_attention",
    "flash_attention_for_cpu",
    "efficient_attention",
    "cudnn_attention",
    "fused_attention_overrideable",
)
FREE = frozenset(
    _packets("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view")
    + _packets("unsafe_split", "unsafe_chunk", "unsafe_split_with_sizes", "lift_fresh", "resize_", "set_")
    + _packets("_local_scalar_dense", "_assert_async", "is_same_size", "sym_size", "sym_numel", "sym_stride")
)
_COUNTERS: dict[Any, Callable[[tuple[Any, ...], Any], Counted]] = {
    **dict.fromkeys(_packets("convolution", "_convolution", "convolution_overrideable"), _conv),
    **dict.fromkeys(_packets("convolution_backward", "convolution_backward_overrideable"), _conv_backward),
    **dict.fromkeys(_packets("mm", "bmm", "mv", "dot", "vdot", "linear"), _product(0)),
    **dict.fromkeys(_packets("addmm", "baddbmm", "addmv", "_addmm_activation"), _product(1)),
    **dict.fromkeys(_packets(*(f"_scaled_dot_product_{n}" for n in _SDPA)), _attention),
    **dict.fromkeys(_packets(*(f"_scaled_dot_product_{n}_backward" for n in _SDPA)), _attention_backward),
    **dict.fromkeys(_packets("embedding", "index", "index_select", "gather", "take"), _gather),
    **dict.fromkeys(_packets("index_put", "index_put_", "_index_put_impl_", "index_add_", "scatter_add_"), _scatter),
    **dict.fromkeys(_packets("zeros", "ones", "full", "zeros_like", "ones_like", "full_like", "new_zeros"), _fill),
    **dict.fromkeys(_packets("new_ones", "new_full", "arange", "zero_", "fill_", "uniform_", "normal_"), _fill),
}
