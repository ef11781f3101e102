"""What is to be learnt: the data each device has, the public and the test set, the first model."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from fedsim.errors import InputError
from fedsim.learn.assign import Assignment
from fedsim.learn.data import Dataset, DataSize, Examples, Vocab, limited, set_aside
from fedsim.learn.datasets import check_reading, load_dataset
from fedsim.learn.models import MODELS, ModelSpec, make_spec
from fedsim.learn.partition import partition
from fedsim.learn.synthetic import CLASSES, SHAPE, SyntheticRule
from fedsim.learn.tokens import Reading
from fedsim.learn.train import init_model
from fedsim.provenance import code_digest
from fedsim.seeds import seed_of
from fedsim.work import Ref, Sized, source

Key = tuple[int, int]
_RULE = "fedsim.learn.synthetic"  # its code is part of the rule that makes the data


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a scenario's [task] asks for; *folder* is where its relative paths start.

    tokens, tokenizer: how texts are read, see `fedsim.learn.tokens.Reading`.
    train, test: how many examples of each part are used at most; None: all.
    """

    data: str
    partition: Mapping[str, Any]
    public: int | Mapping[str, Any] | None
    samples_per_device: int
    folder: Path
    data_dir: Path | None
    train: int | None = None
    test: int | None = None
    tokens: int | None = None
    tokenizer: str | None = None

    @property
    def reading(self) -> Reading:
        """How texts become tokens."""
        path = self.folder / Path(self.tokenizer).expanduser() if self.tokenizer is not None else None
        return Reading(self.tokens, path)


class Problem(Protocol):
    """Data and its Refs; also the Sources that executors read values from.

    ``samples``: examples per device, one number or one per device; ``vocab``: of tokens, None for images.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def vocab(self) -> Vocab | None: ...
    @property
    def samples(self) -> int | Sequence[int]: ...
    @property
    def public(self) -> Ref | None: ...
    @property
    def test(self) -> Ref | None: ...
    @property
    def digest(self) -> str:
        """Digest all that the values of sources follow from."""
        ...

    def shard(self, number: int, key: Key) -> Ref: ...
    def label_counts(self, number: int, key: Key) -> list[int]: ...
    def value(self, ref: Ref) -> Any: ...
    def size(self, ref: Ref) -> Sized: ...


def make_problem(
    wanted: Wanted, *, devices: int, seed: int, like: Problem | None = None, assign: Assignment | None = None
) -> Problem:
    """Load and divide the data among *devices*, or divide that of a problem *like* this; raises InputError.

    assign: which shard goes to which device; None: the first to the first, and so on.
    """
    if wanted.data == "synthetic":
        if wanted.public is not None:
            raise InputError("task.public is not to be had with data 'synthetic': remove it, or take a stored data set")
        if wanted.train or wanted.test:
            raise InputError("task.subset is not to be had with data 'synthetic': set task.samples_per_device instead")
        assert assign is None, "there are no shards to assign"
        check_reading(wanted.data, wanted.reading)
        return Synthetic(SyntheticRule(seed_of(seed, "synthetic"), wanted.samples_per_device))
    if isinstance(like, Stored):
        dataset = like.data
    else:
        dataset = limited(_loaded(wanted.data, wanted), wanted.train, wanted.test)
    stored = _stored(dataset, wanted, devices=devices, seed=seed)
    return stored if assign is None else replace(stored, order=assign.order(stored.parts, dataset.train.y.numpy()))


def initial_model(model: Mapping[str, Any], problem: Problem, seed: int, *, folder: Path = Path()) -> Ref:
    """Name the first model; what it leaves open about tokens the data say, and a relative path starts in *folder*.

    Raises InputError if it does not fit the data.
    """
    options = {name: value for name, value in model.items() if name != "name"}
    if options.get("path"):
        options["path"] = str((folder / Path(options["path"]).expanduser()).resolve())
    options = _about_tokens(model["name"], options, problem.vocab)
    spec = make_spec(model["name"], len(problem.classes), problem.shape, **options)
    _check_vocab(spec, problem.vocab)
    return init_model(spec=spec.as_params(), seed=seed_of(seed, "init"))


def _about_tokens(name: str, options: Mapping[str, Any], vocab: Vocab | None) -> dict[str, Any]:
    """Fill in vocab, pad and sep where the model has such options and they are not given; a folder knows its own."""
    taken = inspect.signature(MODELS[name]).parameters if name in MODELS else {}
    said = {"vocab": vocab.size, "pad": vocab.pad, "sep": vocab.sep or 0} if vocab else {}
    open_ = ("sep",) if options.get("path") else ("vocab", "pad", "sep")
    filled = {option: said[option] for option in open_ if option in said and option in taken}
    return {**options, **{option: options.get(option) or value for option, value in filled.items()}}


def _check_vocab(spec: ModelSpec, vocab: Vocab | None) -> None:
    if vocab is None:
        return
    has: dict[str, Any] = dict(spec.options)
    if has["vocab"] < vocab.size:
        raise InputError(
            f"vocab = {has['vocab']} of model {spec.name!r}, but the data have {vocab.size} ids of tokens: leave it out"
            f", or name the model's own tokenizer by task.tokenizer"
        )
    if has["pad"] != vocab.pad:
        raise InputError(
            f"pad = {has['pad']} of model {spec.name!r}, but the data are filled up with {vocab.pad}: leave it out, "
            f"or name the model's own tokenizer by task.tokenizer"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Synthetic:
    """Data that each device makes from its key: a million shards cost nothing."""

    rule: SyntheticRule
    shape: tuple[int, ...] = SHAPE
    public: Ref | None = None
    vocab: Vocab | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        return self.rule.classes

    @property
    def samples(self) -> int:
        return self.rule.samples

    @property
    def digest(self) -> str:
        return repr(self.rule)

    @property
    def test(self) -> Ref:
        return source("synthetic test", code=code_digest(_RULE), seed=self.rule.seed)

    def shard(self, number: int, key: Key) -> Ref:
        rule = {"code": code_digest(_RULE), "seed": self.rule.seed, "samples": self.rule.samples}
        return source("synthetic shard", **rule, key=key)

    def label_counts(self, number: int, key: Key) -> list[int]:
        return [int(n) for n in np.bincount(self.rule.labels(key), minlength=CLASSES)]

    def value(self, ref: Ref) -> Examples:
        params = dict(ref.params)
        return self.rule.examples(params["key"]) if "key" in params else self.rule.test()

    def size(self, ref: Ref) -> DataSize:
        test = "key" not in dict(ref.params)
        return DataSize(1000, SHAPE, CLASSES, 28 * 28 + 1) if test else self.rule.size


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """A data set in memory, divided by index arrays; *public* examples carry no labels.

    order: (n,) the part of each device; None: part i is that of device i. A shard's key names its part, so that what
    was computed from it is found again, whoever has it.
    """

    data: Dataset
    parts: list[NDArray[np.int64]]
    public_examples: Examples | None
    public: Ref | None
    test: Ref | None
    order: NDArray[np.int64] | None = None
    samples: list[int] = field(init=False)

    def __post_init__(self) -> None:
        samples = [len(self.parts[self._part(number)]) for number in range(len(self.parts))]
        object.__setattr__(self, "samples", samples)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def classes(self) -> tuple[str, ...]:
        return self.data.classes

    @property
    def vocab(self) -> Vocab | None:
        return self.data.vocab

    @property
    def digest(self) -> str:
        whole = hashlib.sha256(self.data.digest.encode() + (self.public.key.encode() if self.public else b""))
        for part in self.parts:
            whole.update(_digest(part).encode())
        if self.order is not None:
            whole.update(_digest(self.order).encode())
        return whole.hexdigest()[:16]

    def shard(self, number: int, key: Key) -> Ref:
        part = self._part(number)
        return source("shard", data=self.data.digest, index=_digest(self.parts[part]), device=part)

    def label_counts(self, number: int, key: Key) -> list[int]:
        labels = self.data.train.y[torch.from_numpy(self.parts[self._part(number)])].numpy()
        return [int(n) for n in np.bincount(labels, minlength=len(self.classes))]

    def value(self, ref: Ref) -> Examples:
        if self.test is not None and ref.key == self.test.key:
            return self.data.test
        if self.public is not None and ref.key == self.public.key:
            assert self.public_examples is not None
            return self.public_examples
        return self.data.train.subset(self.parts[dict(ref.params)["device"]])

    def size(self, ref: Ref) -> DataSize:
        params = dict(ref.params)
        if "device" in params:
            whole = self.data.train.size(len(self.classes))
            return DataSize(len(self.parts[params["device"]]), whole.shape, whole.classes, whole.item_bytes)
        return self.value(ref).size(len(self.classes), labelled=ref != self.public)

    def _part(self, number: int) -> int:
        return number if self.order is None else int(self.order[number])


def _stored(dataset: Dataset, wanted: Wanted, *, devices: int, seed: int) -> Stored:
    left, public_examples, public = np.arange(dataset.train.n), None, None
    if isinstance(wanted.public, Mapping) and wanted.public["data"]:
        public_examples, public = _other_set(wanted.public, dataset, wanted)
    elif wanted.public:
        n = wanted.public if isinstance(wanted.public, int) else wanted.public["n"]
        left, aside = set_aside(dataset, n, seed)
        public_examples = _unlabelled(dataset.train.subset(aside))
        public = source("public", data=dataset.digest, index=_digest(aside))
    options = {name: value for name, value in wanted.partition.items() if name != "kind"}
    if "path" in options:
        options["path"] = str(wanted.folder / options["path"])
    clients = dataset.client_train[left] if dataset.client_train is not None else None
    rule = {"kind": wanted.partition["kind"], "seed": seed_of(seed, "partition"), "clients": clients, **options}
    parts = partition(dataset.train.y.numpy()[left], devices, **rule)
    test = source("test", data=dataset.digest) if dataset.test.n else None
    return Stored(dataset, [left[part] for part in parts], public_examples, public, test)


def _other_set(table: Mapping[str, Any], main: Dataset, wanted: Wanted) -> tuple[Examples, Ref]:
    other = _loaded(table["data"], wanted)
    n = table["n"] if table["n"] is not None else other.train.n
    if n > other.train.n or other.shape != main.shape:
        raise InputError(
            f"task.public = {dict(table)!r}: {table['data']!r} has {other.train.n} examples of shape {other.shape}; "
            f"take at most as many, of the shape of {main.name!r}, {main.shape}"
        )
    if other.vocab != main.vocab:
        raise InputError(
            f"task.public = {dict(table)!r}: its tokens mean something else than those of {main.name!r}; "
            f"name one tokenizer for both by task.tokenizer"
        )
    index = np.arange(n)
    return _unlabelled(other.train.subset(index)), source("public", data=other.digest, index=_digest(index))


def _unlabelled(examples: Examples) -> Examples:
    return Examples(examples.x, torch.full_like(examples.y, -1), examples.mean, examples.std)


def _loaded(name: str, wanted: Wanted) -> Dataset:
    return load_dataset(_placed(name, wanted.folder), data_dir=wanted.data_dir, reading=wanted.reading)


def _placed(name: str, folder: Path) -> str:
    return f"npz:{folder / Path(name.removeprefix('npz:')).expanduser()}" if name.startswith("npz:") else name


def _digest(index: NDArray[np.int64]) -> str:
    return hashlib.sha256(index.astype("<i8").tobytes()).hexdigest()[:16]
