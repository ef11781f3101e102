"""What a scenario's [task] asks for, which of its data go to which devices, and which key to blame where that fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fedsim.errors import InputError
from fedsim.fleet import Availability, Fleet
from fedsim.fleet.standing import scores, standing
from fedsim.learn.assign import Assignment
from fedsim.learn.problem import Wanted, make_problem
from fedsim.scenario import AssignTable, TaskTable
from fedsim.seeds import seed_of


def wanted_by(task: TaskTable, folder: Path, data_dir: Path | None) -> Wanted:
    """Return what *task* asks for, with relative paths from *folder* on."""
    return Wanted(
        data=task.data,
        partition=task.partition.model_dump(),
        public=task.public if task.public is None or isinstance(task.public, int) else task.public.model_dump(),
        samples_per_device=task.samples_per_device,
        folder=folder,
        data_dir=data_dir,
        tokens=task.tokens,
        tokenizer=task.tokenizer,
        train=task.subset.train,
        test=task.subset.test,
    )


def assignment(table: AssignTable, fleet: Fleet, availability: Availability, *, seed: int) -> Assignment:
    """Return which shards go to which devices of *fleet*; raises InputError where devices cannot be ranked so."""
    found = standing(fleet, availability, table.to)
    return Assignment(
        table.by, scores(fleet, found, rho=table.rho, seed=seed_of(seed, "assign")), seed_of(seed, "ties")
    )


def to_blame(wanted: Wanted, *, devices: int, seed: int) -> str:
    """Return the key of [task] without which the problem could be made."""
    bare = replace(wanted, public=None, partition={"kind": "iid"}, train=None, test=None)
    limited = replace(bare, train=wanted.train, test=wanted.test)
    public = replace(limited, public=wanted.public)
    steps = ("data", bare, 1), ("subset", limited, 1), ("public", public, 1), ("partition", wanted, devices)
    for key, easier, among in steps:
        try:
            make_problem(easier, devices=among, seed=seed)
        except InputError:
            return key
    return "assign"
