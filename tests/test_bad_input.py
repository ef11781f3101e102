"""Every kind of bad input: one message that names file, key and value, exit code 2, and nothing written."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.command import changed, fedsim, write

_SHOUTED = ("Input should be", "function-", "tagged-union", "validation error", "pydantic", "Traceback", "[type=")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    """Work where any file that is written shows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEDSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FEDSIM_DATA", raising=False)


def refused(tmp_path, *arguments):
    """Return the lines of the message; nothing may have been written."""
    before = sorted(tmp_path.rglob("*"))
    ran = fedsim(*arguments)
    assert ran.code == 2, ran
    assert ran.out == ""
    assert sorted(tmp_path.rglob("*")) == before
    assert not [word for word in _SHOUTED if word in ran.err], ran.err
    lines = ran.err.removeprefix("error: ").splitlines()
    assert len(lines) == len(set(lines))
    return lines


ONE_KEY = {
    "unknown key": ({"sede": 3}, "sede = 3: unknown key"),
    "unknown key of a table": ({"task__modle": "cnn"}, "task.modle = 'cnn': unknown key; did you mean 'model'?"),
    "unknown key of a group": ({"fleet__0__cuont": 3}, "fleet.0.cuont = 3: unknown key; did you mean 'count'?"),
    "unknown key of run": ({"run": {"seed": 3}}, "run.seed = 3: unknown key; did you mean 'seeds'?"),
    "unknown key of stop": ({"run": {"stop": {"tiem": "1 h"}}}, "run.stop.tiem = '1 h': unknown key; did you mean"),
    "unknown key of schedule": (
        {"schedule__deadlin": "9 s"},
        "schedule.deadlin = '9 s': unknown key; did you mean 'de",
    ),
    "unknown training option": ({"train__epohcs": 3}, "train.epohcs = 3: unknown option; did you mean 'epochs'?"),
    "unknown method option": ({"method__1__nu": 3}, "method.fedprox.nu = 3: unknown option; did you mean 'mu'?"),
    "unknown model option": (
        {"task__model__hiden": [3]},
        "task.model.hiden = [3]: unknown option; did you mean 'hidde",
    ),
    "unknown partition option": (
        {"task__partition": {"kind": "lda", "alhpa": 1.0}},
        "task.partition.alhpa = 1.0: unknown option; did you mean 'alpha'?",
    ),
    "unknown training option of a method": (
        {"method__0__train": {"lrr": 0.1}},
        "method.fedavg.train.lrr = 0.1: unknown option; did you mean 'lr'?",
    ),
    "unknown schedule key of a method": (
        {"method__0__schedule": {"rond": 3}},
        "method.fedavg.schedule.rond = 3: unknown key; did you mean 'rounds'?",
    ),
    "unknown model option of a method": (
        {"method__0__model": {"name": "cnn", "widht": 1.0}},
        "method.fedavg.model.widht = 1.0: unknown option; did you mean 'width'?",
    ),
    "number without the unit of its option": (
        {"method": [{"name": "heterofl", "budget": 3}]},
        "method.heterofl.budget = 3: has no unit: write a number and a unit, such as '90 s'",
    ),
    "unknown method": ({"method__0__name": "fedavgg"}, "method.fedavgg.name = 'fedavgg': unknown method; did you mean"),
    "unknown method of two alike": (
        {"method__0__name": "nonesuch", "method__1__name": "nonesuch", "method__1__mu": ...},
        "method.0.name = 'nonesuch': unknown method (known: ds-fl,",
    ),
    "unknown profile": (
        {"fleet__0__profile": "raspbery-pi-4"},
        "fleet.0.profile = 'raspbery-pi-4': unknown profile; did",
    ),
    "profile file that is not there": ({"fleet__0__profile": "my.toml"}, "fleet.0.profile = 'my.toml': cannot read "),
    "unknown server": (
        {"server": {"profile": "egde-server"}},
        "server.profile = 'egde-server': unknown profile; did you",
    ),
    "unknown model": ({"task__model": "cnnn"}, "task.model.name = 'cnnn': unknown model; did you mean 'cnn'?"),
    "unknown data set": ({"task__data": "digitz"}, "task.data = 'digitz': unknown data set; did you mean 'digits'?"),
    "unknown public set": (
        {"task__public": "digitz"},
        "task.public.data = 'digitz': unknown data set; did you mean 'dig",
    ),
    "unknown link": (
        {"fleet__0__link": "wifi-hme"},
        "fleet.0.link = 'wifi-hme': unknown link; did you mean 'wifi-home",
    ),
    "link like none": (
        {"fleet__0__link": {"like": "wifi-hme"}},
        "fleet.0.link.like = 'wifi-hme': unknown link; did you mean 'wifi-home",
    ),
    "unknown key of a link": (
        {"fleet__0__link": {"like": "lte", "varys": True}},
        "fleet.0.link.varys = true: unknown key; did you mean 'varies'?",
    ),
    "link that loses too much": (
        {"server": {"link": {"like": "lte", "loss": 0.7}}},
        "server.link.loss = 0.7: must be at most 0.5",
    ),
    "link that varies without a law": (
        {"server": {"link": {"like": "ethernet", "varies": True}}},
        "server.link = { like = 'ethernet', varies = true }: link 'ethernet' does not vary: leave varies out",
    ),
    "trace that is not there": (
        {"fleet__0__link": {"like": "lte", "trace": "no.csv"}},
        "fleet.0.link = { like = 'lte', trace = 'no.csv' }: cannot read the trace ",
    ),
    "trace of no file": (
        {"fleet__0__link": {"like": "lte", "trace": {}}},
        "fleet.0.link.trace = {}: names no file: write { down = 'FILE', up = 'FILE' }, or one of the two",
    ),
    "number for a trace": (
        {"fleet__0__link": {"like": "lte", "trace": 3}},
        "fleet.0.link.trace = 3: must be a table, such as { down = 'FILE', up = 'FILE' }, or the path of one .csv file",
    ),
    "unknown partition": (
        {"task__partition": {"kind": "dirichlett"}},
        "task.partition.kind = 'dirichlett': unknown partition; did you mean 'dirichlet'?",
    ),
    "unknown schedule": ({"schedule__kind": "snyc"}, "schedule.kind = 'snyc': unknown kind; did you mean 'sync'?"),
    "unknown availability": (
        {"availability__kind": "allways"},
        "availability.kind = 'allways': unknown kind; did you m",
    ),
    "unknown dropout": (
        {"availability__on_dropout": "resum"},
        "availability.on_dropout = 'resum': unknown value; did yo",
    ),
    "unknown availability of a part": (
        {"availability": {"kind": "all", "of": [{"kind": "always"}, {"kind": "batery"}]}},
        "availability.of.1.kind = 'batery': unknown kind; did you mean 'battery'? (known: always, battery, diurnal,",
    ),
    "availability of a part without its kind": (
        {"availability": {"kind": "all", "of": [{"floor": 0.1}, {"kind": "always"}]}},
        "availability.of.0.kind: is missing; give it 'always' or 'markov' or",
    ),
    "availability of a single part": (
        {"availability": {"kind": "all", "of": [{"kind": "always"}]}},
        "availability.of = [{ kind = 'always' }]: must have 2 entries or more",
    ),
    "two batteries": (
        {"availability": {"kind": "all", "of": [{"kind": "battery"}, {"kind": "battery"}]}},
        "availability = { kind = 'all', of = [{ kind = 'battery' }, { kind = 'batte…: has two parts of kind 'battery'",
    ),
    "battery of a group alone": (
        {"fleet__0__availability": {"kind": "battery"}},
        "fleet.0.availability.kind = 'battery': unknown kind (known: always, diurnal, markov, trace)",
    ),
    "text for the availability of a group": (
        {"fleet__0__availability": "markov"},
        "fleet.0.availability = 'markov': must be a table with the key kind, 'always' or",
    ),
    "misspelt key of a battery": (
        {"availability": {"kind": "battery", "flor": 0.2}},
        "availability.flor = 0.2: unknown key; did you mean 'floor'?",
    ),
    "battery that is ready before it fills": (
        {"availability": {"kind": "battery", "floor": 0.5}},
        "availability.resume = 0.3: is below floor, 0.5: an empty battery must fill up to be ready",
    ),
    "charge at the start that falls": (
        {"availability": {"kind": "battery", "start": [0.5, 0.2]}},
        "availability.start = [0.5, 0.2]: falls: write the lower share first",
    ),
    "charge at the start of three": (
        {"availability": {"kind": "battery", "start": [0.1, 0.2, 0.3]}},
        "availability.start = [0.1, 0.2, 0.3]: must have 2 entries or fewer",
    ),
    "battery that never charges": (
        {"availability": {"kind": "battery", "charge": 0}},
        "availability.charge = 0: must be above 0",
    ),
    "misspelt key of a plug": (
        {"availability": {"kind": "battery", "plugged": {"curv": "wifi"}}},
        "availability.plugged.curv = 'wifi': unknown key; did you mean 'curve'?",
    ),
    "unknown curve": (
        {"availability": {"kind": "diurnal", "curve": "wify"}},
        "availability.curve = 'wify': unknown curve; did you mean 'wifi'?",
    ),
    "number for a curve": (
        {"availability": {"kind": "diurnal", "curve": 3}},
        "availability.curve = 3: must be a table, such as { hourly = [24 shares], long_stay = '2 h' }, or one of 'c",
    ),
    "curve of a day too short": (
        {"availability": {"kind": "diurnal", "curve": {"hourly": [0.5] * 23, "long_stay": "1 h"}}},
        "availability.curve.hourly = [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5…: must have 24 ent",
    ),
    "curve that nobody is on": (
        {"availability": {"kind": "diurnal", "curve": {"hourly": [0.0] * 24, "long_stay": "1 h"}}},
        "availability.curve = { hourly = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.…: the share at 0 h is 0.0",
    ),
    "half of short stays": (
        {"availability": {"kind": "diurnal", "curve": {"hourly": [0.5] * 24, "long_stay": "1 h", "short_stay": "9 s"}}},
        "availability.curve = { hourly = [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.…: has one of short_stay and",
    ),
    "no zones": ({"availability": {"kind": "diurnal", "zones": []}}, "availability.zones = []: must have 1 entry or"),
    "zone that is a number": (
        {"availability": {"kind": "diurnal", "zones": [8]}},
        "availability.zones.0 = 8: has no unit",
    ),
    "record of no file": ({"availability": {"kind": "trace"}}, "availability.file: is missing; give it a value"),
    "record that is not there": (
        {"availability": {"kind": "trace", "file": "no.csv"}},
        "availability.file = 'no.csv': cannot read the trace ",
    ),
    "record with an unknown offset": (
        {"availability": {"kind": "trace", "file": "no.csv", "offset": "dais"}},
        "availability.offset = 'dais': unknown value; did you mean 'days'?",
    ),
    "record that needs what nobody knows": (
        {"availability": {"kind": "trace", "file": "no.csv", "needs": ["charing"]}},
        "availability.needs.0 = 'charing': unknown value; did you mean 'charging'?",
    ),
    "mode of a profile without any": (
        {"fleet__0__mode": "15W"},
        "fleet.0.mode = '15W': profile 'raspberry-pi-4': it has no [modes], so that '15W' is none",
    ),
    "unknown mode": (
        {"fleet__0": {"profile": "jetson-agx-xavier", "count": 4, "mode": "15W"}},
        "fleet.0.mode = '15W': profile 'jetson-agx-xavier': unknown mode '15W'; did you mean '15w'?",
    ),
    "unknown dynamics": (
        {"dynamics": {"lod": {"every": "1 h", "lasts": "1 min"}}},
        "dynamics.lod = { every = '1 h', lasts = '1 min' }: unknown key; did you mean 'load'?",
    ),
    "load that is a number": ({"dynamics": {"load": 0.5}}, "dynamics.load = 0.5: must be a table, such as { every ="),
    "load that never ends": ({"dynamics": {"load": {"every": "1 h"}}}, "dynamics.load.lasts: is missing; give it a"),
    "load that leaves less than nothing": (
        {"dynamics": {"load": {"every": "1 h", "lasts": "1 s", "leaves": -0.1}}},
        "dynamics.load.leaves = -0.1: must be at least 0",
    ),
    "processor that stands still": (
        {"dynamics": {"clock": {"every": "1 h", "lasts": "1 s", "speed": 0.0}}},
        "dynamics.clock.speed = 0.0: must be above 0",
    ),
    "number for a switch": ({"dynamics": {"thermal": 1}}, "dynamics.thermal = 1: must be true or false"),
    "text for dynamics": (
        {"dynamics": "all"},
        "dynamics = 'all': must be a table, such as [dynamics] with thermal = t",
    ),
    "misspelt failure": ({"failures": {"droput": 0.2}}, "failures.droput = 0.2: unknown key; did you mean 'dropout'?"),
    "dropout in percent": ({"failures": {"dropout": 20}}, "failures.dropout = 20: must be at most 1"),
    "more bad uploads than there are": (
        {"failures": {"corrupted": 0.7, "truncated": 0.5}},
        "failures = { corrupted = 0.7, truncated = 0.5 }: has corrupted and truncated uploads that add up to 1.2, o",
    ),
    "negative tries": ({"failures": {"retries": -1}}, "failures.retries = -1: must be at least 0"),
    "crash that is a time": (
        {"failures": {"crash": "1 h"}},
        "failures.crash = '1 h': must be a table, such as { every",
    ),
    "share for who is late": (
        {"failures": {"late": 0.2}},
        "failures.late = 0.2: must be a table, such as { share = 0.2",
    ),
    "unknown event": (
        {"event": [{"at": "3 s", "what": "leaf"}]},
        "event.0.what = 'leaf': unknown value; did you mean 'l",
    ),
    "event at a bare number": ({"event": [{"at": 3, "what": "leave"}]}, "event.0.at = 3: has no unit"),
    "event without a time": ({"event": [{"what": "leave"}]}, "event.0.at: is missing; give it a value"),
    "event for a group that is not there": (
        {"event": [{"at": "3 s", "what": "leave", "group": 2}]},
        "event.0.group = 2: is no group: there are 2 under [[fleet]], counted from 0",
    ),
    "event for no group": (
        {"event": [{"at": "3 s", "what": "leave", "group": -1}]},
        "event.0.group = -1: must be the number of a group under [[fleet]], from 0, or a profile's name",
    ),
    "event for an unknown profile": (
        {"event": [{"at": "3 s", "what": "leave", "group": "lapptop"}]},
        "event.0.group = 'lapptop': unknown profile of the fleet; did you mean 'laptop'? (known: laptop, raspberry-",
    ),
    "event for half a group": (
        {"event": [{"at": "3 s", "what": "leave", "group": 1.5}]},
        "event.0.group = 1.5: must be the number of a group under [[fleet]], from 0, or a profile's name",
    ),
    "event that leaves something of who left": (
        {"event": [{"at": "3 s", "what": "leave", "leaves": 0.5}]},
        "event.0 = { at = '3 s', what = 'leave', leaves = 0.5 }: has leaves, which goes with slow, memory, storage",
    ),
    "event that joins for a while": (
        {"event": [{"at": "3 s", "what": "join", "lasts": "3 s"}]},
        "event.0 = { at = '3 s', what = 'join', lasts = '3 s' }: joins, and has lasts: who joins stays",
    ),
    "event that stops for ever": (
        {"event": [{"at": "3 s", "what": "slow", "leaves": 0}]},
        "event.0 = { at = '3 s', what = 'slow', leaves = 0 }: leaves nothing of the speed for ever: write lasts",
    ),
    "event after the end": (
        {"event": [{"at": "3 s", "what": "leave"}], "run": {"stop": {"time": "3 s"}}},
        "event.0.at = '3 s': comes when the run has ended, at '3 s': write an earlier one, or raise run.stop.time",
    ),
    "event that is alone": (
        {"event": {"at": "3 s", "what": "leave"}},
        "event = { at = '3 s', what = 'leave' }: must be a",
    ),
    "events": ({"events": []}, "events = []: unknown key; did you mean 'event'?"),
    "bits that there are not": (
        {"method": [{"name": "qat", "bits": 3}]},
        "method.qat.bits = 3: must be one of these numbers: 32, 8, 4, 2, 1",
    ),
    "accuracy in percent": ({"run": {"target": {"accuracy": 90.0}}}, "run.target.accuracy = 90.0: must be at most 1"),
    "unknown optimizer": ({"train__optimizer": "sdg"}, "train.optimizer = 'sdg': unknown value; did you mean 'sgd'?"),
    "unknown metric": (
        {"run": {"target": {"acuracy": 0.8}}},
        "run.target.acuracy = 0.8: unknown key; did you mean 'acc",
    ),
    "bare number": ({"schedule__deadline": 20}, "schedule.deadline = 20: has no unit: write a number and a unit, such"),
    "bare number in a link": (
        {"fleet__0__link": {"down": 5, "up": "1 Mbit/s", "latency": "1 ms"}},
        "fleet.0.link.down = 5: has no unit: write a number and a unit, such as '5 Mbit/s'",
    ),
    "bare number of a method": (
        {"method__0__schedule": {"deadline": 3}},
        "method.fedavg.schedule.deadline = 3: has no unit",
    ),
    "wrong unit": ({"schedule__deadline": "20 MiB"}, "schedule.deadline = '20 MiB': has the unknown unit 'MiB'"),
    "misspelt unit": (
        {"schedule__deadline": "20 mins"},
        "schedule.deadline = '20 mins': has the unknown unit 'mins'; di",
    ),
    "negative time": (
        {"schedule__deadline": "-3 s"},
        "schedule.deadline = '-3 s': is not a finite number of at least 0",
    ),
    "no time at all": ({"schedule__deadline": "0 s"}, "schedule.deadline = '0 s': must be above 0"),
    "nan time": ({"schedule__deadline": "nan s"}, "schedule.deadline = 'nan s': is not a finite number"),
    "infinite time": ({"run": {"stop": {"time": "inf s"}}}, "run.stop.time = 'inf s': is not a finite number"),
    "a link of no rate": (
        {"fleet__0__link": {"down": "5 Mbit/s", "up": "0 Mbit/s", "latency": "1 ms"}},
        "fleet.0.link.up = '0 Mbit/s': must be above 0",
    ),
    "half a link": (
        {"fleet__0__link": {"down": "5 Mbit/s", "up": "1 Mbit/s"}},
        "fleet.0.link.latency: is missing; give",
    ),
    "negative count": ({"fleet__0__count": -3}, "fleet.0.count = -3: must be at least 1"),
    "count of nothing": ({"schedule__rounds": 0}, "schedule.rounds = 0: must be at least 1"),
    "count beyond measure": ({"fleet__0__count": 10**12}, "fleet.0.count = 1000000000000: must be at most 1000000000"),
    "nan count": ({"schedule__cohort": float("nan")}, "schedule.cohort = nan: must be a whole number"),
    "infinite count": ({"schedule__rounds": float("inf")}, "schedule.rounds = inf: must be a whole number"),
    "broken count": ({"schedule__rounds": 2.5}, "schedule.rounds = 2.5: must be a whole number"),
    "nan option": ({"train__lr": float("nan")}, "train.lr = nan: must be a"),
    "infinite option": ({"method__1__mu": float("inf")}, "method.fedprox.mu = inf: must be a finite number"),
    "option out of range": ({"method__1__mu": -1.0}, "method.fedprox.mu = -1.0: must be at least 0"),
    "model option that is nan": (
        {"task__model": {"name": "cnn", "width": float("nan")}},
        "task.model.width = nan: must be a finite number",
    ),
    "text for a number": ({"train__lr": "0.1"}, "train.lr = '0.1': must be a number"),
    "text for a count": ({"schedule__rounds": "2"}, "schedule.rounds = '2': must be a whole number"),
    "text for a list": ({"run": {"seeds": "0,1"}}, "run.seeds = '0,1': must be a list"),
    "text for a table": ({"train": "fast"}, "train = 'fast': must be a table, such as"),
    "text for a schedule": (
        {"schedule": "sync"},
        "schedule = 'sync': must be a table with the key kind, 'sync' or 'async'",
    ),
    "text for a fleet": ({"fleet": "big"}, "fleet = 'big': must be a list"),
    "text for a group": ({"fleet": ["big"]}, "fleet.0 = 'big': must be a table, such as"),
    "boolean for a count": ({"fleet__0__count": True}, "fleet.0.count = true: must be a whole number"),
    "boolean for a number": ({"train__lr": True}, "train.lr = true: must be a number"),
    "boolean for a public set": ({"task__public": True}, "task.public = true: must be a number of examples"),
    "number for a name": ({"task__data": 3}, "task.data = 3: must be text in quotes"),
    "number for a model": ({"task__model": 3}, "task.model = 3: must be a table, such as { name = 'cnn', width"),
    "number for a link": ({"fleet__0__link": 3}, "fleet.0.link = 3: must be a table, such as { down ="),
    "link of a technology without a radio": (
        {"fleet__0__link": {"down": "1 MB/s", "up": "1 MB/s", "latency": "1 ms", "technology": "wfi"}},
        "fleet.0.link = { down = '1 MB/s', up = '1 MB/s', latency = '1 ms', technol…: profile ",
    ),
    "public set of nothing": ({"task__public": {"preinstalled": True}}, "task.public = { preinstalled = true }: names"),
    "negative public set": ({"task__public": -1}, "task.public = -1: must be a number of examples from 0"),
    "negative seed": ({"run": {"seeds": [-1]}}, "run.seeds.0 = -1: must be at least 0"),
    "seeds alike": ({"run": {"seeds": [1, 1]}}, "run.seeds = [1, 1]: must differ from each other"),
    "no seeds": ({"run": {"seeds": []}}, "run.seeds = []: must have 1 entry or more"),
    "no methods": ({"method": []}, "method = []: must have 1 entry or more"),
    "bad name": ({"name": "My Study"}, "name = 'My Study': must be 1 to 64 characters: small letters, digits, _ and -"),
    "bad label": ({"method__0__label": "a/b"}, "method.0.label = 'a/b': must be 1 to 64 characters: letters"),
    "labels alike": (
        {"method__1": {"name": "fedavg"}},
        "method.1.label = 'fedavg': another method is called 'fedavg' too; give each [[method]] a label of its own",
    ),
    "cohort above the fleet": (
        {"schedule__cohort": 7},
        "schedule.cohort = 7: is larger than the fleet of 6 devices; lower it, or raise a count under [[fleet]]",
    ),
    "concurrency above the fleet": (
        {"schedule": {"kind": "async", "merges": 3, "concurrency": 7}},
        "schedule.concurrency = 7: is larger than the fleet of 6 devices",
    ),
    "cohort of a method above the fleet": (
        {"method__0__schedule": {"cohort": 7}},
        "method.fedavg.schedule.cohort = 7: is larger than the fleet of 6 devices",
    ),
    "schedule of a method in want of keys": (
        {"method__0__schedule": {"kind": "async", "merges": 7}},
        "method.fedavg.schedule.concurrency: is missing; give it a value",
    ),
    "no name": ({"name": ...}, "name: is missing; such as name = 'my-study'"),
    "no schedule kind": ({"schedule__kind": ...}, "schedule.kind: is missing; give it 'sync' or 'async'"),
    "no method name": ({"method__0__name": ...}, "method.0.name: is missing; give it a value"),
    "model that does not fit": (
        {"task__data": "digits", "task__model": "lenet5", "task__partition": {"kind": "iid"}},
        "task.model = 'lenet5': model 'lenet5' does not fit data of shape (1, 8, 8)",
    ),
    "model of a method that does not fit": (
        {"task__data": "digits", "task__partition": {"kind": "iid"}, "method__0__model": "resnet8x"},
        "method.fedavg.model.name = 'resnet8x': unknown model; did you mean 'resnet8'?",
    ),
    "fewer examples than devices need": (
        {"task__data": "digits", "fleet__0__count": 400},
        "task.partition: partition 'dirichlet' of 1438 examples among 402 devices needs at least 8 for each",
    ),
    "public set larger than the data": (
        {"task__data": "digits", "task__public": 5000},
        "task.public = 5000: public = 5000 examples of data set 'digits', which has 1438 for training",
    ),
    "public set of synthetic data": ({"task__public": 5}, "task.public = 5: task.public is not to be had with data"),
}


@pytest.mark.parametrize("case", ONE_KEY)
def test_a_wrong_key_is_named_with_its_value_and_what_is_allowed(case, tmp_path):
    changes, expected = ONE_KEY[case]
    path = write(tmp_path, changed(**changes))
    lines = refused(tmp_path, "run", path)
    assert any(line.startswith(f"{path}: {expected}") for line in lines), lines
    assert len(lines) == (2 if case == "unknown method of two alike" else 1), lines


def test_all_errors_of_a_file_are_reported_together(tmp_path):
    path = write(
        tmp_path,
        changed(
            sede=3, task__data="digits", fleet__0__count=400, method__1__mu=-1.0, method__0__schedule={"cohort": 7000},
            availability={"mean_online": 40},
        ),
    )  # fmt: skip
    lines = refused(tmp_path, "run", path)
    assert [line.removeprefix(f"{path}: ").partition(":")[0] for line in lines] == [
        "sede = 3",
        "availability.mean_online = 40",
        "method.fedprox.mu = -1.0",
        "method.fedavg.schedule.cohort = 7000",
        "task.partition",
    ]


def test_all_errors_of_the_tables_of_dynamics_are_reported_together(tmp_path):
    parts = [{"kind": "battery", "floor": 2.0, "resum": 0.5}, {"kind": "markov", "mean_online": 3}]
    path = write(
        tmp_path,
        changed(
            availability={"kind": "all", "of": parts, "on_dropout": "partly"}, dynamics={"thermal": 1, "clok": 1},
            failures={"dropout": 2, "crash": {"every": "0 s"}},
            event=[{"what": "join"}, {"at": "-1 s", "what": "slow"}],
            fleet__1__availability={"kind": "dirunal"},
        ),
    )  # fmt: skip
    lines = refused(tmp_path, "run", path)
    assert [line.removeprefix(f"{path}: ").partition(": ")[0] for line in lines] == [
        "fleet.1.availability.kind = 'dirunal'",
        "availability.of.0.resum = 0.5",
        "availability.of.0.floor = 2.0",
        "availability.of.1.mean_online = 3",
        "availability.on_dropout = 'partly'",
        "dynamics.clok = 1",
        "dynamics.thermal = 1",
        "failures.dropout = 2",
        "failures.crash.every = '0 s'",
        "failures.crash.lasts",
        "event.0.at",
        "event.1.at = '-1 s'",
    ]


NPZ = {
    "no x_train": ({"x_train": ...}, "x_train is missing (the file holds y_train, x_test, y_test)"),
    "objects": (
        {"x_train": np.array([{}, {}], dtype=object)},
        "x_train cannot be read (Object arrays cannot be loaded",
    ),
    "mismatched lengths": (
        {"y_train": np.zeros(7, np.int64)},
        "y_train has 7 entries; allowed: 60, as many as x_train",
    ),
    "nan": ({"x_train": np.full((60, 8, 8), np.nan)}, "x_train holds 3840 values that are NaN or infinite"),
    "labels that are no numbers": ({"y_train": np.zeros(60)}, "y_train has dtype float64; allowed: whole numbers"),
}


@pytest.mark.parametrize("case", NPZ)
def test_a_bad_npz_file_is_named_with_its_array(case, tmp_path):
    changes, expected = NPZ[case]
    rng = np.random.default_rng(0)
    arrays = {"x_train": rng.random((60, 8, 8)), "y_train": np.arange(60) % 3}
    arrays |= {"x_test": rng.random((9, 8, 8)), "y_test": np.arange(9) % 3}
    arrays = {key: value for key, value in (arrays | changes).items() if value is not ...}
    np.savez(tmp_path / "d.npz", **arrays)
    path = write(tmp_path, changed(task__data="npz:d.npz", task__partition={"kind": "iid"}))
    assert refused(tmp_path, "run", path) == [
        line
        for line in refused(tmp_path, "check", path)
        if f"{path}: task.data = 'npz:d.npz': " in line and expected in line
    ]


def test_an_npz_file_that_is_not_there_is_named(tmp_path):
    path = write(tmp_path, changed(task__data="npz:no.npz"))
    (line,) = refused(tmp_path, "run", path)
    assert line.startswith(f"{path}: task.data = 'npz:no.npz': {tmp_path / 'no.npz'}: no such file")


FILES = {
    "missing.toml": (None, "missing.toml: no such file; correct the path, or give a packaged name"),
    "folder.toml": ("folder", "folder.toml: is a folder; give the path of a .toml file in it"),
    "latin.toml": (b'name = "caf\xe9"', "latin.toml: is not UTF-8 (invalid continuation byte at byte 11): save it"),
    "broken.toml": (b"name = ", "broken.toml: is not TOML (Invalid value (at end of document)): correct that line"),
    "quickstrat": (None, "unknown scenario 'quickstrat'; did you mean 'quickstart'?"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_scenario_that_cannot_be_read_is_named(name, tmp_path):
    content, expected = FILES[name]
    if content == "folder":
        (tmp_path / name).mkdir()
    elif content is not None:
        (tmp_path / name).write_bytes(content)
    (line,) = refused(tmp_path, "run", name)
    assert line.startswith(expected)


OPTIONS = {
    "seeds": (["--seeds", "0;1"], "--seeds '0;1': write whole numbers with commas, such as 0,1,2"),
    "set without a value": (["--set", "schedule.rounds"], "--set 'schedule.rounds': write KEY=VALUE, such as"),
    "set without a key": (["--set", "=3"], "--set '=3': write KEY=VALUE, such as"),
    "set of no such entry": (
        ["--set", "method.fedpox.mu=1"],
        "--set method.fedpox.mu: no entry 'fedpox'; did you mean 'f",
    ),
    "set beyond a list": (["--set", "fleet.7.count=1"], "--set fleet.7.count: no entry '7' (there are: 0, 1)"),
    "set inside a text": (["--set", "name.x=1"], "--set name.x: name is 'small', which has no keys"),
    "workers": (["--workers", "0", "--executor", "pool"], "--workers '0': write a whole number of at least 1"),
    "workers of another executor": (["--workers", "2"], "--workers 2 goes with --executor pool, not 'lazy'"),
    "workers that are no number": (["--workers", "two"], "--workers 'two': write a whole number of at least 1"),
    "executor": (["--executor", "lasy"], "--executor: unknown executor 'lasy'; did you mean 'lazy'?"),
    "torch device": (["--torch-device", "cdua"], "--torch-device: unknown torch device 'cdua'; did you mean 'cuda'?"),
    "option": (["--seds", "1"], "No such option: --seds (Possible options: --fresh, --seeds, --set)"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_a_wrong_option_is_named(case, tmp_path):
    options, expected = OPTIONS[case]
    lines = refused(tmp_path, "run", write(tmp_path), *options)
    assert lines[0].startswith(expected), lines


def test_a_wrong_value_from_outside_says_so(tmp_path):
    path = write(tmp_path)
    (line,) = refused(tmp_path, "run", path, "--set", "schedule.cohort=50")
    assert line.startswith(f"{path}, as overridden: schedule.cohort = 50: is larger than the fleet of 6 devices")


def test_nothing_runs_if_any_of_several_scenarios_is_wrong(tmp_path):
    good = write(tmp_path)
    bad = tmp_path / "bad.toml"
    bad.write_text(good.read_text().replace("rounds = 2", "rounds = 0"))
    (line,) = refused(tmp_path, "run", good, bad)
    assert line.startswith(f"{bad}: schedule.rounds = 0: must be at least 1")


def test_an_output_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "results").write_text("not a folder")
    (line,) = refused(tmp_path, "run", write(tmp_path))
    assert line.startswith("--out 'results/small-")
    assert f"cannot be written, for '{tmp_path / 'results'}' is no folder; choose another" in line


def test_a_cache_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    (line,) = refused(tmp_path, "run", write(tmp_path), "--cache", "file/cache")
    assert line.startswith("--cache 'file/cache': cannot be written, for ")


def test_a_method_whose_sizes_need_values_is_refused_before_a_cost_only_run(tmp_path):
    path = write(tmp_path, changed(method__1={"name": "message-pruning", "coder": "zlib"}))
    (line,) = refused(tmp_path, "run", path, "--executor", "cost-only")
    assert line.startswith("--executor cost-only: method 'message-pruning': ")


def test_the_command_itself_exits_with_2(tmp_path):
    path = write(tmp_path, changed(schedule__rounds=-1))
    command = [sys.executable, "-m", "fedsim", "run", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=dict(os.environ))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {path}: schedule.rounds = -1: must be at least 1\n"


def test_a_data_folder_that_is_not_there_is_refused(tmp_path):
    assert refused(tmp_path, "run", write(tmp_path), "--data-dir", "no") == [
        "'no' is no folder of data sets: correct --data-dir or $FEDSIM_DATA"
    ]


def test_wrong_seeds_are_named(tmp_path):
    path = write(tmp_path)
    assert refused(tmp_path, "run", path, "--seeds", "1,1") == [
        f"{path}, as overridden: run.seeds = [1, 1]: must differ from each other"
    ]


SMALL_VIT = {"name": "vit_tiny", "dim": 8, "heads": 2, "depth": 1, "patch": 4}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": [{"name": "ds-fl"}]}, "set task.public, such as public = 200"),
        (
            {"task__data": "digits", "task__public": 9, "method": [{"name": "fedmd", "by_group": ["cnn", "mpl"]}]},
            "did you mean 'mlp'?",
        ),
        (
            {"method": [{"name": "heterofl", "model": "vit_tiny"}]},
            "model 'vit_tiny' cannot be cut by width: choose one",
        ),
        ({"method": [{"name": "heterofl", "model": "mobilenet_v2"}]}, "model 'mobilenet_v2' cannot be cut by width"),
        ({"method": [{"name": "fl-pqsu", "widths": [4, 4]}]}, "widths is [4, 4]: model 'mlp' has"),
        ({"method": [{"name": "reft"}]}, "set task.public, such as public = 200"),
        ({"method": [{"name": "scaffold"}], "train": {"optimizer": "adam"}}, "scaffold corrects SGD's steps"),
        (
            {"task__data": "digits", "task__public": 9, "method": [{"name": "reft", "warmup": 9}]},
            "warmup is 9 of 2 merges",
        ),
        ({"method": [{"name": "prunefl"}]}, "first_rounds is 10 of 2 merges"),
        (
            {"method": [{"name": "equitable-fl", "round_budget": "1 s"}]},
            "the last phase begins after merge 2 of 2: run longer, or take fewer",
        ),
        (
            {"task__data": "digits", "method": [{"name": "raffm-lora", "rank": 99, "model": SMALL_VIT}]},
            "rank = 99 of adapters to layers of width 8: allowed is up to 8",
        ),
        (
            {"method": [{"name": "message-pruning", "error_feedback": True, "direction": "down"}]},
            "error_feedback is of uploads",
        ),
    ],
)
def test_what_a_method_refuses_is_known_before_anything_is_written(tmp_path, changes, said):
    ran = fedsim("run", write(tmp_path, changed(**changes)), "--out", tmp_path / "out")
    assert (ran.code, said in ran.err, (tmp_path / "out").exists()) == (2, True, False)
