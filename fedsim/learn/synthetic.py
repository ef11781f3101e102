"""Examples made on demand: a fleet of a million devices has data, and the unasked cost nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from fedsim.learn.data import DataSize, Examples
from fedsim.seeds import integers, seed_of

SHAPE = (1, 28, 28)
CLASSES = 10
GRID = 7  # prototypes and noise are 7 x 7 values, each drawn as 4 x 4 pixels
NOISE = 2.0  # the noise's deviation in units of the prototypes': the best classifier errs in about 5 of 100
GREY, CONTRAST = 128.0, 28.0  # pixel = GREY + CONTRAST * value, clipped to 0..255
TEST_EXAMPLES = 1_000


@dataclass(frozen=True, slots=True)
class SyntheticRule:
    """Make each device's examples from (seed, device key) alone.

    An image is its class's prototype plus noise, both coarse, so that averaging pixels does not
    remove the noise. samples: examples per device, labels uniform over 10 classes.
    """

    seed: int
    samples: int = 64

    classes: ClassVar[tuple[str, ...]] = tuple(str(label) for label in range(CLASSES))

    @property
    def size(self) -> DataSize:
        """The size of one device's examples, labels included."""
        return DataSize(self.samples, SHAPE, CLASSES, 28 * 28 + 1)

    def labels(self, key: tuple[int, int]) -> NDArray[np.int64]:
        """Return the labels, (samples,), of the device with *key* (fleet group, index), without its images."""
        draws = integers(seed_of(self.seed, "synthetic", "labels", *key), 0, self.samples)
        return (draws % np.uint64(CLASSES)).astype(np.int64)

    def examples(self, key: tuple[int, int]) -> Examples:
        """Return the examples of the device with *key* (fleet group, index)."""
        return self._drawn(self.labels(key), seed_of(self.seed, "synthetic", "images", *key))

    def test(self) -> Examples:
        """Return the 1,000 test examples, 100 of each class."""
        labels = np.arange(TEST_EXAMPLES, dtype=np.int64) % CLASSES
        return self._drawn(labels, seed_of(self.seed, "synthetic", "test"))

    def _drawn(self, labels: NDArray[np.int64], seed: int) -> Examples:
        prototypes = _normal(seed_of(self.seed, "synthetic", "prototypes"), CLASSES)  # (10, 7, 7)
        values = prototypes[labels] + NOISE * _normal(seed, len(labels))  # (N, 7, 7)
        pixels = np.clip(GREY + CONTRAST * values, 0.0, 255.0).astype(np.uint8)
        x = torch.from_numpy(pixels.repeat(4, axis=1).repeat(4, axis=2)[:, None])  # (N, 1, 28, 28)
        return Examples(x, torch.from_numpy(labels), torch.tensor([GREY]), torch.tensor([CONTRAST * 2.0]))


def _normal(seed: int, n: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal((n, GRID, GRID))
