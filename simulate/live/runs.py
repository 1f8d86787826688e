"""A load in reality: real processes, timed.

Reality is a private server with real `minique worker` processes, or the real naive daemon on a SQLite file; this
process plays the producer. Jobs sleep, or keep a processor busy, for their service time and say when they began and
ended. *Waiting* is from the moment for which an arrival was planned to the beginning of its work: a producer that comes
late makes the wait longer, not shorter.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minique.client import Client
from minique.clock import SystemClock
from minique.connect import connect
from minique.loop import sleep_until
from minique.reaper import REST_SECONDS
from minique.worker import BATCH_SECONDS
from naive_daemon.database import Database
from simulate import designs as ladder
from simulate.actors import World
from simulate.benches.server import LOOK_EVERY_SECONDS, REPOSITORY, BenchError
from simulate.costs import Costs
from simulate.designs.naive import Naive
from simulate.intervals import Numbers
from simulate.live import jobs as live_jobs
from simulate.live.jobs import WAYS as WAYS
from simulate.workload import Load, poisson_arrivals, service_times, stream

DESIGNS = ("minique", "inline", "naive")
LEAD_SECONDS = 0.5
"""Between the moment called zero and the first arrival."""
WARM_UP_JOBS, WARM_UP_SECONDS = 3, 0.02
START_SECONDS = 60.0
STOP_SECONDS = 5.0
PATIENCE_SECONDS = 60.0
FREE_AGAIN_SECONDS = 0.01
"""After a job's end its worker is surely waiting for the next."""
CLAIMED_WITH = 3
"""So many jobs are claimed with another at most, as far as we look: after two short ones in a row."""
LONGEST_SECONDS = 600.0
"""A load that would take longer is refused: somebody sits and waits."""
PAID = {"minique": ("hand_over", "end_of_child"), "inline": ("in_line", "end_in_line")}
"""What a worker pays for each job beside trips: before its beginning, and after its end."""
MEASURES = ("mean", "p50", "p90", "p99")
PERCENTILES = (50, 90, 99)

_clock = SystemClock()

Advance = Callable[[float], object]


class Steps(NamedTuple):
    """What was paid before each of these jobs, in seconds."""

    jobs: NDArray[np.int64]
    took: Numbers

    @classmethod
    def of(cls, found: dict[int, float]) -> Steps:
        return cls(np.array(list(found), dtype=np.int64), np.array(list(found.values()), dtype=np.float64))


@dataclass(frozen=True)
class Played:
    """What really happened to each job, in the order of arrival; seconds from the moment called zero."""

    arrived: Numbers
    """For when it was planned."""
    woke: Numbers
    """When the producer turned to it."""
    sent: Numbers
    """When the producer had handed it in."""
    began: Numbers
    ended: Numbers
    zero: float
    """On the clock of this machine."""
    ids: tuple[str, ...] = ()
    """Of jobs of minique."""
    doer: Numbers | None = None
    """Who did each: a number for each worker. None: one process did all."""

    @property
    def waiting(self) -> Numbers:
        return self.began - self.arrived

    def steps(self, after: float = 0.0) -> tuple[Steps, Steps]:
        """What was paid beside the work: from one job's end to the next one's beginning where that one was there
        already (after jobs that took at least so long), and from coming to beginning where its worker had nothing to
        do. All of the run.
        """
        between: dict[int, float] = {}
        alone: dict[int, float] = {}
        held = self.perhaps_held()
        for before, job in self.in_turn():
            if self.sent[job] <= self.ended[before]:
                if self.ended[before] - self.began[before] >= after and job not in held:
                    between[job] = float(self.began[job] - self.ended[before])
            elif self.woke[job] >= self.ended[before] + FREE_AGAIN_SECONDS:
                alone[job] = float(self.began[job] - self.woke[job])
        return Steps.of(between), Steps.of(alone)

    def in_turn(self) -> Iterator[tuple[int, int]]:
        """Each job that a worker did, and the next one that it did."""
        doer = np.zeros(len(self.began)) if self.doer is None else self.doer
        for one in np.unique(doer):
            mine = np.flatnonzero(doer == one)
            yield from pairwise(mine[np.argsort(self.began[mine])].tolist())

    def perhaps_held(self) -> set[int]:
        """Jobs that another worker may have claimed together with one of its own, and given back when that was slow:
        whoever began them did not find them ready at once. After a short job so many are claimed.
        """
        found = set()
        for before, job in self.in_turn():
            if self.ended[before] - self.began[before] < BATCH_SECONDS / 2 and self.sent[job] <= self.ended[before]:
                queued = (later for later in range(job + 1, len(self.sent)) if self.began[later] > self.began[job])
                for later in islice(queued, CLAIMED_WITH):
                    if self.sent[later] > self.began[job]:
                        break
                    found.add(later)
        return found

    @property
    def late(self) -> Numbers:
        """How late the producer turned to each."""
        return self.woke - self.arrived


# Real programs.


@contextlib.contextmanager
def programs(
    commands: Sequence[Sequence[str]], folder: Path, **environment: str
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Commands that run meanwhile; ended at the end, gently and then by force. Their stderr goes to `folder`."""
    started: list[subprocess.Popen[bytes]] = []
    told = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
    try:
        for number, words in enumerate(commands):
            with open(folder / f"stderr-{number}", "ab") as log:
                started.append(subprocess.Popen([sys.executable, *words], env=told, cwd=folder, stdout=log, stderr=log))
        yield started
    finally:
        for one in started:
            if one.poll() is None:
                one.send_signal(signal.SIGTERM)
        deadline = _clock.elapsed() + STOP_SECONDS
        for one in started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.wait(max(0.0, deadline - _clock.elapsed()))
            one.kill()
            one.wait()


def until(
    condition: Callable[[], object], otherwise: str, running: Sequence[subprocess.Popen[bytes]], folder: Path,
    seconds: float,
) -> None:  # fmt: skip
    """Wait for a condition. Raises BenchError when a program ends before that, or time runs out."""
    gives_up = _clock.elapsed() + seconds
    while not condition():
        ended = any(one.poll() is not None for one in running)
        if ended or _clock.elapsed() > gives_up:
            said = "".join(path.read_text(errors="backslashreplace") for path in sorted(folder.glob("stderr-*")))
            words = f"; what was said last: {said[-500:].strip()}" if said.strip() else ""
            raise BenchError(f"{'a program ended before its time' if ended else otherwise}{words}")
        sleep_until(LOOK_EVERY_SECONDS)


class Crew:
    """Workers of minique that wait for jobs."""

    def __init__(self, mq: Client, running: Sequence[subprocess.Popen[bytes]], folder: Path) -> None:
        self._mq, self._running, self._folder = mq, running, folder

    def wait(self, condition: Callable[[], object], otherwise: str, seconds: float) -> None:
        until(condition, otherwise, self._running, self._folder, seconds)

    def completed(self) -> int:
        return self._mq.overview().stats.get("complete", 0)

    def play(self, load: Load, way: str, advance: Advance = lambda jobs: None) -> Played:
        """Plays a load to its last end. Raises BenchError when a job fails, dies or does not come to an end."""
        mq, before = self._mq, self.completed()
        ids: list[str] = []

        def hand_in(job: int, seconds: float) -> None:
            ids.append(mq.enqueue(live_jobs.live, job, seconds, way).id)

        zero = _clock.elapsed() + LOOK_EVERY_SECONDS
        woke, sent = produce(zero, load, hand_in, advance)

        def is_over() -> bool:
            done = self.completed() - before
            advance(done)
            return done >= load.jobs

        self.wait(is_over, f"not all of {load.jobs:,} jobs came to an end", patience(load))
        began, ended, process, parent = np.array([mq.job(id).result(timeout=0) for id in ids], dtype=float).T
        wrong = {
            name: count for name, count in mq.overview().stats.items() if name in ("retry", "fail", "reap") and count
        }
        if wrong:
            raise BenchError(f"jobs failed or died, which none should: {wrong}")
        return Played(load.arrived, woke, sent, began - zero, ended - zero, zero, tuple(ids), doers(process, parent))


def doers(process: Numbers, parent: Numbers) -> Numbers:
    """Which worker did each job: this process's child, which is the job's own process or its parent."""
    return np.where(parent == os.getpid(), process, parent)


@contextlib.contextmanager
def crew(
    url: str, namespace: str, words: Sequence[str], workers: int, folder: Path, **environment: str
) -> Iterator[Crew]:  # fmt: skip
    """So many processes started with these words, which have done their first jobs."""
    with connect(url, namespace) as mq, programs([words] * workers, folder, **environment) as running:
        found = Crew(mq, running, folder)
        found.wait(lambda: len(mq.overview().workers) >= workers, "the workers did not start", START_SECONDS)
        jobs = WARM_UP_JOBS * workers
        mq.enqueue_many(live_jobs.live, [(-1, WARM_UP_SECONDS)] * jobs)
        found.wait(lambda: found.completed() >= jobs, "the first jobs did not come to an end", START_SECONDS)
        yield found


def worker_words(url: str, namespace: str, mode: str) -> list[str]:
    """The command of one worker of minique, after the name of Python."""
    words = ["-m", "minique", "worker", "--url", url, "--namespace", namespace, "--import", live_jobs.__name__]
    return [*words, "--queues", "live", "--mode", mode]


def play_minique(url: str, namespace: str, load: Load, workers: int, mode: str, way: str, advance: Advance) -> Played:
    """Plays the load against real workers of minique."""
    with _workers(url, namespace, workers, mode) as there:
        return there.play(load, way, advance)


@contextlib.contextmanager
def _workers(
    url: str, namespace: str, workers: int, mode: str, hand_over_longer: float = 0.0
) -> Iterator[Crew]:  # fmt: skip
    words = [*worker_words(url, namespace, mode), "--quiet"]
    told = {live_jobs.HANDING_OVER: repr(hand_over_longer)} if hand_over_longer else {}
    with (
        tempfile.TemporaryDirectory(prefix="minique-live-") as folder,
        crew(url, namespace, words, workers, Path(folder), **told) as there,
    ):
        yield there


def play_naive(load: Load, every: float, phase: float, way: str, advance: Advance) -> Played:
    """Plays the load against the real naive daemon, whose looks are `phase` after zero and each `every` from there."""
    with tempfile.TemporaryDirectory(prefix="minique-live-") as name:
        folder = Path(name)
        file, notes = folder / "rows.db", folder / "notes"
        notes.touch()
        words = ["-m", "naive_daemon", "run", "--database", str(file), "--every", repr(every)]
        words += ["--work", f"{live_jobs.__name__}:row"]
        with (
            contextlib.closing(Database(file)) as table,
            programs([words], folder, **{live_jobs.NOTES: str(notes)}) as running,
        ):

            def hand_in(job: int, seconds: float) -> None:
                table.add("live", [job, seconds, way], now=_clock.wall())

            def ended() -> int:
                return int(table.execute("SELECT count(*) FROM rows WHERE ended IS NOT NULL")[0][0])

            # The first look is not like the others: Python is still warming up. From the second on they are regular.
            for number in (1, 2):
                hand_in(-number, 0.0)

                def is_done(number: int = number) -> bool:
                    return ended() >= number

                until(is_done, "the daemon did nothing", running, folder, START_SECONDS + 2 * every)
            last = float(notes.read_text().splitlines()[-1].split()[2])
            zero = last + every - phase
            while zero + LEAD_SECONDS < _clock.elapsed():
                zero += every
            woke, sent = produce(zero, load, hand_in, advance)

            def is_over() -> bool:
                done = ended() - 2
                advance(done)
                return done >= load.jobs

            until(is_over, f"not all of {load.jobs:,} rows were done", running, folder, patience(load) + 2 * every)
            errors = table.execute("SELECT count(*), min(error) FROM rows WHERE state = 'error'")[0]
            if errors[0]:
                raise BenchError(f"{errors[0]} rows are marked as error, such as {errors[1]!r}")
        times = {int(n): (float(a), float(b)) for n, a, b in (line.split() for line in notes.read_text().splitlines())}
    began, finished = np.array([times[job] for job in range(load.jobs)]).T
    return Played(load.arrived, woke, sent, began - zero, finished - zero, zero)


def produce(
    zero: float, load: Load, hand_in: Callable[[int, float], None], advance: Advance
) -> tuple[Numbers, Numbers]:
    """Hands in every job at its moment, or at once if that has passed; answers when each was begun, and was done."""
    woke, sent = np.empty(load.jobs), np.empty(load.jobs)
    for job, (arrived, service) in enumerate(zip(load.arrived.tolist(), load.service.tolist(), strict=True)):
        live_jobs.wait_until(zero + arrived)
        woke[job] = _clock.elapsed() - zero
        hand_in(job, service)
        sent[job] = _clock.elapsed() - zero
        if job % 16 == 0:
            advance(job)
    return woke, sent


def patience(load: Load) -> float:
    """How long the rest may take once all have arrived: as if one process did it all, and a minute more."""
    return PATIENCE_SECONDS + 2 * float(load.service.sum())


# The same in virtual time.


def predict(name: str, load: Load, workers: int, costs: Costs, overshoot: float, every: float, seed: int) -> Numbers:
    """The waiting time of each job, simulated. Sleeps last longer than asked by `overshoot`: work, naps, producer."""
    # Real workers are all there before the first job comes; simulated ones come one by one at the beginning.
    later = overshoot + (0.0 if name == "naive" else 2 * REST_SECONDS)
    own = replace(load, arrived=load.arrived + later, service=load.service + overshoot)
    world = World(own, workers=workers, costs=costs, seed=seed)
    kind = ladder.find(name)
    design = Naive(world, every=every + overshoot) if issubclass(kind, Naive) else kind(world)
    try:
        world.run(design)
    finally:
        design.close()
    return world.ledger.column("first_start") - own.arrived + overshoot


def split(name: str, costs: Costs, least: float) -> tuple[float, float]:
    """What is in each step: a trip, and a hand-over or what a worker does for a job that it runs itself; neither longer
    than the least step allows. The sums are what matters.
    """
    trip = min(costs.round_trip, least / 2)
    return trip, min(getattr(costs, PAID[name][0]), least - trip)


def phase_of(every: float, overshoot: float, seed: int) -> float:
    """When the simulated daemon looks first."""
    return float(stream(seed, "start 0").random()) * (every + overshoot)


# The experiment.


@dataclass(frozen=True)
class Setting:
    """What is played. Times in seconds."""

    designs: tuple[str, ...] = DESIGNS
    workers: int = 4
    utilisations: tuple[float, ...] = (0.5, 0.9)
    service: float = 0.05  # mean
    variance: float = 1.0  # of the service times, over their squared mean
    seconds: float = 8.0  # for how long jobs arrive
    jobs: int = 0  # or so many, however long that takes
    every: float = 0.5  # the daemon sleeps
    hand_over_longer: float = 0.0  # until a worker's job begins
    way: str = "sleep"
    repeat: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.designs:
            if name not in DESIGNS:
                raise ValueError(f"{name!r} cannot be played live; known: {', '.join(DESIGNS)}")
        if not self.designs:
            raise ValueError(f"no designs; known: {', '.join(DESIGNS)}")
        for value in self.utilisations:
            if not 0 < value < 1:
                raise ValueError(f"a utilisation of {value:g} is not between 0 and 1: above that a backlog only grows")
        if self.variance < 0:
            raise ValueError(f"a variance of {self.variance:g} is below zero")


def overhead(design: str, costs: Costs) -> float:
    """What each job costs the process that does it, beside the work."""
    if design == "naive":
        return costs.commit
    each = costs.end_in_line + costs.in_line if design == "inline" else costs.end_of_child + costs.hand_over
    return costs.round_trip + each


def effective(design: str, load: Load, workers: int, costs: Costs, overshoot: float) -> float:
    """The share of its own processes that a design keeps busy with work and what belongs to it."""
    each = float(load.service.mean()) + overshoot + overhead(design, costs)
    span = load.span - float(load.arrived[0])
    return load.jobs * each / span / (1 if design == "naive" else workers) if span else float("inf")


def generated(setting: Setting, design: str, utilisation: float, costs: Costs, overshoot: float) -> Load:
    """Poisson arrivals that keep the design's own processes so busy, overhead included."""
    processes = 1 if design == "naive" else setting.workers
    rate = utilisation * processes / (setting.service + overshoot + overhead(design, costs))
    jobs = setting.jobs or max(10, round(rate * setting.seconds))
    if setting.variance == 0:
        service = service_times("fixed", setting.service, jobs, stream(setting.seed, "service"))
    elif setting.variance == 1:
        service = service_times("exponential", setting.service, jobs, stream(setting.seed, "service"))
    else:
        service = service_times(
            "lognormal", setting.service, jobs, stream(setting.seed, "service"), variation=setting.variance
        )
    # So few draws miss their mean, and with it the utilisation that was asked for.
    arrived = poisson_arrivals(rate, jobs, stream(setting.seed, "arrivals"))
    arrived = LEAD_SECONDS + arrived * (jobs / rate / arrived[-1])
    service = service * (setting.service / float(service.mean()))
    return Load(f"{utilisation:g}", f"Poisson arrivals, {rate:.3g} a second", arrived, service)


def shifted(load: Load) -> Load:
    """A trace as it is played: its first job comes a little after zero. Raises ValueError if it takes too long."""
    if load.span > LONGEST_SECONDS:
        raise ValueError(
            f"the load takes {load.span:,.0f} s to arrive, more than {LONGEST_SECONDS:g}; "
            "play it faster with --scale K, or only its beginning with --limit N"
        )
    return replace(load, arrived=load.arrived - load.arrived[0] + LEAD_SECONDS)


def summary(waiting: Numbers) -> dict[str, float]:
    """Mean and percentiles, in seconds."""
    values = np.percentile(waiting, PERCENTILES)
    return dict(zip(MEASURES, (float(waiting.mean()), *map(float, values)), strict=True))


def play(
    url: str, namespace: str, name: str, load: Load, setting: Setting, phase: float, advance: Advance
) -> Played:  # fmt: skip
    """Plays a load once, as the design of that name; the server is that of the URL. Raises BenchError."""
    with stage(url, namespace, name, setting, phase) as there:
        return there(load, advance)


@contextlib.contextmanager
def stage(
    url: str, namespace: str, name: str, setting: Setting, phase: float
) -> Iterator[Callable[[Load, Advance], Played]]:
    """Where several loads can be played one after another, by the same workers where there are any."""
    if name == "naive":
        yield lambda load, advance: play_naive(load, setting.every, phase, setting.way, advance)
    else:
        mode = "inline" if name == "inline" else "fork"
        with _workers(url, namespace, setting.workers, mode, setting.hand_over_longer) as there:
            yield lambda load, advance: there.play(load, setting.way, advance)
