"""Examples in memory, their size on the wire, and the data set they come from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedsim.errors import InputError
from fedsim.seeds import integers, seed_of

Index = Tensor | NDArray[np.int64] | slice
CHUNK = 1024  # examples squared at a time when the deviation is taken


def is_tokens(shape: tuple[int, ...]) -> bool:
    """Tell whether an example of this shape is a sequence of tokens, (T,), and no image, (C, H, W)."""
    return len(shape) == 1


@dataclass(frozen=True, slots=True)
class Vocab:
    """What the ids of tokens mean: ``size`` of them from 0, ``pad`` fills up, ``sep`` ends a text (None: nothing does).

    digest: of the rule that gives texts their ids; equal digests, equal meanings.
    """

    size: int
    pad: int = 0
    sep: int | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True)
class DataSize:
    """What is known of examples without having them.

    shape: one example's, (C, H, W), or (T,) of T tokens; item_bytes: one example as stored, its
    label included unless the examples are sent without labels.
    """

    n: int
    shape: tuple[int, ...]
    classes: int
    item_bytes: int

    @property
    def nbytes(self) -> int:
        return self.n * self.item_bytes


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Examples as stored, with what standardises them.

    x: (N, C, H, W) uint8, or float32 taken as it is, or token ids (N, T) uint8, int16 or int32;
    y: (N,) int64; mean, std: (C,) float32 in the units of the stored x, None when x is float32 or tokens.
    """

    x: Tensor
    y: Tensor
    mean: Tensor | None = None
    std: Tensor | None = None

    @property
    def n(self) -> int:
        return len(self.y)

    def batch(self, index: Index) -> tuple[Tensor, Tensor]:
        """Return x and y (B,) of the examples at *index*.

        x: (B, C, H, W) float32, standardised per channel, or tokens (B, T) int64.
        """
        if is_tokens(self.x.shape[1:]):
            return self.x[index].long(), self.y[index]
        x = self.x[index].float()
        if self.mean is not None and self.std is not None:
            x = (x - self.mean.view(-1, 1, 1)) / self.std.view(-1, 1, 1)
        return x, self.y[index]

    def subset(self, index: Index) -> Examples:
        """Return a copy of the examples at *index*, in its order, standardised as these are."""
        return Examples(self.x[index].clone(), self.y[index].clone(), self.mean, self.std)

    def size(self, classes: int, *, labelled: bool = True) -> DataSize:
        """Return the size of these examples, with one label byte (two from 257 classes) or none."""
        label_bytes = (1 if classes <= 256 else 2) if labelled else 0
        shape = tuple(self.x.shape[1:])
        return DataSize(self.n, shape, classes, self.x.element_size() * torch.Size(shape).numel() + label_bytes)


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A data set in memory: what to train and test on, and a digest of it all.

    test may be empty; client_train: (N,) the natural client of each training example, if known;
    digest: 16 hex digits over content and preprocessing, not over the classes' names; vocab: of
    tokens, None for images.
    """

    name: str
    train: Examples
    test: Examples
    classes: tuple[str, ...]
    client_train: NDArray[Any] | None
    digest: str
    vocab: Vocab | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """One example's shape, (C, H, W), or (T,) of tokens."""
        return tuple(self.train.x.shape[1:])


@dataclass(frozen=True, slots=True, eq=False)
class Arrays:
    """A data set as decoded: x (N, H, W) or (N, H, W, C) uint8 or float, y (N,) whole numbers.

    With a *vocab* x is (N, T) token ids.
    """

    x_train: NDArray[Any]
    y_train: NDArray[Any]
    x_test: NDArray[Any]
    y_test: NDArray[Any]
    classes: tuple[str, ...]
    client_train: NDArray[Any] | None = None
    vocab: Vocab | None = None


def dataset_from(name: str, arrays: Arrays) -> Dataset:
    """Make a data set of checked *arrays*, standardised by the training mean and deviation.

    A channel that never varies is only centred. Float x and tokens are taken as they are.
    """
    x_train, x_test = (_as_stored(x, arrays.vocab) for x in (arrays.x_train, arrays.x_test))
    mean, std = _moments(x_train) if arrays.vocab is None and x_train.dtype == np.uint8 else (None, None)
    train = Examples(torch.from_numpy(x_train), _labels(arrays.y_train), mean, std)
    test = Examples(torch.from_numpy(x_test), _labels(arrays.y_test), mean, std)
    return Dataset(name, train, test, arrays.classes, arrays.client_train, _digest(train, test, arrays), arrays.vocab)


def set_aside(dataset: Dataset, n: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split the training examples into those left and *n* public ones, as sorted indices.

    Raises InputError unless 0 <= n < the number of training examples.
    """
    total = dataset.train.n
    if not 0 <= n < total:
        raise InputError(
            f"public = {n} examples of data set {dataset.name!r}, which has {total} for training: "
            f"set aside at least 0 and at most {total - 1}, or name another data set as public"
        )
    order = np.argsort(integers(seed_of(seed, "set aside"), 0, total), kind="stable")
    return np.sort(order[n:]), np.sort(order[:n])


def limited(dataset: Dataset, train: int | None, test: int | None) -> Dataset:
    """Return at most *train* training and *test* test examples, the same for every seed, standardised as before.

    Raises InputError where there are fewer.
    """
    if train is None and test is None:
        return dataset
    parts = [_drawn(dataset, part, n) for part, n in (("train", train), ("test", test))]
    clients = None if dataset.client_train is None else dataset.client_train[parts[0]]
    examples = (dataset.train.subset(parts[0]), dataset.test.subset(parts[1]))
    digest = hashlib.sha256(f"{dataset.digest} {train} {test}".encode()).hexdigest()[:16]
    return Dataset(dataset.name, *examples, dataset.classes, clients, digest, dataset.vocab)


def _drawn(dataset: Dataset, part: str, n: int | None) -> NDArray[np.int64]:
    total = getattr(dataset, part).n
    if n is not None and n > total:
        raise InputError(f"{part} = {n} examples of data set {dataset.name!r}, which has {total}: take at most as many")
    order = np.argsort(integers(seed_of(0, "subset", part), 0, total), kind="stable")
    return np.sort(order[:n])


def _channels_first(x: NDArray[Any]) -> NDArray[Any]:
    x = x[..., None] if x.ndim == 3 else x
    kind = np.uint8 if x.dtype == np.uint8 else np.float32
    return np.array(x.transpose(0, 3, 1, 2), dtype=kind, order="C")  # (N, H, W, C) -> (N, C, H, W), always a copy


def _as_stored(x: NDArray[Any], vocab: Vocab | None) -> NDArray[Any]:
    """Return images channels first, and token ids in the narrowest type that has room for their vocabulary."""
    if vocab is None:
        return _channels_first(x)
    kinds = (np.uint8, np.int16, np.int32)
    return np.array(x, dtype=next(kind for kind in kinds if vocab.size - 1 <= np.iinfo(kind).max), order="C")


def _labels(y: NDArray[Any]) -> Tensor:
    return torch.from_numpy(y.astype(np.int64))


def _moments(x: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Return mean and deviation per channel, (C,) each, from exact whole-number sums."""
    count = x.size // x.shape[1]
    mean = x.sum(axis=(0, 2, 3), dtype=np.int64) / count
    parts = (x[at : at + CHUNK].astype(np.int32) for at in range(0, len(x), CHUNK))
    square = sum((part**2).sum(axis=(0, 2, 3), dtype=np.int64) for part in parts) / count
    std = np.sqrt(np.maximum(square - mean**2, 0.0))
    std[std == 0.0] = 1.0
    return torch.from_numpy(mean.astype(np.float32)), torch.from_numpy(std.astype(np.float32))


def _digest(train: Examples, test: Examples, arrays: Arrays) -> str:
    found = hashlib.sha256(f"standardised by training mean and deviation, {len(arrays.classes)} classes".encode())
    clients = arrays.client_train
    parts = [train.x.numpy(), train.y.numpy(), test.x.numpy(), test.y.numpy()]
    for array in parts if clients is None else [*parts, clients]:
        found.update(f"{array.dtype.str}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data if array.size else b"")
    return found.hexdigest()[:16]
