"""Which shard goes to which device, where what a device holds is to go with what it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedsim.errors import InputError
from fedsim.seeds import integers

Parts = Sequence[NDArray[np.int64]]


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """Shards ranked *by* one of RANKINGS go to the devices in the order of their *scores* (n,).

    Shards of one rank are in the order of draws of *seed*.
    """

    by: str
    scores: NDArray[np.float64]
    seed: int

    def order(self, parts: Parts, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of the shard that each device gets, (n,); *labels* (N,) are those of all examples.

        Raises InputError where all shards rank the same.
        """
        found = RANKINGS[self.by](parts, labels)
        if found.min() == found.max():
            raise InputError(
                f"by = {self.by!r}: all {len(parts)} shards have the same, {found[0]}; {_OTHERWISE[self.by]}"
            )
        ranked = np.lexsort((integers(self.seed, 0, len(parts)), found))
        order = np.empty(len(parts), dtype=np.int64)
        order[np.argsort(self.scores, kind="stable")] = ranked
        return order


def dominant(parts: Parts, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the label that each shard has most of, the lowest of several; -1 for an empty shard."""
    return np.array([np.bincount(labels[part]).argmax() if len(part) else -1 for part in parts])


RANKINGS: Mapping[str, Callable[[Parts, NDArray[np.int64]], NDArray[np.int64]]] = {
    "samples": lambda parts, labels: np.array([len(part) for part in parts]),
    "label": dominant,
}
_OTHERWISE = {
    "samples": "take a partition of unequal sizes, such as 'dirichlet', or by = 'label'",
    "label": "take a partition by label, such as 'shards' or 'dirichlet', or by = 'samples'",
}
