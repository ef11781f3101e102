"""Data sets in .npz files, checked: x_train y_train x_test y_test, optionally classes client_train."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedsim.errors import InputError, nearest
from fedsim.learn.data import Arrays

REQUIRED = ("x_train", "y_train", "x_test", "y_test")
OPTIONAL = ("classes", "client_train")
MOST_CLASSES = 65_536


@dataclass(frozen=True, slots=True)
class NpzFile:
    """The arrays of one file under their keys, and errors that name the file and the key."""

    path: Path
    arrays: Mapping[str, NDArray[Any]]

    def error(self, key: str, problem: str, allowed: str) -> InputError:
        """Return the error to raise: file, key, what is wrong with it, what is allowed."""
        return InputError(f"{self.path}: {key} {problem}; allowed: {allowed}")

    def __getitem__(self, key: str) -> NDArray[Any]:
        if key not in self.arrays:
            close = nearest(key, self.arrays.keys() - {*REQUIRED, *OPTIONAL})
            held = ", ".join(self.arrays) or "nothing"
            needed = "x_train, y_train, x_test and y_test (x_test may be empty)"
            raise self.error(key, f"is missing{close} (the file holds {held})", needed)
        return self.arrays[key]


def read_npz(path: Path) -> Arrays:
    """Read the data set in *path*; raise InputError with file, key and value where it breaks the rules."""
    file = NpzFile(path, load_arrays(path))
    x_train, y_train = _images(file, "x_train"), _whole_numbers(file, "y_train")
    if not len(x_train):
        raise file.error("x_train", "has no examples", "at least one")
    x_test, y_test = _test_images(file, x_train), _whole_numbers(file, "y_test")
    _check_lengths(file, {"x_train": x_train, "y_train": y_train})
    _check_lengths(file, {"x_test": x_test, "y_test": y_test})
    classes = _classes(file, y_train, y_test)
    return Arrays(x_train, y_train, x_test, y_test, classes, _clients(file, y_train))


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return all arrays of an .npz file, never unpickling; raise InputError if it is none."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; write a data set there with numpy.savez, or correct the path")
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path}: is not an .npz file (no zip archive); write it with numpy.savez")
    try:
        with np.load(path, allow_pickle=False) as npz:
            return {key: _member(path, key, npz) for key in npz.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error}); write it again with numpy.savez") from error


def _member(path: Path, key: str, npz: Mapping[str, Any]) -> NDArray[Any]:
    try:
        found = npz[key]
    except ValueError as error:
        raise InputError(
            f"{path}: {key} cannot be read ({error}); allowed: arrays of numbers or text, no Python objects"
        ) from error
    if not isinstance(found, np.ndarray):
        raise InputError(f"{path}: {key} is not an array; write the file with numpy.savez")
    return found


def _images(file: NpzFile, key: str) -> NDArray[Any]:
    x = file[key]
    if x.ndim not in (3, 4):
        raise file.error(key, f"has shape {x.shape}", "N x H x W or N x H x W x C")
    if x.ndim == 4 and x.shape[3] > 4 and x.shape[1] in (1, 3):
        raise file.error(key, f"has shape {x.shape}, channels first", "channels last, N x H x W x C")
    if 0 in x.shape[1:]:
        raise file.error(key, f"has shape {x.shape}", "sides and channels of at least 1")
    if x.dtype == np.uint8:
        return x
    if x.dtype.kind != "f":
        raise file.error(key, f"has dtype {x.dtype}", "uint8 (0 to 255), or float that is used as it is")
    with np.errstate(over="ignore"):
        x = x.astype(np.float32)
    if not np.isfinite(x).all():
        raise file.error(key, f"holds {int((~np.isfinite(x)).sum())} values that are NaN or infinite", "finite float32")
    return x


def _test_images(file: NpzFile, train: NDArray[Any]) -> NDArray[Any]:
    if file["x_test"].shape[:1] == (0,):
        return train[:0]
    x = _images(file, "x_test")
    if x.shape[1:] != train.shape[1:] or x.dtype != train.dtype:
        wanted = f"x_train's {train.dtype} {train.shape[1:]}"
        raise file.error("x_test", f"holds examples of {x.dtype} {x.shape[1:]}", f"{wanted}, or none at all")
    return x


def _whole_numbers(file: NpzFile, key: str) -> NDArray[Any]:
    y = file[key]
    if y.ndim != 1:
        raise file.error(key, f"has shape {y.shape}", "one label per example, shape (N,)")
    if not len(y):
        return y.astype(np.int64)
    if y.dtype.kind not in "iu":
        raise file.error(key, f"has dtype {y.dtype}", "whole numbers from 0, such as int64")
    if y.min() < 0 or y.max() >= MOST_CLASSES:
        raise file.error(key, f"holds labels from {y.min()} to {y.max()}", f"0 to {MOST_CLASSES - 1}")
    return y.astype(np.int64)


def _check_lengths(file: NpzFile, arrays: Mapping[str, NDArray[Any]]) -> None:
    (one, a), (other, b) = arrays.items()
    if len(a) != len(b):
        raise file.error(other, f"has {len(b)} entries", f"{len(a)}, as many as {one} has examples")


def _classes(file: NpzFile, *labels: NDArray[Any]) -> tuple[str, ...]:
    most = max(int(y.max()) for y in labels if len(y))
    if "classes" not in file.arrays:
        return tuple(str(label) for label in range(most + 1))
    names = file["classes"]
    if names.ndim != 1 or names.dtype.kind not in "iuUS":
        raise file.error("classes", f"has dtype {names.dtype} and shape {names.shape}", "a list of names")
    if most >= len(names):
        raise file.error("classes", f"has {len(names)} names, but a label is {most}", "labels below their number")
    return tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names.tolist())


def _clients(file: NpzFile, y_train: NDArray[Any]) -> NDArray[Any] | None:
    if "client_train" not in file.arrays:
        return None
    clients = file["client_train"]
    if clients.ndim != 1 or clients.dtype.kind not in "iuUS":
        problem = f"has dtype {clients.dtype} and shape {clients.shape}"
        raise file.error("client_train", problem, "one whole number or name per training example")
    _check_lengths(file, {"x_train": y_train, "client_train": clients})
    return clients
