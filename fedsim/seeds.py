"""Keyed random draws: a number is a function of (seed, labels), never of earlier draws."""

from __future__ import annotations

import hashlib
import struct
from functools import cache

import numpy as np
from numpy.typing import NDArray

_EIGHT = struct.Struct(">8Q")


def seed_of(root: int, *labels: object) -> int:
    """Return a 63-bit seed for *labels* under *root*.

    >>> seed_of(0, "train", 3) == seed_of(0, "train", 3) != seed_of(0, "train", 4)
    True
    """
    text = repr((root, labels)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def words(root: int, *labels: int) -> tuple[int, ...]:
    """Return 8 independent 64-bit numbers for integer *labels*, from a single hash."""
    data = _packer(len(labels) + 1).pack(root, *labels)
    return _EIGHT.unpack(hashlib.blake2b(data).digest())


def uniforms(root: int, *labels: int) -> tuple[float, ...]:
    """Return 8 independent numbers in [0, 1) for integer *labels*, from a single hash."""
    return tuple([(w >> 11) * 2.0**-53 for w in words(root, *labels)])


@cache
def _packer(count: int) -> struct.Struct:
    return struct.Struct(f">{count}q")


def integers(seed: int, start: int, count: int) -> NDArray[np.uint64]:
    """Return the keyed 64-bit draws number *start*, *start* + 1, ... (splitmix64, vectorised)."""
    with np.errstate(over="ignore"):
        z = (np.arange(start, start + count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z += np.uint64(seed)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
