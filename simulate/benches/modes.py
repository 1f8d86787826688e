"""What each way to run a job costs: `python -m simulate bench modes`.

One real worker process on a private server, one way after the other, all of them several times in turn, so that what
else the machine does meets all alike; the median counts. The jobs do nothing but look at the clock: what is measured is
the way, and nothing of an application. Its own imports and memory come on top.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from minique.clock import SystemClock
from minique.connect import connect
from minique.loop import sleep_until
from simulate.benches.noop import noop
from simulate.benches.server import REPOSITORY, Advance, BenchError, bench, wait_until
from simulate.words import duration

DEFAULT_JOBS, DEFAULT_ROUNDS = 1000, 3
LEAST_JOBS = 3
SETTLE_EVERY_SECONDS, SETTLE_AT_MOST = 0.1, 50
STOP_SECONDS = 10.0

_clock = SystemClock()

YES, NO, PARTLY = "yes", "no", "partly"

ISOLATES = ("memory that leaks", "global state", "a crash", "os._exit", "timeouts enforced", "threads in the parent")
"""What a way may keep from doing harm, or make possible."""


class Way(NamedTuple):
    name: str
    mode: str
    jobs_per_child: int | None
    share: float
    """Of the jobs of the fastest way: a slow one has fewer, so that all take about as long."""
    isolates: tuple[str, ...]
    """An answer to each of the above."""


WAYS = (
    Way("fork 1", "fork", 1, 0.15, (YES, YES, YES, YES, YES, NO)),
    Way("fork 10", "fork", 10, 0.4, (PARTLY, PARTLY, YES, YES, YES, NO)),
    Way("fork 100", "fork", 100, 0.6, (PARTLY, PARTLY, YES, YES, YES, NO)),
    Way("spawn 1", "spawn", 1, 0.006, (YES, YES, YES, YES, YES, YES)),
    Way("spawn 100", "spawn", 100, 0.25, (PARTLY, PARTLY, YES, YES, YES, YES)),
    Way("in-line", "inline", None, 1.0, (NO, NO, NO, NO, NO, YES)),
)


@dataclass(frozen=True)
class Run:
    """One worker, from its start to its end."""

    jobs: int
    per_second: float
    """From the first job's beginning to the last one's."""
    hand_over_p50: float
    """Milliseconds from the claim's answer to the beginning of perform."""
    hand_over_p99: float
    start_seconds: float
    """From the start of the command to the beginning of its first job."""
    worker_rss: float | None
    """Megabytes, as are the next three, when all is done and the next child waits; None where nobody says."""
    worker_pss: float | None
    child_rss: float | None
    child_pss: float | None


@dataclass(frozen=True)
class Measured:
    """One way: the median of each number over all rounds."""

    name: str
    mode: str
    jobs_per_child: int | None
    isolates: dict[str, str]
    median: Run
    runs: list[Run]


@dataclass(frozen=True)
class Result:
    rounds: int
    jobs: int
    ways: list[Measured] = field(default_factory=list)
    machine: dict[str, object] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"


def number_of(way: Way, jobs: int) -> int:
    return max(LEAST_JOBS, round(jobs * way.share))


def work(jobs: int, rounds: int) -> int:
    """How many jobs that will be, for a progress bar."""
    return rounds * sum(number_of(way, jobs) for way in WAYS)


def modes(jobs: int, rounds: int, advance: Advance = lambda jobs: None) -> Result:
    """Measure every way; `advance` is told how many jobs are done. Raises BenchError."""
    runs: dict[str, list[Run]] = {way.name: [] for way in WAYS}
    done = 0
    with bench() as here:
        for turn in range(rounds):
            for way in WAYS:
                namespace = f"modes-{turn}-{len(runs[way.name])}-{WAYS.index(way)}"
                number = number_of(way, jobs)
                runs[way.name].append(_run(here.url, namespace, way, number, partial(_add, advance, done)))
                done += number
        return Result(rounds, jobs, [_summed_up(way, runs[way.name]) for way in WAYS], here.about())


def _add(advance: Advance, before: int, jobs: int) -> None:
    advance(before + jobs)


def _summed_up(way: Way, runs: list[Run]) -> Measured:
    middle: dict[str, Any] = {}
    for name in asdict(runs[0]):
        values = [getattr(run, name) for run in runs if getattr(run, name) is not None]
        middle[name] = round(median(values), 3) if values else None
    isolates = dict(zip(ISOLATES, way.isolates, strict=True))
    return Measured(way.name, way.mode, way.jobs_per_child, isolates, Run(**middle), runs)


def _run(url: str, namespace: str, way: Way, jobs: int, advance: Callable[[int], None]) -> Run:
    with tempfile.TemporaryDirectory(prefix="minique-modes-") as folder, connect(url, namespace) as mq:
        handles = mq.enqueue_many(noop, [()] * jobs)
        notes = Path(folder) / "claimed.json"
        asked = f"{url!r}, {namespace!r}, {way.mode!r}, {way.jobs_per_child!r}, {str(notes)!r}"
        words = [sys.executable, "-c", f"from simulate.benches.measured import serve; serve({asked})"]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        started_at = _clock.elapsed()
        worker = subprocess.Popen(words, env=environment, cwd=REPOSITORY)
        try:

            def is_done() -> bool:
                if worker.poll() is not None:
                    raise BenchError("the worker ended before its time; what it wrote to stderr says why")
                completed = mq.overview().stats.get("complete", 0)
                advance(completed)
                return completed >= jobs

            wait_until(is_done, f"not all of {jobs:,} jobs came to an end")
            memory = _settled(worker.pid)
            worker.terminate()
            if worker.wait(STOP_SECONDS) != 0:
                raise BenchError("the worker did not stop as it should; what it wrote to stderr says why")
        finally:
            worker.kill()
            worker.wait()
        began = {handle.id: float(handle.result(timeout=0)) for handle in handles}
        claimed = dict(json.loads(notes.read_text(encoding="utf-8"))["claimed"])
        completed = mq.overview().stats.get("complete")
        if completed != jobs or set(claimed) != set(began) or len(began) != jobs:
            raise BenchError(f"{jobs:,} jobs: {completed} completed, {len(claimed):,} claimed, {len(began):,} began")
    return _figures(began, claimed, started_at, memory)


Memory = tuple[float | None, float | None]


def _figures(began: dict[str, float], claimed: dict[str, float], started_at: float, memory: list[Memory]) -> Run:
    order = sorted(began, key=lambda id: began[id])
    hand_overs, before = [], 0.0
    for id in order:
        # In-line several are claimed at a time, and a job's turn comes when the one before it has had its own.
        hand_overs.append(began[id] - max(claimed[id], before))
        before = began[id]
    if min(hand_overs) < 0:
        raise BenchError("a job began before it was claimed")
    p50, p99 = (float(value) * 1e3 for value in np.percentile(hand_overs, (50, 99)))
    first, last = began[order[0]], began[order[-1]]
    worker, child, *_ = [*memory, (None, None), (None, None)]
    return Run(len(order), (len(order) - 1) / (last - first), p50, p99, first - started_at, *worker, *child)


def _settled(worker: int) -> list[Memory]:
    """The memory of a worker and of its child, once a child that was just started has come to rest."""
    before: list[Memory] = []
    for _ in range(SETTLE_AT_MOST):
        now = [_memory(pid) for pid in (worker, *_children(worker))]
        if now == before:
            break
        before = now
        sleep_until(SETTLE_EVERY_SECONDS)
    return before


def _children(parent: int) -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()][-1:]
    except OSError:
        return []


def _memory(pid: int) -> Memory:
    """Resident memory and the process's fair part of what it shares, in megabytes."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None, None
    found = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.endswith("kB")}
    return round(found["Rss"], 2), round(found["Pss"], 2)


# What is printed.


def report(console: Console, result: Result, data: Path) -> None:
    costs = Table(title="Jobs that do nothing, by one worker", title_justify="left", title_style="bold")
    for name in ("", "jobs per s", "hand-over p50", "p99", "start", "worker RSS / PSS", "child RSS / PSS"):
        costs.add_column(name, justify="right" if name else "left")
    for way in result.ways:
        run = way.median
        costs.add_row(
            way.name,
            f"{run.per_second:,.0f}" if run.per_second >= 10 else f"{run.per_second:.1f}",
            duration(run.hand_over_p50 / 1e3),
            duration(run.hand_over_p99 / 1e3),
            duration(run.start_seconds),
            _megabytes(run.worker_rss, run.worker_pss),
            _megabytes(run.child_rss, run.child_pss),
        )
    console.print()
    console.print(costs)
    keeps = Table(title="What each isolates", title_justify="left", title_style="bold")
    for name in ("", *ISOLATES):
        keeps.add_column(name)
    for way in result.ways:
        keeps.add_row(way.name, *way.isolates.values())
    console.print()
    console.print(keeps)
    console.print(
        "[bold]Hand-over[/]: from the answer to the claim to the beginning of perform. [bold]Start[/]: from the "
        "command to its first job. [bold]The number[/] is of jobs per child. [bold]RSS / PSS[/]: "
        "resident memory in MB, and the part of it that is left when what several processes share is divided among "
        "them. [bold]partly[/]: up to the end of the child. "
        f"Medians of {result.rounds} rounds, all ways in turn."
    )
    console.print("[bold]Here[/]: " + escape(", ".join(f"{name} {value}" for name, value in result.machine.items())))
    console.print()
    console.print(f"JSON: {escape(str(data))}", soft_wrap=True)


def _megabytes(rss: float | None, pss: float | None) -> str:
    return "-" if rss is None or pss is None else f"{rss:.0f} / {pss:.0f}"
