"""The blocks of a transformer, whoever wrote it: where the rows of its attention and its perceptron lie.

Blocks are known by the names of their layers, so that no library is imported for them: those of `vit`,
of torchvision's VisionTransformer and of Hugging Face's BERT, RoBERTa, DistilBERT and ViT (transformers 5).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

_LAYERS = (  # the attention; in it query, key and value; then its output, the wide and the narrow layer
    ("attention", ("q", "k", "v"), "attention.out", "wide", "narrow"),
    ("attention.self", ("query", "key", "value"), "attention.output.dense", "intermediate.dense", "output.dense"),
    ("attention", ("q_lin", "k_lin", "v_lin"), "attention.out_lin", "ffn.lin1", "ffn.lin2"),
    ("attention", ("q_proj", "k_proj", "v_proj"), "attention.o_proj", "mlp.fc1", "mlp.fc2"),
)
_MERGED = ("self_attention", "mlp.0", "mlp.3")  # torchvision's: query, key and value are rows of one weight
_HEADS = ("heads", "num_attention_heads", "n_heads")
_HEAD_WIDTHS = ("attention_head_size", "head_dim")
_SCALES = ("scale", "scaling")


@dataclass(frozen=True, slots=True)
class Rows:
    """A layer's outputs: *count* rows of *weight*, and entries of *bias* ("" for none), from *start* on."""

    weight: str
    bias: str
    count: int
    start: int = 0

    @property
    def tensors(self) -> tuple[str, ...]:
        return (self.weight, self.bias) if self.bias else (self.weight,)


@dataclass(frozen=True, slots=True)
class TransformerBlock:
    """One block by the names of its tensors in the state_dict; a head is count / heads successive rows of q, k and v.

    merged: query, key and value are one layer. cuttable: heads may be narrowed, since the attention remembers
    the scale of its scores, which remains that of the whole head.
    """

    name: str
    heads: int
    q: Rows
    k: Rows
    v: Rows
    out: str
    wide: Rows
    narrow: str
    merged: bool = False
    cuttable: bool = False


def find_blocks(module: nn.Module) -> tuple[TransformerBlock, ...]:
    """Return the transformer blocks of a network in its order; none if it is no transformer."""
    return tuple(block for name, part in module.named_modules() for block in _blocks(name, part))


def set_head_widths(module: nn.Module) -> None:
    """Bring the sizes that attention layers remember into line with their weights."""
    for block in find_blocks(module):
        if block.cuttable:
            attention = module.get_submodule(block.q.weight.rsplit(".", 2)[0])
            sizes = {**dict.fromkeys(_HEAD_WIDTHS, block.q.count // block.heads), "all_head_size": block.q.count}
            for name in sizes.keys() & vars(attention).keys():
                setattr(attention, name, sizes[name])


def _blocks(name: str, part: nn.Module) -> Iterator[TransformerBlock]:
    """Yield *part* as a block, if it is one."""
    layers = dict(part.named_modules())
    for attention, inner, *others in _LAYERS:
        paths = *(f"{attention}.{layer}" for layer in inner), *map(str, others)
        if all(isinstance(layers.get(path), nn.Linear) for path in paths):
            yield _separate(name, layers[attention], {f"{name}.{path}": layers[path] for path in paths})
    attention, wide, narrow = _MERGED
    found = layers.get(attention)
    if isinstance(found, nn.MultiheadAttention) and wide in layers and narrow in layers:
        yield _merged(name, found, layers[wide])


def _separate(name: str, attention: nn.Module, layers: dict[str, nn.Module]) -> TransformerBlock:
    q, k, v, out, wide, narrow = (_rows(path, layer) for path, layer in layers.items())
    heads = next(int(vars(attention)[key]) for key in _HEADS if key in vars(attention))
    cuttable = any(key in vars(attention) for key in _SCALES)
    return TransformerBlock(name, heads, q, k, v, out.weight, wide, narrow.weight, cuttable=cuttable)


def _merged(name: str, attention: nn.MultiheadAttention, wide: nn.Module) -> TransformerBlock:
    path, dim = f"{name}.{_MERGED[0]}", attention.embed_dim
    bias = f"{path}.in_proj_bias" if "in_proj_bias" in dict(attention.named_parameters()) else ""
    q, k, v = (Rows(f"{path}.in_proj_weight", bias, dim, start) for start in (0, dim, 2 * dim))
    inner, outer = _rows(f"{name}.{_MERGED[1]}", wide), f"{name}.{_MERGED[2]}.weight"
    return TransformerBlock(name, attention.num_heads, q, k, v, f"{path}.out_proj.weight", inner, outer, merged=True)


def _rows(path: str, layer: nn.Module) -> Rows:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return Rows(f"{path}.weight", f"{path}.bias" if "bias" in dict(layer.named_parameters()) else "", len(weight))
