from __future__ import annotations

import pytest
import torch

from fedsim.learn.fragments import _FAMILIES, Fragment, fragments
from fedsim.learn.trace import built, trace_step
from fedsim.work import KINDS, OpClass

ALL = fragments()


def load(fragment: Fragment) -> object:
    inputs = (torch.empty(fragment.batch, *fragment.shape, device="meta"),)
    return trace_step(built(fragment.build), inputs, torch.empty(1, device="meta"), loss=lambda out, _: out.mean())


def test_the_design_is_the_same_each_time() -> None:
    assert [f.name for f in fragments()] == [f.name for f in ALL]


def test_a_quick_design_keeps_a_fifth_of_every_family() -> None:
    assert len(fragments(quick=True)) == sum(-(-count // 5) for _, count in _FAMILIES)


@pytest.mark.parametrize("quick", [False, True])
def test_every_kind_of_work_is_timed(quick: bool) -> None:
    seen = {kind for fragment in fragments(quick=quick) for kind in load(fragment).ops}
    assert seen >= set(KINDS) - {OpClass.IMAGE, "memory.backward.strided"}


def test_no_stack_asks_for_more_than_a_second_or_a_gigabyte() -> None:
    loads = [load(fragment) for fragment in ALL]
    assert max(found.flops for found in loads) < 2e10
    assert max(found.memory_bytes for found in loads) < 2**30
