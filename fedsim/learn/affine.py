"""Models at 8 bits an entry, one scale and zero point per tensor, and uploads that may be left out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedsim.learn import loads
from fedsim.learn.data import DataSize, Examples
from fedsim.learn.models import ModelSpec
from fedsim.learn.trace import built
from fedsim.learn.train import batch_indices
from fedsim.learn.updates import Coded, CodedSize
from fedsim.learn.values import Model, ModelSize, NumberSize
from fedsim.work import Load, Sized, job

_STEPS = 255


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """A coded model, or None: nothing was worth sending."""

    model: Coded | None

    def size(self) -> Sized:
        return self.model.size() if self.model else NumberSize(0)


def _coded_size(model: ModelSize) -> CodedSize:
    tensors = sum(t.is_floating_point() for t in built(ModelSpec.from_params(model.spec).build).state_dict().values())
    return CodedSize(model, model.entries + 8 * tensors + model.nbytes - 4 * model.entries)


@job(size=_coded_size, load=lambda model: loads.vector(model.entries, reads=2, flops=4) * 2)
def at_8_bits(model: Model) -> Coded:
    """Write each tensor as its least entry, the step to the next level (fp32 both), and a byte an entry."""
    body = b"".join(_written(t) for t in model.state.values())
    return Coded(model.spec, torch.frombuffer(bytearray(body), dtype=torch.uint8))


@job(size=lambda message: message.model, load=lambda message: loads.vector(message.model.entries, flops=2))
def from_8_bits(message: Coded) -> Model:
    """Read a model that was written at 8 bits an entry."""
    return _read(message)


@job(
    size=lambda *_, **__: NumberSize(8),
    load=lambda model, data, *, batch_size, **_: loads.predicting(model.spec, _part(data, batch_size)),
)
def last_loss(model: Model, data: Examples, *, epochs: int, batch_size: int, seed: int) -> float:
    """Return the mean cross-entropy on the last batch of a training under *seed*."""
    module = model.module().eval()
    *_, index = batch_indices(data.n, batch_size, epochs, seed=seed)
    x, y = data.batch(index)
    with torch.no_grad():
        return float(nn.functional.cross_entropy(module(x), y))


@job(size=lambda losses: NumberSize(8), load=lambda losses: Load())
def least(losses: tuple[float, ...]) -> float:
    """Return the least of *losses*."""
    return min(losses)


@job(size=None, load=lambda *_: Load())
def sent_if_better(model: Coded, loss: float, before: tuple[float, ...]) -> Sent:
    """Return *model* if *loss* is below all *before*, else nothing."""
    return Sent(model if all(loss < one for one in before) else None)


@job(size=lambda model, sent: model, load=lambda model, sent: loads.vector(model.entries, reads=2, flops=4) * len(sent))
def mean_of_sent(model: Model, sent: tuple[Sent, ...]) -> Model:
    """Return the plain mean of what was sent; *model* if nothing was."""
    read = [_read(one.model) for one in sent if one.model]
    if not read:
        return model

    def mean(name: str, t: Tensor) -> Tensor:
        return torch.stack([one.state[name].double() for one in read]).mean(0).to(t.dtype)

    return Model(model.spec, {n: mean(n, t) if t.is_floating_point() else t for n, t in read[0].state.items()})


def in_steps(t: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least entry of *t* and the step between 256 levels, (2,), and each entry's level, uint8."""
    low = t.min()
    step = (t.max() - low) / _STEPS
    codes = ((t - low) / step.clamp_min(torch.finfo(torch.float32).tiny)).round().clamp(0, _STEPS).to(torch.uint8)
    return torch.stack([low, step]), codes


def from_steps(scale: Tensor, codes: Tensor) -> Tensor:
    """Return the entries that in_steps wrote, each off by at most half a step."""
    return torch.add(scale[0], codes.float() * scale[1])


def _part(data: DataSize, n: int) -> DataSize:
    return DataSize(min(n, data.n), data.shape, data.classes, data.item_bytes)


def _written(t: Tensor) -> bytes:
    if not t.is_floating_point():
        return bytes(t.numpy(force=True).tobytes())
    return b"".join(part.numpy(force=True).tobytes() for part in in_steps(t))


def _read(message: Coded) -> Model:
    like = built(ModelSpec.from_params(message.spec).build).state_dict()
    lengths = [8 + t.numel() if t.is_floating_point() else t.numel() * t.element_size() for t in like.values()]
    parts = message.data.cpu().split(lengths)  # type: ignore[no-untyped-call]
    return Model(message.spec, {name: _tensor(part, like[name]) for name, part in zip(like, parts, strict=True)})


def _tensor(part: Tensor, like: Tensor) -> Tensor:
    if not like.is_floating_point():
        return part.clone().view(like.dtype).reshape(like.shape)
    scale = part[:8].clone().view(torch.float32)  # least entry, step
    return from_steps(scale, part[8:].reshape(like.shape))
