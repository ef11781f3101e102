"""Texts as rows of token ids, by a tokenizer trained on them or by one in a file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedsim.errors import InputError
from fedsim.learn.data import Vocab
from fedsim.learn.extras import extra

VOCAB = 8_000  # ids of a tokenizer that is trained here, at most
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")  # ids 0 to 3 of a tokenizer that is trained here
_CHUNK = 4096
PADS, SEPARATORS = ("[PAD]", "<pad>"), ("[SEP]", "</s>")


@dataclass(frozen=True, slots=True)
class Reading:
    """How texts become tokens: *length* of them (None: the data set's own choice), by which tokenizer.

    tokenizer: a tokenizer.json or a folder with one; None: one is trained.
    """

    length: int | None = None
    tokenizer: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Tokenizer:
    """A tokenizer of the library ``tokenizers``, and what its ids mean."""

    inner: Any
    vocab: Vocab

    def encode(self, texts: Sequence[tuple[str, ...]], length: int) -> NDArray[np.int32]:
        """Return texts or pairs of texts as ids (N, length), cut or filled up: [CLS] a [SEP] b [SEP] [PAD] ..."""
        self.inner.enable_truncation(max_length=length)
        found = np.full((len(texts), length), self.vocab.pad, dtype=np.int32)
        plain = [text if len(text) > 1 else text[0] for text in texts]
        for at in range(0, len(plain), _CHUNK):  # the library's answers are a hundred times larger than their ids
            for row, one in enumerate(self.inner.encode_batch(plain[at : at + _CHUNK]), at):
                found[row, : len(one.ids)] = one.ids
        return found


def trained_tokenizer(texts: Sequence[str], *, size: int = VOCAB) -> Tokenizer:
    """Train a tokenizer of at most *size* ids on *texts*: pieces of words in small letters, without accents.

    Byte-pair encoding, which is the same every time: WordPiece's training breaks ties at random.
    Source: Sennrich et al. 2016, arXiv 1508.07909.
    """
    library = _library()
    made = library.Tokenizer(library.models.BPE(unk_token="[UNK]"))  # noqa: S106 - a token, not a password
    made.normalizer = library.normalizers.BertNormalizer(lowercase=True)
    cut = library.pre_tokenizers
    made.pre_tokenizer = cut.Sequence([cut.BertPreTokenizer(), cut.Metaspace(prepend_scheme="always")])
    rule = {"vocab_size": size, "special_tokens": list(SPECIAL), "show_progress": False}
    made.train_from_iterator(texts, library.trainers.BpeTrainer(**rule))
    made.post_processor = library.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return _known(made)


def read_tokenizer(path: Path) -> Tokenizer:
    """Read a tokenizer.json, or the one in a folder; raises InputError if there is none that pads."""
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"task.tokenizer: {file} is not there; give a tokenizer.json, or a folder that holds one")
    try:
        made = _library().Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        raise InputError(f"{file}: is no tokenizer ({error}); write it with Tokenizer.save") from error
    if _named(made, PADS) is None:
        raise InputError(f"{file}: has no token for padding; allowed are {' and '.join(PADS)}")
    return _known(made)


def _known(made: Any) -> Tokenizer:
    pad, sep = (_named(made, names) for names in (PADS, SEPARATORS))
    made.no_truncation()
    made.no_padding()
    ids = made.get_vocab(with_added_tokens=True)
    digest = hashlib.sha256(made.to_str().encode()).hexdigest()[:16]
    return Tokenizer(made, Vocab(1 + max(ids.values()), ids[pad], ids[sep] if sep else None, digest))


def _named(made: Any, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if made.token_to_id(name) is not None), None)


def _library() -> Any:
    return extra("tokenizers", of="text", needed_by="a data set of texts")
