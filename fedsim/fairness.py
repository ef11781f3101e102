"""Who takes part and whom the model serves: participation, waste and accuracy by class of device and by label.

Read from results alone. A device's class is its profile. Accuracies are those of a run's first model at its end, and
of labels: known where the scenario has ``run.by_label = true``. Above 10,000 devices a results folder lists those that
were asked, and what is said of classes and labels is said of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from fedsim.errors import InputError
from fedsim.timeline.recorder import BUSY

if TYPE_CHECKING:
    import pandas as pd

    from fedsim.results import Results

RUN = ["method", "seed"]
_LABEL = "label-"


def jain(counts: Iterable[float], *, devices: int | None = None) -> float:
    """Return Jain's index of *counts*: 1 if all are equal, 1/n if one of n has everything, NaN if nobody has any.

    devices: the size of the fleet, of which those not counted had nothing; None: all are counted.
    Source: Jain, Chiu and Hawe, DEC-TR-301 (1984).

    >>> jain([3, 3, 3, 3]), jain([5, 5, 0, 0]), jain([5, 5], devices=8)
    (1.0, 0.5, 0.25)
    """
    found = np.fromiter(counts, float)
    squares = (len(found) if devices is None else devices) * float(found @ found)
    return float(found.sum()) ** 2 / squares if squares else float("nan")


def by_run(results: Results, *, devices: int | None = None) -> pd.Series[float]:
    """Return Jain's index of the tasks that devices of the fleet have done, per method and seed."""
    done = _devices(results).groupby(RUN, sort=False).done
    return done.agg(lambda counts: jain(counts, devices=devices)).rename("jain")


def by_class(results: Results) -> pd.DataFrame:
    """Return a row per method, seed and profile.

    devices; asked and done: tasks; share: of the tasks that the run's devices have done; energy_j; wasted_s,
    wasted_bytes, wasted_j: of spans that no merge used, which add up to the run's; accuracy: of a test set with labels
    as frequent as on the class's devices, NaN where accuracy by label is not known.
    """
    found = _devices(results)
    by = found.groupby([*RUN, "profile"], sort=False)
    rows = by[["asked", "done", "energy_j"]].sum()
    rows.insert(0, "devices", by.size())
    rows.insert(3, "share", rows.done / rows.done.groupby(RUN).transform("sum"))
    wasted = _wasted(results).merge(found[[*RUN, "device", "profile"]], on=[*RUN, "device"])
    sums = wasted.groupby([*RUN, "profile"])[["wasted_s", "wasted_bytes", "wasted_j"]].sum()
    rows = rows.join(sums.reindex(rows.index, fill_value=0))
    return rows.assign(accuracy=_class_accuracy(results, found)).reset_index()


def by_label_group(results: Results) -> pd.DataFrame:
    """Return a row per method, seed and group of labels: each, and again the ``worst``, ``best`` and ``rarest``.

    label: the class's index; accuracy: of its test examples; examples: how many devices hold; trained: how often a task
    that was done learnt from one of them, on average. The rarest label is the one with least of that.
    Raises InputError where accuracy by label is not known.
    """
    import pandas as pd

    accuracy = label_accuracies(results)
    if accuracy.empty:
        raise InputError(f"{str(results.path)!r} says no accuracy by label; run its scenario with run.by_label = true")
    found = _devices(results)
    counts = _label_counts(found)
    learnt = counts.mul(found.done.to_numpy(), axis=0).groupby(RUN, sort=False).sum()
    examples = counts.groupby(RUN, sort=False).sum()
    parts = {"accuracy": accuracy, "examples": examples, "trained": learnt / examples}
    rows = pd.concat({name: part.melt(ignore_index=False, var_name="label").set_index("label", append=True).value
                      for name, part in parts.items()}, axis=1).reset_index()  # fmt: skip
    by = rows.groupby(RUN, sort=False)
    picked = {"worst": by.accuracy.idxmin(), "best": by.accuracy.idxmax(), "rarest": by.trained.idxmin()}
    groups = [rows.assign(group="each")] + [rows.loc[at].assign(group=group) for group, at in picked.items()]
    return pd.concat(groups, ignore_index=True)[[*RUN, "group", "label", *parts]]


def label_accuracies(results: Results) -> pd.DataFrame:
    """Return the accuracy on each label (columns) by method and seed, at the end; empty where it is not known."""
    rows = results.metrics.astype({"method": str})
    by = rows.groupby(RUN, sort=False)
    last = (rows.model == by.model.transform("first")) & (rows.version == by.version.transform("max"))
    rows = rows[last & rows.split.str.startswith(_LABEL)]
    rows = rows.assign(label=rows.split.str.removeprefix(_LABEL).astype(int))
    return rows.pivot_table("accuracy", RUN, "label", dropna=False)


def _devices(results: Results) -> pd.DataFrame:
    return results.devices.astype({"method": str, "profile": str}).drop(columns="run")


def _class_accuracy(results: Results, devices: pd.DataFrame) -> pd.Series[float]:
    """Return the mean over labels by method, seed and profile; labels without test examples weigh nothing."""
    counts = _label_counts(devices).groupby([*RUN, "profile"], sort=False).sum()
    runs = counts.droplevel("profile").index
    known = label_accuracies(results).reindex(index=runs, columns=counts.columns).set_axis(counts.index)
    weights = counts.where(known.notna())
    return (weights * known).sum(axis=1, min_count=1) / weights.sum(axis=1)


def _label_counts(devices: pd.DataFrame) -> pd.DataFrame:
    """Return how many examples of each label (columns) a device has, by method, seed, profile and device."""
    import pandas as pd

    index = pd.MultiIndex.from_frame(devices[[*RUN, "profile", "device"]])
    return pd.DataFrame(np.stack(devices.label_counts.to_list()), index)


def _wasted(results: Results) -> pd.DataFrame:
    """Return the spans of devices that no merge used, as `fedsim.timeline.Totals` counts them."""
    spans = results.timeline
    spans = spans[(spans.device >= 0) & (spans.outcome != "done")].astype({"method": str})
    busy_s = (spans.end_s - spans.start_s).where(spans.kind.isin(BUSY), 0.0)
    return spans[[*RUN, "device"]].assign(wasted_s=busy_s, wasted_bytes=spans.bytes, wasted_j=spans.energy_j)
