"""Logits on the wire, and the teacher that a server makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fedsim.learn import loads
from fedsim.learn.affine import from_steps, in_steps
from fedsim.learn.distil import Predictions, PredictionsSize
from fedsim.learn.parameters import trained_entries
from fedsim.learn.values import Model, ModelSize
from fedsim.work import Load, job

BYTES = {"fp32": 4, "fp16": 2, "int8": 1}  # of a logit
_SCALE_BYTES = 8  # int8: the least logit and the step, of all
_LARGEST_HALF = 65504.0


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """Logits for the examples at *index*, (n,), as sent: *codes* (n, classes), with *scale* (2,) where they are uint8.

    parameters: of the network that was asked, which the server knows, having sent it.
    """

    index: Tensor
    codes: Tensor
    scale: Tensor
    parameters: int

    @property
    def logits(self) -> Tensor:
        """The logits as received, (n, classes) float64."""
        return (from_steps(self.scale, self.codes) if len(self.scale) else self.codes).double()


@dataclass(frozen=True, slots=True)
class ToldSize:
    """The size of logits as sent; which examples they are for is agreed."""

    predictions: PredictionsSize
    nbytes: int


def _told_size(predictions: PredictionsSize, _: ModelSize, *, form: str) -> ToldSize:
    entries = predictions.n * predictions.classes
    return ToldSize(predictions, BYTES[form] * entries + (_SCALE_BYTES if form == "int8" else 0))


def _told_load(predictions: PredictionsSize, *_: ModelSize, form: str) -> Load:
    passes = {"fp32": 0, "fp16": 1, "int8": 4}[form]
    return loads.vector(predictions.n * predictions.classes) * passes if passes else Load()


@job(size=_told_size, load=_told_load)
def tell(predictions: Predictions, model: Model, *, form: str) -> Told:
    """Write the logits of *model* in fp32, in fp16, or at 8 bits between the least and the largest of all."""
    return _written(predictions.index, predictions.values, form, parameters=trained_entries(model.spec))


def _written(index: Tensor, t: Tensor, form: str, *, parameters: int) -> Told:
    scale, codes = t.new_zeros(0), t
    if form == "fp16":
        codes = t.clamp(-_LARGEST_HALF, _LARGEST_HALF).half()
    elif form == "int8":
        scale, codes = in_steps(t)
    return Told(index, codes, scale, parameters)


def _teaching_load(replies: tuple[ToldSize, ...], *_: Any, **__: Any) -> Load:
    one = replies[0].predictions
    return loads.vector(one.n * one.classes, reads=2, flops=6) * len(replies)


@job(size=lambda replies, *_, **__: replies[0].predictions, load=_teaching_load)
def teacher(replies: tuple[Told, ...], samples: tuple[int, ...], *, importance: str, temperature: float) -> Predictions:
    """Return softmax(sum a_k z_k / temperature) of logits z_k for the same examples, weights a_k summing to 1.

    importance: what a reply's weight is proportional to. "data": its number of *samples*; "uniform": nothing;
    "capacity": the parameters of its network; "confidence": its largest probability, example by example.
    """
    mean = _mean(replies, samples, importance)
    return Predictions(replies[0].index, (mean / temperature).softmax(1).float())


def _pooling_load(replies: tuple[ToldSize, ...], *_: Any, form: str, **__: Any) -> Load:
    return _teaching_load(replies) + _told_load(replies[0].predictions, form=form)


@job(size=lambda replies, *_, **__: replies[0], load=_pooling_load)
def pooled(replies: tuple[Told, ...], samples: tuple[int, ...], *, importance: str, form: str) -> Told:
    """Return the mean of logits, weighted as for a teacher, as one reply that weighs as much as all together.

    That holds for the importances "data", with the samples of all, and "capacity", with their parameters.
    """
    mean, parameters = _mean(replies, samples, importance).float(), sum(one.parameters for one in replies)
    return _written(replies[0].index, mean, form, parameters=parameters)


def _mean(replies: tuple[Told, ...], samples: tuple[int, ...], importance: str) -> Tensor:
    """Return the mean of logits, (n, classes) float64."""
    weights = torch.stack([_weight(one, n, importance) for one, n in zip(replies, samples, strict=True)])  # (K, n, 1)
    logits = torch.stack([one.logits for one in replies])  # (K, n, classes)
    return (weights / weights.sum(0) * logits).sum(0)


def _weight(one: Told, samples: int, importance: str) -> Tensor:
    """Return what a reply weighs, (n, 1)."""
    if importance == "confidence":
        return one.logits.softmax(1).amax(1, keepdim=True)
    weight = {"data": samples, "uniform": 1, "capacity": one.parameters}[importance]
    return torch.full((len(one.index), 1), float(weight), dtype=torch.float64)
