"""Updates made small: the largest entries (top-k), or all in a few random levels (QSGD).

Both code the entries that training moves and send running statistics and counters as they are:
a running variance that is put together from parts of updates could fall below zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedsim.learn import loads
from fedsim.learn.models import ModelSpec
from fedsim.learn.packing import pack_numbers, packed_bytes, unpack_numbers
from fedsim.learn.parameters import parameter_names, trained_entries
from fedsim.learn.trace import built
from fedsim.learn.values import Model, ModelSize, State, model_size
from fedsim.work import Load, job


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """A coded update: the very bytes on the wire, (B,) uint8; the coder's parameters are the reader's."""

    spec: tuple[Any, ...]
    data: Tensor

    def size(self) -> CodedSize:
        return CodedSize(model_size(self.spec), self.data.numel())


@dataclass(frozen=True, slots=True)
class CodedSize:
    """The length of a coded update in bytes, and the update it reads back to."""

    model: ModelSize
    nbytes: int


def kept_of(n: int, rate: float) -> int:
    """Return how many of *n* entries are sent: at least one."""
    return max(1, math.ceil(rate * n))


def _top_k_size(update: ModelSize, *, rate: float) -> CodedSize:
    n = trained_entries(update.spec)
    k = kept_of(n, rate)
    return CodedSize(update, _place_bytes(n, k) + 4 * k + update.nbytes - 4 * n)


def _place_bytes(n: int, k: int) -> int:
    """Return the length of where *k* of *n* entries are: a list of indices, or a bit an entry if that is shorter."""
    return min(packed_bytes(k, _index_bits(n)), packed_bytes(n, 1))


def _index_bits(n: int) -> int:
    return max(1, (n - 1).bit_length())


def _qsgd_size(update: ModelSize, *, levels: int, bucket: int, **_: int) -> CodedSize:
    n = trained_entries(update.spec)
    coded = packed_bytes(n, (2 * levels).bit_length()) + 4 * -(-n // bucket)
    return CodedSize(update, coded + update.nbytes - 4 * n)


def _selecting_load(update: ModelSize, **_: float) -> Load:
    """Charge log2(n) passes for the selection, as message pruning's."""
    return loads.vector(update.entries) * max(2.0, math.log2(max(update.entries, 2)))


def _quantising_load(update: ModelSize, **_: int) -> Load:
    return loads.vector(update.entries, reads=2, flops=8) * 2


def _decoding_load(message: CodedSize, **_: float) -> Load:
    return loads.vector(message.model.entries, reads=2, flops=2)


@job(size=_top_k_size, load=_selecting_load)
def top_k(update: Model, *, rate: float) -> Coded:
    """Write the ceil(rate * N) entries farthest from zero, ties by index: where they are, then fp32 values."""
    entries = _trained(update)  # (N,)
    n, k = len(entries), kept_of(len(entries), rate)
    order = torch.sort(entries.abs(), descending=True, stable=True).indices
    index = torch.sort(order[:k]).values  # (k,)
    values = entries[index].numpy(force=True).tobytes()
    return _message(update, _places(index.numpy(force=True), n) + values)


@job(size=lambda message, *, rate: message.model, load=_decoding_load)
def from_top_k(message: Coded, *, rate: float) -> Model:
    """Read a top-k message; what was not sent is zero."""
    n = trained_entries(message.spec)
    k = kept_of(n, rate)
    body, place_bytes = _body(message), _place_bytes(n, k)
    end = place_bytes + 4 * k
    entries = torch.zeros(n)
    entries[_read_places(body[:place_bytes], n, k)] = _floats(body[place_bytes:end])
    return _model(message, entries, body[end:])


@job(size=_qsgd_size, load=_quantising_load)
def quantised(update: Model, *, levels: int, bucket: int, seed: int) -> Coded:
    """Round each entry at random to one of *levels* fractions of its bucket's norm, so that the mean is right.

    Q(v) = |v|_2 * sign(v) * l / levels per bucket of *bucket* entries; arXiv 1610.02132, section 3.1.
    """
    entries = _buckets(_trained(update), bucket)  # (buckets, bucket)
    norms = torch.linalg.vector_norm(entries.double(), dim=1).float()
    steps = entries.double().abs() / norms.double().clamp_min(torch.finfo(torch.float32).tiny)[:, None] * levels
    draws = torch.Generator("cpu").manual_seed(seed)
    up = torch.rand(entries.shape, generator=draws, device="cpu", dtype=torch.float64).to(steps.device) < steps.frac()
    level = (steps.floor() + up).clamp_max(levels) * entries.sign()  # -levels to levels
    codes = (level.flatten()[: trained_entries(update.spec)] + levels).long().numpy(force=True)
    body = norms.numpy(force=True).tobytes() + pack_numbers(codes, (2 * levels).bit_length())
    return _message(update, body)


@job(size=lambda message, *, levels, bucket: message.model, load=_decoding_load)
def dequantised(message: Coded, *, levels: int, bucket: int) -> Model:
    """Read a quantised update."""
    n, bits = trained_entries(message.spec), (2 * levels).bit_length()
    body, norm_bytes = _body(message), 4 * -(-n // bucket)
    end = norm_bytes + packed_bytes(n, bits)
    codes = torch.from_numpy(unpack_numbers(body[norm_bytes:end], bits, count=n) - levels)
    level = _buckets(codes.double() / levels, bucket)
    entries = (level * _floats(body[:norm_bytes]).double()[:, None]).float().flatten()[:n]
    return _model(message, entries, body[end:])


def _trained(update: Model) -> Tensor:
    """Return the entries that training moves as one vector (N,), in the state_dict's order."""
    names = parameter_names(update.spec)
    return torch.cat([t.reshape(-1) for name, t in update.state.items() if name in names])


def _buckets(vector: Tensor, bucket: int) -> Tensor:
    """Cut (N,) into rows of *bucket* entries, the last filled up with zeros."""
    rows = -(-len(vector) // bucket)
    return torch.nn.functional.pad(vector, (0, rows * bucket - len(vector))).reshape(rows, bucket)


def _places(index: np.ndarray[tuple[int], np.dtype[np.int64]], n: int) -> bytes:
    if packed_bytes(len(index), _index_bits(n)) <= packed_bytes(n, 1):
        return pack_numbers(index, _index_bits(n))
    mask = np.zeros(n, dtype=np.int64)
    mask[index] = 1
    return pack_numbers(mask, 1)


def _read_places(data: bytes, n: int, k: int) -> Tensor:
    if packed_bytes(k, _index_bits(n)) <= packed_bytes(n, 1):
        return torch.from_numpy(unpack_numbers(data, _index_bits(n), count=k))
    return torch.from_numpy(np.flatnonzero(unpack_numbers(data, 1, count=n)))


def _message(update: Model, body: bytes) -> Coded:
    """Put what training does not move behind *body*, as it is."""
    names = parameter_names(update.spec)
    rest = b"".join(t.numpy(force=True).tobytes() for name, t in update.state.items() if name not in names)
    return Coded(update.spec, torch.frombuffer(bytearray(body + rest), dtype=torch.uint8))


def _model(message: Coded, entries: Tensor, rest: bytes) -> Model:
    """Put a model together from the *entries* that training moves (N,) and the bytes of all others."""
    names, state, at, behind = parameter_names(message.spec), State(), 0, 0
    for name, t in built(ModelSpec.from_params(message.spec).build).state_dict().items():
        if name in names:
            state[name] = entries[at : at + t.numel()].reshape(t.shape)
            at += t.numel()
        else:
            end = behind + t.numel() * t.element_size()
            state[name] = torch.frombuffer(bytearray(rest[behind:end]), dtype=t.dtype).reshape(t.shape)
            behind = end
    return Model(message.spec, state)


def _body(message: Coded) -> bytes:
    return bytes(message.data.numpy(force=True).tobytes())


def _floats(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.float32)
