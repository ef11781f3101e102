"""Whole numbers of a fixed width as bytes, and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def packed_bytes(count: int, bits: int) -> int:
    """Return the length of *count* numbers of *bits* bits each, in bytes."""
    return (count * bits + 7) // 8


def pack_numbers(numbers: NDArray[np.int64], bits: int) -> bytes:
    """Write *numbers*, (N,) from 0 to 2^bits - 1, at *bits* bits each, the lowest bit first.

    >>> unpack_numbers(pack_numbers(np.array([5, 0, 7]), 3), 3, count=3).tolist()
    [5, 0, 7]
    """
    planes = np.empty((len(numbers), bits), dtype=np.uint8)  # (N, bits)
    for bit in range(bits):
        planes[:, bit] = (numbers >> bit) & 1
    return np.packbits(planes).tobytes()


def unpack_numbers(data: bytes, bits: int, *, count: int) -> NDArray[np.int64]:
    """Read *count* numbers of *bits* bits each."""
    planes = np.unpackbits(np.frombuffer(data, np.uint8), count=count * bits).reshape(count, bits)
    numbers = np.zeros(count, dtype=np.int64)
    for bit in range(bits):
        numbers |= planes[:, bit].astype(np.int64) << bit
    return numbers
