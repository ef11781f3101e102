"""What work asks of a processor, whatever framework runs it: operators by kind, memory, and the steps it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum


class OpClass(StrEnum):
    """The operator classes that run at rates of their own on real processors.

    ALLOCATE is memory fresh from the operating system, IMAGE reading and decoding one from storage: both are free
    where a profile does not price them.
    """

    CONV = "conv"
    DEPTHWISE = "depthwise"
    POINTWISE = "pointwise"
    MATMUL = "matmul"
    ATTENTION = "attention"
    NORM = "norm"
    MEMORY = "memory"
    OPTIMIZER = "optimizer"
    ALLOCATE = "allocate"
    IMAGE = "image"


_WAYS = "forward", "backward"
_DETAILS = {
    OpClass.CONV: tuple(f"{way}.{form}" for way in _WAYS for form in ("3x3", "large", "thin", "grouped")),
    OpClass.DEPTHWISE: tuple(f"{way}.{form}" for way in _WAYS for form in ("3x3", "large")),
    OpClass.MEMORY: tuple(f"{way}.{form}" for way in _WAYS for form in ("plain", "strided", "activation", "pool")),
    OpClass.NORM: tuple(f"{way}.{form}" for way in _WAYS for form in ("batch", "layer")),
    **dict.fromkeys((OpClass.POINTWISE, OpClass.ATTENTION), _WAYS),
}
# What a Load may count, class first. A large filter has a side above 3, a thin one up to 4 channels in; normalisation
# by layer is also that by group; a strided pass reads what does not lie in order.
KINDS = tuple(f"{kind}.{detail}" for kind in OpClass for detail in _DETAILS.get(kind, ())) + tuple(
    kind.value for kind in OpClass if kind not in _DETAILS
)


# What may be done with a network: one training step by an optimiser, or a forward pass.
WAYS = "sgd", "sgd+momentum", "adam", "adamw", "forward"


def class_of(kind: str) -> OpClass:
    """Return the class that a kind belongs to.

    >>> class_of("conv.backward.large")
    <OpClass.CONV: 'conv'>
    """
    return OpClass(kind.partition(".")[0])


@dataclass(frozen=True, slots=True)
class Op:
    """The work of one operator class: arithmetic, memory traffic and kernel calls."""

    flops: float = 0.0
    bytes: float = 0.0
    calls: float = 0.0

    def __add__(self, other: Op) -> Op:
        return Op(self.flops + other.flops, self.bytes + other.bytes, self.calls + other.calls)

    def __mul__(self, times: float) -> Op:
        return Op(self.flops * times, self.bytes * times, self.calls * times)


@dataclass(frozen=True, slots=True)
class Step:
    """How often a step is taken, and the work of one."""

    count: float
    ops: Mapping[str, Op]


def step_name(network: str, way: str, batch: int) -> str:
    """Return what a step is called: the whole network in full, what is done with it, one of WAYS, and the batch.

    >>> step_name("resnet18/10/3x32x32", "sgd+momentum", 16)
    'resnet18/10/3x32x32/sgd+momentum/16'
    """
    return f"{network}/{way}/{batch}"


@dataclass(frozen=True)
class Load:
    """What a job asks of a processor, whatever framework runs it.

    ``ops`` counts by kind: one of KINDS, or the beginning of one where no more is known, such as OpClass.MEMORY.
    ``memory_bytes`` is the peak resident while it runs; ``density`` the share of non-zero
    weights, which buys time only where a profile has measured a sparse rate. ``steps`` names the parts of ``ops``
    for which a profile may know the time itself.

    >>> (Load({OpClass.CONV: Op(flops=2e9)}) + Load({OpClass.CONV: Op(flops=1e9)})).flops
    3000000000.0
    """

    ops: Mapping[str, Op] = field(default_factory=dict)
    memory_bytes: float = 0.0
    density: float = 1.0
    steps: Mapping[str, Step] = field(default_factory=dict)

    def __add__(self, other: Load) -> Load:
        if not other.ops:
            return replace(self, memory_bytes=max(self.memory_bytes, other.memory_bytes))
        ops = dict(self.ops)
        for kind, op in other.ops.items():
            ops[kind] = ops[kind] + op if kind in ops else op
        peak = max(self.memory_bytes, other.memory_bytes)
        return Load(ops, peak, min(self.density, other.density), _merged(self.steps, other.steps))

    def __mul__(self, times: float) -> Load:
        ops = {kind: op * times for kind, op in self.ops.items()}
        steps = {name: Step(step.count * times, step.ops) for name, step in self.steps.items()}
        return Load(ops, self.memory_bytes, self.density, steps)

    @property
    def flops(self) -> float:
        return sum(op.flops for op in self.ops.values())

    def within(self, kind: str) -> Op:
        """Return the sum over *kind* and the kinds below it."""
        return sum((op for name, op in self.ops.items() if f"{name}.".startswith(f"{kind}.")), Op())


def _merged(one: Mapping[str, Step], other: Mapping[str, Step]) -> Mapping[str, Step]:
    if not one or not other:
        return one or other
    counts = {name: step.count for name, step in one.items()}
    return {**one, **{name: Step(counts.get(name, 0.0) + step.count, step.ops) for name, step in other.items()}}
