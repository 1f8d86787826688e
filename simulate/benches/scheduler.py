"""How late a real scheduler is, on a real server: `python -m simulate bench scheduler`.

A private server is started in a temporary folder (append-only file on, flushed each second), and real scheduler
processes beside it. This process plays the waiting worker: it listens to the bell, claims, and looks at the clock when
it has the job in its hand. So *lateness* is from the moment for which a job was planned to the moment at which an idle
worker holds it: the scheduler's rest, its trip, and the worker's wake-up together. All clocks are one machine's.

Beside minique's scheduler stands the same code driven as its neighbours are: it looks each second, or each five.

What is not measured: a network, several machines, and a machine on which nothing else runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from random import Random

import numpy as np

from minique.call import read_call, write_call
from minique.client import Client
from minique.clock import SystemClock
from minique.connect import connect
from minique.events import Events
from minique.loop import hear, run, sleep_until
from minique.schedule import Entry
from minique.scheduler import Scheduler
from minique.store import CLAIM_LIMIT, Claim, Complete, Delay, Finished
from simulate.benches.server import (
    LOOK_EVERY_SECONDS,
    PATIENCE_SECONDS,
    REPOSITORY,
    Advance,
    BenchError,
    bench,
    info,
    wait_until,
)

PERCENTILES = (50.0, 90.0, 99.0)
POLLS = (1.0, 5.0)
"""How often the neighbours look, in seconds."""
DELAYS_AT_ONCE = 500
LEASE_SECONDS = 60.0
QUEUE = "bench"
ENTRIES = 20

_clock = SystemClock()


@dataclass(frozen=True)
class Lateness:
    """Milliseconds from planned to held by a worker."""

    jobs: int
    p50: float
    p90: float
    p99: float
    max: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Lateness:
        p50, p90, p99 = (round(float(value) * 1e3, 3) for value in np.percentile(seconds, PERCENTILES))
        return cls(len(seconds), p50, p90, p99, round(max(seconds) * 1e3, 3))


@dataclass(frozen=True)
class Driven:
    """One way to drive a scheduler."""

    name: str
    promoting: Lateness
    firing: Lateness
    idle_calls_per_second: float
    """What it asks of the server when nothing is delayed."""


@dataclass(frozen=True)
class Backlog:
    schedulers: int
    jobs: int
    seconds: float
    per_second: float


@dataclass(frozen=True)
class Result:
    rate: float
    seconds: float
    entries: int
    driven: list[Driven] = field(default_factory=list)
    backlogs: list[Backlog] = field(default_factory=list)
    machine: dict[str, object] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"


def measure(
    rate: float,
    seconds: float,
    backlog: int,
    schedulers: Sequence[int],
    polls: Sequence[float] = POLLS,
    advance: Advance = lambda jobs: None,
) -> Result:
    """Measure everything; `advance` is told how many jobs are done. Raises BenchError."""
    with bench() as server:
        count, here = _Count(advance), _Measured(server.url)
        result = Result(rate, seconds, ENTRIES, machine=server.about())
        for every in (None, *polls):
            result.driven.append(
                Driven(
                    "minique" if every is None else f"polling each {every:g} s",
                    here.promoting(every, rate, max(seconds, 2 * (every or 0.0)), count),
                    here.firing(every, max(seconds, 2 * (every or 0.0)), count),
                    here.idle(every, max(2 * seconds, 2 * (every or 0.0))),
                )
            )
        for number in schedulers:
            result.backlogs.append(here.backlog(number, backlog, count))
        return result


def work(rate: float, seconds: float, backlog: int, schedulers: Sequence[int], polls: Sequence[float] = POLLS) -> int:
    """How many jobs that will be, for a progress bar."""
    runs = [max(seconds, 2 * every) for every in (0.0, *polls)]
    return sum(_number(rate, run) + _number(1.0, run) * ENTRIES for run in runs) + backlog * len(schedulers)


class _Count:
    def __init__(self, advance: Advance) -> None:
        self._advance, self._done = advance, 0

    def add(self, jobs: int) -> None:
        self._done += jobs
        self._advance(self._done)


class _Measured:
    def __init__(self, url: str) -> None:
        self.url = url
        self._runs = 0

    # The parts.

    @contextlib.contextmanager
    def _namespace(self) -> Iterator[Client]:
        """A client in a namespace of its own."""
        self._runs += 1
        with connect(self.url, f"bench-{self._runs}") as mq:
            yield mq
            mq.store.server.call_one("FLUSHALL")  # type: ignore[attr-defined]

    @contextlib.contextmanager
    def _running(self, mq: Client, every: float | None, number: int = 1, listed: int = 1) -> Iterator[None]:
        """Scheduler processes; `listed` of them must have given a sign of life first."""
        namespace = f"bench-{self._runs}"
        words = ["-m", "minique", "scheduler", "--quiet", "--url", self.url, "--namespace", namespace]
        if every is not None:
            words = ["-c", f"from simulate.benches.scheduler import poll; poll({self.url!r}, {namespace!r}, {every!r})"]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        started: list[subprocess.Popen[bytes]] = []
        try:
            for _ in range(number):
                started.append(subprocess.Popen([sys.executable, *words], env=environment, cwd=REPOSITORY))
            wait_until(lambda: len(mq.overview().workers) >= listed, "a scheduler did not start")
            yield
            if any(one.poll() is not None for one in started):
                raise BenchError("a scheduler ended before its time; what it wrote to stderr says why")
        finally:
            for one in started:
                one.kill()
            for one in started:
                one.wait()

    # What is measured.

    def promoting(self, every: float | None, rate: float, seconds: float, count: _Count) -> Lateness:
        """So many jobs become due each second, evenly, for so many seconds."""
        jobs = _number(rate, seconds)
        with self._namespace() as mq, self._running(mq, every):
            begin = _clock.wall() + 1.0 + jobs / 5_000
            dues = {mq.new_id(): begin + n / rate for n in range(jobs)}
            self._delay(mq, list(dues.items()))
            if _clock.wall() > begin:
                raise BenchError("the jobs were due before all were stored: this machine is too busy")
            late: dict[str, float] = {}

            def take(id: str, body: str, now: float) -> None:
                late[id] = now - dues[id]

            self._serve(mq, take, lambda: len(late) >= jobs, begin + seconds, count)
            return self._balanced(mq, list(late.values()), "promote", jobs)

    def firing(self, every: float | None, seconds: float, count: _Count) -> Lateness:
        """Recurring entries of one second, all with the same slots."""
        with self._namespace() as mq, self._running(mq, every):
            names = [f"entry {n}" for n in range(ENTRIES)]
            for name in names:
                mq.schedules.put(Entry(name, "bench", every_seconds=1.0, queue=QUEUE, args=(name,), catch_up="all"))
            first = int(_clock.wall()) + 2
            wanted = {(name, float(first + n)) for name in names for n in range(_number(1.0, seconds))}
            late: dict[tuple[str, float], float] = {}
            seen: list[tuple[str, float]] = []

            def take(id: str, body: str, now: float) -> None:
                call = read_call(body)
                if call.slot is None:
                    raise BenchError("a recurring job without its planned time")
                slot = (str(call.args[0]), call.slot)
                seen.append(slot)
                if slot in wanted:
                    late[slot] = now - call.slot

            self._serve(mq, take, lambda: len(late) >= len(wanted), first + seconds, count)
            if len(seen) != len(set(seen)):
                raise BenchError("a slot was fired twice")
            return _whole(list(late.values()), len(wanted))

    def idle(self, every: float | None, seconds: float) -> float:
        """Calls per second of a scheduler that has nothing to do."""
        with self._namespace() as mq, self._running(mq, every):
            before, began = self._calls(mq), _clock.elapsed()
            sleep_until(seconds)
            after, ended = self._calls(mq), _clock.elapsed()
            return round((after - before) / (ended - began), 3)

    def backlog(self, schedulers: int, jobs: int, count: _Count) -> Backlog:
        """All is due already when the schedulers start; from the first that is promoted to the last."""
        with self._namespace() as mq:
            due = _clock.wall() - 1.0
            self._delay(mq, [(mq.new_id(), due + n / jobs) for n in range(jobs)])
            # The clock starts when the first sees the backlog; starting Python is no part of this.
            looks = [(_clock.elapsed(), jobs)]
            with self._running(mq, None, schedulers, listed=0):
                gives_up = _clock.elapsed() + PATIENCE_SECONDS + jobs / 1_000
                while (left := mq.overview().delayed) and _clock.elapsed() < gives_up:
                    count.add(looks[-1][1] - left)
                    now = _clock.elapsed()
                    looks = [(now, left)] if left == jobs else [*looks, (now, left)]
                    sleep_until(LOOK_EVERY_SECONDS)
                ended = _clock.elapsed()
            count.add(looks[-1][1] - left)
            seen = mq.overview()
            if left or seen.stats.get("promote") != jobs or sum(row.length for row in seen.queues) != jobs:
                raise BenchError(f"of {jobs:,} delayed jobs, {left:,} are left and {seen.stats} is what was counted")
            took = ended - looks[0][0]
            return Backlog(schedulers, jobs, round(took, 4), round(jobs / took, 1))

    # How.

    def _delay(self, mq: Client, jobs: Sequence[tuple[str, float]]) -> None:
        body = write_call("bench", (), {})
        for first in range(0, len(jobs), DELAYS_AT_ONCE):
            some = jobs[first : first + DELAYS_AT_ONCE]
            mq.store.trip([Delay(QUEUE, id, body, f"{due:.6f}") for id, due in some], "")

    def _serve(
        self,
        mq: Client,
        take: Callable[[str, str, float], None],
        is_done: Callable[[], bool],
        expected: float,
        count: _Count,
    ) -> None:
        """Be the waiting worker, as `worker.py` is: claim on the bell, finish with the next claim."""
        mq.store.beat("", "bench", QUEUE, "{}")
        finished: list[Complete] = []
        number = 0
        while True:
            claim = f"bench:{number}"
            claimed = mq.store.trip([*finished, _claim(claim)], "")[-1]
            now = _clock.wall()
            for one in claimed.jobs:
                take(one.id, one.record.partition("\n")[2], now)
            count.add(len(claimed.jobs))
            finished = [Complete(claim, [Finished(one.id, "null", 10, False) for one in claimed.jobs])]
            if is_done():
                mq.store.trip(finished, "")
                return
            if now > expected + PATIENCE_SECONDS:
                raise BenchError("jobs are missing long after their time")
            number += bool(claimed.jobs)
            if not claimed.jobs:
                finished = []
                hear(mq.store.listen(QUEUE, 1.0), 1.0)

    def _balanced(self, mq: Client, late: list[float], arrow: str, jobs: int) -> Lateness:
        if mq.overview().stats.get(arrow) != jobs:
            raise BenchError(f"{mq.overview().stats} is what the server counted; {jobs:,} were delayed")
        return _whole(late, jobs)

    def _calls(self, mq: Client) -> int:
        """Requests of clients, scripts counted as one each, without those of this measurement."""
        told = info(mq, "commandstats")
        names = ("cmdstat_evalsha", "cmdstat_blpop", "cmdstat_client|unblock")
        return sum(int(told[name].split("calls=")[1].split(",")[0]) for name in names if name in told)


def poll(url: str, namespace: str, every: float) -> None:
    """A scheduler as its neighbours are: it promotes all that is due, then sleeps for a fixed time."""
    with connect(url, namespace) as mq, contextlib.suppress(KeyboardInterrupt):
        part = Scheduler(mq.store, _clock, Events(), f"poll-{os.getpid()}")

        def wait(rest: float, bell: str | None) -> None:
            if rest:
                sleep_until(every)

        run(part, wait, lambda: False, Events(), Random(0))


def _number(rate: float, seconds: float) -> int:
    return max(1, round(rate * seconds))


def _claim(name: str) -> Claim:
    return Claim(name, QUEUE, CLAIM_LIMIT, LEASE_SECONDS)


def _whole(late: list[float], jobs: int) -> Lateness:
    if len(late) != jobs:
        raise BenchError(f"{len(late):,} jobs came of {jobs:,}")
    if min(late) < 0:
        raise BenchError(f"a job came {-min(late):.6f} s early")
    return Lateness.of(late)
