"""How fast, how cheap, how steady: `python -m simulate bench throughput`.

Each measurement is a process of its own (`players.py`) against a private server, pinned with it to one core unless said
otherwise, and repeated in rounds, all measurements in turn, so that what else the machine does meets all alike. The
median counts. Beside each stands a *limit* from the same rounds: bare commands through redis-py, bare fork and wait.

Since seconds on a shared machine lie, each rate stands beside the processor time that a job cost, on both sides, which
hardly depends on who else is there; `per job` counts round trips, commands (also those within scripts) and bytes.

What is not measured: a network, several machines, and jobs that do something.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import NamedTuple

from minique.wire import Server
from simulate.benches import meter
from simulate.benches.contenders import ENTRIES
from simulate.benches.meter import Figures
from simulate.benches.server import REPOSITORY, Advance, Bench, BenchError, bench

DEFAULT_JOBS, DEFAULT_ROUNDS = 20_000, 3
FULL, BOUNDED = 1_000_000, 50_000
PATIENCE_SECONDS = 120.0
PICKUPS, FORKS, IDLE_SECONDS = 100, 300, 4.0
GROWTH_JOBS = 5000
SLOW_JOBS, SLOW_SECONDS = 20, 0.05
FORK_LIFE = 100


class Play(NamedTuple):
    """One measurement: what it says of which parts, and how it is made."""

    name: str
    run: Callable[[Server, int], Figures]
    """Given the server and a core for both."""
    parts: dict[str, str]
    """A part of the report, and the figure that stands there: a prefix of rates, or one number."""
    is_limit: bool = False
    rounds: int | None = None
    """Where once is enough."""


class Part(NamedTuple):
    title: str
    unit: str
    less_is_better: bool = False
    one_core: bool = True


PARTS = {
    "drain": Part("Working off queued no-op jobs, one worker process in-line", "jobs/s"),
    "fork": Part("The same, a child for each job", "jobs/s"),
    "two": Part("The same, two worker processes, not pinned", "jobs/s", one_core=False),
    "one": Part("Enqueue one by one", "jobs/s"),
    "many": Part("Enqueue many", "jobs/s"),
    "p50": Part("Pickup by an idle worker, p50", "ms", less_is_better=True),
    "p99": Part("Pickup by an idle worker, p99", "ms", less_is_better=True),
    "idle trips": Part("Idle worker, round trips", "per second", less_is_better=True),
    "idle commands": Part("Idle worker, commands, also those within scripts", "per second", less_is_better=True),
    "idle client": Part("Idle worker, processor time", "ms per second", less_is_better=True),
    "idle server": Part("Idle worker, processor time of the server", "ms per second", less_is_better=True),
    "memory": Part("Server memory per queued job with one short argument", "B", less_is_better=True),
    "growth": Part("Working off beside much else, in-line", "jobs/s"),
    "hoarding": Part("Longest rest of one of two workers while slow jobs wait", "ms", less_is_better=True),
    "life": Part("Memory of a worker when all is done", "MB", less_is_better=True),
    "grown": Part("Memory that it grew after the first tenth of its jobs", "MB", less_is_better=True),
    "start": Part("Start", "ms", less_is_better=True),
}
_SCALE = {"ms": 1e3, "ms per second": 1e3}


@dataclass(frozen=True)
class Row:
    part: str
    name: str
    unit: str
    value: float
    """The median."""
    runs: list[float]
    of_limit: float | None = None
    """Over the limit's value, of the same part."""
    client_microseconds: float | None = None
    """Per job, as are those below."""
    server_microseconds: float | None = None
    trips: float | None = None
    commands: float | None = None
    bytes: float | None = None


@dataclass(frozen=True)
class Result:
    jobs: int
    rounds: int
    rows: list[Row] = field(default_factory=list)
    survival: list[dict[str, object]] = field(default_factory=list)
    """What became of jobs whose workers were killed: rows of `neighbours.py`."""
    configurations: dict[str, dict[str, str]] = field(default_factory=dict)
    machine: dict[str, object] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"


# What is measured.


def plays(jobs: int, full: bool, against: Sequence[str] = ()) -> list[Play]:
    """All measurements, in their order within a round."""
    ones = max(1, jobs // 10)
    forks = min(FORKS, jobs)
    pickups = min(PICKUPS, jobs)
    growth = min(GROWTH_JOBS, jobs)
    much, life = (FULL, 100_000) if full else (min(BOUNDED, 10 * jobs), min(100_000, 5 * jobs))
    own = {"one": "one", "many": "many", "drain": "drain", "memory": "bytes_per_queued"}
    found = [
        Play("raw: a hundred per round trip", one("raw_drain", number=jobs), {"drain": "drain"}, True),
        Play("minique", one("contend", who="minique", ones=ones, many=jobs, drains=True), own),
        Play("raw: RPUSH", one("raw_enqueue", ones=ones, many=jobs),
             {"one": "one", "many": "many", "memory": "bytes_per_queued"}, True),
        Play("raw: fork and wait", one("raw_fork", number=forks), {"fork": "drain"}, True),
        Play("minique, fork", one("contend", who="minique, fork", ones=0, many=forks, drains=True),
             {"fork": "drain"}),
        Play("minique, two", partial(two, "minique", jobs), {"two": "drain"}),
        Play("raw: blocked pop", one("raw_pickup", number=pickups), {"p50": "p50", "p99": "p99"}, True),
        *(
            Play(name, one("pickup", number=pickups, who=name), {"p50": "p50", "p99": "p99"})
            for name in ("minique", "minique, fork", *(name for name in ENTRIES if ENTRIES[name].family in against))
        ),
        *(
            Play(name, one("idle", seconds=IDLE_SECONDS, mode=mode),
                 {"idle trips": "trips", "idle commands": "commands", "idle client": "client",
                  "idle server": "server"}, rounds=1)
            for name, mode in (("minique", "inline"), ("minique, fork", "fork"))
        ),
        *(
            Play(name, one("grown", **{**_SMALL, "number": growth, **more}), {"growth": "drain"}, is_limit)
            for name, more, is_limit in (
                ("nothing else", {}, True), (f"{much:,} queued", {"queued": much}, False),
                (f"{much:,} delayed", {"delayed": much}, False), ("1,000 queues", {"queues": 1000}, False),
                ("200 idle subscriptions", {"subscriptions": 200}, False),
            )
        ),
        Play("minique", one("hoarding", number=min(SLOW_JOBS, jobs), seconds=SLOW_SECONDS), {"hoarding": "rest"}),
        Play(f"minique, {life:,} jobs", one("lifetime", number=life, mode="inline"),
             {"life": "megabytes", "grown": "grown"}, rounds=1),
        Play("minique, fork, the parent", one("lifetime", number=FORK_LIFE, mode="fork"),
             {"life": "megabytes", "grown": "grown"}, rounds=1),
        Play("import minique, beyond redis", one("imports", statement="import minique"), {"start": "seconds"}),
        Play("minique --help", one("command"), {"start": "seconds"}),
    ]  # fmt: skip
    for name, entry in ENTRIES.items():
        if entry.family in against:
            number = max(20, round(jobs * entry.share))
            shown = {**own, "fork": "drain"} if "fork" in name else own
            if "fork" in name:
                del shown["drain"]
            halves = {"ones": number // 2, "many": number - number // 2}
            found.append(Play(name, one("contend", who=name, drains=True, **halves), shown))
            if "fork" not in name:
                found.append(Play(f"{name}, two", partial(two, name, number), {"two": "drain"}))
    return found


_SMALL = {"queued": 0, "delayed": 0, "queues": 1, "subscriptions": 0}


def work(jobs: int, rounds: int, full: bool, against: Sequence[str] = ()) -> int:
    """How many measurements that will be, for a progress bar."""
    return sum(play.rounds or rounds for play in plays(jobs, full, against))


def throughput(
    jobs: int,
    rounds: int,
    full: bool = False,
    against: Sequence[str] = (),
    advance: Advance = lambda done: None,
) -> Result:
    """Measure everything; `advance` is told how many measurements are done. Raises BenchError."""
    chosen = plays(jobs, full, against)
    found: list[list[Figures]] = [[] for _ in chosen]
    done = 0
    with bench() as here:
        server = Server(here.url)
        core = meter.cores()[-1]
        for turn in range(rounds):
            for play, runs in zip(chosen, found, strict=True):
                if turn >= (play.rounds or rounds):
                    continue
                server.call_one("FLUSHALL")
                meter.pin([core], _process_of(server))
                runs.append(play.run(server, core))
                done += 1
                advance(done)
        return Result(jobs, rounds, rows(chosen, found), [], configurations(against), about(here, against))


def rows(chosen: Sequence[Play], found: Sequence[Sequence[Figures]]) -> list[Row]:
    """The report: part by part, the limit first."""
    told: list[Row] = []
    for part, what in PARTS.items():
        here: list[Row] = []
        limit: float | None = None
        for play, runs in sorted(zip(chosen, found, strict=True), key=lambda one: not one[0].is_limit):
            figure = play.parts.get(part)
            if figure is None or not any(figure in run or f"{figure}.seconds" in run for run in runs):
                continue
            row = _row(part, what, play.name, figure, runs, limit)
            limit = row.value if play.is_limit else limit
            here.append(row)
        told += here
    return told


def _row(part: str, what: Part, name: str, figure: str, runs: Sequence[Figures], limit: float | None) -> Row:
    if f"{figure}.seconds" not in runs[0]:
        values = [run[figure] * _SCALE.get(what.unit, 1.0) for run in runs]
        value = median(values)
        return Row(part, name, what.unit, value, values, value / limit if limit else None)
    values = [run[f"{figure}.jobs"] / run[f"{figure}.seconds"] for run in runs]
    value = median(values)

    def each(name: str, scale: float = 1.0) -> float | None:
        each_run = [run[f"{figure}.{name}"] / run[f"{figure}.jobs"] for run in runs if f"{figure}.{name}" in run]
        return median(each_run) * scale if each_run else None

    return Row(
        part, name, what.unit, value, values, value / limit if limit else None,
        each("client", 1e6), each("server", 1e6), each("trips"), each("commands"), each("bytes"),
    )  # fmt: skip


def configurations(against: Sequence[str]) -> dict[str, dict[str, str]]:
    """How each was set up, and what that risks."""
    chosen = {name: one for name, one in ENTRIES.items() if one.family in ("minique", *against)}
    return {name: {"configuration": one.configuration, "risks": one.risks} for name, one in chosen.items()}


def about(here: Bench, against: Sequence[str]) -> dict[str, object]:
    """Machine and versions."""
    libraries = {one.library for one in ENTRIES.values() if one.family in against}
    return {**here.about(), **{name: version(name) for name in sorted(libraries)}}


def missing(against: Sequence[str]) -> list[str]:
    """Of these families, those whose library is not installed."""

    def is_here(library: str) -> bool:
        try:
            return bool(version(library))
        except PackageNotFoundError:
            return False

    return [name for name in against if not all(is_here(one.library) for one in ENTRIES.values() if one.family == name)]


# How.


def one(name: str, **options: object) -> Callable[[Server, int], Figures]:
    """A player on the server's core."""
    return lambda server, core: play([(name, {"url": server.url, "cores": [core], **options})])[0]


def two(who: str, jobs: int, server: Server, core: int) -> Figures:
    """Two workers, and the server, wherever the system puts them: jobs per second of both together."""
    play([("contend", {"url": server.url, "who": who, "ones": 0, "many": jobs, "drains": False})])
    meter.pin(meter.cores(), _process_of(server))
    both = play([("together", {"url": server.url, "who": who, "workers": 2})] * 2)
    ran = sum(one["jobs"] for one in both)
    both = [one for one in both if one["jobs"]]
    if ran < jobs:
        raise BenchError(f"{who}: two workers ran {ran:,.0f} jobs of {jobs:,}")
    return {
        "drain.jobs": ran,
        "drain.seconds": max(one["ended"] for one in both) - min(one["began"] for one in both),
    }


def play(asked: Sequence[tuple[str, dict[str, object]]]) -> list[Figures]:
    """Start these players side by side; what they found. None of them outlives this call."""
    started: list[subprocess.Popen[str]] = []
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    try:
        for name, options in asked:
            words = [sys.executable, "-m", "simulate.benches.players", name, json.dumps(options)]
            started.append(
                subprocess.Popen(
                    words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=REPOSITORY
                )
            )
        return [_said(name, one) for (name, _), one in zip(asked, started, strict=True)]
    finally:
        for one in started:
            one.kill()
            one.communicate()


def _said(name: str, player: subprocess.Popen[str]) -> Figures:
    try:
        output, errors = player.communicate(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        raise BenchError(f"{name} did not end within {PATIENCE_SECONDS:g} s") from None
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if player.returncode or not lines:
        raise BenchError(f"{name} failed with exit code {player.returncode}: {' '.join(errors[-2000:].split())}")
    found: Figures = json.loads(lines[-1])
    if not all(math.isfinite(value) for value in found.values()):
        raise BenchError(f"{name} found {found}")
    return found


def _process_of(server: Server) -> int:
    return int(meter.as_dict(str(server.call_one("INFO", "server")))["process_id"])


def by_part(rows: Sequence[Row]) -> Iterator[tuple[str, Part, list[Row]]]:
    """The rows of each part that has any."""
    for name, part in PARTS.items():
        of_it = [row for row in rows if row.part == name]
        if of_it:
            yield name, part, of_it
