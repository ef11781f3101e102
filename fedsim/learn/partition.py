"""Which device holds which examples: iid, dirichlet, lda, shards, natural, file.

iid, dirichlet, shards and natural give, for the same seed, the partitions that flwr-datasets 0.6
gives, without its cost per partition (docs/decisions/0002-partitioners.md).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedsim.errors import InputError, unknown
from fedsim.learn.npz import load_arrays
from fedsim.learn.options import bind_options

Owners = NDArray[np.int64]  # (N,): the device of each example, NOBODY where it is left out
NOBODY = -1
TRIES = 200  # flwr-datasets gives up after 10; the first 10 draws are the same
LDA_FLOOR = 1e-5  # Flower's helper adds it, so that no class is out of reach while others run out


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What to divide: labels (N,) among n devices; clients (N,) the natural client of each, if known."""

    labels: NDArray[Any]
    n: int
    seed: int
    clients: NDArray[Any] | None = None

    def draws(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    def need(self, kind: str, each: int) -> None:
        """Raise InputError unless there are *each* examples per device."""
        total = len(self.labels)
        if total < self.n * each:
            raise InputError(
                f"partition {kind!r} of {total} examples among {self.n} devices needs at least {each} for each, "
                f"{self.n * each} in all: take at most {total // each} devices, or more data"
            )


def partition(
    labels: NDArray[Any], n: int, *, kind: str, seed: int, clients: NDArray[Any] | None = None, **options: object
) -> list[NDArray[np.int64]]:
    """Divide the examples with *labels* (N,) among *n* devices: n sorted arrays of indices, disjoint.

    clients (N,) is what kind "natural" divides by. Options: alpha and min_partition_size (dirichlet),
    alpha (lda), shards_per_device (shards), path (file). Raises InputError on what cannot be divided so.

    >>> [len(part) for part in partition(np.arange(10) % 2, 4, kind="iid", seed=0)]
    [3, 3, 2, 2]
    """
    if kind not in PARTITIONS:
        raise InputError(f"{unknown('partition', kind, PARTITIONS)}; choose one of these")
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise InputError(f"labels have dtype {labels.dtype} and shape {labels.shape}: give whole numbers of shape (N,)")
    if n < 1:
        raise InputError(f"a partition among {n} devices: give at least 1")
    rule = PARTITIONS[kind]
    bound = bind_options(f"partition {kind!r}", rule, options)
    return _grouped(rule(Task(labels, n, seed, clients), **bound), n)


def iid(task: Task) -> Owners:
    """Shuffle the examples and deal them out evenly; sizes differ by at most one."""
    task.need("iid", 1)
    owners = np.empty(len(task.labels), dtype=np.int64)
    owners[task.draws().permutation(len(owners))] = _even(len(owners), task.n)
    return owners


def dirichlet(task: Task, *, alpha: float = 0.5, min_partition_size: int = 8) -> Owners:
    """Divide each class among all devices in Dirichlet(alpha) proportions.

    Repeated, 200 times at most, until every device has min_partition_size examples; with 0, devices
    may have none. Source: Yurochkin et al. 2019, arXiv 1905.12022; flwr-datasets.
    """
    _above("dirichlet", alpha=alpha)
    if min_partition_size < 0:
        raise InputError(f"min_partition_size = {min_partition_size} of partition 'dirichlet': give at least 0")
    task.need("dirichlet", min_partition_size)
    members = [np.flatnonzero(task.labels == label) for label in np.unique(task.labels)]
    draws, best = task.draws(), 0
    owners = np.empty(len(task.labels), dtype=np.int64)
    for _ in range(TRIES):
        for index in members:
            owners[index] = _dealt(draws.dirichlet(np.full(task.n, alpha)), len(index))
        smallest = int(np.bincount(owners, minlength=task.n).min())
        if smallest >= min_partition_size:
            return owners
        best = max(best, smallest)
    raise InputError(
        f"partition 'dirichlet' with alpha = {alpha} of {len(owners)} examples among {task.n} devices: "
        f"in {TRIES} tries the smallest had at most {best}, min_partition_size is {min_partition_size}. "
        f"Lower it, raise alpha, or take kind 'lda', which makes equal sizes"
    )


def lda(task: Task, *, alpha: float = 0.5) -> Owners:
    """Fill device after device to the same size, classes in Dirichlet(alpha) proportions.

    Without replacement: a class that runs out is drawn no more; N mod n examples are left out.
    Source: Hsu et al. 2019, arXiv 1909.06335; Flower's create_lda_partitions.
    """
    task.need("lda", 1)
    _above("lda", alpha=alpha)
    draws = task.draws()
    classes, label_of = np.unique(task.labels, return_inverse=True)
    order = draws.permutation(len(label_of))
    order = order[np.argsort(label_of[order], kind="stable")]  # shuffled within each class
    left = np.bincount(label_of)
    start = np.cumsum(left) - left
    owners = np.full(len(label_of), NOBODY, dtype=np.int64)
    for device, shares in enumerate(draws.dirichlet(np.full(len(classes), alpha), size=task.n)):
        taken = _taken(shares, left, len(label_of) // task.n, draws=draws)
        for label in np.flatnonzero(taken):
            owners[order[start[label] : start[label] + taken[label]]] = device
        left, start = left - taken, start + taken
    return owners


def _taken(
    shares: NDArray[np.float64], left: NDArray[np.int64], size: int, *, draws: np.random.Generator
) -> NDArray[np.int64]:
    """Draw *size* labels by *shares*, drawing again those whose class has run out: counts per class."""
    taken = np.zeros_like(left)
    while missing := size - int(taken.sum()):
        odds = (shares + LDA_FLOOR) * (taken < left)
        taken = np.minimum(taken + draws.multinomial(missing, odds / odds.sum()), left)
    return taken


def shards(task: Task, *, shards_per_device: int = 2) -> Owners:
    """Sort by label, cut into equal shards and deal out shards_per_device to each device.

    Where the cut is uneven, shards differ by one example. Source: McMahan et al. 2017,
    arXiv 1602.05629, section 3.
    """
    _above("shards", shards_per_device=shards_per_device)
    task.need("shards", shards_per_device)
    count = task.n * shards_per_device
    device_of = np.empty(count, dtype=np.int64)
    device_of[task.draws().permutation(count)] = _even(count, task.n)
    owners = np.empty(len(task.labels), dtype=np.int64)
    owners[np.argsort(task.labels, kind="stable")] = device_of[_even(len(owners), count)]
    return owners


def natural(task: Task) -> Owners:
    """Give each device one client of the data set: the first n in the order of their names."""
    if task.clients is None:
        raise InputError("partition 'natural': the data set names no clients; add client_train, or choose another kind")
    if task.clients.shape != task.labels.shape:
        raise InputError(
            f"partition 'natural': clients have shape {task.clients.shape} and labels {task.labels.shape}: "
            f"give each example one"
        )
    names, owners = np.unique(task.clients, return_inverse=True)
    if len(names) < task.n:
        raise InputError(
            f"partition 'natural': the data set has {len(names)} clients for {task.n} devices: "
            f"take at most {len(names)} devices, or choose another kind"
        )
    return np.where(owners < task.n, owners, NOBODY).astype(np.int64)


def file(task: Task, *, path: str | Path) -> Owners:
    """Read the index lists in *path*: the first n of them, one per device, disjoint, none empty.

    .json: a list of lists; .npz: ``indices``, all lists joined, and ``sizes``, how long each is.
    """
    lists = _index_lists(Path(path))
    if len(lists) < task.n:
        raise InputError(f"{path}: has {len(lists)} index lists for {task.n} devices: add lists or take fewer devices")
    owners = np.full(len(task.labels), NOBODY, dtype=np.int64)
    for device, index in enumerate(lists[: task.n]):
        _check_list(f"{path}: list {device}", index, owners)
        owners[index] = device
    return owners


PARTITIONS: Mapping[str, Callable[..., Owners]] = {
    "iid": iid, "dirichlet": dirichlet, "lda": lda, "shards": shards, "natural": natural, "file": file,
}  # fmt: skip


def _index_lists(path: Path) -> list[NDArray[Any]]:
    if path.suffix == ".npz":
        arrays = load_arrays(path)
        if not {"indices", "sizes"} <= arrays.keys():
            raise InputError(f"{path}: holds {', '.join(arrays)}; an .npz partition needs indices and sizes")
        return _split_by_sizes(path, arrays["indices"], arrays["sizes"])
    try:
        return [np.asarray(index) for index in json.loads(path.read_text())]
    except (OSError, ValueError, TypeError) as error:
        allowed = "give a .json list of lists of indices, or an .npz file"
        raise InputError(f"{path}: cannot be read as a partition ({error}); {allowed}") from error


def _split_by_sizes(path: Path, indices: NDArray[Any], sizes: NDArray[Any]) -> list[NDArray[Any]]:
    whole = indices.ndim == sizes.ndim == 1 and sizes.dtype.kind in "iu"
    if not whole or int(sizes.sum()) != len(indices) or sizes.min(initial=0) < 0:
        raise InputError(f"{path}: sizes must be whole numbers from 0 whose sum is the number of indices")
    return np.split(indices, np.cumsum(sizes)[:-1])


def _check_list(where: str, index: NDArray[Any], owners: Owners) -> None:
    if index.ndim != 1 or not len(index) or index.dtype.kind not in "iu":
        raise InputError(f"{where} has dtype {index.dtype} and shape {index.shape}: give at least one whole number")
    if index.min() < 0 or index.max() >= len(owners):
        allowed = f"allowed are 0 to {len(owners) - 1}, the training examples"
        raise InputError(f"{where} has indices from {index.min()} to {index.max()}: {allowed}")
    if len(np.unique(index)) < len(index) or (owners[index] != NOBODY).any():
        raise InputError(f"{where} repeats an index of its own or of an earlier list: give each example to one device")


def _above(kind: str, **options: float) -> None:
    for name, value in options.items():
        if value <= 0:
            raise InputError(f"{name} = {value} of partition {kind!r}: give a number above 0")


def _dealt(shares: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Return the device of each of *total* examples, in runs as long as the *shares* (n,) say."""
    ends = np.append((np.cumsum(shares) * total).astype(np.int64)[:-1], total)
    return np.repeat(np.arange(len(shares)), np.diff(ends, prepend=0))


def _even(total: int, n: int) -> NDArray[np.int64]:
    """Return 0..n-1, each repeated total // n times, the first total % n once more: (total,)."""
    sizes = np.full(n, total // n)
    sizes[: total % n] += 1
    return np.repeat(np.arange(n), sizes)


def _grouped(owners: Owners, n: int) -> list[NDArray[np.int64]]:
    kept = np.flatnonzero(owners != NOBODY)
    order = kept[np.argsort(owners[kept], kind="stable")]
    return np.split(order, np.cumsum(np.bincount(owners[kept], minlength=n))[:-1])
