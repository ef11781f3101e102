"""What each packaged link's variation rests on: rows of the summary, and sets of traces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

US = "network/cellular_us_saturated_1s.csv.gz"
LUMOS = "network/lumos5g_us_walk_drive_1s.csv.gz"
SPARK = "network/sparktraces_wifi_4g_eth_1s.csv.gz"
WALK = "energy/phone_5g_walk_power_rate_1s.csv.gz"
NORWAY = "network/norway_hsdpa_1s.csv.gz"
RACA = "network/raca5g_ireland_download_1s.csv.gz"
BEIJING = "network/wifi_beijing_indoor_1s.csv.gz"
STARLINK = "network/starlink_dish_history_1s.csv.gz"
NYU = "network/nyu_mets_lte_1s.csv.gz"
SIGCOMM = "SIGCOMM21-5G/artifact@35aaf2857550c7f4c736fe9b01e894253a777e4e"
MAHIMAHI = "ravinet/mahimahi@ae477d437615b972217498ba52be07db17a15618:traces/"
METS = "NYU-METS/Main@886c73b1398457ba5f87faefe7a9ea3755e713f7:Sample_Traces/"
OSLO = "confiwent/Real-world-bandwidth-traces@d28c4fd48d0e358db024cc0217b111c070815fa7:fcc_ori/cooked_traces/"
IRELAND = "uccmisl/5Gdataset@306d92eba81cb4f1195d8b8eba625666a02a10ec:5G-production-dataset.zip"
SOLIS = "GreenLv/Solis-WiFi-Trace@1f5ec3b61633cb5679f43ae90327ac48e829001c:traces/"
DISH = "NUWiNS/starlink-measurement@3c43c9d50e80724a61a87a0158f2109dce95a115:scripts/get_history.json"
LUMOS5G = f"{SIGCOMM}:Video-Streaming/Network-Traces/Lumous5G/"
SPARKTRACES = "hkust-spark/SparkTraces@35fd82ddfe3cb164a279af9ef2cb52ba736ea1f1"


Row = tuple[str, str, str]
"""technology, group and metric of a row of network_summary.csv"""


@dataclass(frozen=True)
class Set:
    """Traces of one kind: those rows of a file whose columns have the values *where*, and one column of rates."""

    title: str
    source: str
    year: int
    file: str
    column: str
    where: Mapping[str, str] = field(default_factory=dict)
    trace: str = "trace"

    def series(self, folder: Path) -> Iterator[pd.Series]:
        """Yield the rates of each trace, known ones only."""
        rows = pd.read_csv(folder / self.file, low_memory=False)
        for column, value in self.where.items():
            rows = rows[rows[column] == value]
        parts = rows.groupby(self.trace) if self.trace else [("", rows)]
        yield from (part[self.column].dropna() for _, part in parts if part[self.column].notna().sum() > 1)


@dataclass(frozen=True)
class Wanted:
    """Rows of the summary by direction and their year, sets of traces, and what is to be said of a direction."""

    rows: Mapping[str, Row]
    year: int
    sets: tuple[Set, ...]
    notes: Mapping[str, str] = field(default_factory=dict)


def both(technology: str, group: str) -> dict[str, Row]:
    """Return the rows of a group that has both directions."""
    return {way: (technology, group, f"{way}_mbps") for way in ("down", "up")}


def walk(title: str, radio: str, way: str) -> Set:
    """Return walks through Minneapolis with one radio."""
    where = {"radio_type_used": radio, "direction": f"{way}link"}
    told = f"{SIGCOMM}:Power-Model/MN-Wild/data-processed/merged-logs/"
    return Set(f"{title}, walking in Minneapolis, {way}", told, 2021, WALK, "iperf_mbps", where, "run")


def spark(title: str, name: str, year: int) -> Set:
    """Return one of the sets of SparkTraces."""
    return Set(title, f"{SPARKTRACES}:{name}/", year, SPARK, "mbps", {"set": name})


ERRANT = "Europe, MONROE speed tests (ERRANT sample)"
SEEN = "what a game stream saw, a lower bound: dips may be the game's own"
LINKS = {
    "lte": Wanted(
        both("LTE", ERRANT), 2020,
        (
            Set("LTE driving in the US, saturated, down", MAHIMAHI,
                2016, US, "down_mbps", {"technology": "LTE"}),
            Set("LTE driving in the US, saturated, up", MAHIMAHI,
                2016, US, "up_mbps", {"technology": "LTE"}),
            Set("LTE in New York transit", METS,
                2019, NYU, "down_mbps"),
            Set("LTE in Minneapolis (Lumos5G)", LUMOS5G,
                2021, LUMOS, "down_mbps", {"technology": "LTE"}),
            spark("LTE in Ghent", "PiTree/ghent", 2016),
        ),
    ),
    "hspa": Wanted(
        both("3G", ERRANT), 2020,
        (
            Set("HSDPA on commutes in Oslo", OSLO, 2013, NORWAY, "down_mbps"),
            Set("HSPA+ driving in Ireland", IRELAND, 2020, RACA, "down_mbps", {"mode": "HSPA+"}),
        ),
    ),
    "5g-low-band": Wanted(
        both("5G-NSA-Low-Band", "TMobile, single connection, servers all over the US"), 2021,
        (walk("T-Mobile 5G low band", "NSA+LTE", "down"), walk("T-Mobile 5G low band", "NSA+LTE", "up")),
    ),
    "5g-mmwave": Wanted(
        both("5G-NSA-mmWave", "Verizon, single connection, servers all over the US"), 2021,
        (
            Set("5G mmWave in Minneapolis (Lumos5G)", LUMOS5G,
                2021, LUMOS, "down_mbps", {"technology": "5G-mmWave"}),
            walk("Verizon 5G mmWave with LTE below it", "DEFAULT", "down"),
            walk("Verizon 5G mmWave with LTE below it", "DEFAULT", "up"),
        ),
    ),
    "wifi-home": Wanted(
        {
            "down": ("WiFi", "Zhuge office WiFi", "mbps"),
            "up": ("WiFi", "Beijing office, 802.11ac 5GHz, static", "tcp_mbps"),
        },
        2022,
        (
            spark("office WiFi", "Zhuge/office-wifi", 2022),
            Set("office WiFi, 802.11ac, client to server", SOLIS, 2021, BEIJING, "tcp_mbps", {"place": "office"}),
        ),
    ),
    "cable": Wanted(
        dict.fromkeys(("down", "up"), ("Ethernet/fixed", "cloud gaming users on cable (Hairpin)", "mbps")), 2023,
        (spark("cloud gaming on cable, down", "Hairpin/eth", 2023),),
        {"down": SEEN, "up": f"down's, since no set has the uplink; {SEEN}"},
    ),
    "satellite": Wanted(
        dict.fromkeys(("down", "up"), ("Starlink", "one dish, its own 1 s history buffer", "ping_drop_rate")), 2022,
        (
            Set("share of pings lost, one dish", DISH, 2022, STARLINK, "ping_drop_rate", trace=""),
        ),
        dict.fromkeys(("down", "up"), "derived: nominal less the share of pings lost; not in it: other users"),
    ),
}  # fmt: skip
