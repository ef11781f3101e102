"""Units that stand or fall together: the slices, over all tensors, that make up one hidden channel.

A convolution's filter is also an entry of the norm after it, an input of the next layer and, where layers are
added up, a filter of another convolution. Torch-Pruning's dependency graph finds what belongs together; the
blocks of a transformer, whose heads it would mix, are named by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fedsim.errors import InputError
from fedsim.learn.vit import Block

Widths = tuple[tuple[str, int], ...]
_NORMS = nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm


@dataclass(frozen=True, slots=True)
class Axis:
    """Where units lie in a tensor: along *dim*, *span* entries in a row for each."""

    tensor: str
    dim: int
    span: int = 1


@dataclass(frozen=True, slots=True)
class Group:
    """A hidden width: so many *units*, the slices that each owns, and the weights whose rows make it.

    kind: of the layers that make it, conv, linear or attention; blocks: the units lie in so many equal blocks
    (heads, or the groups of a GroupNorm), of each of which as many are kept.
    """

    name: str
    units: int
    axes: tuple[Axis, ...]
    makers: tuple[str, ...]
    kind: str
    blocks: int = 1


def find_groups(module: nn.Module, shape: tuple[int, ...]) -> tuple[Group, ...]:
    """Return the groups of a network for examples of *shape* in the order of its layers, without the output.

    Raises InputError for a network whose channels are not those of images.
    """
    found = tuple(_transformer(module))
    return found or tuple(_convolutional(module, shape))


def kept_units(group: Group, units: int) -> Tensor:
    """Return the leading *units* of *group*, as many of each block, (units,) int64."""
    return torch.arange(group.units).view(group.blocks, -1)[:, : units // group.blocks].flatten()


def slices(groups: tuple[Group, ...], kept: Mapping[str, Tensor]) -> dict[str, dict[int, Tensor]]:
    """Return for each tensor and dimension the entries left when each group named in *kept* keeps those units."""
    found: dict[str, dict[int, Tensor]] = {}
    for group in groups:
        if group.name in kept:
            for axis in group.axes:
                entries = kept[group.name][:, None] * axis.span + torch.arange(axis.span)  # (units, span)
                found.setdefault(axis.tensor, {})[axis.dim] = entries.flatten()
    return found


def taken(t: Tensor, dims: Mapping[int, Tensor]) -> Tensor:
    """Return what remains of *t* when only the entries in *dims* are kept along each of its dimensions."""
    for dim, entries in dims.items():
        t = t.index_select(dim, entries.to(t.device))
    return t


def narrow(module: nn.Module, groups: tuple[Group, ...], widths: Widths) -> nn.Module:
    """Cut *module* down, in place, to the leading units of each group in *widths*; return it."""
    wanted = dict(widths)
    kept = {group.name: kept_units(group, wanted[group.name]) for group in groups if group.name in wanted}
    for name, dims in slices(groups, kept).items():
        path, _, leaf = name.rpartition(".")
        owner = module.get_submodule(path)
        old = getattr(owner, leaf)
        with torch.no_grad():
            new = taken(old, dims)
        if isinstance(old, nn.Parameter):
            owner.register_parameter(leaf, nn.Parameter(new, old.requires_grad))
        else:
            owner.register_buffer(leaf, new)
        _set_sizes(owner)
    return module


def _set_sizes(layer: nn.Module) -> None:
    """Bring the sizes that a layer remembers into line with its weight."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    if isinstance(layer, nn.Conv2d):
        layer.groups = len(weight) if _is_depthwise(layer) else 1
        layer.out_channels, layer.in_channels = len(weight), weight.shape[1] * layer.groups
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = weight.shape
    elif isinstance(layer, nn.BatchNorm2d):
        layer.num_features = len(weight)
    elif isinstance(layer, nn.GroupNorm):
        layer.num_channels = len(weight)


def _transformer(module: nn.Module) -> Iterator[Group]:
    for name, block in module.named_modules():
        if isinstance(block, Block):
            yield _attention(f"{name}.attention", block)
            yield _perceptron(name, block)


def _attention(name: str, block: Block) -> Group:
    inner = [Axis(f"{name}.{layer}.{part}", 0) for layer in "qkv" for part in ("weight", "bias")]
    units, heads = len(block.attention.q.weight), block.attention.heads
    makers = f"{name}.q.weight", f"{name}.k.weight"
    return Group(name, units, (*inner, Axis(f"{name}.out.weight", 1)), makers, "attention", heads)


def _perceptron(name: str, block: Block) -> Group:
    axes = Axis(f"{name}.wide.weight", 0), Axis(f"{name}.wide.bias", 0), Axis(f"{name}.narrow.weight", 1)
    return Group(f"{name}.wide", len(block.wide.weight), axes, (axes[0].tensor,), "linear")


def _convolutional(module: nn.Module, shape: tuple[int, ...]) -> Iterator[Group]:
    from torch_pruning import DependencyGraph  # here: it takes a second

    if len(shape) != 3:
        raise InputError(f"units of a network for examples of shape {shape}: allowed are images, (C, H, W)")
    names = {layer: name for name, layer in module.named_modules()}
    order = {name: n for n, name in enumerate(names.values())}
    examples = torch.empty(1, *shape, device=next(module.parameters()).device)
    graph = DependencyGraph().build_dependency(module.eval(), example_inputs=examples)
    roots = [nn.Conv2d, nn.Linear]
    found = [_group(items, names) for items in graph.get_all_groups(root_module_types=roots)]
    yield from sorted((group for group in found if group), key=lambda g: order[g.name])


def _group(items: Any, names: Mapping[nn.Module, str]) -> Group | None:
    """Return what a group of the dependency graph says; None for the output, which nothing takes in."""
    axes: dict[tuple[str, int], Axis] = {}
    makers: list[nn.Module] = []
    units, blocks = len(items[0].idxs), 1
    for dependency, entries in items:
        layer = dependency.target.module
        if layer not in names:
            continue
        _require_in_order(entries, names[layer])
        takes_in = dependency.handler.__name__ == "prune_in_channels" and not _is_depthwise(layer)
        for axis in _axes(layer, names[layer], takes_in=takes_in, span=len(entries) // units):
            axes[axis.tensor, axis.dim] = axis
        if isinstance(layer, nn.GroupNorm):
            blocks = max(blocks, layer.num_groups)
        if not takes_in and isinstance(layer, nn.Conv2d | nn.Linear) and not _is_depthwise(layer):
            makers.append(layer)
    if not any(axis.dim == 1 for axis in axes.values()):
        return None
    inside = sorted({names[layer] for layer in makers}, key=list(names.values()).index)
    kind = "conv" if isinstance(makers[0], nn.Conv2d) else "linear"
    return Group(inside[0], units, tuple(axes.values()), tuple(f"{name}.weight" for name in inside), kind, blocks)


def _axes(layer: nn.Module, name: str, *, takes_in: bool, span: int) -> Iterator[Axis]:
    if takes_in:
        yield Axis(f"{name}.weight", 1, span)
        return
    for leaf, t in (*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)):
        if t.dim():
            yield Axis(f"{name}.{leaf}", 0, span)


def _is_depthwise(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d) and layer.groups > 1


def _require_in_order(entries: list[int], name: str) -> None:
    if entries != list(range(len(entries))):
        raise InputError(f"layer {name!r} takes its inputs from several layers at once: its units cannot be cut")
