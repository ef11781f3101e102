"""Data sets: what is read is what was written, standardised; what is broken is refused by file, key and value."""

import io
import os
import pickle
import struct
import sys
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedsim.errors import InputError
from fedsim.learn.data import DataSize, Examples, limited, set_aside
from fedsim.learn.datasets import dataset_names, load_dataset
from fedsim.learn.models import build_model
from fedsim.learn.synthetic import SyntheticRule

torch.set_num_threads(1)


def arrays(**changed):
    rng = np.random.default_rng(0)
    made = {
        "x_train": rng.integers(0, 256, (12, 5, 4, 3), dtype=np.uint8),
        "y_train": np.arange(12) % 3,
        "x_test": rng.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8),
        "y_test": np.arange(6) % 3,
    } | changed
    return {key: value for key, value in made.items() if value is not None}


def written(folder, name="mine", **changed):
    np.savez(folder / f"{name}.npz", **arrays(**changed))
    return folder / f"{name}.npz"


# --- a part of a data set


def test_a_subset_holds_so_many_distinct_examples_standardised_as_the_whole(tmp_path):
    whole = load_dataset(f"npz:{written(tmp_path, client_train=np.arange(12))}")
    part = limited(whole, 5, 2)
    assert (part.train.n, part.test.n) == (5, 2)
    assert len(set(part.client_train.tolist())) == 5
    assert torch.equal(part.train.x, whole.train.x[torch.from_numpy(part.client_train)])
    assert torch.equal(part.train.mean, whole.train.mean)
    assert len({whole.digest, part.digest, limited(whole, 5, 3).digest}) == 3


def test_no_subset_is_the_data_set_itself_and_too_large_a_one_is_refused(tmp_path):
    whole = load_dataset(f"npz:{written(tmp_path)}")
    assert limited(whole, None, None) is whole
    with pytest.raises(InputError, match=r"test = 7 examples of data set .* which has 6"):
        limited(whole, None, 7)


# --- batches and sizes


def test_a_batch_is_standardised_by_the_training_mean_and_deviation(tmp_path):
    data = load_dataset(f"npz:{written(tmp_path)}")
    raw = arrays()["x_train"].astype(np.float64)
    mean, std = raw.mean(axis=(0, 1, 2)), raw.std(axis=(0, 1, 2))
    for part, key in ((data.train, "x_train"), (data.test, "x_test")):
        x, _ = part.batch(slice(None))
        wanted = ((arrays()[key] - mean) / std).transpose(0, 3, 1, 2)
        assert torch.allclose(x, torch.from_numpy(wanted).float(), atol=1e-5)
    assert (data.train.x.dtype, x.dtype, data.train.y.dtype) == (torch.uint8, torch.float32, torch.int64)


@given(st.integers(2, 2100), st.sampled_from([1, 3]), st.integers(0, 9))
def test_mean_and_deviation_are_exact_however_many_examples(n, channels, seed):
    from fedsim.learn.data import _moments

    x = np.random.default_rng(seed).integers(0, 256, (n, channels, 3, 2), dtype=np.uint8)
    mean, std = _moments(x)
    assert np.allclose(mean, x.mean(axis=(0, 2, 3)), rtol=1e-6)
    assert np.allclose(std, x.std(axis=(0, 2, 3)), rtol=1e-6)


def test_a_batch_and_a_subset_follow_the_order_of_the_index(tmp_path):
    train = load_dataset(f"npz:{written(tmp_path)}").train
    index = np.array([7, 0, 7])
    x, y = train.batch(index)
    assert y.tolist() == [1, 0, 1]
    assert torch.equal(x, train.batch(torch.from_numpy(index))[0])
    assert torch.equal(x, train.subset(index).batch(slice(None))[0])
    assert train.subset(index).n == 3


def test_a_subset_is_a_copy_of_its_own(tmp_path):
    train = load_dataset(f"npz:{written(tmp_path)}").train
    part = train.subset(slice(0, 4))
    part.x.zero_()
    assert train.x[:4].sum() > 0
    assert part.x.is_contiguous()


def test_a_channel_that_never_varies_is_only_centred(tmp_path):
    x = arrays()["x_train"].copy()
    x[..., 1] = 9
    data = load_dataset(f"npz:{written(tmp_path, x_train=x)}")
    assert torch.equal(data.train.batch(slice(None))[0][:, 1], torch.zeros(12, 5, 4))


def test_grey_images_have_one_channel(tmp_path):
    grey = {"x_train": arrays()["x_train"][..., 0], "x_test": arrays()["x_test"][..., 0]}
    data = load_dataset(f"npz:{written(tmp_path, **grey)}")
    assert data.shape == (1, 5, 4)
    assert torch.equal(data.train.x[:, 0], torch.from_numpy(grey["x_train"]))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_data_is_taken_as_it_is(tmp_path, dtype):
    x = {key: (arrays()[key] / 255).astype(dtype) for key in ("x_train", "x_test")}
    data = load_dataset(f"npz:{written(tmp_path, **x)}")
    assert data.train.mean is None
    wanted = torch.from_numpy(x["x_train"].astype(np.float32)).permute(0, 3, 1, 2)
    assert torch.equal(data.train.batch(slice(None))[0], wanted)


@pytest.mark.parametrize(
    ("dtype", "classes", "labelled", "item_bytes"),
    [
        (torch.uint8, 10, True, 13),
        (torch.uint8, 10, False, 12),
        (torch.uint8, 257, True, 14),
        (torch.float32, 2, True, 49),
    ],
)
def test_a_size_counts_values_and_label_as_stored(dtype, classes, labelled, item_bytes):
    size = Examples(torch.zeros(5, 3, 2, 2, dtype=dtype), torch.zeros(5, dtype=torch.int64)).size(
        classes, labelled=labelled
    )
    assert size == DataSize(5, (3, 2, 2), classes, item_bytes)
    assert size.nbytes == 5 * item_bytes


def test_examples_survive_pickling(tmp_path):
    train = load_dataset(f"npz:{written(tmp_path)}").train
    again = pickle.loads(pickle.dumps(train))
    assert torch.equal(again.batch(slice(None))[0], train.batch(slice(None))[0])


# --- .npz files


def test_classes_and_clients_are_read(tmp_path):
    path = written(tmp_path, classes=np.array(["cat", "dog", "eel"]), client_train=np.array(list("aabbccddaabb")))
    data = load_dataset(f"npz:{path}")
    assert data.classes == ("cat", "dog", "eel")
    assert data.client_train.tolist() == list("aabbccddaabb")


def test_without_classes_the_labels_name_themselves(tmp_path):
    assert load_dataset(f"npz:{written(tmp_path, y_test=np.full(6, 4))}").classes == ("0", "1", "2", "3", "4")


@pytest.mark.parametrize("shape", [(0, 5, 4, 3), (0,)])
def test_the_test_part_may_be_empty(tmp_path, shape):
    path = written(tmp_path, x_test=np.zeros(shape, np.uint8), y_test=np.zeros(0, np.int64))
    test = load_dataset(f"npz:{path}").test
    assert (test.n, tuple(test.batch(slice(None))[0].shape)) == (0, (0, 3, 5, 4))


def test_a_name_is_a_file_in_the_data_folder(tmp_path):
    written(tmp_path, "leaves")
    data = load_dataset("leaves", data_dir=tmp_path)
    assert (data.name, data.train.n) == ("leaves", 12)
    assert set(dataset_names(tmp_path)) - set(dataset_names()) == {"leaves"}


def test_a_well_known_name_is_first_looked_for_as_npz(tmp_path):
    written(tmp_path, "mnist")
    assert load_dataset("mnist", data_dir=tmp_path).shape == (3, 5, 4)


def test_the_digest_is_of_the_content_not_of_the_name(tmp_path):
    one, two = (load_dataset(f"npz:{written(tmp_path, name)}").digest for name in ("one", "two"))
    assert one == two
    assert len(one) == 16


FLIPPED = arrays()["x_test"].copy()
FLIPPED[5, 0, 0, 0] ^= 1


@pytest.mark.parametrize(
    "changed",
    [
        {"x_train": arrays()["x_train"][::-1]},
        {"x_test": FLIPPED},
        {"y_train": np.zeros(12, np.int64)},
        {"client_train": np.arange(12)},
        {"classes": np.array(list("abcd"))},
        {key: arrays()[key].astype(np.float32) for key in ("x_train", "x_test")},
    ],
)
def test_other_content_has_another_digest(tmp_path, changed):
    plain = load_dataset(f"npz:{written(tmp_path)}").digest
    assert load_dataset(f"npz:{written(tmp_path, **changed)}").digest != plain


NAN, INF = np.ones((12, 5, 4)), np.ones((12, 5, 4))
NAN[3, 0, 0], INF[3, 0, 0] = np.nan, 1e39  # beyond float32


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"x_train": None, "x_trian": np.zeros(1)}, ["x_train is missing", "did you mean 'x_trian'"]),
        ({"y_train": None}, ["y_train is missing", "holds x_train, x_test, y_test"]),
        ({"x_test": None}, ["x_test is missing", "may be empty"]),
        ({"y_test": None}, ["y_test is missing"]),
        ({"x_train": np.array([{}] * 12)}, ["x_train", "no Python objects"]),
        ({"y_train": np.array([None] * 12)}, ["y_train", "no Python objects"]),
        ({"y_train": np.arange(11) % 3}, ["y_train has 11 entries", "12, as many as x_train"]),
        ({"y_test": np.arange(7) % 3}, ["y_test has 7 entries", "6"]),
        ({"x_train": NAN}, ["x_train holds 1 values that are NaN or infinite"]),
        ({"x_train": INF}, ["x_train holds 1 values that are NaN or infinite"]),
        ({"x_train": np.zeros((12, 20), np.uint8)}, ["x_train has shape (12, 20)", "N x H x W"]),
        ({"x_train": np.zeros((12, 3, 8, 8), np.uint8)}, ["(12, 3, 8, 8), channels first", "N x H x W x C"]),
        ({"x_train": np.zeros((12, 0, 4), np.uint8)}, ["x_train has shape (12, 0, 4)"]),
        ({"x_train": np.zeros((12, 5, 4), np.int64)}, ["x_train has dtype int64", "uint8"]),
        ({"x_train": np.zeros((12, 5, 4), bool)}, ["x_train has dtype bool"]),
        ({"x_test": np.zeros((6, 5, 5, 3), np.uint8)}, ["x_test", "(5, 5, 3)", "x_train's uint8 (5, 4, 3)"]),
        ({"x_test": np.zeros((6, 5, 4, 3))}, ["x_test", "float32", "x_train's uint8"]),
        ({"y_train": np.arange(12) - 1}, ["y_train holds labels from -1 to 10"]),
        ({"y_train": np.arange(12) * 1.0}, ["y_train has dtype float64", "whole numbers"]),
        ({"y_train": np.zeros((12, 1), np.int64)}, ["y_train has shape (12, 1)", "(N,)"]),
        ({"y_train": np.full(12, 10**9)}, ["y_train holds labels from 1000000000"]),
        ({"y_train": np.full(12, 2**64 - 1, np.uint64)}, ["y_train holds labels from 18446744073709551615"]),
        ({"classes": np.array(["a", "b"])}, ["classes has 2 names, but a label is 2"]),
        ({"classes": np.array([1.5, 2, 3])}, ["classes has dtype float64"]),
        ({"client_train": np.arange(6)}, ["client_train has 6 entries", "12"]),
        ({"client_train": np.arange(12) / 2}, ["client_train has dtype float64"]),
        ({"x_train": np.zeros((0, 5, 4), np.uint8), "y_train": np.zeros(0, int)}, ["x_train has no examples"]),
        ({"x_train": np.array(3)}, ["x_train has shape ()"]),
    ],
)  # fmt: skip
def test_a_broken_npz_is_refused_by_file_key_and_value(tmp_path, changed, words):
    path = written(tmp_path, **changed)
    with pytest.raises(InputError) as caught:
        load_dataset(f"npz:{path}")
    assert [word for word in [str(path), *words] if word not in str(caught.value)] == []


def single_array():
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    return stream.getvalue()


def truncated():
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays())
    whole = bytearray(stream.getvalue())
    whole[60:90] = bytes(30)
    return bytes(whole)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not an .npz file"),
        (b"hello", "is not an .npz file"),
        (pickle.dumps({}), "is not an .npz file"),
        (single_array(), "is not an .npz file"),
        (truncated(), "cannot be read"),
    ],
)
def test_what_is_no_npz_is_refused(tmp_path, content, words):
    path = tmp_path / "mine.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        load_dataset("mine", data_dir=tmp_path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named():
    with pytest.raises(InputError, match=r"^/nowhere/x\.npz: no such file"):
        load_dataset("npz:/nowhere/x.npz")


def test_an_unknown_name_names_the_nearest_and_all(tmp_path):
    written(tmp_path, "leaves")
    with pytest.raises(InputError, match=r"'leafs'; did you mean 'leaves'\? \(known: cifar10, .*leafs.npz"):
        load_dataset("leafs", data_dir=tmp_path)


def test_a_data_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere does not exist"):
        load_dataset("mnist", data_dir=tmp_path / "nowhere")


def test_synthetic_has_no_stored_examples():
    with pytest.raises(InputError, match="synthetic"):
        load_dataset("synthetic")


# --- digits, torchvision, download


def test_digits_are_split_80_20_within_each_class():
    data = load_dataset("digits")
    assert (data.shape, data.train.n, data.test.n, len(data.classes)) == ((1, 8, 8), 1438, 359, 10)
    train, test = np.bincount(data.train.y), np.bincount(data.test.y)
    assert np.abs(test / (train + test) - 0.2).max() < 0.003
    assert int(data.train.x.max()) == 16


def test_digits_have_had_the_same_digest_ever_since():
    assert load_dataset("digits").digest == "f66bbe87f0a70f41"


def idx(values):
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def as_torchvision_does(folder, *, n=9):
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for stem, count in (("train", n), ("t10k", 4)):
        images = np.arange(count * 784).reshape(count, 28, 28).astype(np.uint8)
        (raw / f"{stem}-images-idx3-ubyte").write_bytes(idx(images))
        (raw / f"{stem}-labels-idx1-ubyte").write_bytes(idx(np.arange(count, dtype=np.uint8)))


def test_torchvisions_layout_is_read_from_the_data_folder(tmp_path):
    as_torchvision_does(tmp_path)
    data = load_dataset("mnist", data_dir=tmp_path)
    assert (data.shape, data.train.n, data.test.n, len(data.classes)) == ((1, 28, 28), 9, 4, 10)
    assert data.train.y.tolist() == list(range(9))


def test_torchvisions_layout_is_read_from_the_download_folder(tmp_path):
    as_torchvision_does(tmp_path)
    assert load_dataset("mnist", download_dir=tmp_path).train.n == 9


def test_torchvisions_files_that_cannot_be_read_are_named(tmp_path):
    as_torchvision_does(tmp_path)
    (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(b"no images")
    with pytest.raises(InputError, match=r"MNIST files in .* cannot be read"):
        load_dataset("mnist", data_dir=tmp_path)


def offline(self):
    sys.stdout.write("Downloading")
    raise URLError("no network")


def test_without_files_or_network_both_ways_are_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("torchvision.datasets.MNIST.download", offline)
    with pytest.raises(InputError) as caught:
        load_dataset("mnist", data_dir=tmp_path)
    wanted = ["'mnist'", str(tmp_path), "no network", "mnist.npz", "FEDSIM_DATA", "torchvision's MNIST", "internet"]
    assert [word for word in wanted if word not in str(caught.value)] == []
    assert capsys.readouterr().out == ""


def test_a_download_goes_into_the_users_cache_without_a_data_folder(tmp_path, monkeypatch):
    def download(self):
        if not Path(self.raw_folder).is_dir():
            as_torchvision_does(Path(self.root))

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("torchvision.datasets.MNIST.download", download)
    assert load_dataset("mnist").train.n == 9
    assert (tmp_path / "fedsim" / "data" / "MNIST").is_dir()


@pytest.mark.parametrize(
    ("name", "shape", "n", "mean"),
    [("mnist", (1, 28, 28), 60_000, [0.1307]), ("cifar10", (3, 32, 32), 50_000, [0.4914, 0.4822, 0.4465])],
)
def test_real_sets_have_their_well_known_means(name, shape, n, mean):
    folder = Path(os.environ.get("FEDSIM_DATA", "nowhere"))
    if not (folder / f"{name}.npz").is_file():
        pytest.skip(f"FEDSIM_DATA names no folder with {name}.npz")
    data = load_dataset(name, data_dir=folder)
    assert (data.shape, data.train.n) == (shape, n)
    assert np.allclose(data.train.mean / 255, mean, atol=1e-4)


# --- public examples


@given(st.integers(0, 11), st.integers(0, 99))
def test_what_is_set_aside_and_what_is_left_are_the_whole(digits_like, n, seed):
    left, public = set_aside(digits_like, n, seed)
    assert len(public) == n
    assert np.array_equal(np.sort(np.concatenate([left, public])), np.arange(12))
    assert (np.diff(left) > 0).all()
    assert (np.diff(public) > 0).all()


@pytest.fixture(scope="module")
def digits_like(tmp_path_factory):
    return load_dataset(f"npz:{written(tmp_path_factory.mktemp('data'))}")


def test_another_seed_sets_other_examples_aside(digits_like):
    assert set_aside(digits_like, 6, 0)[1].tolist() != set_aside(digits_like, 6, 1)[1].tolist()
    assert set_aside(digits_like, 6, 0)[1].tolist() == set_aside(digits_like, 6, 0)[1].tolist()


@pytest.mark.parametrize("n", [-1, 12, 100])
def test_setting_aside_everything_or_less_than_nothing_is_refused(digits_like, n):
    with pytest.raises(InputError, match=f"public = {n} .* has 12 for training.* at most 11"):
        set_aside(digits_like, n, 0)


# --- synthetic


def test_a_devices_examples_depend_on_seed_and_key_alone():
    first = SyntheticRule(3).examples((0, 7))
    SyntheticRule(3).examples((1, 7))
    again = SyntheticRule(3).examples((0, 7))
    assert torch.equal(first.x, again.x)
    assert torch.equal(first.y, again.y)


@pytest.mark.parametrize(("seed", "key"), [(4, (0, 7)), (3, (1, 7)), (3, (0, 8))])
def test_another_seed_group_or_index_makes_other_examples(seed, key):
    assert not torch.equal(SyntheticRule(3).examples((0, 7)).x, SyntheticRule(seed).examples(key).x)


def test_labels_are_those_of_the_examples_and_cover_the_classes():
    rule = SyntheticRule(0, samples=500)
    assert rule.labels((2, 5)).tolist() == rule.examples((2, 5)).y.tolist()
    assert np.bincount(rule.labels((2, 5)), minlength=10).min() > 30


def test_synthetic_examples_have_the_size_they_say():
    rule = SyntheticRule(0)
    examples = rule.examples((0, 0))
    assert examples.size(10) == rule.size == DataSize(64, (1, 28, 28), 10, 785)
    x, _ = rule.test().batch(slice(None))
    assert abs(x.mean()) < 0.1
    assert abs(x.std() - 1) < 0.1


def test_a_small_cnn_learns_synthetic_data_from_a_few_devices():
    rule = SyntheticRule(0)
    batches = [rule.examples((0, device)).batch(slice(None)) for device in range(12)]
    torch.manual_seed(0)
    model = build_model("cnn", classes=10, shape=(1, 28, 28), width=0.25)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    for x, y in batches * 8:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    x, y = rule.test().batch(slice(None))
    assert 0.5 < (model(x).argmax(1) == y).float().mean() < 0.99
