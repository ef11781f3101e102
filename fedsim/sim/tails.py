"""Radios that stay awake after a transfer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import simpy

from fedsim.sim.clock import Order, call_at

if TYPE_CHECKING:
    from fedsim.sim.task import Task


@dataclass(frozen=True, slots=True)
class _Tail:
    task: Task
    start_s: float


class Tails:
    """The tails under way, at most one a device; each belongs to the task whose transfer it follows.

    A tail ends with its last state, the device's next transfer, a dropout or the run. All but the second and the
    last are known from the start, so that it takes one alarm, no process, and delays nobody.
    """

    def __init__(self, env: simpy.Environment) -> None:
        self._env = env
        self._open: dict[int, _Tail] = {}

    def begin(self, task: Task, *, until_s: float) -> None:
        """Follow the transfer of *task* that has just ended, to *until_s* at the latest."""
        end_s = min(self._env.now + task.device.radio.tail_s, until_s)
        if end_s > self._env.now:
            tail = self._open[task.device.id] = _Tail(task, self._env.now)
            call_at(self._env, end_s, Order.DEADLINE, then=lambda: self._end(tail))

    def end(self, device: int) -> bool:
        """End the tail of *device* at this instant, and tell whether there was one."""
        awake = device in self._open
        if awake:
            self._end(self._open[device])
        return awake

    def close(self) -> None:
        """End what the end of the run cuts."""
        for tail in list(self._open.values()):
            self._end(tail)

    def _end(self, tail: _Tail) -> None:
        device = tail.task.device.id
        if self._open.get(device) is tail:
            del self._open[device]
            tail.task.note_tail(tail.start_s)
