"""Coders: a network taken apart as the very bytes on the wire, and back, bit for bit.

none: every entry as it is, dropped ones as zeros. bitmask: a bit an entry, then what is kept. gaps: the distances
between kept entries in 16 bits, then what is kept. zlib, lzma, zstd: a general coder over the dense entries.
huffman: canonical Huffman codes over the bytes of the dense entries, a quantised entry being one byte; written by
deflate without its string matching (zlib's Z_HUFFMAN_ONLY; RFC 1951, section 3.2), so with codes of at most 15 bits
and a new table every 32,767 bytes.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import zstandard
from torch import Tensor

from fedsim.learn.bits import pack_bits, packed_bytes, read_gaps, unpack_bits, write_gaps
from fedsim.learn.parts import Layout, Parts, coded_entries, dense_width
from fedsim.learn.values import Message, State

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Squeeze:
    """A lossless coder of bytes."""

    write: Callable[[bytes], bytes]
    read: Callable[[bytes], bytes]


def _huffman(data: bytes) -> bytes:
    coder = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_HUFFMAN_ONLY)
    return coder.compress(data) + coder.flush()


SQUEEZES = {
    "zlib": Squeeze(lambda data: zlib.compress(data, 6), zlib.decompress),
    "lzma": Squeeze(lambda data: lzma.compress(data, preset=6), lzma.decompress),
    "zstd": Squeeze(lambda data: zstandard.compress(data, 3), zstandard.decompress),
    "huffman": Squeeze(_huffman, lambda data: zlib.decompress(data, -zlib.MAX_WBITS)),
}
_SPARSE = ("bitmask", "gaps")
CODERS = (*_SPARSE, "none", *SQUEEZES)


def write(parts: Parts, slots: Layout, coder: str) -> bytes:
    """Return *parts* of a network laid out as *slots* as bytes: mask, codes, values, scales, whole numbers."""
    mask = parts.mask.numpy(force=True)
    codes, values = parts.codes.numpy(force=True), parts.values.numpy(force=True)
    if coder not in _SPARSE and not mask.all():
        coded = _coded(parts.bits, slots)
        codes, values = _dense(codes, mask[coded]), _dense(values, mask[~coded])
    packed = pack_bits(codes, _width(coder, parts.bits, dropped=not mask.all()))
    tail = (parts.scales, *parts.rest.values())
    plain = _write_mask(mask, coder) + packed + values.tobytes() + b"".join(t.numpy(force=True).tobytes() for t in tail)
    return SQUEEZES[coder].write(plain) if coder in SQUEEZES else plain


def read(message: Message, slots: Layout) -> Parts:
    """Return what ``write`` wrote; a coder of dense entries keeps no mask: dropped ones come back as kept zeros."""
    data = message.data.numpy(force=True).tobytes()
    data = SQUEEZES[message.coder].read(data) if message.coder in SQUEEZES else data
    coded = _coded(message.bits, slots)
    width = _width(message.coder, message.bits, dropped=message.kept < len(coded))
    mask, start = _read_mask(data, message.coder, len(coded))
    n, n_codes = int(mask.sum()), int((mask & coded).sum())
    n_scales = 0 if message.bits == 32 else sum(slot.weight for slot in slots)
    ends = start + np.cumsum([packed_bytes(n_codes, width), 4 * (n - n_codes), 4 * n_scales])
    codes, values, scales, rest = (data[a:b] for a, b in zip([start, *ends], [*ends, None], strict=True))
    return Parts(
        spec=message.spec,
        mask=torch.from_numpy(mask),
        values=_floats(values),
        rest=_read_rest(rest, slots),
        bits=message.bits,
        codes=torch.from_numpy(unpack_bits(codes, width, count=n_codes)),
        scales=_floats(scales),
    )


def _width(coder: str, bits: int, *, dropped: bool) -> int:
    """Return the bits that a code takes: what a coder of bytes reads are bytes."""
    if coder in SQUEEZES or bits == 32:
        return 8
    return dense_width(bits, dropped=dropped) if coder == "none" else bits


def _coded(bits: int, slots: Layout) -> Mask:
    """Mark the entries that are sent as codes, (N,)."""
    marks = coded_entries(slots, torch.device("cpu")).numpy()
    return marks if bits < 32 else np.zeros_like(marks)


def _dense(kept: npt.NDArray[Any], mask: Mask) -> npt.NDArray[Any]:
    """Put *kept* where *mask* is set, zeros elsewhere."""
    entries = np.zeros(len(mask), kept.dtype)
    entries[np.flatnonzero(mask)] = kept
    return entries


def _write_mask(mask: Mask, coder: str) -> bytes:
    if coder == "bitmask":
        return np.packbits(mask).tobytes()
    return write_gaps(mask) if coder == "gaps" else b""


def _read_mask(data: bytes, coder: str, n: int) -> tuple[Mask, int]:
    """Return which of *n* entries are there, and how many bytes said so."""
    if coder == "gaps":
        return read_gaps(data, n)
    if coder == "bitmask":
        used = packed_bytes(n, 1)
        return np.unpackbits(np.frombuffer(data[:used], np.uint8), count=n).astype(np.bool_), used
    return np.ones(n, np.bool_), 0


def _floats(data: bytes) -> Tensor:
    return torch.from_numpy(np.frombuffer(data, np.float32).copy())


def _read_rest(data: bytes, slots: Layout) -> State:
    rest, at = {}, 0
    for slot in slots:
        if not slot.dtype.is_floating_point:
            piece = bytearray(data[at : at + slot.nbytes])
            empty = torch.zeros(slot.shape, dtype=slot.dtype, device="cpu")
            rest[slot.name] = torch.frombuffer(piece, dtype=slot.dtype).reshape(slot.shape) if piece else empty
            at += slot.nbytes
    return rest
