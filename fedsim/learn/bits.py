"""Whole numbers in few bits: packed codes, bitmasks and lists of gaps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
_ESCAPE = 0xFFFF  # so many dropped entries, and none kept after them


def pack_bits(codes: npt.NDArray[np.int8], width: int) -> bytes:
    """Write *codes*, (K,), in *width* bits each, the first one highest; at 1 bit they are -1 and 1.

    >>> pack_bits(np.array([-1, 0, 1, 1], np.int8), 2).hex()
    '1a'
    """
    plain = _shifted(codes, width)
    if width == 8:
        return plain.tobytes()
    return np.packbits(np.unpackbits(plain.reshape(-1, 1), axis=1)[:, 8 - width :]).tobytes()


def unpack_bits(data: bytes, width: int, *, count: int) -> npt.NDArray[np.int8]:
    """Read *count* codes of *width* bits each.

    >>> unpack_bits(bytes.fromhex("1a"), 2, count=4).tolist()
    [-1, 0, 1, 1]
    """
    flat = np.frombuffer(data, np.uint8)
    if width < 8:
        bits = np.zeros((count, 8), np.uint8)
        bits[:, 8 - width :] = np.unpackbits(flat, count=count * width).reshape(count, width)
        flat = np.packbits(bits, axis=1).reshape(-1)
    found = flat.astype(np.int16)
    return (2 * found - 1 if width == 1 else found - _zero(width)).astype(np.int8)


def packed_bytes(count: int, width: int) -> int:
    """Return the length of *count* codes of *width* bits.

    >>> packed_bytes(3, 4)
    2
    """
    return (count * width + 7) // 8


def write_gaps(mask: npt.NDArray[np.bool_]) -> bytes:
    """Write where *mask*, (N,), is set: how many gaps, 4 bytes, and each in 2 bytes.

    A gap counts the entries dropped since the one kept before; of 65,535 or more, 65,535 is written first.

    >>> write_gaps(np.array([False, True, True])).hex()
    '0200000001000000'
    """
    kept = np.flatnonzero(mask)
    gaps = np.diff(kept, prepend=-1) - 1
    escapes = gaps // _ESCAPE
    words = np.full(len(gaps) + int(escapes.sum()), _ESCAPE, "<u2")
    words[np.cumsum(escapes + 1) - 1] = gaps % _ESCAPE
    return len(words).to_bytes(4, "little") + words.tobytes()


def read_gaps(data: bytes, n: int) -> tuple[npt.NDArray[np.bool_], int]:
    """Read a mask of *n* entries; also return how many bytes that took."""
    words = np.frombuffer(data, "<u2", count=int.from_bytes(data[:4], "little"), offset=4).astype(np.int64)
    steps = np.where(words == _ESCAPE, _ESCAPE, words + 1)
    mask = np.zeros(n, np.bool_)
    mask[np.cumsum(steps)[words != _ESCAPE] - 1] = True
    return mask, 4 + 2 * len(words)


def _shifted(codes: npt.NDArray[np.int8], width: int) -> Bytes:
    found = codes.astype(np.int16)
    return ((found + 1) // 2 if width == 1 else found + _zero(width)).astype(np.uint8)


def _zero(width: int) -> int:
    """Return how the code 0 is written."""
    return int(2 ** (width - 1)) - 1
