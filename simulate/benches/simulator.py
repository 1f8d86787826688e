"""How fast the simulator is: `python -m simulate bench simulator`.

Each part runs in a fresh process of its own, so that its memory is its own. What counts is processor time: all of this
is one thread, and the seconds of a clock depend on who else uses the machine. *Jobs per second* is jobs by processor
time, reading or making the load included; *where it goes* are shares by cProfile, which burdens small functions most.
"""

from __future__ import annotations

import cProfile
import json
import os
import platform
import pstats
import resource
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from minique.clock import SystemClock
from simulate import designs, traces
from simulate.actors import World
from simulate.benches.server import REPOSITORY, BenchError
from simulate.costs import Costs
from simulate.designs.faithful import connect
from simulate.measures import measure
from simulate.recursion import first_come_first_served
from simulate.words import count, duration
from simulate.workload import Load, generate, poisson_arrivals, stream

BUSY = 0.9  # utilisation of the loads that are made here
SERVICE_SECONDS = 0.1
MEGABYTE = 1024 * 1024

LOG_JOBS, LOG_WORKERS, LOG_SCALE, LOG_BUSY = 188_041, 2000, 1000.0, 0.8
"""The size of the LCG log of 2005 in the Parallel Workloads Archive, for which it stands where it is not at hand."""

_clock = SystemClock()


@dataclass(frozen=True)
class Part:
    """One thing to measure, and what is asked of it."""

    name: str
    design: str  # "recursion" is the second engine
    workers: int
    jobs: int
    goal: str = ""
    faithful: bool = False
    trace: str | None = None
    profiled: bool = False


@dataclass(frozen=True)
class Measured:
    """What it took. Seconds are of processor time, but for `elapsed`."""

    part: Part
    jobs: int
    load_seconds: float
    run_seconds: float
    elapsed: float
    megabytes: float
    where: dict[str, float] = field(default_factory=dict)  # share of the run by module, if profiled

    @property
    def per_second(self) -> float:
        """Jobs by processor time, the load included where it was read from a file."""
        return self.jobs / (self.run_seconds + (self.load_seconds if self.part.trace else 0.0))


def parts(jobs: int, million: int, trace: str | None) -> list[Part]:
    """All of them."""
    return [
        Part("8 workers", "minique", 8, jobs, "50,000/s"),
        Part("1,000 workers", "minique", 1000, jobs, "20,000/s"),
        Part("a log" if trace else "size of the LCG log", "minique", LOG_WORKERS, LOG_JOBS, "10 s", trace=trace),
        Part("many jobs", "minique", 8, million, "30 s, 300 MB"),
        Part("in-line", "inline", 8, jobs),
        Part("faithful", "minique", 8, max(1, jobs // 50), faithful=True),
        Part("second engine", "recursion", 8, million),
        Part("where it goes", "minique", 8, max(1, jobs // 5), profiled=True),
    ]


def measure_all(wanted: Sequence[Part], advance: Callable[[int], None]) -> list[Measured]:
    """Each part in a process of its own; `advance` is told how many jobs are done. Raises BenchError."""
    found, before = [], 0
    for part in wanted:
        result: dict[str, Any] = {}
        for told in _told_by(part):
            if "done" in told:
                advance(before + told["done"])
            else:
                result = told
        if not result:
            raise BenchError(f"the part {part.name!r} ended before its time; what it wrote to stderr says why")
        before += part.jobs
        found.append(Measured(part, **result))
    return found


def _told_by(part: Part) -> Iterator[dict[str, Any]]:
    words = [sys.executable, "-c", "from simulate.benches.simulator import play; play()", json.dumps(asdict(part))]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            yield from map(json.loads, child.stdout)
        finally:
            child.kill()  # no more than a formality, unless this was interrupted


def play() -> None:
    """One part, in its own process: says on standard output how far it is, and in the end what it took."""
    part = Part(**json.loads(sys.argv[1]))
    began, start = _clock.elapsed(), _processor_seconds()
    load = load_of(part)
    loaded = _processor_seconds()
    where: dict[str, float] = {}
    if part.design == "recursion":
        first_come_first_served(load.arrived, load.service, part.workers)
    else:
        world = World(load, workers=part.workers, costs=Costs(), progress=lambda done: _say({"done": done}))
        settings = {"server": connect()} if part.faithful else {}
        design = designs.find(part.design)(world, **settings)
        if part.profiled:
            profile = cProfile.Profile()
            profile.runcall(world.run, design)
            where = shares(profile)
        else:
            world.run(design)
    done = _processor_seconds()
    if part.design != "recursion":
        measure(world, part.workers)  # a run whose books do not balance is no result
    _say(
        {
            "jobs": load.jobs,
            "load_seconds": loaded - start,
            "run_seconds": done - loaded,
            "elapsed": _clock.elapsed() - began,
            "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT / MEGABYTE,
            "where": where,
        }
    )


def load_of(part: Part) -> Load:
    """The load of a part: from its log, or made."""
    if part.trace:
        return traces.read(part.trace, scale=LOG_SCALE, limit=part.jobs)
    if part.workers == LOG_WORKERS:
        return generate("twin", part.jobs, 0, erlangs=LOG_BUSY * part.workers)
    rate = BUSY * part.workers / SERVICE_SECONDS
    service = stream(0, "service").exponential(SERVICE_SECONDS, part.jobs)
    return Load("M/M/c", "Poisson", poisson_arrivals(rate, part.jobs, stream(0, "arrivals")), service)


def shares(profile: cProfile.Profile) -> dict[str, float]:
    """Whose lines the time was spent in, module by module; what is built in counts for its caller. Largest first."""
    spent: Counter[str] = Counter()
    for (file, _, _), (_, _, own, _, callers) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        if file == "~":
            for (caller, _, _), (_, _, for_caller, _) in callers.items():
                spent[_module(caller)] += for_caller
        else:
            spent[_module(file)] += own
    total = sum(spent.values())
    return {name: own / total for name, own in spent.most_common()}


def _module(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(REPOSITORY)) if path.is_relative_to(REPOSITORY) else "Python's own"


def to_json(found: Sequence[Measured]) -> str:
    """The whole result."""
    rows = [{**asdict(one), "per_second": one.per_second} for one in found]
    return json.dumps({"version": 1, "parts": rows, "machine": machine()}, indent=1) + "\n"


def machine() -> dict[str, object]:
    """What it ran on."""
    return {
        "processors": os.cpu_count(),
        "python": platform.python_version() + how_built(),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def how_built(options: str | None = sysconfig.get_config_var("CONFIG_ARGS")) -> str:
    """What to say of a Python that was compiled without its usual optimisations, on which all of this takes longer."""
    return " (built without --enable-optimizations)" if options and "--enable-optimizations" not in options else ""


def report(out: Console, found: Sequence[Measured], data: Path) -> None:
    """Tables and words."""
    table = Table(title="How fast the simulator is", title_justify="left", title_style="bold")
    for name in ("", "workers", "jobs", "time", "a job", "jobs/s", "memory", "asked"):
        table.add_column(name, justify="left" if name in ("", "asked") else "right", no_wrap=True)
    for one in found:
        if one.where:
            continue
        seconds = one.jobs / one.per_second
        table.add_row(
            one.part.name,
            f"{one.part.workers:,}",
            f"{one.jobs:,}",
            duration(seconds),
            f"{count(seconds / one.jobs * 1e6)} µs",
            count(one.per_second),
            f"{one.megabytes:.0f} MB",
            one.part.goal,
        )
    out.print()
    out.print(table)
    whole = next((one for one in found if not one.where), None)
    for one in found:
        if one.where and whole:
            each = whole.run_seconds / whole.jobs * 1e6
            words = ", ".join(f"{name} {share * each:.1f}" for name, share in one.where.items() if share > 0.01)
            out.print(f"[bold]Where it goes[/], in µs a job with {whole.part.workers} workers, by cProfile: {words}.")
    out.print(
        "[bold]Time[/]: of the processor, in one thread; each part in a process of its own. Loads made here keep "
        f"workers busy {BUSY:.0%} of the time. The faithful mode runs the scripts on a server in its process; the "
        "second engine is a recursion and runs no worker."
    )
    out.print("[bold]Here[/]: " + escape(", ".join(f"{name} {value}" for name, value in machine().items())))
    out.print()
    out.print(f"JSON: {escape(str(data))}", soft_wrap=True)


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


_RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # what getrusage counts memory in
