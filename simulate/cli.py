"""`python -m simulate`: the experiments at the command line.

The one place of this package that looks at the real clock (for the progress bar) and writes files.
"""

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from simulate import bench, experiments, traces
from simulate import designs as ladder
from simulate.chaos import command, conductor
from simulate.chaos.report import chaos_figure, judge
from simulate.chaos.server import NoServer
from simulate.experiments import Comparison, Outcome
from simulate.history import to_line
from simulate.measures import Measures, Spread
from simulate.plots import compare_figure, count, duration
from simulate.workload import Load, generate

FINE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

# Legible in a narrow terminal and in a log file.
COLUMNS_WHEN_PIPED = 100

DEFAULT_JOBS = 10_000
DEFAULT_WORKERS = 8


class UsageError(Exception):
    """What was asked for cannot be done; the message says why and what to do."""


def positive(convert: Callable[[str], float]) -> Callable[[str], float]:
    """A number above zero from the command line."""

    def parse(text: str) -> float:
        try:
            value = convert(text)
        except ValueError:
            value = float("nan")
        if not 0 < value < float("inf"):
            kind = "a whole number" if convert is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {kind} above zero")
        return value

    return parse


def parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The command line, and the part of it that belongs to each verb."""
    top = argparse.ArgumentParser(prog="python -m simulate", description="The experiments.")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="compare|bench|chaos")
    compare = verbs.add_parser("compare", help="one load, several designs: who waits how long, and what a crash costs")
    load = compare.add_argument_group("the load")
    load.add_argument("--trace", metavar="FILE", help="replay a log: .swf, .csv or .jsonl, each also with .gz")
    load.add_argument("--scale", type=positive(float), metavar="K", help="with --trace: divide all times by K")
    load.add_argument("--limit", type=positive(int), metavar="N", help="with --trace: only its first N jobs")
    load.add_argument(
        "--load",
        choices=("poisson", "bursty", "twin"),
        help="generate one load of this kind (default: a light and a full one)",
    )
    load.add_argument(
        "--jobs", type=positive(int), metavar="N", help=f"how many jobs to generate (default: {DEFAULT_JOBS:,})"
    )
    load.add_argument(
        "--rate",
        type=positive(float),
        metavar="R",
        help=f"arrivals per second (default: to keep {experiments.FULL_SHARE:.0%}% of the workers busy)",
    )
    load.add_argument("--seed", type=int, default=0, metavar="N", help="of everything that is drawn (default: 0)")
    compare.add_argument(
        "--workers",
        type=positive(int),
        default=DEFAULT_WORKERS,
        metavar="N",
        help="processes of each design that can have several (default: %(default)s)",
    )
    compare.add_argument(
        "--designs",
        default=",".join(ladder.DEFAULT),
        metavar="A,B",
        help=f"which, separated by commas, of {', '.join(ladder.KNOWN)} (default: %(default)s)",
    )
    compare.add_argument(
        "--output",
        type=Path,
        default=Path("results"),
        metavar="FOLDER",
        help="where the figure and the JSON go (default: %(default)s)",
    )
    compare.add_argument("--json", action="store_true", help="print the JSON instead of the tables")
    measure = verbs.add_parser("bench", help="real processes on a real server: how late, how fast")
    subjects = measure.add_subparsers(dest="subject", required=True, metavar="scheduler")
    scheduler = subjects.add_parser("scheduler", help="lateness of delayed and recurring jobs, promotion rate, idling")
    scheduler.add_argument(
        "--rate", type=positive(float), default=1000.0, metavar="R", help="jobs due per second (default: %(default)g)"
    )
    scheduler.add_argument(
        "--seconds", type=positive(float), default=5.0, metavar="S", help="of each measurement (default: %(default)g)"
    )
    scheduler.add_argument(
        "--backlog",
        type=positive(int),
        default=100_000,
        metavar="N",
        help="jobs that are due all at once (default: %(default)s)",
    )
    scheduler.add_argument(
        "--polls",
        type=several(float),
        default=bench.POLLS,
        metavar="S,S",
        help="how often the neighbours look, in seconds (default: 1,5)",
    )
    scheduler.add_argument(
        "--schedulers",
        type=several(int),
        default=(1, 2, 4),
        metavar="N,N",
        help="how many promote that backlog, in turn (default: 1,2,4)",
    )
    scheduler.add_argument(
        "--output",
        type=Path,
        default=Path("results"),
        metavar="FOLDER",
        help="where the JSON goes (default: %(default)s)",
    )
    scheduler.add_argument("--json", action="store_true", help="print the JSON instead of the tables")
    havoc = verbs.add_parser("chaos", help="real programs on a real server, killed at random: what is lost?")
    command.add_options(havoc, positive)
    havoc.add_argument(
        "--output",
        type=Path,
        default=Path("results"),
        metavar="FOLDER",
        help="where figure, JSON and history go (default: %(default)s)",
    )
    return top, {"compare": compare, "bench": scheduler, "chaos": havoc}


def several(convert: Callable[[str], float]) -> Callable[[str], tuple[float, ...]]:
    """Numbers above zero, separated by commas."""
    one = positive(convert)
    return lambda text: tuple(one(part) for part in text.split(","))


def main(arguments: Sequence[str] | None = None, clock: Callable[[], float] = time.monotonic) -> int:
    """Runs one verb and returns the exit code: 0 fine, 1 failed, 2 usage, 130 interrupted."""
    top, verbs = parser()
    options, unknown = top.parse_known_args(arguments)
    if unknown:
        allowed = sorted(flag for action in verbs[options.verb]._actions for flag in action.option_strings)
        verbs[options.verb].error(f"unknown: {' '.join(unknown)}; allowed are {', '.join(allowed)}")
    try:
        doing = {"compare": compare, "bench": bench_scheduler, "chaos": chaos_run}
        return doing[options.verb](options, clock)
    except (UsageError, traces.TraceError) as problem:
        print(f"simulate: {problem}", file=sys.stderr)
        return USAGE
    except (bench.BenchError, NoServer) as problem:
        print(f"simulate: {problem}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("simulate: interrupted; no file was left half-written", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`). Python would complain once more while flushing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE


def compare(options: argparse.Namespace, clock: Callable[[], float]) -> int:
    """The verb `compare`."""
    names = [name.strip() for name in options.designs.split(",") if name.strip()]
    try:
        kinds = {name: ladder.find(name) for name in names}
    except ValueError as problem:
        raise UsageError(f"--designs: {problem}") from None
    if not kinds:
        raise UsageError(f"--designs names none; known: {', '.join(ladder.KNOWN)}")
    loads = chosen_loads(options)
    folder = prepared(options.output)
    done: list[Comparison] = []
    total = sum(load.jobs for load in loads) * experiments.runs(list(kinds))
    with progress_bar(total, clock) as advance:
        before = 0
        for load in loads:
            done.append(
                experiments.compare(
                    load,
                    list(kinds),
                    options.workers,
                    seed=options.seed,
                    progress=partial(_advance, advance, before),
                )
            )
            before += load.jobs * experiments.runs(list(kinds))
    text = experiments.to_json(done)
    figure, data = folder / "compare.png", folder / "compare.json"
    with whole_file(figure) as path:
        # No software version in the file: the same result is the same picture.
        compare_figure(done).savefig(path, format="png", metadata={"Software": None})
    with whole_file(data) as path:
        path.write_text(text, encoding="utf-8")
    if options.json:
        print(text, end="")
    else:
        report(done, figure, data)
    return FINE


def bench_scheduler(options: argparse.Namespace, clock: Callable[[], float]) -> int:
    """The verb `bench scheduler`."""
    folder = prepared(options.output)
    asked = (options.rate, options.seconds, options.backlog, options.schedulers, options.polls)
    # A friendly kill is as good as Control-C: what was started here is ended here.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with progress_bar(bench.work(*asked), clock, "measuring") as advance:
            result = bench.scheduler(*asked, advance)
    finally:
        signal.signal(signal.SIGTERM, before)
    text, data = result.to_json(), folder / "bench-scheduler.json"
    with whole_file(data) as path:
        path.write_text(text, encoding="utf-8")
    if options.json:
        print(text, end="")
    else:
        report_bench(result, data)
    return FINE


def chaos_run(options: argparse.Namespace, clock: Callable[[], float]) -> int:
    """The verb `chaos`: exit code 1 when a promise was broken."""
    try:
        settings = command.settings_of(options)
    except ValueError as problem:
        raise UsageError(str(problem)) from None
    folder = prepared(options.output)
    total, unit = (settings.kills, "kills") if settings.kills else (settings.seconds or 60.0, "seconds")
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with progress_bar(total, clock, "faults", unit) as advance:
            judged = judge(conductor.run(settings, advance))
    finally:
        signal.signal(signal.SIGTERM, before)
    text = judged.to_json()
    figure, data, history = (folder / f"chaos.{kind}" for kind in ("png", "json", "history.jsonl"))
    with whole_file(figure) as path:
        chaos_figure(judged).savefig(path, format="png", metadata={"Software": None})
    with whole_file(data) as path:
        path.write_text(text, encoding="utf-8")
    with whole_file(history) as path:
        path.write_text("".join(f"{to_line(event)}\n" for event in judged.outcome.history), encoding="utf-8")
    if options.json:
        print(text, end="")
    else:
        console = Console(highlight=False)
        if not console.is_terminal:
            console = Console(highlight=False, width=COLUMNS_WHEN_PIPED)
        command.print_report(console, judged)
        for name, path in (("Figure", figure), ("JSON", data), ("History", history)):
            console.print(f"{name}: {escape(str(path))}", soft_wrap=True)
    return FINE if judged.is_kept else FAILED


def report_bench(result: bench.Result, data: Path) -> None:
    """Tables and words on standard output."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=COLUMNS_WHEN_PIPED)
    title = f"Lateness: {count(result.rate)} jobs due per second, and {result.entries} recurring entries of one second"
    late = Table(title=title, title_justify="left", title_style="bold")
    for name in ("", "jobs", "p50", "p90", "p99", "max"):
        late.add_column(name, justify="right" if name else "left")
    for driven in result.driven:
        for kind, found in (("delayed", driven.promoting), ("recurring", driven.firing)):
            times = (duration(one / 1e3) for one in (found.p50, found.p90, found.p99, found.max))
            late.add_row(f"{driven.name}, {kind}", f"{found.jobs:,}", *times, end_section=kind == "recurring")
    console.print()
    console.print(late)
    calls = "; ".join(f"{driven.name} {count(driven.idle_calls_per_second)}" for driven in result.driven)
    console.print(f"[bold]Calls per second with nothing to do[/]: {calls}.")
    backlog = Table(title="Promotion of a backlog", title_justify="left", title_style="bold")
    for name in ("schedulers", "jobs", "time", "per second"):
        backlog.add_column(name, justify="right")
    for one in result.backlogs:
        backlog.add_row(f"{one.schedulers}", f"{one.jobs:,}", duration(one.seconds), f"{one.per_second:,.0f}")
    console.print()
    console.print(backlog)
    console.print(
        "[bold]Lateness[/]: from the planned time to the moment at which an idle worker holds the job, so the worker's "
        "wake-up and claim are in it. Real processes and one private server on this machine, no network. The polling "
        "schedulers are minique's own code, looking at fixed intervals as its neighbours do."
    )
    console.print("[bold]Here[/]: " + escape(", ".join(f"{name} {value}" for name, value in result.machine.items())))
    console.print()
    console.print(f"JSON: {escape(str(data))}", soft_wrap=True)


def chosen_loads(options: argparse.Namespace) -> list[Load]:
    """The loads that the options ask for. Raises UsageError where they contradict each other."""
    if options.trace is not None:
        for name in ("load", "jobs", "rate"):
            if getattr(options, name) is not None:
                raise UsageError(
                    f"--{name} is for generated loads and --trace brings its own; leave one of them out"
                    + (" (--limit takes the first N jobs)" if name == "jobs" else "")
                )
        return [traces.read(options.trace, scale=options.scale or 1.0, limit=options.limit)]
    for name in ("scale", "limit"):
        if getattr(options, name) is not None:
            raise UsageError(f"--{name} needs --trace FILE; for a generated load give --rate or --jobs")
    if options.seed < 0:
        raise UsageError(f"--seed must be 0 or more, not {options.seed}")
    jobs = options.jobs or DEFAULT_JOBS
    if options.load is None and options.rate is None:
        return list(experiments.default_loads(jobs, options.workers, options.seed))
    return [
        generate(
            options.load or "twin",
            jobs,
            options.seed,
            rate=options.rate,
            erlangs=experiments.FULL_SHARE * options.workers,
        )
    ]


def prepared(folder: Path) -> Path:
    """The folder for results, made if it is not there; asked before the work, not after it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as problem:
        raise UsageError(
            f"--output: cannot write to the folder {str(folder)!r}: {problem.strerror}; "
            "name another with --output FOLDER"
        ) from None
    return folder


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a temporary name to write to, and renames it when all is written: the file is whole or not there."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as problem:
        raise UsageError(f"cannot write {str(path)!r}: {problem.strerror}; name another folder with --output") from None
    finally:
        temporary.unlink(missing_ok=True)


def _advance(advance: Callable[[int], None], before: int, jobs: int) -> None:
    advance(before + jobs)


@contextlib.contextmanager
def progress_bar(
    total: float, clock: Callable[[], float], doing: str = "replaying", unit: str = "jobs"
) -> Iterator[Callable[[float], None]]:
    """A bar on standard error that counts what is done; nothing at all when that is no terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn(doing),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} " + unit),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, get_time=clock, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.update(task, completed=done)


def report(comparisons: Sequence[Comparison], figure: Path, data: Path) -> None:
    """Tables and words on standard output."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=COLUMNS_WHEN_PIPED)
    for comparison in comparisons:
        load = comparison.load
        console.print()
        console.print(table(comparison))
        console.print(
            f"[bold]Load[/]: {escape(load.words)}. {load.jobs:,} jobs in {duration(load.span)}; mean work "
            f"{duration(float(load.service.mean()))}; offered load {count(load.offered)} erlangs, that is, "
            "as many processes as the work would keep busy."
        )
        for assumed in load.assumed:
            console.print(f"[bold]Job sizes[/]: {assumed}.")
        if comparison.outcomes and load.offered >= 1 and any(o.peace.processes == 1 for o in comparison.outcomes):
            drowned = ", ".join(o.design for o in comparison.outcomes if o.peace.processes == 1)
            console.print(f"[bold]Mind[/]: {drowned} runs one process by nature, which this load must drown.")
    first = comparisons[0]
    console.print()
    for outcome in first.outcomes:
        console.print(f"[bold]{outcome.design}[/] (rung {outcome.rung}): {outcome.shows}.")
    console.print(
        "[bold]ideal[/]: first come, first served by as many workers, at no cost; no queue that serves in "
        "order can do better."
    )
    console.print(
        "A percentile with fewer than ten jobs beyond it is not printed (-). Times are over the whole run, "
        "filling and draining included."
    )
    if any(outcome.design == "minique" for outcome in first.outcomes):
        console.print(
            "[bold]Looks[/]: polling designs look each ten seconds. An idle worker of minique is woken by a "
            "bell, and looks once a second all the same, in the trip that gives its sign of life."
        )
    console.print(
        "[bold]Killed halfway[/]: the same load again; the first process to start a job after half of the "
        "jobs have come is killed in the middle of it, and a supervisor starts a new one "
        f"{duration(first.restart_after)} later."
    )
    console.print(f"[bold]Costs[/]: {first.costs.words()}.")
    console.print()
    console.print(f"Figure: {escape(str(figure))}", soft_wrap=True)
    console.print(f"JSON:   {escape(str(data))}", soft_wrap=True)


def table(comparison: Comparison) -> Table:
    """Designs as columns, measures as rows."""
    load = comparison.load
    title = f"{escape(load.name)}: {load.jobs:,} jobs, {count(load.offered)} erlangs, seed {comparison.seed}"
    whole = Table(title=title, title_justify="left", title_style="bold")
    whole.add_column("")
    for outcome in comparison.outcomes:
        whole.add_column(f"{outcome.design}\n(rung {outcome.rung})", justify="right")
    whole.add_column("ideal", justify="right", style="dim")

    def row(name: str, cell: Callable[[Outcome], str], ideal: str = "", last: bool = False) -> None:
        whole.add_row(name, *(cell(outcome) for outcome in comparison.outcomes), ideal, end_section=last)

    row("processes", lambda o: f"{o.peace.processes:,}", f"{comparison.workers:,}", last=True)
    for name in ("p50", "p95", "p99", "mean"):
        row(
            f"waiting time {name}",
            lambda o, name=name: spread(o.peace.waiting, name),  # type: ignore[misc]
            spread(comparison.ideal, name),
            last=name == "mean",
        )
    for name in ("p50", "p95", "p99"):
        row(
            f"sojourn time {name}",
            lambda o, name=name: spread(o.peace.sojourn, name),  # type: ignore[misc]
            last=name == "p99",
        )
    row("throughput", lambda o: rate(o.peace.throughput))
    row("drain time after the last arrival", lambda o: duration(o.peace.drain_time))
    row("utilisation", lambda o: share(o.peace.utilisation))
    row("largest backlog", lambda o: f"{o.peace.largest_backlog:,}")
    row("looks at an empty table or queue", lambda o: f"{o.peace.empty_looks:,}")
    row("jobs lost", lambda o: f"{o.peace.lost:,}")
    row("jobs run twice", lambda o: f"{o.peace.finished_twice:,}", last=True)
    row("killed halfway: jobs lost", lambda o: f"{o.killed.lost:,}")
    row("  jobs started again", lambda o: f"{o.killed.started_again:,}")
    row("  jobs run twice", lambda o: f"{o.killed.finished_twice:,}")
    row("  recovery time", lambda o: recovery(o.killed))
    return whole


def spread(values: Spread, name: str) -> str:
    """One number of a distribution of times."""
    value: float | None = getattr(values, name)
    return duration(value)


def rate(value: float | None) -> str:
    """Jobs per second."""
    return "-" if value is None else f"{count(value)}/s"


def share(value: float | None) -> str:
    """A share as per cent."""
    return "-" if value is None else f"{value:.1%}"


def recovery(killed: Measures) -> str:
    """From the kill to the job done, or why there is no such time."""
    if not killed.killed:
        return "nobody died"
    return "never" if killed.recovery_time is None else duration(killed.recovery_time)


def run() -> NoReturn:
    """The program."""
    sys.exit(main())
