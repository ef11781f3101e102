"""Small transformers of every known kind: ours, torchvision's and Hugging Face's, with weights as if trained."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fedsim.learn.models import make_spec

DIM, HEADS, DEPTH, WIDE = 16, 2, 2, 24


def ours() -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    spec = make_spec("vit_tiny", 3, (1, 8, 8), dim=DIM, heads=HEADS, depth=DEPTH, patch=4)
    return spec.build(), lambda net: net(_images(1, 8))


def torchvision_vit() -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    from torchvision.models import VisionTransformer

    net = VisionTransformer(8, 4, DEPTH, HEADS, DIM, WIDE, num_classes=3)
    return net, lambda net: net(_images(3, 8))


def bert() -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    hf = pytest.importorskip("transformers")
    config = hf.BertConfig(**_sizes(), vocab_size=20, max_position_embeddings=12, **_EAGER)
    return hf.BertForSequenceClassification(config), lambda net: net(_tokens()).logits


def roberta() -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    hf = pytest.importorskip("transformers")
    config = hf.RobertaConfig(**_sizes(), vocab_size=20, max_position_embeddings=12, **_EAGER)
    return hf.RobertaForSequenceClassification(config), lambda net: net(_tokens()).logits


def distilbert() -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    hf = pytest.importorskip("transformers")
    sizes = {"dim": DIM, "n_heads": HEADS, "n_layers": DEPTH, "hidden_dim": WIDE, "max_position_embeddings": 12}
    config = hf.DistilBertConfig(**sizes, vocab_size=20, **_EAGER)
    return hf.DistilBertForSequenceClassification(config), lambda net: net(_tokens()).logits


def vit() -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    hf = pytest.importorskip("transformers")
    config = hf.ViTConfig(**_sizes(), image_size=8, patch_size=4, num_channels=1, **_EAGER)
    return hf.ViTForImageClassification(config), lambda net: net(_images(1, 8)).logits


KINDS = {made.__name__: made for made in (ours, torchvision_vit, bert, roberta, distilbert, vit)}
_EAGER = {"attn_implementation": "eager"}


def as_if_trained(net: nn.Module, seed: int = 0) -> nn.Module:
    """Scale weights up and draw biases, so that scores are far from uniform and every row counts differently."""
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=draws) * (0.5 if p.dim() > 1 else 0.2) + (p.dim() == 1) * p)
    return net.eval()


def _sizes() -> dict[str, int]:
    return {
        "hidden_size": DIM, "num_attention_heads": HEADS, "num_hidden_layers": DEPTH, "intermediate_size": WIDE,
    }  # fmt: skip


def _images(channels: int, side: int) -> Tensor:
    return torch.randn(4, channels, side, side, generator=torch.Generator().manual_seed(1))


def _tokens() -> Tensor:
    return torch.randint(3, 20, (4, 8), generator=torch.Generator().manual_seed(1))
