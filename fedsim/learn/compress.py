"""Messages made small: magnitude pruning, and coders whose real bytes go on the wire."""

from __future__ import annotations

import math
import zlib

import numpy as np
import torch
from torch import Tensor

from fedsim.learn import loads
from fedsim.learn.models import ModelSpec
from fedsim.learn.trace import built
from fedsim.learn.values import (
    Message,
    MessageSize,
    Model,
    ModelSize,
    Pruned,
    PrunedSize,
    State,
    bitmask_bytes,
    flatten,
    unflatten,
)
from fedsim.work import Load, job

_ZLIB_LEVEL = 6


def _pruned_size(model: ModelSize, *, rate: float) -> PrunedSize:
    return PrunedSize(model, model.entries - math.floor(model.entries * rate))


def _coded_size(pruned: PrunedSize, *, coder: str) -> MessageSize | None:
    """Declare a bitmask message's length; an entropy coder's is known only by running it."""
    return MessageSize(pruned.model, bitmask_bytes(pruned)) if coder == "bitmask" else None


def _sorting_load(model: ModelSize, **_: float) -> Load:
    """Charge log2(n) passes for the threshold, found by sorting as in the published code."""
    return loads.vector(model.entries) * max(1.0, math.log2(max(model.entries, 2)))


def _coding_load(pruned: PrunedSize, *, coder: str) -> Load:
    return loads.vector(pruned.model.entries) * (20 if coder == "zlib" else 1)


@job(size=_pruned_size, load=_sorting_load)
def drop_small(model: Model, *, rate: float) -> Pruned:
    """Drop exactly floor(rate * N) of all N entries, the nearest to zero first, ties by index.

    One global threshold over the whole state_dict, nothing exempt (methods.md 4.1).
    """
    entries = flatten(model.state)  # (N,)
    order = torch.sort(entries.abs(), stable=True).indices
    mask = torch.ones(len(entries), dtype=torch.bool)
    mask[order[: math.floor(len(entries) * rate)]] = False
    rest = {name: t for name, t in model.state.items() if not t.is_floating_point()}
    return Pruned(model.spec, entries[mask], mask, rest)


@job(size=_coded_size, load=_coding_load)
def encode(pruned: Pruned, *, coder: str) -> Message:
    """Write a pruned network as bytes: zlib over the dense fp32 vector, or bitmask and kept values."""
    rest = b"".join(_bytes(t) for t in pruned.rest.values())
    if coder == "zlib":
        body = zlib.compress(_bytes(_dense(pruned)) + rest, _ZLIB_LEVEL)
    else:
        body = np.packbits(pruned.mask.numpy(force=True)).tobytes() + _bytes(pruned.values) + rest
    return Message(pruned.spec, coder, torch.frombuffer(bytearray(body), dtype=torch.uint8))


@job(size=lambda message: message.model, load=lambda message: loads.vector(message.model.entries))
def decode(message: Message) -> Model:
    """Read an encoded network; what was dropped is zero."""
    like = built(ModelSpec.from_params(message.spec).build).state_dict()
    n = sum(t.numel() for t in like.values() if t.is_floating_point())
    body = message.data.numpy(force=True).tobytes()
    entries, rest = _read_dense(body, n) if message.coder == "zlib" else _read_bitmask(body, n)
    return Model(message.spec, unflatten(entries, like, _read_rest(rest, like)))


def _dense(pruned: Pruned) -> Tensor:
    entries = torch.zeros(len(pruned.mask))
    entries[pruned.mask] = pruned.values
    return entries


def _bytes(t: Tensor) -> bytes:
    return bytes(t.numpy(force=True).tobytes())


def _floats(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.float32) if data else torch.zeros(0)


def _read_dense(body: bytes, n: int) -> tuple[Tensor, bytes]:
    plain = zlib.decompress(body)
    return _floats(plain[: 4 * n]), plain[4 * n :]


def _read_bitmask(body: bytes, n: int) -> tuple[Tensor, bytes]:
    bits = (n + 7) // 8
    mask = torch.from_numpy(np.unpackbits(np.frombuffer(body[:bits], np.uint8), count=n).astype(bool))
    end = bits + 4 * int(mask.sum())
    entries = torch.zeros(n)
    entries[mask] = _floats(body[bits:end])
    return entries, body[end:]


def _read_rest(data: bytes, like: State) -> State:
    rest, at = {}, 0
    for name, t in like.items():
        if not t.is_floating_point():
            end = at + t.numel() * t.element_size()
            rest[name] = torch.frombuffer(bytearray(data[at:end]), dtype=t.dtype).reshape(t.shape)
            at = end
    return rest
