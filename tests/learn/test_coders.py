"""Coders: what is read is what was written, bit for bit, and as long as declared or published."""

from __future__ import annotations

import heapq
import math
import typing

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsim.learn.bits import pack_bits, packed_bytes, read_gaps, unpack_bits, write_gaps
from fedsim.learn.coders import CODERS, SQUEEZES, read, write
from fedsim.learn.messages import DECODING, ENCODING, KEPT, decode, encode
from fedsim.learn.models import make_spec
from fedsim.learn.parts import layout, layout_of, put_together, take_apart
from fedsim.learn.prune import drop_small, kept_mask, restore
from fedsim.learn.quantise import quantise
from fedsim.learn.values import Message, Model, flatten, model_size
from fedsim.methods.message_pruning import MessagePruning
from fedsim.work import OpClass
from tests.learn.nets import bits_of, he_resnet12, pruned, states

# worked out from the published description on a He-initialised ResNet-12, percent of dense
PUBLISHED = {
    ("zlib", 0.0): 92.5, ("zlib", 0.3): 70.7, ("zlib", 0.5): 53.0, ("zlib", 0.8): 23.6, ("zlib", 0.9): 12.4,
    ("zlib", 0.95): 6.4, ("zlib", 0.99): 1.3, ("lzma", 0.5): 49.8,
    ("bitmask", 0.0): 103.1, ("bitmask", 0.3): 73.1, ("bitmask", 0.5): 53.1, ("bitmask", 0.8): 23.1,
    ("bitmask", 0.9): 13.1, ("bitmask", 0.95): 8.1, ("bitmask", 0.99): 4.1,
    ("gaps", 0.0): 150.0, ("gaps", 0.3): 105.0, ("gaps", 0.5): 75.0, ("gaps", 0.8): 30.0, ("gaps", 0.9): 15.0,
    ("gaps", 0.95): 7.5, ("gaps", 0.99): 1.5,
}  # fmt: skip


def there_and_back(parts, slots, coder):
    data = torch.from_numpy(np.frombuffer(write(parts, slots, coder), np.uint8).copy())
    return put_together(read(Message((), coder, data, parts.bits, int(parts.mask.sum())), slots), slots)


@pytest.mark.parametrize("coder", CODERS)
@given(state=states())
def test_any_state_comes_back_bit_for_bit(coder, state):
    slots = layout_of(state)
    assert bits_of(there_and_back(take_apart(Model((), state)), slots, coder)) == bits_of(state)


@pytest.mark.parametrize("coder", CODERS)
@given(case=pruned())
def test_what_was_kept_comes_back_bit_for_bit_and_the_rest_as_zeros(coder, case):
    parts, slots = case
    assert bits_of(there_and_back(parts, slots, coder)) == bits_of(put_together(parts, slots))


@pytest.mark.parametrize("rate", [0.0, 0.6])
@pytest.mark.parametrize("bits", [8, 4, 2, 1])
@pytest.mark.parametrize("coder", CODERS)
def test_codes_come_back_as_they_were(coder, bits, rate):
    parts = quantise.value(drop_small.value(small(), rate=rate), bits=bits, scale="float")
    assert bits_of(decode.value(encode.value(parts, coder=coder)).state) == bits_of(restore.value(parts).state)


def small():
    torch.manual_seed(1)
    spec = make_spec("lenet5", 10, (1, 28, 28))
    return Model(spec.as_params(), {name: t.detach() for name, t in spec.build().state_dict().items()})


@pytest.mark.parametrize(("coder", "rate"), PUBLISHED)
def test_pruned_messages_are_as_long_as_published(coder, rate):
    message = encode.value(drop_small.value(he_resnet12(), rate=rate), coder=coder)
    assert message.data.numel() / (4 * 780_266) == pytest.approx(PUBLISHED[coder, rate] / 100, abs=0.02)


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("bits", [32, 8, 4, 2, 1])
@pytest.mark.parametrize("coder", ["bitmask", "none"])
def test_a_declared_length_is_the_length(coder, bits, rate, scope):
    parts = drop_small.value(small(), rate=rate, scope=scope)
    size = drop_small.size(model_size(small().spec), rate=rate, scope=scope)
    if bits < 32:
        parts, size = quantise.value(parts, bits=bits, scale="float"), quantise.size(size, bits=bits, scale="float")
    declared = encode.size(size, coder=coder)
    if declared is None:
        assert (coder, bits < 32, rate > 0) == ("bitmask", True, True)
    else:
        assert declared == encode.value(parts, coder=coder).size()


@pytest.mark.parametrize("coder", [c for c in CODERS if c not in ("bitmask", "none")])
def test_a_length_that_values_decide_is_not_declared(coder):
    assert encode.size(drop_small.size(model_size(small().spec), rate=0.5, scope="global"), coder=coder) is None


def best_huffman_bytes(data):
    """Return the length of *data* in Huffman's own code for its bytes: the sum of the joined weights."""
    heap = np.bincount(np.frombuffer(data, np.uint8)).tolist()
    heapq.heapify(heap := [count for count in heap if count])
    bits = 0
    while len(heap) > 1:
        joined = heapq.heappop(heap) + heapq.heappop(heap)
        heapq.heappush(heap, joined)
        bits += joined
    return bits / 8


@pytest.mark.parametrize("bits", [32, 4])
def test_a_huffman_message_is_as_long_as_huffmans_own_code_or_its_tables_make_it_a_little_shorter(bits):
    parts = drop_small.value(he_resnet12(), rate=0.8)
    parts = quantise.value(parts, bits=bits, scale="float") if bits < 32 else parts
    plain = SQUEEZES["huffman"].read(encode.value(parts, coder="huffman").data.numpy().tobytes())
    share = encode.value(parts, coder="huffman").data.numel() / best_huffman_bytes(plain)
    assert 0.93 < share < 1.02


def test_huffman_codes_symbols_and_matches_no_strings():
    text = b"abcdefgh" * 4000
    assert len(SQUEEZES["huffman"].write(text)) > len(text) * 3 / 8
    assert len(SQUEEZES["zlib"].write(text)) < len(text) / 100


@pytest.mark.parametrize("width", [1, 2, 4, 8])
@given(data=st.data())
def test_packed_codes_come_back_in_as_few_bits_as_promised(width, data):
    top = max(2 ** (width - 1) - 1, 1)
    values = [-1, 1] if width == 1 else range(-top, top + 1)
    codes = np.array(data.draw(st.lists(st.sampled_from(values), max_size=40)), np.int8)
    packed = pack_bits(codes, width)
    assert len(packed) == packed_bytes(len(codes), width)
    assert unpack_bits(packed, width, count=len(codes)).tolist() == codes.tolist()


@settings(max_examples=30)
@given(
    st.lists(st.sampled_from([0, 1, 2, 65_533, 65_534, 65_535, 65_536, 131_070]), max_size=4), st.integers(0, 70_000)
)
def test_gaps_of_any_length_come_back(gaps, after):
    kept = np.cumsum([gap + 1 for gap in gaps], dtype=int) - 1
    mask = np.zeros(int(kept[-1] + 1 if gaps else 0) + after, np.bool_)
    mask[kept] = True
    found, used = read_gaps(data := write_gaps(mask), len(mask))
    assert (used, found.tolist()) == (len(data), mask.tolist())


def test_the_options_of_message_pruning_name_every_coder():
    assert set(typing.get_args(typing.get_type_hints(MessagePruning)["coder"])) == set(CODERS)


@pytest.mark.parametrize("coder", CODERS)
def test_coding_takes_memory_traffic_by_the_byte_and_is_priced_once(coder):
    parts = drop_small.size(model_size(he_resnet12().spec), rate=0.5, scope="global")
    load = encode.load(parts, coder=coder)
    assert load.within(OpClass.MEMORY).bytes == pytest.approx(4 * 780_266 * ENCODING[coder][KEPT.index(0.5)], rel=1e-5)
    assert encode.load(parts, coder=coder) is load
    message = encode.value(drop_small.value(he_resnet12(), rate=0.5), coder="bitmask").size()
    assert decode.load(message).within(OpClass.MEMORY).bytes == pytest.approx(8 * 780_266)
    assert DECODING.keys() == ENCODING.keys() == set(CODERS)


def test_exactly_the_rate_is_dropped_by_one_threshold_or_in_each_tensor_of_weights():
    model = he_resnet12()
    assert int((~drop_small.value(model, rate=0.3).mask).sum()) == math.floor(0.3 * 780_266)
    slots = layout(model.spec)
    mask = kept_mask(flatten(model.state), slots, rate=0.3, scope="layer")
    dropped = [int((~part).sum()) for part in torch.split(mask, [slot.entries for slot in slots])]
    assert dropped == [math.floor(0.3 * slot.entries) if len(slot.shape) > 1 else 0 for slot in slots]


def test_ties_are_dropped_by_index():
    model = Model(small().spec, {name: torch.ones_like(t) for name, t in small().state.items()})
    mask = drop_small.value(model, rate=0.25).mask
    assert mask.tolist() == sorted(mask.tolist())


def test_what_is_not_finite_is_kept():
    model = small()
    first = next(iter(model.state))
    spoilt = torch.full_like(model.state[first], float("nan"))
    mask = drop_small.value(Model(model.spec, {**model.state, first: spoilt}), rate=0.9).mask
    assert mask[: spoilt.numel()].all()
