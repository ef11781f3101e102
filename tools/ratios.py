"""How many times faster one device is than another, read in the measurement files or given."""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol

from tails import Rates

from fedsim.work import OpClass

FILES = {
    "review": ("compute/geerling_sbc_reviews.csv", "device"),
    "sbc-bench": ("compute/sbc_bench.csv", "result_file"),
    "matrix products": ("compute/pytorch_gemm_tflops.csv", "device"),
    "AI Benchmark": ("flash_training/ai_benchmark_phones.csv", "model"),
}
NCNN, MLPERF = "inference/ncnn_benchmark.csv.gz", "inference/mlperf_edge_inference.csv.gz"
EVERY = "mobilenet", "mobilenet_v2", "resnet18", "resnet50"
HEAVY, LIGHT = ("resnet18", "resnet50"), ("mobilenet", "mobilenet_v2", "squeezenet")


class Ratio(Protocol):
    """A comparison of a device with its base."""

    def faster(self, folder: Path, base: Rates) -> float:
        """Return how many times faster a device is than its base, whose rates are *base*."""

    def words(self) -> str:
        """Return what was compared."""


class Ncnn(NamedTuple):
    """ncnn's times of *models*; a device is the start of its name, how many threads, and which cores ("GPU": none).

    Only where both processors have half-precision arithmetic or neither has: ncnn uses it unasked, training does not.
    """

    mine: tuple[str, str, str]
    theirs: tuple[str, str, str]
    models: tuple[str, ...] = EVERY

    def faster(self, folder: Path, base: Rates) -> float:
        mine, theirs = self._times(folder, self.mine), self._times(folder, self.theirs)
        return mean(theirs[m] / mine[m] for m in self.models)

    def words(self) -> str:
        return f"ncnn times of {', '.join(self.models)}, {'on the GPU' if self.mine[2] == 'GPU' else 'on the CPU'}"

    def _times(self, folder: Path, key: tuple[str, str, str]) -> dict[str, float]:
        name, threads, cores = key
        found: dict[str, float] = {}
        for line in lines(folder / NCNN):
            kind = (line["threads"], line["powersave"]) if line["backend"] == "CPU" else (line["threads"], "GPU")
            if line["device"].startswith(name) and kind == (threads, cores):
                found.setdefault(line["model"], float(line["avg_ms"]))
        return found


class MlPerf(NamedTuple):
    """MLPerf's offline samples per second; a device is a round and the system's name in it."""

    mine: tuple[str, str]
    theirs: tuple[str, str]
    models: tuple[str, ...]

    def faster(self, folder: Path, base: Rates) -> float:
        mine, theirs = self._rates(folder, self.mine), self._rates(folder, self.theirs)
        return mean(mine[m] / theirs[m] for m in self.models)

    def words(self) -> str:
        return f"MLPerf offline samples per second of {', '.join(self.models)} under TensorRT (int8, fp16)"

    def _rates(self, folder: Path, key: tuple[str, str]) -> dict[str, float]:
        wanted = [x for x in lines(folder / MLPERF) if (x["round"], x["system"], x["scenario"]) == (*key, "Offline")]
        return {x["model"]: float(x["samples_per_s"]) for x in wanted}


class TfLite(NamedTuple):
    """TensorFlow Lite's fp32 times in one round of MLPerf, as mean latencies; a device is its name there."""

    mine: str
    theirs: str
    models: tuple[str, ...]

    def faster(self, folder: Path, base: Rates) -> float:
        mine, theirs = (self._times(folder, name) for name in (self.mine, self.theirs))
        return mean(theirs[m] / mine[m] for m in self.models)

    def words(self) -> str:
        return f"MLPerf times of {', '.join(self.models)} under TFLite 2.7.1 (fp32)"

    def _times(self, folder: Path, name: str) -> dict[str, float]:
        key = name, "TFLite v2.7.1 (ruy)", "SingleStream", "fp32"
        columns = "device", "framework", "scenario", "declared_weight_types"
        wanted = [line for line in lines(folder / MLPERF) if tuple(line[c] for c in columns) == key]
        return {line["model"]: float(line["mean_latency_ms"]) for line in wanted}


class Cells(NamedTuple):
    """One column of one table, in the rows of both devices."""

    table: str
    column: str
    mine: str
    theirs: str

    def faster(self, folder: Path, base: Rates) -> float:
        mine, theirs = (cell(folder, self.table, column=self.column, row=row) for row in (self.mine, self.theirs))
        return mine / theirs

    def words(self) -> str:
        return f"{self.column} of {self.table}"


class Over(NamedTuple):
    """A column of a table, *times* what brings it to the unit of *over*: GFLOP/s of the base's products if None."""

    table: str
    column: str
    mine: str
    times: float = 1.0
    over: float | None = None

    def faster(self, folder: Path, base: Rates) -> float:
        over = self.over or base[OpClass.MATMUL].flops_per_s / 1e9
        return self.times * cell(folder, self.table, column=self.column, row=self.mine) / over

    def words(self) -> str:
        times = "" if self.times == 1 else f"{self.times:g} x "
        return f"{times}{self.column} of {self.table} over {f'{self.over:g}' if self.over else 'its products'}"


class Given(NamedTuple):
    """Two numbers of one unit that are in no file; *what* says which."""

    mine: float
    theirs: float
    what: str

    def faster(self, folder: Path, base: Rates) -> float:
        return self.mine / self.theirs

    def words(self) -> str:
        return f"{self.what}: {self.mine:g} over {self.theirs:g}"


def cell(folder: Path, table: str, *, column: str, row: str) -> float:
    """Return one number; of rows with one name the first counts."""
    file, key = FILES[table]
    return float(next(line[column] for line in lines(folder / file) if line[key] == row))


def mean(ratios: Iterable[float]) -> float:
    """Return the geometric mean."""
    logs = [math.log(x) for x in ratios]
    return math.exp(sum(logs) / len(logs))


@cache
def lines(path: Path) -> list[dict[str, str]]:
    """Return the lines of a CSV file, packed or plain."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))
