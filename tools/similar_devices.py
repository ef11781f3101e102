"""Devices whose training nobody has measured: each is like one that was, and so many times faster."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from fast_core import COPY_MB_PER_S, PROFILE
from ratios import HEAVY, LIGHT, Cells, Given, MlPerf, Ncnn, Over, Ratio, TfLite
from tails import Rates

NCNN_REPO = "Tencent/ncnn@a4d2ea1d4422:benchmark/README.md"
MLPERF_2 = "mlcommons/inference_results_v2.0:closed/NVIDIA"
REVIEWS = "geerlingguy/sbc-reviews@968b675e2f81:web/data/results.yml"
GEMM_REPO = "zzc0721/torch-performance-test-data@9d8282763726:database.md"
AI_REPO = "PKU-Chengxu/FLASH: AI Benchmark table"
INFERENCE, PEAK = "measured inference", "peak only"
PI_4 = "Raspberry Pi 4 model B"
ARM_4 = ("Raspberry Pi 4 Model B", "4", "0")
ARM_5 = ("Raspberry Pi 5 Broadcom BCM2712, C", "4", "0")
NANO = ("NVIDIA Jetson Nano", "4", "GPU")
SERIES = "mobilenet_v2", "resnet18", "resnet50", "vgg16"  # the Pi 5's mobilenet is an outlier of its own table
TFLITE = "resnet50", "mobilenet-v1-1.0-224-non-quantized", "mobilenet-v2-1.0-224-non-quantized"
SERVED = "resnet50", "bert-99", "rnnt"


class Like(NamedTuple):
    """A device like *base*; the ratios say how many times faster its arithmetic, its memory and its calls are."""

    base: str
    quality: str
    arithmetic: Ratio
    memory: Ratio
    calls: Ratio
    source: str
    year: int
    doubt: str = ""

    def factors(self, folder: Path, base: Rates) -> tuple[float, float, float]:
        """Return how many times faster arithmetic, memory and calls are."""
        arithmetic, memory, calls = (r.faster(folder, base) for r in (self.arithmetic, self.memory, self.calls))
        return arithmetic, memory, calls


def board(
    base: str, arithmetic: Ratio, rows: tuple[str, str, str], *, source: str = NCNN_REPO, doubt: str = ""
) -> Like:
    """Return a board by its inference; memory and calls by copies and speed of one thread, in *rows* of a table."""
    table, mine, theirs = rows
    alone = "sevenzip_single_mips" if table == "sbc-bench" else "geekbench6_single"
    memory, calls = (Cells(table, column, mine, theirs) for column in ("memcpy_MBps", alone))
    return Like(base, INFERENCE, arithmetic, memory, calls, source, 2025, doubt)


def computer(machine: str, doubt: str = "") -> Like:
    """Return a computer by its Linpack: single precision at twice the double-precision rate."""
    products = Over("review", "hpl_gflops_fp64", machine, 2.0)
    memory = Over("review", "memcpy_MBps", machine, over=COPY_MB_PER_S)
    return Like(PROFILE, PEAK, products, memory, Given(1, 1, "a call as there"), REVIEWS, 2025, doubt)


def phone(ratio: Ratio, source: str, *, quality: str = INFERENCE, doubt: str = "") -> Like:
    """Return a phone: all of it slower or faster by one factor."""
    return Like("phone-high", quality, ratio, ratio, ratio, source, 2021, doubt)


def scored(name: str) -> Like:
    """Return a phone by its score for inference in single precision on the processor."""
    return phone(Cells("AI Benchmark", "cpu_f_ai_score", name, "Xiaomi Mi 9"), AI_REPO)


def jetson(system: tuple[str, str], alone: str, round_before: str = "v2.0") -> Like:
    """Return a Jetson by MLPerf, which serves the Xavier NX too; calls by the speed of one thread."""
    ratio = MlPerf(system, (round_before, "Xavier_NX_TRT"), SERVED)
    calls = Cells("sbc-bench", "sevenzip_single_mips", alone, "results/3YWp.txt")
    return Like("jetson-xavier-nx", INFERENCE, ratio, ratio, calls, MLPERF_2, 2022)


def graphics(row: str, gb_per_s: float, *, calls: Ratio, doubt: str = "") -> Like:
    """Return a GPU by measured matrix products in single precision and by its data sheet's bandwidth."""
    products = Over("matrix products", "fp32_tflops", row, 1000.0, over=235.8)
    memory = Given(gb_per_s, 25.6, "GB/s of the makers' data sheets")
    return Like("jetson-nano", PEAK, products, memory, calls, GEMM_REPO, 2025, doubt)


CLOCKS = "LineageOS/android_device_google_raviole@72dadeb7f455:oriole/overlay/frameworks/base/core/res/res/xml"
LAUNCH = Given(10.0, 1.0, "the Nano's calls over a server's, an assumption")
TENSOR = "convolutions may run faster, in the TF32 that PyTorch allows them"

SIMILAR: dict[str, Like] = {
    "raspberry-pi-zero-2w": board(
        "raspberry-pi-4", Ncnn(("Raspberry Pi Zero 2 W", "4", "0"), ARM_4),
        ("sbc-bench", "results/3E85.txt", "results/3Gia.txt")),
    "raspberry-pi-3": board(
        "raspberry-pi-4", Ncnn(("Raspberry Pi 3 Model B+", "4", "0"), ARM_4),
        ("sbc-bench", "results/1isD.txt", "results/3Gia.txt")),
    "odroid-n2-plus": board(
        "raspberry-pi-4", TfLite("Odroid N2+", "Raspberry Pi 4 Model B", TFLITE),
        ("sbc-bench", "results/4rWn.txt", "results/3Gia.txt"), source="mlcommons/inference_results_v2.0:closed/Krai"),
    "arduino-uno-q": board(
        "raspberry-pi-4", Ncnn(("Arduino UNO Q", "4", "0"), ARM_4), ("review", "Arduino Uno Q", PI_4)),
    "visionfive-2": board(
        "raspberry-pi-4", Ncnn(("VisionFive2", "4", "0"), ARM_4),
        ("sbc-bench", "results/4xOY.txt", "results/3Gia.txt"),
        doubt="PyTorch has fewer kernels of its own for RISC-V than ncnn has"),
    "orange-pi-cm4": board(
        "raspberry-pi-5", Ncnn(("OrangePicm4", "4", "0"), ARM_5, SERIES),
        ("review", "Orange Pi Compute Module 4", "Raspberry Pi 5 model B"),
        doubt="by Linpack it is another 2 times slower"),
    "orange-pi-5": board(
        "raspberry-pi-5", Ncnn(("OrangePi5, Rockchip RK3588s", "4", "2"), ARM_5, SERIES),
        ("review", "Orange Pi 5", "Raspberry Pi 5 model B"), doubt="by Linpack it is 1.4 times faster"),
    "lattepanda-mu": computer("LattePanda Mu"),
    "laptop": computer("Framework 13 AMD"),
    "macbook-neo": computer("MacBook Neo", "its matrix unit may serve products faster"),
    "mac-mini-m4": computer("Apple Mac mini M4", "its Linpack ran in Docker"),
    "framework-desktop": computer("Framework Desktop Mainboard"),
    "edge-server": computer("Intel Core Ultra 7 265K"),
    "google-pixel": scored("Google Pixel"),
    "google-pixel-3": scored("Google Pixel 3"),
    "google-pixel-3a": scored("Google Pixel 3a"),
    "xiaomi-redmi-note-7": scored("Xiaomi Redmi Note 7"),
    "google-pixel-5": phone(
        Ncnn(("Qualcomm SDM765G", "4", "2"), ("Qualcomm SM8150-AC", "4", "2")), NCNN_REPO,
        doubt="over a Snapdragon 855+, whose fastest core has 4 % more clock than the Mi 9's"),
    "google-pixel-6": phone(
        Given(2 * 2.802 * 32 + 2 * 2.253 * 16, 161.6, "GFLOP/s of the four fastest cores: 2 X1 and 2 A76, by clock"),
        CLOCKS, quality=PEAK, doubt="the clocks are read there, the FLOP per cycle are Arm's"),
    "jetson-tx2-nx": Like(
        "jetson-nano", INFERENCE, Ncnn(("NVIDIA Jetson TX2 NX", "6", "GPU"), NANO, HEAVY),
        Ncnn(("NVIDIA Jetson TX2 NX", "6", "GPU"), NANO, LIGHT),
        Ncnn(("NVIDIA Jetson TX2 NX", "1", "0"), ("NVIDIA Jetson Nano", "1", "0")), NCNN_REPO, 2022),
    "jetson-agx-xavier": jetson(("v1.1", "AGX_Xavier_TRT"), "results/4ebH.txt", "v1.1"),
    "jetson-orin-nano": graphics(
        "NVIDIA Jetson Orin Nano", 68.0,
        calls=Cells("sbc-bench", "sevenzip_single_mips", "results/4vy7.txt", "results/4rLX.txt"), doubt=TENSOR),
    "jetson-orin-nx": jetson(("v3.0", "Orin_NX_TRT"), "results/87lq.txt"),
    "jetson-agx-orin": jetson(("v2.0", "Orin_TRT"), "results/4ax9.txt"),
    "nvidia-t4": graphics("NVIDIA Tesla T4 16GB", 320.0, calls=LAUNCH),
    "nvidia-rtx-4090": graphics("NVIDIA RTX 4090 24GB", 1008.0, calls=LAUNCH, doubt=TENSOR),
    "nvidia-a100": graphics("NVIDIA A100 40GB", 1555.0, calls=LAUNCH, doubt=TENSOR),
}  # fmt: skip
