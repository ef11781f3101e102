"""Networks as messages: the jobs that encode and decode them, with what that takes."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from fedsim.learn.coders import read, write
from fedsim.learn.parts import Parts, PartsSize, dense_bytes, layout, put_together, sparse_bytes, weight_entries
from fedsim.learn.values import Message, MessageSize, Model
from fedsim.work import Load, Op, OpClass, job

# Bytes of memory traffic that take as long as coding one byte of dense entries, where KEPT of them are not zero:
# docs/decisions/0005, measured with tests/bench/coders.py.
KEPT = (0.01, 0.05, 0.1, 0.2, 0.5, 0.7, 1.0)
_ONE_PASS = (2.0,) * len(KEPT)  # counted: a byte read and a byte written
ENCODING = {
    "bitmask": _ONE_PASS,
    "none": _ONE_PASS,
    "gaps": (0.6, 2.2, 2.7, 4.8, 23.0, 35.0, 45.0),
    "zlib": (31.0, 53.0, 84.0, 150.0, 350.0, 340.0, 230.0),
    "lzma": (220.0, 830.0, 1800.0, 3000.0, 3900.0, 3300.0, 2400.0),
    "zstd": (4.6, 11.0, 17.0, 30.0, 43.0, 50.0, 13.0),
    "huffman": (48.0, 55.0, 59.0, 62.0, 70.0, 70.0, 62.0),
}
DECODING = {
    "bitmask": _ONE_PASS,
    "none": _ONE_PASS,
    "gaps": (4.5, 5.8, 7.2, 10.0, 19.0, 35.0, 25.0),
    "zlib": (19.0, 15.0, 15.0, 18.0, 27.0, 31.0, 33.0),
    "lzma": (12.0, 27.0, 49.0, 91.0, 200.0, 270.0, 360.0),
    "zstd": (3.8, 5.1, 6.6, 11.0, 13.0, 12.0, 11.0),
    "huffman": (22.0, 23.0, 26.0, 29.0, 39.0, 34.0, 32.0),
}


def _coded_size(parts: PartsSize, *, coder: str) -> MessageSize | None:
    """Declare a length that follows from the rate; another is known only by coding."""
    declare = {"none": dense_bytes, "bitmask": sparse_bytes}.get(coder)
    nbytes = declare(parts) if declare else None
    return None if nbytes is None else MessageSize(parts.model, nbytes, coder, parts.bits, parts.kept)


def _encoding_load(parts: PartsSize, *, coder: str) -> Load:
    return _coding_load(parts, ENCODING[coder])


def _decoding_load(message: MessageSize) -> Load:
    return _coding_load(message, DECODING[message.coder])


@cache
def _coding_load(size: PartsSize | MessageSize, costs: tuple[float, ...]) -> Load:
    """Charge memory traffic by the byte of dense entries, a quantised one being a byte."""
    model = size.model
    codes = weight_entries(layout(model.spec)) if size.bits < 32 else 0
    plain = 4.0 * (model.entries - codes) + codes
    moved = plain * float(np.interp(size.kept / model.entries, KEPT, costs))
    return Load({OpClass.MEMORY: Op(model.entries, moved, 1)}, 8.0 * model.entries)


@job(size=_coded_size, load=_encoding_load)
def encode(parts: Parts, *, coder: str) -> Message:
    """Write a network taken apart as bytes by one of ``fedsim.learn.coders.CODERS``."""
    body = np.frombuffer(write(parts, layout(parts.spec), coder), np.uint8)
    return Message(parts.spec, coder, torch.from_numpy(body.copy()), parts.bits, int(parts.mask.sum()))


@job(size=lambda message: message.model, load=_decoding_load)
def decode(message: Message) -> Model:
    """Read an encoded network; what was dropped is zero."""
    slots = layout(message.spec)
    return Model(message.spec, put_together(read(message, slots), slots))
