"""What one step of any module takes on a device, told without running it: seconds, joules and bytes of memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fedsim.errors import InputError, unknown
from fedsim.fleet import CostModel, Profile, load_profile
from fedsim.fleet.cost import Estimate
from fedsim.learn.trace import Loss, named, trace_forward, trace_step
from fedsim.work import Load, Op, OpClass, class_of

_MODEL = CostModel()
_OPTIMIZERS = "sgd", "adam", "adamw"


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a step takes on a device, each number with the bounds that hold it in nine cases of ten.

    joules: all that the device draws during the step, idle power included. memory_bytes: the step's tensors at their
    peak; the program itself comes on top.
    """

    seconds: float
    seconds_low: float
    seconds_high: float
    joules: float
    joules_low: float
    joules_high: float
    memory_bytes: float
    memory_bytes_low: float
    memory_bytes_high: float


def predict_step(  # noqa: PLR0917 - a step is a module, what it takes and where it runs
    module: nn.Module,
    example: Tensor | tuple[Tensor, ...],
    target: Tensor,
    profile: Profile | str | Path,
    *,
    optimizer: str = "sgd",
    momentum: float = 0.0,
    loss: Loss = nn.functional.cross_entropy,
    training: bool = True,
    images_from_storage: bool = False,
    network: str = "",
) -> Prediction:
    """Predict one training step of *module* on a device, or with *training* False one forward pass.

    *module* may be real or meta; it is neither run nor changed. *example* is its batch, a tuple where it takes several
    tensors; of them and of *target* shapes and types alone matter. *profile*: a Profile, a packaged name, or a path.
    images_from_storage: reading and decoding each example comes on top. network: what the profile's exact times call
    the whole network, such as "resnet18/10/3x32x32".
    Raises InputError where the step cannot be traced, or where *profile* has not measured what it asks for.

    >>> from torch import empty, nn
    >>> step = predict_step(nn.Linear(64, 10), empty(8, 64), empty(8).long(), "raspberry-pi-4")
    >>> 0 < step.seconds_low < step.seconds < step.seconds_high < 1e-2
    True
    """
    found = profile if isinstance(profile, Profile) else load_profile(profile)
    load = step_load(
        module, example, target, optimizer=optimizer, momentum=momentum, loss=loss, training=training,
        images_from_storage=images_from_storage, network=network,
    )  # fmt: skip
    return predicted(load, found)


def step_load(
    module: nn.Module,
    example: Tensor | tuple[Tensor, ...],
    target: Tensor,
    *,
    optimizer: str = "sgd",
    momentum: float = 0.0,
    loss: Loss = nn.functional.cross_entropy,
    training: bool = True,
    images_from_storage: bool = False,
    network: str = "",
) -> Load:
    """Return the Load of the step that :func:`predict_step` predicts, to be priced on several devices."""
    inputs = example if isinstance(example, tuple) else (example,)
    _check_batch(inputs)
    _check_single(chain(module.parameters(), module.buffers(), inputs))
    way, batch = _way(optimizer, momentum) if training else "forward", len(inputs[0])
    if training:
        load = trace_step(module, inputs, target, optimizer=optimizer, momentum=momentum, loss=loss)
    else:
        load = trace_forward(module, inputs)
    read = Load({OpClass.IMAGE: Op(calls=batch)} if images_from_storage else {})
    return named(load, network, way=way, batch=batch) + read


def predicted(load: Load, profile: Profile) -> Prediction:
    """Return what *load* takes on *profile*; raises InputError where that has no rate for reading images."""
    if OpClass.IMAGE in load.ops and OpClass.IMAGE not in profile.rates:
        raise InputError(
            f"profile {profile.name!r} does not price reading images from storage: leave it out, or give the profile "
            f"a [rates.image] with the time of one as call"
        )
    seconds, above_idle, memory = (price(profile, load) for price in (_MODEL.seconds, _MODEL.joules, _MODEL.memory))
    joules = Estimate(*(above + profile.idle_w * s for above, s in zip(above_idle, seconds, strict=True)))
    return Prediction(*seconds, *joules, *memory)


def facts(load: Load, profile: Profile) -> dict[str, Any]:
    """Return the prediction with the device's RAM, whether that suffices, and seconds by class of work.

    ``exact`` tells whether the profile carries the step's time; then no class is known.
    """
    step, exact = predicted(load, profile), bool(load.steps.keys() & profile.exact.keys())
    room = {"ram_bytes": profile.memory_bytes, "fits": step.memory_bytes <= profile.memory_bytes, "exact": exact}
    return {"device": profile.name, **asdict(step), **room, "seconds_by_class": {} if exact else _split(load, profile)}


def _split(load: Load, profile: Profile) -> dict[str, float]:
    """Return the seconds of each class of work, the longest first."""
    found: dict[str, float] = {}
    for kind, op in load.ops.items():
        seconds = _MODEL.seconds(profile, Load({kind: op}, density=load.density)).value
        found[class_of(kind).value] = found.get(class_of(kind).value, 0.0) + seconds
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _way(optimizer: str, momentum: float) -> str:
    if optimizer not in _OPTIMIZERS:
        raise InputError(f"{unknown('optimizer', optimizer, _OPTIMIZERS)}: choose one of them")
    if momentum and optimizer != "sgd":
        raise InputError(
            f"momentum is {momentum} with optimizer {optimizer!r}; allowed is one with 'sgd': leave it out"
        )
    return "sgd+momentum" if momentum else optimizer


def _check_batch(inputs: tuple[Tensor, ...]) -> None:
    if not inputs or not inputs[0].dim() or not len(inputs[0]):
        shapes = [tuple(x.shape) for x in inputs]
        raise InputError(f"the example has the shapes {shapes}; its first tensor must be a batch: (examples, ...)")


def _check_single(tensors: Iterable[Tensor]) -> None:
    """Raise InputError for numbers other than of 32 bits, which no profile has measured."""
    odd = {str(t.dtype) for t in tensors if t.is_floating_point() and str(t.dtype) != "torch.float32"}
    if odd:
        raise InputError(
            f"the step computes in {', '.join(sorted(odd))}; the profiles have measured torch.float32 alone: "
            f"convert the module and the example with .float()"
        )
