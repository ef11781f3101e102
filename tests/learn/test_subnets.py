"""The leading units of a transformer: their shapes, what they cost, and how they are put back."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsim.errors import InputError
from fedsim.learn import loads
from fedsim.learn.aggregate import average
from fedsim.learn.groups import Axis, kept_units
from fedsim.learn.models import ModelSpec, make_spec
from fedsim.learn.salience import rank_units, salience
from fedsim.learn.slices import index_of, summed
from fedsim.learn.subnets import drawn, leading, merge_subnets
from fedsim.learn.trace import affine_load
from fedsim.learn.values import Model, flatten, model_size
from tests.learn.transformers import as_if_trained

RATIOS = (1.0, 0.625, 0.4167)
SPEC = make_spec("vit_tiny", 3, (1, 8, 8), dim=16, heads=2, depth=2, patch=4)
seeds = st.integers(0, 2**62)
ratios = st.lists(st.floats(0.05, 1.0), min_size=1, max_size=3).map(tuple)
scopes = st.sampled_from(["none", "qk", "qk+ffn"])


def model_of(spec=SPEC, seed=0):
    torch.manual_seed(seed)
    return Model(spec.as_params(), dict(as_if_trained(spec.build(), seed).state_dict()))


def shifted(model, by):
    return Model(model.spec, {name: t + by for name, t in model.state.items()})


def close(first, second, atol=1e-6):
    return torch.allclose(flatten(first.state), flatten(second.state), atol=atol)


def widths_of(spec):
    return dict(ModelSpec.from_params(spec).widths)


def vit_base():
    return make_spec("vit_tiny", 1000, (3, 224, 224), dim=768, heads=12, depth=12, patch=16)


def at_ffn(spec, units):
    return replace(spec, widths=tuple((g.name, units) for g in spec.groups() if g.kind == "linear"))


@settings(max_examples=20, deadline=None)
@given(ffn=ratios, attention=ratios, seed=seeds, scope=scopes)
def test_a_cut_is_a_network_that_runs_and_as_large_as_declared(ffn, attention, seed, scope):
    model, how = model_of(), {"ffn": ffn, "attention": attention, "seed": seed}
    cut = leading.value(model, salience.value(model, scope=scope), **how)
    assert cut.size() == leading.size(model.size(), **how)
    assert {name: t.shape for name, t in cut.module().state_dict().items()} == {
        n: t.shape for n, t in cut.state.items()
    }
    assert cut.module()(torch.zeros(2, 1, 8, 8)).shape == (2, 3)


@settings(max_examples=20, deadline=None)
@given(ffn=ratios, attention=ratios, seed=seeds, scope=scopes, by=st.sampled_from([-2.0, 0.5]))
def test_a_part_put_back_gives_its_entries_and_leaves_the_rest(ffn, attention, seed, scope, by):
    model, how = model_of(), {"ffn": ffn, "attention": attention, "seed": seed}
    ranking = salience.value(model, scope=scope)
    part = shifted(leading.value(model, ranking, **how), by)
    merged = merge_subnets.value(model, (part,), (7,), (ranking,))
    assert close(leading.value(merged, ranking, **how), part)
    assert int((flatten(merged.state) != flatten(model.state)).sum()) == part.size().entries


@settings(max_examples=10, deadline=None)
@given(shifts=st.lists(st.floats(-2.0, 2.0), min_size=1, max_size=4), scope=scopes, data=st.data())
def test_whole_parts_are_averaged_as_fedavg_does(shifts, scope, data):
    model = model_of()
    weights = tuple(data.draw(st.lists(st.integers(1, 50), min_size=len(shifts), max_size=len(shifts))))
    ranking = salience.value(model, scope=scope)
    parts = tuple(shifted(leading.value(model, ranking, ffn=(1.0,)), by) for by in shifts)
    expected = average.value(tuple(shifted(model, by) for by in shifts), weights)
    assert close(merge_subnets.value(model, parts, weights, (ranking,) * len(parts)), expected)


def test_replies_to_different_rankings_find_their_places():
    model = model_of()
    rankings = tuple(salience.value(model_of(seed=seed), scope="qk+ffn") for seed in (1, 2))
    parts = tuple(shifted(leading.value(model, r, ffn=(1.0,)), 1.0) for r in rankings)
    assert not torch.equal(flatten(parts[0].state), flatten(parts[1].state))
    assert close(merge_subnets.value(model, parts, (1, 1), rankings), shifted(model, 1.0))


def test_an_entry_is_averaged_over_those_that_hold_it():
    model = model_of()
    whole, part = shifted(model, 1.0), shifted(leading.value(model, ffn=(0.5,), attention=(0.5,)), -3.0)
    merged = merge_subnets.value(model, (whole, part), (1, 3))
    wide, q = "blocks.0.wide.weight", "blocks.0.attention.q.bias"
    moved = {name: merged.state[name] - model.state[name] for name in (wide, q)}
    assert torch.allclose(moved[wide].mean(1), torch.tensor([-2.0] * 32 + [1.0] * 32), atol=1e-5)
    assert torch.allclose(moved[q], torch.tensor(([-2.0] * 4 + [1.0] * 4) * 2), atol=1e-5)


def test_as_published_an_absent_entry_counts_as_zero_and_samples_do_not_count():
    model = model_of()
    part = leading.value(model, ffn=(0.5,))
    merged = merge_subnets.value(model, (model, part, part), (1, 30, 900), rule="zero_padded")
    share = merged.state["blocks.0.wide.weight"] / model.state["blocks.0.wide.weight"]
    assert torch.allclose(share, torch.tensor([1.0] * 32 + [1 / 3] * 32)[:, None], atol=1e-5)


def test_as_published_rarely_held_units_shrink_by_their_expected_coverage():
    """With 10 devices, one whole, one smallest and eight drawn, units are held by 1, 0.633 and 0.367 of them."""
    model = model_of(make_spec("vit_tiny", 3, (1, 8, 8), dim=24, heads=2, depth=1, patch=4))
    whole, middle, smallest = (leading.value(model, ffn=(ratio,)) for ratio in RATIOS)
    round_by_round = [whole, smallest] * 3 + [whole, middle, smallest] * 8  # three rounds: every ratio drawn 8 times
    merged = merge_subnets.value(model, tuple(round_by_round), (1,) * 30, rule="zero_padded")
    share = (merged.state["blocks.0.wide.weight"] / model.state["blocks.0.wide.weight"]).mean(1)
    assert torch.allclose(share[[0, 50, 90]], torch.tensor([1.0, 0.633, 0.367]), atol=1e-3)


def test_cut_by_head_scores_stay_closer_than_cut_flat():
    draws = torch.Generator().manual_seed(0)
    heads, width, kept, tokens = 8, 24, 20, 64
    q, k = (torch.randn(heads * width, 192, generator=draws) for _ in "qk")
    x = torch.randn(tokens, 192, generator=draws)

    def scores(rows):
        split = [(x @ w[rows].T).view(tokens, heads, -1).transpose(0, 1) for w in (q, k)]
        return split[0] @ split[1].transpose(1, 2)  # (heads, tokens, tokens)

    whole = scores(torch.arange(heads * width))
    by_head = torch.arange(heads * width).view(heads, width)[:, :kept].flatten()
    flat = torch.arange(heads * kept)
    error = {name: float((scores(rows) - whole).norm() / whole.norm()) for name, rows in
             (("by head", by_head), ("flat", flat))}  # fmt: skip
    assert error["by head"] == pytest.approx(0.4, abs=0.05)
    assert error["flat"] > 1.8 * error["by head"]


def test_our_cut_is_the_one_by_head():
    group = next(g for g in SPEC.groups() if g.kind == "attention")
    assert kept_units(group, 8).tolist() == [0, 1, 2, 3, 8, 9, 10, 11]
    assert Axis("blocks.0.attention.out.weight", 1) in group.axes


def test_ranked_perceptrons_lose_less_when_they_are_cut():
    model, x = model_of(), torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(5))
    how = {"ffn": (0.4167,)}
    whole = model.module()(x)
    ranked = [rank_units.value(model, scope=scope) for scope in ("none", "qk+ffn")]
    plain, salient = [(leading.value(each, **how).module()(x) - whole).detach().norm() for each in ranked]
    assert salient < plain


@pytest.mark.parametrize(("dim", "widths"), [(768, (3072, 1920, 1280)), (192, (768, 480, 320))])
def test_the_default_ratios_are_the_published_widths(dim, widths):
    spec = make_spec("vit_tiny", 10, (3, 32, 32), dim=dim, heads=3, depth=1).as_params()
    found = [widths_of(drawn(spec, ffn=(r,), attention=(1.0,), seed=0)).get("blocks.0.wide", 4 * dim) for r in RATIOS]
    assert tuple(found) == widths


def test_each_layer_draws_its_own_ratio_uniformly():
    spec = make_spec("vit_tiny", 3, (1, 8, 8), dim=12, heads=2, depth=6, patch=4).as_params()
    found = [widths_of(drawn(spec, ffn=RATIOS, attention=(1.0,), seed=seed)) for seed in range(200)]
    units = [cut.get(f"blocks.{n}.wide", 48) for cut in found for n in range(6)]
    assert [units.count(width) / len(units) for width in (48, 30, 20)] == pytest.approx([1 / 3] * 3, abs=0.05)
    assert any(len({cut.get(f"blocks.{n}.wide") for n in range(6)}) == 3 for cut in found)


@pytest.mark.parametrize(("units", "params", "flops"), [(1920, 0.75, 0.76), (1280, 0.61, 0.63)])
def test_vit_base_shrinks_as_published(units, params, flops):
    whole, cut = vit_base(), at_ffn(vit_base(), units)
    assert model_size(cut.as_params()).entries / model_size(whole.as_params()).entries == pytest.approx(
        params, abs=0.01
    )
    forward = [loads._forward(spec.as_params()).at(1).flops for spec in (cut, whole)]
    assert forward[0] / forward[1] == pytest.approx(flops, abs=0.01)


def test_72_673536_m_is_vit_base_without_8384_units_of_its_perceptrons():
    """The paper's notebooks count weights of modules, here at 10 classes: 85.551360 M as a whole."""

    def counted(spec):
        with torch.device("meta"):
            module = spec.build()
        return sum(p.numel() for name, p in module.named_parameters() if name.endswith("weight"))

    whole = make_spec("vit_tiny", 10, (3, 224, 224), dim=768, heads=12, depth=12, patch=16)
    groups = [g.name for g in whole.groups() if g.kind == "linear"]
    units = [3072 - 704] * 8 + [3072 - 688] * 4
    assert sum(3072 - n for n in units) == 8384
    assert counted(whole) == 85_551_360
    assert counted(replace(whole, widths=tuple(sorted(zip(groups, units, strict=True))))) == 72_673_536


@settings(max_examples=5, deadline=None)
@given(seed=seeds)
def test_an_uneven_cut_costs_what_tracing_it_says(seed):
    cut = ModelSpec.from_params(drawn(SPEC.as_params(), ffn=RATIOS, attention=(1.0, 0.5), seed=seed))
    traced = affine_load(cut.build, cut.shape, cut.classes, optimizer="adam").at(8)
    found = loads._step(cut.as_params(), "adam").at(8)
    assert found.memory_bytes == pytest.approx(traced.memory_bytes)
    for kind, op in traced.ops.items():
        for number in ("flops", "bytes", "calls"):
            assert getattr(found.within(kind), number) == pytest.approx(getattr(op, number), rel=1e-9)


def test_a_smaller_cut_costs_less_to_train_and_to_keep():
    sizes = [at_ffn(SPEC, units).as_params() for units in (64, 40, 27)]
    steps = [loads._step(spec, "sgd").at(8) for spec in sizes]
    assert sorted(steps, key=lambda load: -load.flops) == steps == sorted(steps, key=lambda load: -load.memory_bytes)


def test_a_model_without_blocks_is_refused_from_its_size():
    size = model_size(make_spec("mlp", 3, (1, 8, 8)).as_params())
    for scope in ("qk", "none"):
        with pytest.raises(InputError, match=r"model 'mlp' has no transformer blocks.*vit_tiny"):
            rank_units.size(size, scope=scope)
    with pytest.raises(InputError, match="no transformer blocks"):
        leading.size(size, ffn=(0.5,), attention=(1.0,), seed=0)


def test_entries_are_put_where_scattered_rows_and_columns_cross():
    rows, columns = torch.tensor([2, 0]), torch.tensor([1, 3])
    piece = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    total, mass = summed(torch.zeros(3, 4), [(index_of({1: columns, 0: rows}, 2), piece, 1.0)])
    assert total.tolist() == [[0, 3, 0, 4], [0, 0, 0, 0], [0, 1, 0, 2]]
    assert torch.equal(mass, (total > 0).double())
