"""What a step is predicted to take: of any module, on any profile, without running it; exact times win."""

from __future__ import annotations

import doctest
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import fedsim as package
from fedsim.errors import InputError
from fedsim.fleet import CostModel, load_profile
from fedsim.fleet.packaged import packaged
from fedsim.learn import loads
from fedsim.learn.data import DataSize
from fedsim.learn.models import build_model, make_spec
from fedsim.learn.networks import find_network
from fedsim.predicting import facts, predict_step, predicted, step_load
from fedsim.work import WAYS, OpClass
from tests.command import fedsim

BARE = load_profile("jetson-nano")
IMAGES, CLASSES = torch.zeros(4, 3, 32, 32), torch.zeros(4, dtype=torch.int64)
STEP = "cnn/10/3x32x32/sgd/16"


def cnn():
    return build_model("cnn", classes=10, shape=(3, 32, 32))


def names(values, prefix):
    return [getattr(values, f"{prefix}{end}") for end in ("_low", "", "_high")]


def known(tmp_path, exact):
    text = (packaged("device_profiles") / "raspberry-pi-4.toml").read_text("utf-8")
    path = tmp_path / "pi.toml"
    path.write_text(text + "\n[exact]\n" + exact, "utf-8")
    return path


@pytest.mark.parametrize("value", ["seconds", "joules", "memory_bytes"])
def test_a_prediction_lies_within_its_bounds(value):
    low, middle, high = names(predict_step(cnn(), IMAGES, CLASSES, "raspberry-pi-4"), value)
    assert 0 < low < middle < high


def test_a_profile_may_be_given_as_itself_by_name_or_by_path():
    path = packaged("device_profiles") / "jetson-nano.toml"
    found = {predict_step(cnn(), IMAGES, CLASSES, profile) for profile in (BARE, "jetson-nano", path)}
    assert len(found) == 1


def test_a_real_module_and_a_meta_one_are_predicted_alike():
    with torch.device("meta"):
        meta = cnn()
    assert predict_step(meta, IMAGES, CLASSES, BARE) == predict_step(cnn(), IMAGES, CLASSES, BARE)


def test_the_module_is_neither_run_nor_changed():
    module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(3072), nn.Dropout(), nn.Linear(3072, 10)).eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    seen = []
    module.register_forward_pre_hook(lambda _, given: seen.append(given[0].device.type))
    predict_step(module, IMAGES, CLASSES, BARE)
    assert seen == ["meta"]
    assert not any(part.training for part in module.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())


def test_several_inputs_come_as_a_tuple():
    bilinear = nn.Bilinear(8, 6, 10)
    found = predict_step(bilinear, (torch.zeros(4, 8), torch.zeros(4, 6)), CLASSES, BARE)
    assert found.seconds > 0


def test_another_loss_takes_targets_of_its_own():
    found = predict_step(nn.Linear(8, 3), torch.zeros(4, 8), torch.zeros(4, 3), BARE, loss=nn.functional.mse_loss)
    assert found.seconds > 0


def test_energy_is_all_that_the_device_draws():
    found = predict_step(cnn(), IMAGES, CLASSES, BARE)
    assert names(found, "joules") == pytest.approx([(BARE.idle_w + BARE.busy_w) * s for s in names(found, "seconds")])


def test_a_forward_pass_takes_less_of_everything_than_a_training_step():
    step, forward = (predict_step(cnn(), IMAGES, CLASSES, BARE, training=way) for way in (True, False))
    assert forward.seconds < step.seconds
    assert forward.joules < step.joules
    assert forward.memory_bytes < step.memory_bytes


def test_an_optimiser_that_remembers_takes_more_memory():
    plain, *others = (
        predict_step(cnn(), IMAGES, CLASSES, BARE, **how).memory_bytes
        for how in ({}, {"momentum": 0.9}, {"optimizer": "adam"})
    )
    parameters = sum(p.numel() for p in cnn().parameters())
    assert [other - plain for other in others] == [4 * parameters, 8 * parameters]


def test_what_clients_train_in_a_scenario_takes_as_long():
    spec = make_spec("cnn", 10, (3, 32, 32))
    data = DataSize(n=4, shape=(3, 32, 32), classes=10, item_bytes=3073)
    load = loads.training(spec.as_params(), data, epochs=1, batch_size=4, optimizer="sgd+momentum")
    found = predict_step(cnn(), IMAGES, CLASSES, BARE, momentum=0.9)
    assert found.seconds == pytest.approx(CostModel().seconds(BARE, load).value)


def test_images_from_storage_come_on_top_one_by_one():
    profile = load_profile("raspberry-pi-4")
    given, read = (predict_step(cnn(), IMAGES, CLASSES, profile, images_from_storage=way) for way in (False, True))
    assert read.seconds - given.seconds == pytest.approx(4 * profile.rate(OpClass.IMAGE).call_s)


REFUSED = {
    r"profile 'jetson-nano' does not price reading images from storage: .*\[rates.image\]": {
        "images_from_storage": True
    },
    r"unknown optimizer 'adagrad'": {"optimizer": "adagrad"},
    r"momentum is 0.9 with optimizer 'adam'; .*: leave it out": {"optimizer": "adam", "momentum": 0.9},
    r"the example has the shapes \[\(\)\]; its first tensor must be a batch": {"example": torch.tensor(1.0)},
    r"computes in torch.float64; the profiles have measured torch.float32 alone: .* \.float\(\)": {
        "example": IMAGES.double()
    },
    r"unknown profile 'raspberry-pi-44'; did you mean 'raspberry-pi-4'\?": {"profile": "raspberry-pi-44"},
    r"cannot trace Sequential without values": {"example": torch.zeros(4, 5, 32, 32)},
}


@pytest.mark.parametrize("message", REFUSED)
def test_refused_with_the_way_out(message):
    given = {"example": IMAGES, "profile": BARE, **REFUSED[message]}
    with pytest.raises(InputError, match=message):
        predict_step(cnn(), given.pop("example"), CLASSES, given.pop("profile"), **given)


def test_both_names_are_those_of_the_package():
    assert isinstance(package.predict_step(cnn(), IMAGES, CLASSES, BARE), package.Prediction)


def test_an_exact_time_wins_and_is_its_own_interval():
    profile = replace(BARE, exact={"cnn/10/3x32x32/sgd/4": 1.23})
    found = predict_step(cnn(), IMAGES, CLASSES, profile, network="cnn/10/3x32x32")
    assert names(found, "seconds") == [1.23, 1.23, 1.23]


@pytest.mark.parametrize("how", [{"network": ""}, {"momentum": 0.9}, {"training": False}], ids=str)
def test_an_exact_time_is_of_its_own_step_alone(how):
    profile = replace(BARE, exact={"cnn/10/3x32x32/sgd/4": 1.23})
    given = {"network": "cnn/10/3x32x32", **how}
    assert predict_step(cnn(), IMAGES, CLASSES, profile, **given) == predict_step(cnn(), IMAGES, CLASSES, BARE, **how)


def test_images_are_read_beside_an_exact_time():
    profile = replace(load_profile("raspberry-pi-4"), exact={"cnn/10/3x32x32/sgd/4": 1.0})
    load = step_load(cnn(), IMAGES, CLASSES, images_from_storage=True, network="cnn/10/3x32x32")
    assert predicted(load, profile).seconds == pytest.approx(1.0 + 4 * profile.rate(OpClass.IMAGE).call_s)


def test_the_time_is_split_by_class_longest_first_and_adds_up():
    found = facts(step_load(cnn(), IMAGES, CLASSES), BARE)
    assert sum(found["seconds_by_class"].values()) == pytest.approx(found["seconds"])
    assert list(found["seconds_by_class"].values()) == sorted(found["seconds_by_class"].values(), reverse=True)


@pytest.mark.parametrize("way", WAYS)
def test_predict_calls_a_step_as_training_in_a_scenario_does(way):
    spec, data = make_spec("cnn", 10, (3, 32, 32), width=0.5), DataSize(4, (3, 32, 32), 10, 3073)
    network = find_network("cnn", classes=10, shape=(3, 32, 32), options={"width": 0.5})
    optimizer, _, momentum = way.partition("+")
    if way == "forward":
        load = loads.predicting(spec.as_params(), data, batch_size=4)
        found = step_load(network.module, IMAGES, CLASSES, training=False, network=network.name)
    else:
        load = loads.training(spec.as_params(), data, epochs=1, batch_size=4, optimizer=way)
        found = step_load(
            network.module, IMAGES, CLASSES, optimizer=optimizer, momentum=0.9 if momentum else 0, network=network.name
        )
    assert list(load.steps) == list(found.steps) == [f"cnn(width=0.5)/10/3x32x32/{way}/4"]


FOREIGN = {
    "torchvision:shufflenet_v2_x0_5": ("torchvision:shufflenet_v2_x0_5/7/3x64x64", {}),
    "timm:resnet10t": ("timm:resnet10t(drop_rate=0.1)/7/3x64x64", {"drop_rate": 0.1}),
}


@pytest.mark.parametrize("text", FOREIGN)
def test_networks_of_others_are_found_by_name(text):
    pytest.importorskip(text.partition(":")[0])
    name, options = FOREIGN[text]
    found = find_network(text, classes=7, shape=(3, 64, 64), options=options)
    assert found.name == name
    assert {p.device.type for p in found.module.parameters()} == {"meta"}


def test_a_library_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"models timm:NAME need the package 'timm' \(.*\): pip install timm"):
        find_network("timm:resnet18", classes=10, shape=(3, 32, 32), options={})


def test_a_file_may_name_the_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(
        "from torch import nn\ndef small(units=4):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(48, units), nn.Linear(units, 3))\ndef five():\n    return 5\n"
    )
    found = find_network("net.py:small", classes=3, shape=(3, 4, 4), options={"units": 5})
    assert (found.name, found.module[1].out_features) == ("net.py:small(units=5)/3/3x4x4", 5)


WRONG = {
    "net.py:smal": "net.py has no function 'smal'; did you mean 'small'?",
    "net.py:five": "'net.py:five' returns int; allowed is a torch.nn.Module",
    "net.py:other": "does not fit examples of shape (3, 32, 32) in 10 classes: of 2 examples it makes (2, 3)",
    "gone.py:small": "cannot read gone.py",
    "broken.py:small": "cannot import broken.py: NameError: name 'nowhere' is not defined; correct the file",
    "onnx:small": "write a name of ours, torchvision:NAME, timm:NAME or FILE.py:FUNCTION",
    "torchvision:resnet19": "unknown model 'torchvision:resnet19'; did you mean 'resnet18'?",
    "resnet19": "unknown model 'resnet19'; did you mean 'resnet18'?",
}


@pytest.mark.parametrize("model", WRONG)
def test_a_wrong_model_ends_with_2_and_says_why(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(
        "from torch import nn\nsmall = nn.Identity\ndef five():\n    return 5\n"
        "def other():\n    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 3))\n"
    )
    (tmp_path / "broken.py").write_text("nowhere\n")
    ran = fedsim("devices", "predict", "raspberry-pi-4", "--model", model)
    assert (ran.code, ran.out) == (2, "")
    assert WRONG[model] in ran.err


OPTIONS = {
    "--shape 3,x": "--shape '3,x': write channels,height,width",
    "--option width": "--option 'width': write KEY=VALUE",
    "--option classes=3": "this is no option of a model; there are --model, --classes and --shape",
    "--option widht=3": "unknown option 'widht'; did you mean 'width'?",
    "--optimizer adams": "unknown optimizer 'adams'; did you mean 'adam'?",
    "--batch 0": "Invalid value for '--batch'",
}


@pytest.mark.parametrize("given", OPTIONS)
def test_a_wrong_option_ends_with_2_and_says_why(given):
    ran = fedsim("devices", "predict", "raspberry-pi-4", "--model", "cnn", *given.split())
    assert (ran.code, ran.out) == (2, "")
    assert OPTIONS[given] in ran.err


@pytest.mark.parametrize("width", [80, 120])
def test_devices_are_compared_in_a_table_that_fits(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    ran = fedsim("devices", "predict", "raspberry-pi-zero-2w", "raspberry-pi-5", "--model", "vgg16", "--batch", "1024")
    lines = ran.out.splitlines()
    assert (ran.code, ran.err) == (0, "")
    assert lines[0] == "vgg16/10/3x32x32/sgd/1024, a training step on 1024 examples"
    assert lines[1] == "33.6 M parameters, 2.04 TFLOP"
    assert lines[3].split()[:5] == ["raspberry-pi-zero-2w", "-", "does", "not", "fit"]
    assert lines[3].split()[-4:-2] != lines[3].split()[-2:] == ["512", "MiB"]
    assert max(map(len, lines)) <= width


def test_of_one_device_the_table_says_what_takes_the_time():
    out = fedsim("devices", "predict", "raspberry-pi-4", "--model", "cnn").out
    assert "most of the time: conv " in out


def test_all_devices_come_the_fastest_first():
    found = json.loads(fedsim("devices", "predict", "all", "--model", "lenet5", "--json").out)
    seconds = [row["seconds"] for row in found["devices"]]
    assert len(seconds) > 30
    assert seconds == sorted(seconds)
    assert found["peaks_only"]["of"] == len(seconds)


def test_as_json_it_says_all_that_python_does():
    ran = fedsim("devices", "predict", "jetson-nano", "--model", "cnn", "--batch", "4", "--json")
    row = json.loads(ran.out)["devices"][0]
    found = predict_step(cnn(), IMAGES, CLASSES, "jetson-nano")
    assert {name: row[name] for name in found.__slots__} == {name: getattr(found, name) for name in found.__slots__}
    assert (row["ram_bytes"], row["fits"], row["exact"]) == (BARE.memory_bytes, True, False)


def test_a_profile_of_ones_own_brings_the_exact_time_of_a_step(tmp_path):
    ran = fedsim("devices", "predict", known(tmp_path, f'"{STEP}" = "1.23 s"'), "--model", "cnn")
    assert ran.out.splitlines()[3].split()[:4] == ["raspberry-pi-4", "1.23", "s", "exact"]


def test_devices_show_lists_exact_times(tmp_path):
    path = known(tmp_path, f'"{STEP}" = "1.23 s"')
    assert f"{STEP} " in fedsim("devices", "show", path).out
    assert json.loads(fedsim("devices", "show", path, "--json").out)["exact"] == {STEP: 1.23}


BAD = {
    f'"{STEP}" = 1.23': "[exact]: cnn/10/3x32x32/sgd/16: 1.23 has no unit",
    f'"{STEP}" = "0 s"': "the step 'cnn/10/3x32x32/sgd/16' takes no time",
    'cnn = "1 s"': "'cnn' names no step; write model/classes/shape/what is done/batch, such as",
    '"cnn/10/3x32x32/sdg/16" = "1 s"': "with one of sgd, sgd+momentum, adam, adamw, forward",
    '"cnn/10/3x32x32/sgd/0" = "1 s"': "names no step",
}


@pytest.mark.parametrize("exact", BAD)
def test_a_bad_exact_time_is_refused(exact, tmp_path):
    with pytest.raises(InputError) as error:
        load_profile(known(tmp_path, exact))
    assert BAD[exact] in str(error.value)


def test_the_examples_of_the_readme_say_what_is_so():
    readme = Path(__file__).parents[1] / "README.md"
    failed, tried = doctest.testfile(str(readme), module_relative=False)
    assert (failed, tried > 5) == (0, True)
