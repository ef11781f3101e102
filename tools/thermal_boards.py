"""Which runs of sbc-bench tell the heat of which profile, and where its maker lets it throttle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PI_DOCS = "documentation/asciidoc/computers"
HEAT = f"raspberrypi/documentation@0456a78c93ba:{PI_DOCS}/raspberry-pi/frequency-management.adoc"
CLOCKS = f"raspberrypi/documentation@6e5f9446a0d9:{PI_DOCS}/config_txt/overclocking.adoc"
Told = tuple[str, str, int, str]  # value, source, year, note


@dataclass(frozen=True)
class Board:
    """A device of the series; *watts* is what it draws with all cores busy, by the nominal clock of the runs."""

    device: str
    watts: Mapping[str, float]
    limit_c: float
    resume_c: float
    speed: float
    limits: Told
    slows: Told
    note: str = ""


SQUARE = "power as the square of the clock, between a constant voltage and one that follows it: an assumption"
PI = (
    "progressively throttled between 80 and 85 C",
    HEAT,
    2023,
    "resume is assumed",
)


def least(clock: str) -> Told:
    """Return what is said of the lowest clock of a Raspberry Pi."""
    return f"arm_freq_min: {clock}", CLOCKS, 2023, SQUARE


def half(trip: str, source: str) -> tuple[Told, Told]:
    """Return what is said of a board whose kernel names the trip point."""
    slows = "half the clock", "assumed", 2026, SQUARE
    return (trip, source, 2025, "the passive trip point of the kernel and its hysteresis"), slows


BOARDS = {
    "raspberry-pi-3": Board(
        "Raspberry Pi 3 B+ (BCM2837B0)", {"normal": 5.6}, 60.0, 58.0, 0.857,
        (
            "1.4 to 1.2 GHz at the soft limit of 60 C", HEAT, 2023,
            "resume: in a run with the limit at 70 C it was back at 1.4 GHz within 1 to 2 K",
        ),
        ("1.2 of 1.4 GHz", HEAT, 2023, SQUARE),
        "they ran throttled; rates that were measured hot hold this already",
    ),
    "raspberry-pi-4": Board(
        "Raspberry Pi 4 B (BCM2711)", {"1500 MHz": 5.0, "1800 MHz": 5.71}, 80.0, 75.0, 0.667, PI,
        ("a step back from 1500 to 1000 MHz", HEAT, 2023, SQUARE),
    ),
    "raspberry-pi-5": Board(
        "Raspberry Pi 5 B (BCM2712)", {"2400 MHz": 7.44}, 80.0, 75.0, 0.625, PI, least("1500 of 2400 MHz")
    ),
    "raspberry-pi-zero-2w": Board(
        "Raspberry Pi Zero 2 (RP3A0)", {"1000 MHz": 2.6}, 80.0, 75.0, 0.6, PI, least("600 of 1000 MHz")
    ),
    "orange-pi-5": Board(
        "Orange Pi 5 (RK3588)", {"2400/1800 MHz": 10.0}, 85.0, 83.0, 0.5,
        *half("85 C, 2 K", "torvalds/linux@9554264e302c:arch/arm64/boot/dts/rockchip/rk3588-base.dtsi"),
    ),
    "odroid-n2-plus": Board(
        "ODROID-N2+ (Amlogic S922X)", {"2400/2015 MHz": 8.0}, 85.0, 83.0, 0.5,
        *half("85 C, 2 K", "torvalds/linux@7237cb3e1544:arch/arm64/boot/dts/amlogic/meson-g12-common.dtsi"),
    ),
}  # fmt: skip
