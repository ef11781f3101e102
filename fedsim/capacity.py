"""How much of a piece of work a device can carry: each of its resources over what the work needs of it."""

from __future__ import annotations

from dataclasses import dataclass

from fedsim.errors import InputError
from fedsim.fleet import Device
from fedsim.method import Context, Quote
from fedsim.work import Work


@dataclass(frozen=True, slots=True)
class Capacity:
    """Shares of a piece of work, each above 0 and at most 1; all are 1 if and only if the device carries all of it."""

    compute: float
    storage: float
    bandwidth: float

    @property
    def least(self) -> float:
        return min(self.compute, self.storage, self.bandwidth)


def capacity(device: Device, quote: Quote, budget_s: float) -> Capacity:
    """Return what share of the work behind *quote* the device can carry within *budget_s* seconds.

    With t the seconds that the link takes and c those of computing, the budget T is divided fairly: each may take half
    of it, and what the other leaves.

    * bandwidth = max(T / 2, T - c) / t
    * compute = max(T / 2, T - t) / c
    * storage = the lesser of RAM / peak memory and storage / (down_bytes + up_bytes): what came and what will go

    Each is cut to 1. Both of compute and bandwidth are 1 exactly where t + c <= T.
    """
    sending_s, computing_s = quote.transfer_s, quote.seconds - quote.transfer_s
    ram, disk = (device.memory_bytes, quote.memory_bytes), (device.storage_bytes, quote.down_bytes + quote.up_bytes)
    return Capacity(
        compute=_share(max(budget_s / 2, budget_s - sending_s), computing_s),
        storage=min(_share(*ram), _share(*disk)),
        bandwidth=_share(max(budget_s / 2, budget_s - computing_s), sending_s),
    )


def score(ctx: Context, device: Device, work: Work, *, budget_s: float) -> float:
    """Return the least of the device's shares of *work*, in *budget_s* seconds, or if that is 0 in the deadline."""
    return capacity(device, ctx.quote(device, work), limit_s(ctx, budget_s)).least


def limit_s(ctx: Context, given_s: float) -> float:
    """Return the seconds that a round may take: *given_s*, or if that is 0 the deadline; raises InputError."""
    if not given_s and ctx.deadline_s is None:
        raise InputError("devices are scored by the time of a round: set schedule.deadline or the option round_budget")
    return given_s or ctx.deadline_s or 0.0


def _share(has: float, needs: float) -> float:
    return 1.0 if needs <= has else has / needs
