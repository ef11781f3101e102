"""Every known kind of transformer is found, ranked without a change and cut to a network that runs."""

import pytest
import torch
from torch import nn

from fedsim.learn.blocks import find_blocks
from fedsim.learn.groups import find_groups, narrow
from fedsim.learn.salience import ranked, reordered, unit_orders
from tests.learn.transformers import DEPTH, DIM, HEADS, KINDS, as_if_trained

kinds = pytest.mark.parametrize("kind", KINDS)
CUTTABLE = [kind for kind in KINDS if kind != "torchvision_vit"]


def made(kind):
    torch.manual_seed(0)
    net, run = KINDS[kind]()
    return as_if_trained(net), run


def logits_after(kind, scope, change=lambda units: units):
    """Return what a network computes before and after its units were ranked by *scope*."""
    net, run = made(kind)
    before, blocks, state = run(net).detach(), find_blocks(net), dict(net.state_dict())
    units = change(ranked(state, blocks, scope))
    net.load_state_dict(reordered(state, unit_orders(units, blocks, state)))
    return before, run(net).detach()


@kinds
def test_all_blocks_are_found(kind):
    found = find_blocks(made(kind)[0])
    assert [(block.heads, block.q.count, block.k.count, block.v.count) for block in found] == [
        (HEADS, DIM, DIM, DIM)
    ] * DEPTH


@pytest.mark.parametrize("net", [nn.Linear(2, 2), nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2))])
def test_what_is_no_transformer_has_no_blocks(net):
    assert find_blocks(net) == ()


@kinds
@pytest.mark.parametrize("scope", ["qk", "qk+ffn"])
def test_one_order_for_query_and_key_inside_each_head_changes_nothing(kind, scope):
    before, after = logits_after(kind, scope)
    assert torch.allclose(before, after, atol=1e-5, rtol=1e-5)


@kinds
def test_the_rows_are_really_moved(kind):
    net, _ = made(kind)
    blocks, state = find_blocks(net), dict(net.state_dict())
    moved = reordered(state, unit_orders(ranked(state, blocks, "qk"), blocks, state))
    assert all(not torch.equal(moved[rows.weight], state[rows.weight]) for b in blocks for rows in (b.q, b.k))
    assert all(
        torch.equal(moved[b.v.weight][b.v.start :], state[b.v.weight][b.v.start :])  # values stay
        and torch.equal(moved[b.wide.weight], state[b.wide.weight])
        for b in blocks
    )


@kinds
def test_an_order_for_each_of_query_and_key_changes_the_output(kind):
    before, after = logits_after(kind, "naive")
    assert (before - after).abs().max() > 0.01


@kinds
def test_one_order_across_heads_changes_the_output(kind):
    def across(units):
        order = torch.randperm(DIM, generator=torch.Generator().manual_seed(3))
        return dict.fromkeys(units, order)

    before, after = logits_after(kind, "qk", across)
    assert (before - after).abs().max() > 0.01


@kinds
def test_perceptrons_are_cut_to_any_width(kind):
    net, run = made(kind)
    logits = run(net)
    groups = [g for g in find_groups(net, (1, 8, 8)) if g.kind == "linear"]
    assert len(groups) == DEPTH
    narrow(net, tuple(groups), tuple((g.name, 5 + n) for n, g in enumerate(groups)))
    assert [block.wide.count for block in find_blocks(net)] == [5, 6]
    assert run(net).shape == logits.shape


@pytest.mark.parametrize("kind", CUTTABLE)
def test_every_head_is_cut_to_its_leading_rows(kind):
    net, run = made(kind)
    logits, rows = run(net), find_blocks(net)[0].v
    whole = dict(net.state_dict())[rows.weight].view(HEADS, DIM // HEADS, DIM)
    groups = find_groups(net, (1, 8, 8))
    narrow(net, groups, tuple((g.name, g.units // 2) for g in groups if g.kind == "attention"))
    cut = dict(net.state_dict())[rows.weight].view(HEADS, -1, DIM)
    assert torch.equal(cut, whole[:, : DIM // HEADS // 2])
    assert run(net).shape == logits.shape


@pytest.mark.parametrize("kind", CUTTABLE)
def test_a_cut_head_keeps_the_scale_of_the_whole_one(kind):
    """So it computes what the whole network does with the other rows of query, key and value at zero."""
    (net, run), (small, _) = made(kind), made(kind)
    groups = tuple(g for g in find_groups(net, (1, 8, 8)) if g.kind == "attention")
    kept = torch.arange(DIM).view(HEADS, -1)[:, : DIM // HEADS // 2].flatten()
    absent = torch.ones(DIM, dtype=torch.bool)
    absent[kept] = False
    with torch.no_grad():
        for block in find_blocks(net):
            for tensor in (t for rows in (block.q, block.k, block.v) for t in rows.tensors):
                dict(net.named_parameters())[tensor][absent] = 0.0
    narrow(small, groups, tuple((g.name, g.units // 2) for g in groups))
    assert torch.allclose(run(net), run(small), atol=1e-5)


def test_torchvisions_heads_are_left_whole():
    net, _ = made("torchvision_vit")
    assert {g.kind for g in find_groups(net, (3, 8, 8))} == {"linear"}
