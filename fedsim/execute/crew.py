"""Who runs the jobs: this process, or worker processes that share the cache with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from fedsim.errors import RunError, WorkerDied
from fedsim.execute.cache import MISSING, Cache
from fedsim.execute.codec import map_tensors, nbytes, pack
from fedsim.execute.costs import Sources
from fedsim.execute.graph import resolve
from fedsim.work import Ref

_MEMORY_BYTES = 1 << 29
_DEATHS_ALLOWED = 3
_PRELOADED = (__name__, "torch._dynamo")  # once for the workers of all runs: seconds each, the latter by any optimiser


class Gone(RunError):
    """A stored value was evicted, or its file spoilt, after it had been seen."""


class Memory:
    """The values that this process has at hand: sources, and what it used last from the cache."""

    def __init__(self, sources: Sources, cache: Cache) -> None:
        self.sources, self.cache = sources, cache
        self._held: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    def value(self, ref: Ref) -> Any:
        """Return the value of a source, or of a job that has been run."""
        if ref.kind is None and ref.inputs:
            return self.sources.value(ref)
        if ref.key in self._held:
            self._held.move_to_end(ref.key)
            return self._held[ref.key][0]
        value = self.cache.get(ref.key)
        if value is MISSING:
            raise Gone(f"the value of {ref!r} was in the cache and is gone: raise $FEDSIM_CACHE_BYTES, or run again")
        return self.hold(ref.key, value)

    def hold(self, key: str, value: Any) -> Any:
        """Keep *value* at hand, letting go of what was used longest ago."""
        size = nbytes(pack(value, fresh=False)[0])
        self._bytes -= self._held.pop(key, (None, 0))[1]
        self._held[key] = value, size
        self._bytes += size
        while self._bytes > _MEMORY_BYTES and len(self._held) > 1:
            _, (_, freed) = self._held.popitem(last=False)
            self._bytes -= freed
        return value


def perform(ref: Ref, memory: Memory, device: str) -> None:
    """Run the job behind *ref* on *device* with randomness from its own seed, and store its value."""
    assert ref.kind is not None, f"{ref!r} is neither a job nor at hand"
    with torch.random.fork_rng(devices=[]), torch.device(device):
        torch.manual_seed(int(dict(ref.params).get("seed", 0)))
        inputs = resolve(ref.inputs, memory.value)
        params = {name: resolve(value, memory.value) for name, value in ref.params}
        if device != "cpu":
            inputs, params = map_tensors((inputs, params), device)
        try:
            value = ref.kind.value(*inputs, **params)
        except Exception as error:
            error.add_note(f"while computing {ref!r} with {params}"[:500])
            raise
    memory.hold(ref.key, memory.cache.put(ref, value))


class Alone:
    """Runs jobs in this process, one after another, on one thread."""

    def __init__(self, memory: Memory, device: str) -> None:
        self._memory, self._device = memory, device
        self._threads = torch.get_num_threads()
        torch.set_num_threads(1)

    def run(self, jobs: Sequence[Ref], finished: Callable[[Ref], None]) -> None:
        for ref in jobs:
            perform(ref, self._memory, self._device)
            finished(ref)

    def close(self) -> None:
        """Give the caller's threads back."""
        torch.set_num_threads(self._threads)


@dataclass(frozen=True, slots=True)
class Workplace:
    """What a worker process needs to start: the cache's place, the sources, the device."""

    root: Path
    env: str
    budget_bytes: int
    sources: Sources
    device: str


class Workers:
    """Runs jobs in worker processes as their inputs become ready; values travel by the cache."""

    def __init__(self, workplace: Workplace, workers: int) -> None:
        self._workplace, self._workers = workplace, workers
        self._deaths: Counter[str] = Counter()
        self._pool: ProcessPoolExecutor | None = None

    def run(self, jobs: Sequence[Ref], finished: Callable[[Ref], None]) -> None:
        waiting = _Waiting(jobs)
        running: dict[Future[None], Ref] = {}
        while waiting or running:
            for ref in waiting.take(2 * self._workers - len(running)):
                running[self._submit(ref)] = ref
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            died = [running[future] for future in done if isinstance(future.exception(), BrokenProcessPool)]
            if died:
                self._bury(died + [ref for future, ref in running.items() if future not in done])
                waiting.again(self._finish_rest(running, finished, waiting))
                running.clear()
                continue
            for future in done:
                future.result()
                ref = running.pop(future)
                waiting.finish(ref)
                finished(ref)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def _submit(self, ref: Ref) -> Future[None]:
        if self._pool is None:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["__main__", *_PRELOADED, type(self._workplace.sources).__module__])
            self._pool = ProcessPoolExecutor(self._workers, context, _start, (self._workplace,))
        try:
            return self._pool.submit(_work, _light(ref))
        except BrokenProcessPool as error:
            failed: Future[None] = Future()
            failed.set_exception(error)
            return failed

    def _bury(self, refs: Sequence[Ref]) -> None:
        """Count what the dead worker may have been doing; give up on a job that kills again and again."""
        self.close()
        for ref in refs:
            self._deaths[ref.key] += 1
            if self._deaths[ref.key] >= _DEATHS_ALLOWED:
                raise WorkerDied(
                    f"a worker process died {_DEATHS_ALLOWED} times while {ref!r} was being computed (out of "
                    f"memory?): use fewer --workers or a smaller model; what was computed is kept"
                )

    def _finish_rest(
        self, running: dict[Future[None], Ref], finished: Callable[[Ref], None], waiting: _Waiting
    ) -> list[Ref]:
        """Take in what did finish beside a dead worker, and return what did not."""
        lost = []
        for future, ref in running.items():
            if future.done() and future.exception() is None:
                waiting.finish(ref)
                finished(ref)
            else:
                lost.append(ref)
        return lost


class _Waiting:
    """Jobs that wait for their inputs, handed out in order as they become ready."""

    def __init__(self, jobs: Sequence[Ref]) -> None:
        keys = {ref.key for ref in jobs}
        self._needs = {ref.key: {p.key for p in ref.parents()} & keys for ref in jobs}
        self._jobs = {ref.key: ref for ref in jobs}
        self._users: dict[str, list[str]] = {}
        for key, needs in self._needs.items():
            for need in needs:
                self._users.setdefault(need, []).append(key)
        self._ready = [key for key in self._jobs if not self._needs[key]]
        self._left = len(self._jobs)

    def __bool__(self) -> bool:
        return self._left > 0

    def take(self, count: int) -> list[Ref]:
        taken, self._ready = self._ready[: max(count, 0)], self._ready[max(count, 0) :]
        self._left -= len(taken)
        return [self._jobs[key] for key in taken]

    def again(self, refs: Sequence[Ref]) -> None:
        self._ready = [ref.key for ref in refs] + self._ready
        self._left += len(refs)

    def finish(self, ref: Ref) -> None:
        for user in self._users.get(ref.key, ()):
            self._needs[user].discard(ref.key)
            if not self._needs[user]:
                self._ready.append(user)


def _light(ref: Ref) -> Ref:
    """Return *ref* with inputs that name stored values, without the recipes behind them."""

    def name_only(tree: Any) -> Any:
        if isinstance(tree, Ref):
            return tree if tree.kind is None else Ref(tree.key)
        return tuple(name_only(item) for item in tree) if isinstance(tree, tuple) else tree

    return Ref(ref.key, ref.kind, name_only(ref.inputs), name_only(ref.params))


_DESK: dict[str, tuple[Memory, str]] = {}  # of a worker process: set once when it starts


def _start(workplace: Workplace) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    torch.set_num_threads(1)
    cache = Cache(workplace.root, env=workplace.env, budget_bytes=workplace.budget_bytes)
    _DESK["desk"] = Memory(workplace.sources, cache), workplace.device


def _leave_with(parent: BaseProcess) -> None:
    """Follow a parent that was killed, so that no worker is left behind."""
    parent.join()
    os._exit(1)


def _work(ref: Ref) -> None:
    memory, device = _DESK["desk"]
    perform(ref, memory, device)
