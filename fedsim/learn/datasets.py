"""Data sets by name: the embedded one, the well-known ones, texts, and anyone's .npz files."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedsim.errors import InputError, unknown
from fedsim.learn.data import Arrays, Dataset, dataset_from
from fedsim.learn.glue import GLUE, read_glue
from fedsim.learn.npz import read_npz
from fedsim.learn.shakespeare import read_shakespeare
from fedsim.learn.tokens import Reading
from fedsim.seeds import integers

TORCHVISION = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}
TEXTS: Mapping[str, Callable[[str, Path | None, Reading], Arrays]] = {
    **dict.fromkeys(GLUE, read_glue), "shakespeare": read_shakespeare,
}  # fmt: skip
DIGITS_SEED = 0


@dataclass(frozen=True, slots=True)
class Places:
    """Where data sets are looked for, and where a download may go."""

    data: Path | None
    download: Path

    @property
    def folders(self) -> tuple[Path, ...]:
        return (self.data, self.download) if self.data else (self.download,)


def load_dataset(
    name: str, *, data_dir: Path | None = None, download_dir: Path | None = None, reading: Reading | None = None
) -> Dataset:
    """Return the data set *name*: digits, a well-known one, texts, ``npz:PATH``, or NAME.npz in *data_dir*.

    mnist, fashion_mnist, cifar10 and cifar100 are NAME.npz in *data_dir*, else torchvision's files
    there or in *download_dir* (default: *data_dir* if it can be written, else the user's cache),
    else downloaded. sst2, mrpc, rte, cola and shakespeare are tables in *data_dir*, of which *reading*
    says how they become tokens. Raises InputError if nothing is found, or what is found breaks the rules.
    """
    if name not in TEXTS:
        check_reading(name, reading)
    if name.startswith("npz:"):
        return dataset_from(name, read_npz(Path(name.removeprefix("npz:")).expanduser()))
    if name == "digits":
        return dataset_from(name, _digits())
    if name == "synthetic":
        raise InputError("data set 'synthetic' has no stored examples, each device makes its own: name it in task.data")
    if data_dir is not None and not data_dir.is_dir():
        raise InputError(f"the data folder {data_dir} does not exist; correct --data-dir or FEDSIM_DATA")
    if name in TEXTS:
        return dataset_from(name, TEXTS[name](name, data_dir, reading or Reading()))
    if data_dir is not None and (data_dir / f"{name}.npz").is_file():
        return dataset_from(name, read_npz(data_dir / f"{name}.npz"))
    if name in TORCHVISION:
        return dataset_from(name, _from_torchvision(name, _places(data_dir, download_dir)))
    raise InputError(_not_known(name, data_dir))


def dataset_names(data_dir: Path | None = None) -> list[str]:
    """Return the names load_dataset knows, those of the .npz files in *data_dir* included."""
    files = sorted(data_dir.glob("*.npz")) if data_dir else []
    return sorted({"digits", "synthetic", *TORCHVISION, *TEXTS, *(file.stem for file in files)})


def check_reading(name: str, reading: Reading | None) -> None:
    """Raise InputError if *reading* says how texts are read, which data set *name* has not."""
    if reading not in (None, Reading()):
        texts = ", ".join(TEXTS)
        raise InputError(f"task.tokens and task.tokenizer are for texts ({texts}), not for data {name!r}: remove them")


def _not_known(name: str, data_dir: Path | None) -> str:
    file = f"{data_dir}/{name}.npz" if data_dir else f"{name}.npz in a folder given by --data-dir or FEDSIM_DATA"
    return f"{unknown('data set', name, dataset_names(data_dir))}; or provide {file}, or write 'npz:PATH'"


def _digits() -> Arrays:
    """Return scikit-learn's 1,797 digits, 8 x 8 of 0..16, split 80/20 within each class.

    The test part of a class is its first fifth in the order of the keyed draws of seed 0.
    """
    from sklearn.datasets import load_digits  # here: it takes a second

    pixels, y = load_digits(return_X_y=True)
    x = pixels.reshape(-1, 8, 8).astype(np.uint8)
    test = _first_fifths(y)
    return Arrays(x[~test], y[~test], x[test], y[test], tuple(str(digit) for digit in range(10)))


def _first_fifths(y: NDArray[Any]) -> NDArray[np.bool_]:
    order = np.argsort(integers(DIGITS_SEED, 0, len(y)), kind="stable")
    test = np.zeros(len(y), dtype=np.bool_)
    for label in np.unique(y):
        members = order[y[order] == label]
        test[members[: round(len(members) / 5)]] = True
    return test


def _places(data_dir: Path | None, download_dir: Path | None) -> Places:
    if download_dir is None:
        writable = data_dir is not None and os.access(data_dir, os.W_OK)
        download_dir = data_dir if data_dir and writable else _cache_folder()
    return Places(data_dir, download_dir)


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fedsim" / "data"


def _from_torchvision(name: str, places: Places) -> Arrays:
    from torchvision import datasets  # here: it takes a second

    kind = getattr(datasets, TORCHVISION[name])
    for folder in places.folders:
        found = _held(kind, folder)
        if found is not None:
            return found
    new = not places.download.exists()
    try:
        places.download.mkdir(parents=True, exist_ok=True)
        with contextlib.redirect_stdout(sys.stderr):  # torchvision prints; stdout is the caller's
            return _both_parts(kind, places.download, download=True)
    except (OSError, RuntimeError, ValueError, EOFError) as error:  # URLError is an OSError
        if new:
            _remove_empty(places.download)
        raise InputError(_no_way(name, places, error)) from error


def _remove_empty(folder: Path) -> None:
    """Remove the empty folders that a failed download leaves."""
    for path in (*sorted(folder.rglob("*"), reverse=True), folder, folder.parent):
        with contextlib.suppress(OSError):
            path.rmdir()


def _held(kind: Callable[..., Any], folder: Path) -> Arrays | None:
    try:
        return _both_parts(kind, folder, download=False)
    except RuntimeError:  # torchvision's "not found"
        return None
    except (AssertionError, OSError, ValueError, EOFError) as error:
        what = f"torchvision's {kind.__name__} files in {folder} cannot be read ({error})"
        raise InputError(f"{what}; remove them, and they are downloaded again") from error


def _both_parts(kind: Callable[..., Any], folder: Path, *, download: bool) -> Arrays:
    train, test = (kind(str(folder), train=part, download=download) for part in (True, False))
    parts = [(np.asarray(part.data), np.asarray(part.targets, dtype=np.int64)) for part in (train, test)]
    return Arrays(*parts[0], *parts[1], classes=tuple(train.classes))


def _no_way(name: str, places: Places, error: Exception) -> str:
    looked = " and ".join(str(folder) for folder in places.folders)
    reason = (str(error) or type(error).__name__).splitlines()[-1].strip()
    return (
        f"data set {name!r} is not in {looked}, and downloading it failed ({reason}). Either put {name}.npz "
        f"(x_train, y_train, x_test, y_test) or torchvision's {TORCHVISION[name]} files into a folder and give it "
        f"by --data-dir or FEDSIM_DATA, or connect to the internet so that torchvision can download it"
    )
