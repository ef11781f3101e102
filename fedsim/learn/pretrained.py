"""Transformers of torchvision and Hugging Face, at random from their sizes or with the weights of a local folder.

What is built is called as our own models are: tokens (B, T) int64 or images (B, C, H, W) in, logits (B, classes) out.
Nothing is ever downloaded. Attention is written out ("eager"), dropout 0 unless asked for.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fedsim.errors import InputError
from fedsim.learn.extras import extra
from fedsim.learn.vit import check_heads

_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin", "pytorch_model*.bin.index.json")
_HEADS = ("classifier", "pre_classifier", "bert.pooler")  # what a folder may lack: it is drawn from the torch seed


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of Hugging Face model: its type, its classes there, and their names for our options."""

    type: str
    stem: str  # of the names StemConfig and StemForTask
    task: str
    sizes: Mapping[str, str]
    dropouts: tuple[str, ...] = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    types: bool = False  # whether it tells the first text of a pair from the second
    facts: Mapping[str, float] = field(default_factory=dict)  # what its published sizes share, unless a folder says


@dataclass(frozen=True, slots=True)
class Asked:
    """What a model is made from: its sizes by our names, or the folder at *path* whose content has *digest*."""

    sizes: Mapping[str, int]
    dropout: float
    path: str
    digest: str


_BERT = {"dim": "hidden_size", "heads": "num_attention_heads", "depth": "num_hidden_layers", "ffn": "intermediate_size"}
_IDS = {"vocab": "vocab_size", "positions": "max_position_embeddings", "pad": "pad_token_id"}
_DISTIL = {"dim": "dim", "heads": "n_heads", "depth": "n_layers", "ffn": "hidden_dim"}
_TEXT, _IMAGE = "SequenceClassification", "ImageClassification"
KINDS = {
    "hf_bert": Kind("bert", "Bert", _TEXT, _BERT | _IDS, types=True),
    "hf_roberta": Kind("roberta", "Roberta", _TEXT, _BERT | _IDS, facts={"type_vocab_size": 1, "layer_norm_eps": 1e-5}),
    "hf_distilbert": Kind(
        "distilbert", "DistilBert", _TEXT, _DISTIL | _IDS, ("dropout", "attention_dropout", "seq_classif_dropout")
    ),
    "hf_vit": Kind("vit", "ViT", _IMAGE, _BERT | {"patch": "patch_size"}),
}


class TextReader(nn.Module):
    """Call a Hugging Face encoder on token ids alone: the mask, the positions and the types follow from them.

    Tokens up to the first *sep* are of type 0, later ones of type 1 where the model has *types*.
    A RoBERTa numbers its positions from *pad* + 1, padding left out.
    """

    def __init__(self, net: nn.Module, kind: Kind, *, pad: int, sep: int, types: int) -> None:
        super().__init__()
        self.net = net
        self.kind = kind.type
        self.pad = pad
        self.sep = sep
        self.types = types if kind.types else 0

    def forward(self, x: Tensor) -> Tensor:
        real = x != self.pad  # (B, T)
        mask = torch.zeros(real.shape, device=x.device).masked_fill(~real, torch.finfo(torch.float32).min)
        given = {"attention_mask": mask[:, None, None], "position_ids": self._positions(real)}
        if self.kind != "distilbert":
            given["token_type_ids"] = self._types(x, real)
        return self.net(input_ids=x, **given).logits  # type: ignore[no-any-return]  # (B, classes)

    def _positions(self, real: Tensor) -> Tensor:
        if self.kind == "roberta":
            return real.cumsum(1) * real + self.pad  # (B, T)
        return torch.arange(real.shape[1], device=real.device)[None]  # (1, T)

    def _types(self, x: Tensor, real: Tensor) -> Tensor:
        if self.types < 2 or not self.sep:
            return torch.zeros_like(x)
        ends = x == self.sep
        return ((ends.cumsum(1) - ends.long()) > 0).long() * real  # (B, T): 1 behind the first separator


class ImageReader(nn.Module):
    """Call a Hugging Face vision model on images alone."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(pixel_values=x).logits  # type: ignore[no-any-return]  # (B, classes)


def torchvision_vit(
    classes: int,
    shape: tuple[int, ...],
    *,
    dim: int = 768,
    heads: int = 12,
    depth: int = 12,
    ffn: int = 3072,
    patch: int = 16,
) -> nn.Module:
    """Build torchvision's vision transformer, by default vit_b_16, for square images of *shape*.

    Options as vit's; ffn: hidden units of a block's perceptron. Its head starts at 0, as torchvision's does.
    """
    from torchvision.models import VisionTransformer  # here: it takes a second

    check_heads("torchvision_vit", dim, heads)
    channels, height, width = shape
    if height != width or height % patch:
        raise ValueError(f"patch = {patch} does not divide the side of a square image: choose one that does")
    net: nn.Module = VisionTransformer(height, patch, depth, heads, dim, ffn, num_classes=classes)
    if channels != 3:
        net.set_submodule("conv_proj", nn.Conv2d(channels, dim, patch, stride=patch))
    return net


def hf_bert(
    classes: int,
    shape: tuple[int, ...],
    *,
    dim: int = 768,
    heads: int = 12,
    depth: int = 12,
    ffn: int = 3072,
    vocab: int = 0,
    positions: int = 512,
    pad: int = 0,
    sep: int = 0,
    dropout: float = 0.0,
    path: str = "",
    digest: str = "",
) -> nn.Module:
    """Build Hugging Face's BertForSequenceClassification, by default of the size of BERT-base.

    vocab, pad and sep: how many ids tokens have, the one that fills up and the one that ends a text (0: none),
    the data's unless given; positions: the longest text. path: a local folder with config.json and weights,
    which then says the sizes, relative to the working directory, or in a scenario to the scenario's folder;
    digest: of its content and of transformers' version, filled in.
    """
    sizes = {"dim": dim, "heads": heads, "depth": depth, "ffn": ffn}
    ids = {"vocab": vocab, "positions": positions, "pad": pad}
    return _text_reader("hf_bert", classes, shape, asked=Asked(sizes | ids, dropout, path, digest), sep=sep)


def hf_roberta(
    classes: int,
    shape: tuple[int, ...],
    *,
    dim: int = 768,
    heads: int = 12,
    depth: int = 12,
    ffn: int = 3072,
    vocab: int = 0,
    positions: int = 514,
    pad: int = 0,
    dropout: float = 0.0,
    path: str = "",
    digest: str = "",
) -> nn.Module:
    """Build Hugging Face's RobertaForSequenceClassification, by default of the size of RoBERTa-base; see hf_bert."""
    sizes = {"dim": dim, "heads": heads, "depth": depth, "ffn": ffn}
    ids = {"vocab": vocab, "positions": positions, "pad": pad}
    return _text_reader("hf_roberta", classes, shape, asked=Asked(sizes | ids, dropout, path, digest))


def hf_distilbert(
    classes: int,
    shape: tuple[int, ...],
    *,
    dim: int = 768,
    heads: int = 12,
    depth: int = 6,
    ffn: int = 3072,
    vocab: int = 0,
    positions: int = 512,
    pad: int = 0,
    dropout: float = 0.0,
    path: str = "",
    digest: str = "",
) -> nn.Module:
    """Build Hugging Face's DistilBertForSequenceClassification, by default of the size of DistilBERT; see hf_bert."""
    sizes = {"dim": dim, "heads": heads, "depth": depth, "ffn": ffn}
    ids = {"vocab": vocab, "positions": positions, "pad": pad}
    return _text_reader("hf_distilbert", classes, shape, asked=Asked(sizes | ids, dropout, path, digest))


def hf_vit(
    classes: int,
    shape: tuple[int, ...],
    *,
    dim: int = 768,
    heads: int = 12,
    depth: int = 12,
    ffn: int = 3072,
    patch: int = 16,
    dropout: float = 0.0,
    path: str = "",
    digest: str = "",
) -> nn.Module:
    """Build Hugging Face's ViTForImageClassification for images of *shape*, by default of the size of ViT-B/16.

    path and digest as hf_bert's; the folder's image size and channels must be the data's.
    """
    if not path and (shape[1] % patch or shape[2] % patch):
        raise ValueError(f"patch = {patch} does not divide the sides {shape[1]} and {shape[2]}; choose one that does")
    sizes = {"dim": dim, "heads": heads, "depth": depth, "ffn": ffn, "patch": patch}
    image = {} if path else {"image_size": shape[1:], "num_channels": shape[0]}
    net = _network("hf_vit", Asked(sizes, dropout, path, digest), num_labels=classes, **image)
    return ImageReader(net)


def completed(name: str, rule: Callable[..., nn.Module], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of model *name* with the sizes that its folder says and the digest of what it is made of.

    Raises InputError where the folder is none of such a model, or says otherwise than an option.
    """
    made = dict(options)
    if made["path"]:
        defaults = {p.name: p.default for p in inspect.signature(rule).parameters.values()}
        config = _config_in(name, made["path"])
        for option, theirs in KINDS[name].sizes.items():
            said = getattr(config, theirs) or 0  # a config without padding says None
            if made[option] not in (defaults[option], said):
                raise InputError(
                    f"{option} = {made[option]} of model {name!r}, but {made['path']} says {said}: "
                    f"leave the option out, the folder decides"
                )
            made[option] = said
    made["digest"] = _checked_digest(name, made["path"], made["digest"])
    return made


def _text_reader(name: str, classes: int, shape: tuple[int, ...], *, asked: Asked, sep: int = 0) -> nn.Module:
    kind, pad, tokens = KINDS[name], asked.sizes["pad"], shape[0]
    room = asked.sizes["positions"] - (pad + 1 if kind.type == "roberta" else 0)
    if tokens > room:
        raise ValueError(f"it has positions for {room} tokens")
    net = _network(name, asked, num_labels=classes)
    config: Any = net.config
    return TextReader(net, kind, pad=pad, sep=sep, types=getattr(config, "type_vocab_size", 0))


def _network(name: str, asked: Asked, **facts: Any) -> nn.Module:
    """Build the network that is *asked* for; its weights are read unless it is built on the meta device."""
    kind, library = KINDS[name], _library(name)
    config_class = getattr(library, f"{kind.stem}Config")
    network_class = getattr(library, f"{kind.stem}For{kind.task}")
    given = {**facts, **dict.fromkeys(kind.dropouts, asked.dropout), "attn_implementation": "eager"}
    if not asked.path:
        check_heads(name, asked.sizes["dim"], asked.sizes["heads"])
        sizes = {theirs: asked.sizes[option] for option, theirs in kind.sizes.items()}
        return network_class(config_class(**kind.facts, **sizes, **given))  # type: ignore[no-any-return]
    with _quiet():
        config = config_class.from_pretrained(asked.path, local_files_only=True, **given)
    if torch.get_default_device().type == "meta":
        return network_class(config)  # type: ignore[no-any-return]
    _checked_digest(name, asked.path, asked.digest)
    return _loaded(network_class, config, asked.path)


def _loaded(network_class: Any, config: Any, path: str) -> nn.Module:
    """Read the weights in the folder *path*; what classifies is drawn from the torch seed where the folder lacks it.

    Raises InputError if anything else is missing.
    """
    device = torch.get_default_device()
    with torch.device("cpu"), _quiet():
        net, found = network_class.from_pretrained(
            path, config=config, local_files_only=True, ignore_mismatched_sizes=True, output_loading_info=True,
            dtype=torch.float32,
        )  # fmt: skip
    lacking = [*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])]
    lacking = sorted(key for key in lacking if not key.startswith(_HEADS))
    if lacking:
        raise InputError(f"{path}: lacks the weights {', '.join(lacking)}; save the whole model with save_pretrained")
    return net.to(device)  # type: ignore[no-any-return]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from writing about what it reads: what matters is raised."""
    said = extra("transformers.utils.logging", of="transformers", needed_by="a model")
    level, bars = said.get_verbosity(), said.is_progress_bar_enabled()
    said.set_verbosity_error()
    said.disable_progress_bar()
    try:
        yield
    finally:
        said.set_verbosity(level)
        if bars:
            said.enable_progress_bar()


def _library(name: str) -> Any:
    return extra("transformers", of="transformers", needed_by=f"model {name!r}")


def _config_in(name: str, path: str) -> Any:
    file, kind, library = Path(path) / "config.json", KINDS[name], _library(name)
    if not file.is_file():
        raise InputError(f"path = {path!r} of model {name!r}: {file} is not there; give a folder of save_pretrained")
    try:
        found = json.loads(file.read_text(encoding="utf-8")).get("model_type")
    except (ValueError, AttributeError) as error:
        raise InputError(f"{file}: is no config of transformers ({error}); write it with save_pretrained") from None
    if found != kind.type:
        raise InputError(f"{file}: model_type is {found!r}, but model {name!r} reads {kind.type!r}: take another model")
    with _quiet():
        return getattr(library, f"{kind.stem}Config").from_pretrained(path, local_files_only=True)


def _checked_digest(name: str, path: str, wanted: str) -> str:
    """Return the digest of transformers' version and a folder's content; raises InputError if it is not as *wanted*."""
    _library(name)
    found = _digest(metadata.version("transformers"), _stamps(name, path) if path else ())
    if wanted not in ("", found):
        what = f"digest = {wanted!r} of model {name!r}, but transformers' version and the content of {path!r}"
        raise InputError(f"{what} have {found!r}: leave it out, or put back what has changed")
    return found


def _stamps(name: str, path: str) -> tuple[tuple[str, int, int], ...]:
    """Return (file, bytes, time) of the config and the weights in a folder."""
    folder = Path(path)
    weights = sorted({file for pattern in _WEIGHTS for file in folder.glob(pattern)})
    if not weights:
        raise InputError(f"path = {path!r} of model {name!r}: has no weights ({', '.join(_WEIGHTS[::2])})")
    return tuple((str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in (folder / "config.json", *weights))


@cache
def _digest(version: str, files: tuple[tuple[str, int, int], ...]) -> str:
    whole = hashlib.sha256(version.encode())
    for name, *_ in files:
        with Path(name).open("rb") as file:
            whole.update(Path(name).name.encode() + hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:16]
