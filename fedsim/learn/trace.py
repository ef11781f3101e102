"""The Load of a training step or a forward pass, counted on the meta device: no arithmetic, no data.

A :class:`TorchDispatchMode` sees every kernel of the forward and the backward pass with its shapes, so the
count is of the very sub-model given. PyTorch's own FlopCounterMode ignores ``groups`` in the backward of a
convolution, which makes a depthwise model look many times dearer than it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from types import FunctionType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from fedsim.errors import InputError, unknown
from fedsim.learn.kernels import FREE, count, fresh_bytes, nbytes, storage_bytes, storage_key, tensors, unique_bytes
from fedsim.work import Load, Op, OpClass, Step, step_name

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Update:
    """What an optimiser does per parameter: FLOP, numbers read and written, numbers remembered."""

    flops: float
    moved: float
    state: float


# Reads and writes of torch.optim's single-tensor CPU loops, kernel by kernel: sgd is p += -lr*g (2 read, 1
# written); momentum adds buf = m*buf + g (two kernels); adam is lerp, mul, addcmul, sqrt, div, add, addcdiv.
UPDATES = {
    "sgd": Update(flops=2, moved=3, state=0),
    "momentum": Update(flops=4, moved=8, state=1),
    "adam": Update(flops=12, moved=18, state=2),
    "adamw": Update(flops=13, moved=20, state=2),
}


# The C library takes a piece as large as this from the operating system anew each time, which then must clear it page
# by page: glibc's largest mmap threshold on 64 bits (mallopt(3)). Smaller pieces are used again.
FRESH_BYTES = 1 << 25


class Piece(NamedTuple):
    """Memory that kernels take anew: bytes whatever the batch, bytes per example, how many times."""

    fixed: float
    each: float
    times: float


@dataclass(frozen=True, slots=True)
class AffineLoad:
    """A Load that grows with the batch along a straight line, ``fixed + batch * each``, large *pieces* apart.

    ``network`` and ``way`` name the step for profiles that may know its time; without a network it is nobody's.
    Exact from two examples up; of a single one torch skips some copies (10 % of a ViT's memory traffic).
    """

    fixed: Load
    each: Load
    pieces: tuple[Piece, ...] = ()
    network: str = ""
    way: str = ""

    def at(self, batch: int) -> Load:
        """Return the Load of a batch of *batch* examples."""
        if batch < 1:
            raise InputError(f"batch is {batch}; allowed is a whole number of at least 1: give the step some examples")
        kinds = self.fixed.ops.keys() | self.each.ops.keys()
        ops = {k: self.fixed.ops.get(k, Op()) + self.each.ops.get(k, Op()) * batch for k in sorted(kinds)}
        taken = allocations((piece.fixed + batch * piece.each, piece.times) for piece in self.pieces)
        load = Load(ops | taken, self.fixed.memory_bytes + batch * self.each.memory_bytes)
        return named(load, self.network, way=self.way, batch=batch)


def named(load: Load, network: str, *, way: str, batch: int) -> Load:
    """Return *load* as the one step that it is, of *network* in full; without a name, as it is."""
    return replace(load, steps={step_name(network, way, batch): Step(1.0, load.ops)}) if network else load


def allocations(pieces: Iterable[tuple[float, float]]) -> dict[str, Op]:
    """Return what the operating system must clear of these pieces, each given as bytes and how many times."""
    large = [(nbytes, times) for nbytes, times in pieces if nbytes >= FRESH_BYTES]
    total = Op(bytes=sum(nbytes * times for nbytes, times in large), calls=sum(times for _, times in large))
    return {OpClass.ALLOCATE: total} if large else {}


def mean_load(loads: Sequence[AffineLoad]) -> AffineLoad:
    """Return the mean of *loads*, memory included."""
    pieces = [piece._replace(times=piece.times / len(loads)) for load in loads for piece in load.pieces]
    return AffineLoad(_mean([load.fixed for load in loads]), _mean([load.each for load in loads]), tuple(pieces))


def _mean(loads: Sequence[Load]) -> Load:
    share = 1.0 / len(loads)
    total = sum((load * share for load in loads), Load())
    return replace(total, memory_bytes=sum(load.memory_bytes for load in loads) * share)


def trace_step(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    target: Tensor,
    *,
    optimizer: str = "sgd",
    momentum: float = 0.0,
    loss: Loss = nn.functional.cross_entropy,
) -> Load:
    """Return the Load of one training step: forward, backward and the optimiser's update.

    *module* may be real or meta; it is neither run nor changed. ``memory_bytes`` sums parameters, buffers,
    gradients, the optimiser's state, what the backward pass keeps and the inputs.
    Raises InputError for an unknown optimiser, a frozen module or a forward pass that depends on values.
    """
    return _trace_step(module, inputs, target, update=_update(optimizer, momentum), loss=loss).load


def _trace_step(
    module: nn.Module, inputs: tuple[Tensor, ...], target: Tensor, *, update: Update, loss: Loss
) -> _Traced:
    copy, given = _on_meta(module).train(), tuple(_like(x) for x in inputs)
    trained = [p for p in copy.parameters() if p.requires_grad]
    counter, kept = _Counter(), _Kept((*copy.parameters(), *copy.buffers(), *given))
    with _tracing(module, counter), torch.enable_grad():
        with saved_tensors_hooks(kept.pack, kept.unpack):
            lost = loss(copy(*given), _like(target))
        _require_trainable(lost, module)
        torch.autograd.grad(lost, trained, allow_unused=True)
    counter.add(OpClass.OPTIMIZER, _update_op(update, trained))
    fixed = unique_bytes((*copy.parameters(), *copy.buffers(), *given)) + (1 + update.state) * unique_bytes(trained)
    return _Traced(counter.ops, counter.fresh, float(fixed + kept.nbytes))


def trace_forward(module: nn.Module, inputs: tuple[Tensor, ...]) -> Load:
    """Return the Load of one forward pass in evaluation mode, without gradients.

    ``memory_bytes`` is parameters, buffers, inputs and the largest reads and writes of one kernel.
    Raises InputError when the forward pass depends on values.
    """
    return _trace_forward(module, inputs).load


def _trace_forward(module: nn.Module, inputs: tuple[Tensor, ...]) -> _Traced:
    copy, given = _on_meta(module).eval(), tuple(_like(x) for x in inputs)
    held = (*copy.parameters(), *copy.buffers(), *given)
    counter = _Counter(held=held)
    with _tracing(module, counter), torch.no_grad():
        copy(*given)
    return _Traced(counter.ops, counter.fresh, float(unique_bytes(held) + counter.widest))


def affine_load(
    build: Callable[[], nn.Module],
    shape: tuple[int, ...],
    classes: int,
    *,
    optimizer: str = "sgd",
    momentum: float = 0.0,
    dtype: torch.dtype = torch.float32,
    loss: Loss = nn.functional.cross_entropy,
) -> AffineLoad:
    """Return the training step's Load for every batch size, from traces at 2 and 3 examples.

    *shape* is one example's, *dtype* its type (``torch.int64`` for tokens); targets are one class each.
    """
    _require_classes(classes)
    module, update = built(build), _update(optimizer, momentum)

    def traced(batch: int) -> _Traced:
        example = torch.empty((batch, *shape), dtype=dtype, device="meta")
        target = torch.empty((batch,), dtype=torch.int64, device="meta")
        return _trace_step(module, (example,), target, update=update, loss=loss)

    return _line(traced)


def affine_forward(
    build: Callable[[], nn.Module], shape: tuple[int, ...], *, dtype: torch.dtype = torch.float32
) -> AffineLoad:
    """Return the forward pass's Load for every batch size, from traces at 2 and 3 examples."""
    module = built(build)
    return _line(lambda batch: _trace_forward(module, (torch.empty((batch, *shape), dtype=dtype, device="meta"),)))


def built(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a module on the meta device; where its construction reads values, build a real one.

    The generators of random numbers are left as they were.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                return build()
        except RuntimeError:  # such as .item() on a meta tensor
            return build()


class _Traced(NamedTuple):
    """What a pass asked for: work by kind, the pieces of memory it took in turn, and its peak bytes."""

    ops: dict[str, Op]
    fresh: list[int]
    memory_bytes: float

    @property
    def load(self) -> Load:
        return Load(self.ops | allocations((nbytes, 1) for nbytes in self.fresh), self.memory_bytes)


def _line(traced: Callable[[int], _Traced]) -> AffineLoad:
    two, three = traced(2), traced(3)
    kinds = two.ops.keys() | three.ops.keys()
    each = {k: three.ops.get(k, Op()) + two.ops.get(k, Op()) * -1.0 for k in kinds}
    fixed = {k: two.ops.get(k, Op()) + each[k] * -2.0 for k in kinds}
    slope = three.memory_bytes - two.memory_bytes
    # A network with more kernels for a larger batch has more pieces at 3: those beyond are left out.
    pieces = Counter((3 * a - 2 * b, b - a) for a, b in zip(two.fresh, three.fresh, strict=False))
    return AffineLoad(
        Load(fixed, two.memory_bytes - 2 * slope),
        Load(each, slope),
        tuple(Piece(*line, times) for line, times in sorted(pieces.items())),
    )


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the kernels that pass by; ``widest`` is the most bytes of activations that one of them touched."""

    def __init__(self, held: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ops: dict[str, Op] = {}
        self.fresh: list[int] = []
        self.held = {storage_key(t) for t in held}
        self.widest = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view and func.overloadpacket not in FREE:
            given = (*args, *(kwargs or {}).values())
            self.add(*count(func.overloadpacket, given, out))
            self.fresh += fresh_bytes(given, out)
            self._widen((args, out))
        return out

    def add(self, kind: str, op: Op) -> None:
        self.ops[kind] = self.ops[kind] + op if kind in self.ops else op

    def _widen(self, touched: Any) -> None:
        if self.held:
            own = {storage_key(t): float(nbytes(t)) for t in tensors(touched)}
            self.widest = max(self.widest, sum(n for key, n in own.items() if key not in self.held))


class _Kept:
    """Sums what autograd saves for the backward pass: each storage once, parameters and inputs not at all."""

    def __init__(self, held: Iterable[Tensor]) -> None:
        self._seen = {storage_key(t): t for t in held}  # the tensors too, lest a storage's address be reused
        self.nbytes = 0

    def pack(self, tensor: Tensor) -> Tensor:
        key = storage_key(tensor)
        if key not in self._seen:
            self._seen[key] = tensor.detach()
            self.nbytes += storage_bytes(tensor)
        return tensor

    def unpack(self, tensor: Tensor) -> Tensor:
        return tensor


class _FusedAttention(TorchFunctionMode):
    """Takes the CPU's fused attention where it would be taken; the meta device would decompose it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _FUSED.get(func, func)(*args, **(kwargs or {}))


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    learnt = attn_mask is not None and attn_mask.requires_grad
    if dropout_p or enable_gqa or learnt or query.dim() != 4 or key.shape != value.shape:
        return nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # noqa: SLF001
    out: Tensor = fused(query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale)[0]
    return out


def _with_fused_attention(function: Any) -> Callable[..., Any]:
    """Copy a function of torch that calls the attention out of every mode's sight."""
    names = {**function.__globals__, "scaled_dot_product_attention": _attend, "has_torch_function": lambda _: False}
    copy = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


_FUSED: dict[Any, Callable[..., Any]] = {
    nn.functional.scaled_dot_product_attention: _attend,
    nn.functional.multi_head_attention_forward: _with_fused_attention(nn.functional.multi_head_attention_forward),
}


@contextmanager
def _tracing(module: nn.Module, counter: _Counter) -> Iterator[None]:
    """Make new tensors meta, count kernels, and name the module in what goes wrong."""
    try:
        with torch.inference_mode(False), torch.device("meta"), _FusedAttention(), counter:
            yield
    except RuntimeError as error:
        raise InputError(
            f"cannot trace {type(module).__name__} without values: {error}. Its forward pass must fit the inputs "
            f"given and must not branch on values (.item(), if tensor > 0); allowed is what runs on the meta device"
        ) from error


def _on_meta(module: nn.Module) -> nn.Module:
    """Copy a module's structure with every tensor it holds replaced by a meta one; ties stay ties."""
    memo: dict[int, Any] = {id(t): _like(t) for t in (*module.parameters(), *module.buffers())}
    for part in module.modules():
        memo.update({id(t): _like(t) for t in tensors(tuple(vars(part).values())) if id(t) not in memo})
    return deepcopy(module, memo)


def _like(tensor: Tensor) -> Tensor:
    if isinstance(tensor, nn.parameter.UninitializedParameter | nn.parameter.UninitializedBuffer):
        raise InputError("the module has a lazy parameter of unknown shape: run it once on an example first")
    with torch.inference_mode(False):
        meta = torch.empty_like(tensor.detach(), device="meta")
        return nn.Parameter(meta, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else meta


def _update(optimizer: str, momentum: float) -> Update:
    if optimizer not in UPDATES:
        raise InputError(f"{unknown('optimizer', optimizer, UPDATES)}: choose one of them")
    return UPDATES["momentum" if optimizer == "sgd" and momentum else optimizer]


def _update_op(update: Update, trained: list[nn.Parameter]) -> Op:
    numbers = sum(p.numel() for p in trained)
    moved = sum(p.numel() * p.element_size() for p in trained) * update.moved
    return Op(update.flops * numbers, moved, len(trained))


def _require_trainable(lost: Tensor, module: nn.Module) -> None:
    if not lost.requires_grad:
        raise InputError(
            f"{type(module).__name__} has no parameter that the loss depends on and that requires a gradient: "
            f"unfreeze one, or trace the forward pass alone with trace_forward"
        )


def _require_classes(classes: int) -> None:
    if classes < 1:
        raise InputError(f"classes is {classes}; allowed is a whole number of at least 1")
