"""`python -m simulate`: the experiments at the command line.

The one place of this package that looks at the real clock (for the progress bar) and writes files.
"""

import argparse
import contextlib
import csv
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from matplotlib.figure import Figure
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from minique.connect import connect
from minique.errors import MiniqueError
from simulate import (
    bench,
    calibrate,
    cells,
    experiments,
    live,
    live_report,
    modes,
    record,
    recovery,
    replications,
    report,
    traces,
)
from simulate import designs as ladder
from simulate import plan as planner
from simulate import sweep as sweeping
from simulate.benches import report as speed
from simulate.chaos import command, conductor
from simulate.chaos.report import chaos_figure, judge
from simulate.chaos.server import NoServer
from simulate.costs import Costs
from simulate.experiments import Comparison
from simulate.explore import command as exploring
from simulate.explore.search import Progress as Searching
from simulate.explore.story import Story
from simulate.history import to_line
from simulate.plots import compare_figure, count, duration, plan_figure, sweep_figure, theory_figure
from simulate.workload import Load, generate

FINE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

# Legible in a narrow terminal and in a log file.
COLUMNS_WHEN_PIPED = 100

DEFAULT_JOBS = 10_000
DEFAULT_WORKERS = 8
DEFAULT_REPLICATIONS = 5


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
    verbs = top.add_subparsers(
        dest="verb", required=True, metavar="compare|sweep|plan|theory|calibrate|live|record|bench|chaos|explore"
    )
    compare = verbs.add_parser("compare", help="one load, several designs: who waits how long, and what a crash costs")
    load = compare.add_argument_group("the load")
    trace_options(load)
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
        help=f"which, separated by commas, of {', '.join(ladder.KNOWN)}; or all, the ladder (default: %(default)s)",
    )
    compare.add_argument(
        "--output",
        type=Path,
        default=Path("results"),
        metavar="FOLDER",
        help="where the figure and the JSON go (default: %(default)s)",
    )
    compare.add_argument(
        "--replications",
        type=positive(int),
        metavar="N",
        help="loads of each kind, with seeds of their own; intervals come from them "
        f"(default: {DEFAULT_REPLICATIONS}; a trace is one)",
    )
    compare.add_argument("--json", action="store_true", help="print the JSON instead of the tables")
    add_costs(compare)
    curve = verbs.add_parser("sweep", help="waiting over one parameter: theory as a line, dots with intervals")
    curve.add_argument("--over", choices=tuple(sweeping.PARAMETERS), required=True, help="which parameter")
    curve.add_argument("--values", type=numbers, metavar="X,X", help="its values (default: six that show the shape)")
    curve.add_argument("--designs", metavar="A,B", help="default: those that the parameter matters to")
    usual = sweeping.Setting()
    for name, kind, value, words in (
        ("utilisation", float, usual.utilisation, "share of its own processes that each design keeps busy"),
        ("workers", int, usual.workers, "processes of each design that can have several"),
        ("service", float, usual.service, "mean seconds of work in a job"),
        ("poll", float, usual.poll, "seconds between two looks of a polling design"),
        ("lease", float, usual.lease, "seconds of a lease"),
    ):
        curve.add_argument(
            f"--{name}", type=positive(kind), default=value, metavar="X", help=f"{words} (default: %(default)g)"
        )
    curve.add_argument(
        "--variance",
        type=float,
        default=usual.variance,
        metavar="X",
        help="of the work in jobs over its squared mean: 0 fixed, 1 exponential (default: %(default)g)",
    )
    curve.add_argument(
        "--replications",
        type=positive(int),
        default=DEFAULT_REPLICATIONS,
        metavar="N",
        help="runs of each point, with seeds of their own (default: %(default)s)",
    )
    curve.add_argument("--seed", type=int, default=0, metavar="N", help="of everything that is drawn (default: 0)")
    curve.add_argument(
        "--output",
        type=Path,
        default=Path("results"),
        metavar="FOLDER",
        help="where figure, JSON and CSV go (default: %(default)s)",
    )
    curve.add_argument("--json", action="store_true", help="print the JSON instead of the table")
    add_costs(curve)
    planning = verbs.add_parser("plan", help="how many workers, so that nearly all jobs start soon enough")
    planning.add_argument("--target", type=positive(float), required=True, metavar="S", help="seconds of waiting")
    planning.add_argument("--percentile", type=positive(float), default=95.0, metavar="P", help="default: %(default)g")
    planning.add_argument(
        "--growth", type=positive(float), default=1.0, metavar="G", help="arrivals G times as fast (default: 1)"
    )
    planning.add_argument(
        "--crashes-per-hour", type=float, default=0.0, metavar="N", help="workers killed with a job in the hand"
    )
    planning.add_argument("--design", default="minique", metavar="A", help="default: %(default)s")
    planning.add_argument(
        "--most",
        type=positive(int),
        default=planner.MOST_WORKERS,
        metavar="N",
        help="try no more (default: %(default)s)",
    )
    planning.add_argument("--trace", metavar="FILE", help="replay a log: .swf, .csv or .jsonl, each also with .gz")
    planning.add_argument("--scale", type=positive(float), metavar="K", help="with --trace: divide all times by K")
    planning.add_argument("--limit", type=positive(int), metavar="N", help="with --trace: only its first N jobs")
    planning.add_argument("--load", choices=("poisson", "bursty", "twin"), help="generate this kind (default: twin)")
    planning.add_argument("--rate", type=positive(float), metavar="R", help="of a generated load: arrivals per second")
    planning.add_argument("--jobs", type=positive(int), metavar="N", help=f"to generate (default: {DEFAULT_JOBS:,})")
    planning.add_argument("--replications", type=positive(int), metavar="N", help=f"default: {DEFAULT_REPLICATIONS}")
    planning.add_argument("--seed", type=int, default=0, metavar="N", help="of everything that is drawn (default: 0)")
    planning.add_argument(
        "--output", type=Path, default=Path("results"), metavar="FOLDER", help="for figure and JSON (default: results)"
    )
    planning.add_argument("--json", action="store_true", help="print the JSON instead of the table")
    add_costs(planning)
    planning.set_defaults(workers=1)  # the rate is given and does not follow from them
    theory = verbs.add_parser("theory", help="closed forms beside the simulator, kind by kind of queue")
    theory.add_argument(
        "--runs",
        type=positive(int),
        default=4,
        metavar="N",
        help="of each kind, with seeds of their own (default: %(default)s)",
    )
    theory.add_argument(
        "--precision",
        type=positive(float),
        default=1.0,
        metavar="P",
        help="standard error of all runs of a kind, in per cent; half of it takes four times as long "
        "(default: %(default)g)",
    )
    theory.add_argument("--seed", type=int, default=0, metavar="N", help="of everything that is drawn (default: 0)")
    theory.add_argument(
        "--output",
        type=Path,
        default=Path("results"),
        metavar="FOLDER",
        help="where figure, JSON and CSV go (default: %(default)s)",
    )
    theory.add_argument("--json", action="store_true", help="print the JSON instead of the table")
    learn = verbs.add_parser("calibrate", help="a few seconds to learn what each step costs on this machine")
    learn.add_argument(
        "--output",
        type=Path,
        default=Path("results"),
        metavar="FOLDER",
        help="where costs.json goes (default: %(default)s)",
    )
    learn.add_argument("--json", action="store_true", help="print the JSON instead of the table")
    real = verbs.add_parser("live", help="the same load against real processes: predicted beside measured")
    asked = live.Setting()
    trace_options(real)
    real.add_argument(
        "--designs",
        default=",".join(asked.designs),
        metavar="A,B",
        help="minique forks a child per job, inline runs it in the worker, naive is the daemon (default: %(default)s)",
    )
    for name, kind, value, words in (
        ("workers", int, asked.workers, "processes of minique"),
        ("service", float, asked.service, "mean seconds of work in a generated job"),
        ("seconds", float, asked.seconds, "for how long generated jobs arrive"),
        ("every", float, asked.every, "seconds that the naive daemon sleeps"),
        ("repeat", int, asked.repeat, "times that each is played; medians count"),
    ):
        real.add_argument(
            f"--{name}", type=positive(kind), default=value, metavar="X", help=f"{words} (default: %(default)g)"
        )
    real.add_argument(
        "--utilisations",
        type=numbers,
        default=asked.utilisations,
        metavar="X,X",
        help="effective shares of its own processes that a generated load keeps busy (default: 0.5,0.9)",
    )
    real.add_argument(
        "--variance",
        type=float,
        default=asked.variance,
        metavar="X",
        help="of the work in jobs over its squared mean: 0 fixed, 1 exponential (default: %(default)g)",
    )
    real.add_argument(
        "--work", choices=live.WAYS, default=asked.way, help="what a job does all the time (default: %(default)s)"
    )
    real.add_argument("--seed", type=int, default=0, metavar="N", help="of everything that is drawn (default: 0)")
    real.add_argument(
        "--costs",
        type=Path,
        metavar="FILE",
        help="costs of this machine, as calibrate wrote them (default: measured now)",
    )
    real.add_argument(
        "--output",
        type=Path,
        default=Path("results"),
        metavar="FOLDER",
        help="where figure, JSON and CSV go (default: %(default)s)",
    )
    real.add_argument("--json", action="store_true", help="print the JSON instead of the table")
    taking = verbs.add_parser("record", help="the load of running workers, from their logs, for --trace")
    taking.add_argument(
        "--log",
        type=Path,
        action="append",
        required=True,
        metavar="FILE",
        help="what a worker started with --verbose --log json wrote; repeatable, one for each",
    )
    taking.add_argument(
        "--seconds",
        type=positive(float),
        metavar="S",
        help="watch what is added to the logs for so long (default: read what is in them)",
    )
    taking.add_argument("--url", help="of the server: says afterwards how many jobs were not in the logs")
    taking.add_argument("--namespace", default="default", help="with --url (default: %(default)s)")
    taking.add_argument(
        "--output", type=Path, default=Path("load.jsonl"), metavar="FILE", help="the record (default: %(default)s)"
    )
    measure = verbs.add_parser("bench", help="real processes on a real server: how late, how fast")
    subjects = measure.add_subparsers(dest="subject", metavar="throughput|scheduler|modes|recovery")
    fast = subjects.add_parser("throughput", help="jobs per second, what each costs, how it grows; beside others")
    # Without a subject all of them are measured, and these options are the first one's.
    for one in (measure, fast):
        speed.add_options(one, positive)
        one.add_argument(
            "--output",
            type=Path,
            default=Path("results"),
            metavar="FOLDER",
            help="where figure and JSON go (default: %(default)s)",
        )
        one.add_argument("--json", action="store_true", help="print the JSON instead of the tables")
    recovering = recovery.add_to(subjects, positive(int))
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
    ways = subjects.add_parser("modes", help="what each way to run a job costs: fork, recycled, spawn, in-line")
    ways.add_argument(
        "--jobs",
        type=positive(int),
        default=modes.DEFAULT_JOBS,
        metavar="N",
        help="of the fastest way, in each round; slower ones have fewer (default: %(default)s)",
    )
    ways.add_argument(
        "--rounds", type=positive(int), default=modes.DEFAULT_ROUNDS, metavar="N", help="default: %(default)s"
    )
    ways.add_argument(
        "--output",
        type=Path,
        default=Path("results"),
        metavar="FOLDER",
        help="where the JSON goes (default: %(default)s)",
    )
    ways.add_argument("--json", action="store_true", help="print the JSON instead of the tables")
    havoc = verbs.add_parser("chaos", help="real programs on a real server, killed at random: what is lost?")
    command.add_options(havoc, positive)
    havoc.add_argument(
        "--output",
        type=Path,
        default=Path("results"),
        metavar="FOLDER",
        help="where figure, JSON and history go (default: %(default)s)",
    )
    search = verbs.add_parser("explore", help="every interleaving and every fault of a small scope: what breaks?")
    exploring.add_options(search, positive)
    search.add_argument(
        "--output",
        type=Path,
        default=Path("results"),
        metavar="FOLDER",
        help="where a failing story goes, as JSON and as a figure (default: %(default)s)",
    )
    return top, {
        "compare": compare,
        "sweep": curve,
        "plan": planning,
        "theory": theory,
        "calibrate": learn,
        "live": real,
        "record": taking,
        "bench": measure,
        "throughput": fast,
        "scheduler": scheduler,
        "modes": ways,
        "recovery": recovering,
        "chaos": havoc,
        "explore": search,
    }


def trace_options(one: argparse._ActionsContainer) -> None:
    """The options by which a load comes from a log."""
    one.add_argument("--trace", metavar="FILE", help="replay a log: .swf, .csv or .jsonl, each also with .gz")
    one.add_argument("--scale", type=positive(float), metavar="K", help="with --trace: divide all times by K")
    one.add_argument("--limit", type=positive(int), metavar="N", help="with --trace: only its first N jobs")


def add_costs(one: argparse.ArgumentParser) -> None:
    """The option by which costs come from a file."""
    one.add_argument(
        "--costs", type=Path, metavar="FILE", help="costs of this machine, as calibrate wrote them (default: assumed)"
    )


def chosen_costs(options: argparse.Namespace) -> Costs:
    """From the file that was named, or assumed."""
    return calibrate.read(options.costs)[0] if options.costs is not None else Costs()


def several(convert: Callable[[str], float]) -> Callable[[str], tuple[float, ...]]:
    """Numbers above zero, separated by commas."""
    one = positive(convert)
    return lambda text: tuple(one(part) for part in text.split(","))


def numbers(text: str) -> tuple[float, ...]:
    """Numbers of zero or more, separated by commas, each once and in order."""
    try:
        found = sorted({float(part) for part in text.split(",")})
    except ValueError:
        found = [float("nan")]
    if not all(0 <= value < float("inf") for value in found):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers, such as 0.5,0.7,0.9")
    return tuple(found)


def main(arguments: Sequence[str] | None = None, clock: Callable[[], float] = time.monotonic) -> int:
    """Runs one verb and returns the exit code: 0 fine, 1 failed, 2 usage, 130 interrupted."""
    top, verbs = parser()
    options, unknown = top.parse_known_args(arguments)
    word = getattr(options, "subject", None) or options.verb
    if unknown:
        allowed = sorted(flag for action in verbs[word]._actions for flag in action.option_strings)
        verbs[word].error(f"unknown: {' '.join(unknown)}; allowed are {', '.join(allowed)}")
    try:
        doing = {
            "compare": compare,
            "sweep": sweep,
            "plan": plan,
            "theory": theory,
            "calibrate": calibrate_run,
            "live": live_run,
            "record": record_run,
            "bench": bench_all,
            "throughput": bench_throughput,
            "scheduler": bench_scheduler,
            "modes": bench_modes,
            "recovery": bench_recovery,
            "chaos": chaos_run,
            "explore": explore_run,
        }
        return doing[word](options, clock)
    except (UsageError, traces.TraceError, calibrate.CostsUnusable, record.RecordError) as problem:
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
    if names == ["all"]:
        names = list(ladder.LADDER)
    try:
        kinds = {name: ladder.find(name) for name in names}
    except ValueError as problem:
        raise UsageError(f"--designs: {problem}") from None
    if not kinds:
        raise UsageError(f"--designs names none; known: {', '.join(ladder.KNOWN)}")
    sets, costs = chosen_loads(options), chosen_costs(options)
    folder = prepared(options.output)
    done: list[Comparison] = []
    times = experiments.runs(list(kinds))
    total = sum(load.jobs for same in sets for _, load in same) * times
    with progress_bar(total, clock) as advance:
        before = 0
        for (seed, load), *others in sets:
            done.append(
                experiments.compare(
                    load,
                    list(kinds),
                    options.workers,
                    costs=costs,
                    seed=seed,
                    others=others,
                    progress=partial(_advance, advance, before),
                )
            )
            before += sum(one.jobs for _, one in ((seed, load), *others)) * times
    text = experiments.to_json(done)
    figure, data, table = (folder / f"compare.{kind}" for kind in ("png", "json", "csv"))
    save_figure(figure, compare_figure(done))
    with whole_file(data) as path:
        path.write_text(text, encoding="utf-8")
    with whole_file(table) as path:
        write_rows(path, replications.HEADER, [row for one in done for row in one.rows()])
    if options.json:
        print(text, end="")
    else:
        report.comparisons(console(), done, {"Figure": figure, "JSON": data, "CSV": table})
    return FINE


def sweep(options: argparse.Namespace, clock: Callable[[], float]) -> int:
    """The verb `sweep`."""
    if options.seed < 0:
        raise UsageError(f"--seed must be 0 or more, not {options.seed}")
    if options.replications < 2:
        raise UsageError("--replications must be 2 or more: a single run has no interval")
    parameter = sweeping.PARAMETERS[options.over]
    names = [name.strip() for name in (options.designs or ",".join(parameter.designs)).split(",") if name.strip()]
    values = options.values or parameter.values
    setting = sweeping.Setting(
        **{name: getattr(options, name) for name in ("utilisation", "workers", "service", "variance", "poll", "lease")},
        costs=chosen_costs(options),
    )
    folder = prepared(options.output)
    times = options.replications
    try:
        with progress_bar(len(names) * len(values) * times, clock, "replaying", "runs") as advance:
            found = sweeping.sweep(options.over, values, names, setting, options.seed, times, advance)
    except ValueError as problem:
        raise UsageError(str(problem)) from None
    text = experiments.as_json(found.to_dict())
    figure, data, table = (folder / f"sweep-{options.over.replace('_', '-')}.{kind}" for kind in ("png", "json", "csv"))
    save_figure(figure, sweep_figure(found))
    with whole_file(data) as path:
        path.write_text(text, encoding="utf-8")
    with whole_file(table) as path:
        write_rows(path, sweeping.HEADER, found.rows())
    if options.json:
        print(text, end="")
    else:
        report.sweep(console(), found, {"Figure": figure, "JSON": data, "CSV": table})
    return FINE


def plan(options: argparse.Namespace, clock: Callable[[], float]) -> int:
    """The verb `plan`. Without an answer the exit code is 1."""
    if options.trace is None and options.rate is None:
        raise UsageError("how many jobs come? Give --rate R (jobs per second) or --trace FILE")
    [loads] = chosen_loads(options)
    goal = planner.Goal(options.target, options.percentile, options.growth, options.crashes_per_hour)
    folder = prepared(options.output)
    try:
        # Doubling and halving take some twenty tries; how many exactly, nobody knows before.
        with progress_bar(20, clock, "trying", "numbers of workers") as advance:
            found = planner.plan(loads, options.design, goal, chosen_costs(options), options.most, advance)
    except ValueError as problem:
        raise UsageError(str(problem)) from None
    text = experiments.as_json(found.to_dict())
    figure, data = folder / "plan.png", folder / "plan.json"
    save_figure(figure, plan_figure(found))
    with whole_file(data) as path:
        path.write_text(text, encoding="utf-8")
    if options.json:
        print(text, end="")
    else:
        report.plan(console(), found, {"Figure": figure, "JSON": data})
    return FINE if found.workers is not None else FAILED


def theory(options: argparse.Namespace, clock: Callable[[], float]) -> int:
    """The verb `theory`."""
    if options.seed < 0:
        raise UsageError(f"--seed must be 0 or more, not {options.seed}")
    folder = prepared(options.output)
    kinds = cells.catalogue()
    with progress_bar(len(kinds), clock, "simulating", "kinds of queues") as advance:
        found = cells.judge_all(kinds, options.runs, options.precision / 100, options.seed, advance)
    text = experiments.as_json(found.to_dict())
    figure, data, table = (folder / f"theory.{kind}" for kind in ("png", "json", "csv"))
    save_figure(figure, theory_figure(found))
    with whole_file(data) as path:
        path.write_text(text, encoding="utf-8")
    with whole_file(table) as path:
        write_rows(path, cells.HEADER, found.rows())
    if options.json:
        print(text, end="")
    else:
        report.theory(console(), found, {"Figure": figure, "JSON": data, "CSV": table})
    return FINE


def console() -> Console:
    """Standard output; legible in a narrow terminal and in a log file."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=COLUMNS_WHEN_PIPED)


def save_figure(figure: Path, drawn: Figure) -> None:
    """Writes a picture. No software version in the file: the same result is the same picture."""
    with whole_file(figure) as path:
        drawn.savefig(path, format="png", metadata={"Software": None})


def write_rows(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Writes a table as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def calibrate_run(options: argparse.Namespace, clock: Callable[[], float]) -> int:
    """The verb `calibrate`."""
    folder = prepared(options.output)
    with ended_by_term(), progress_bar(calibrate.STEPS, clock, "measuring", "steps") as advance:
        found = calibrate.calibrate(advance)
    text, data = experiments.as_json(found.to_dict()), folder / "costs.json"
    with whole_file(data) as path:
        path.write_text(text, encoding="utf-8")
    if options.json:
        print(text, end="")
    else:
        calibrate.report(console(), found, data)
    return FINE


def live_run(options: argparse.Namespace, clock: Callable[[], float]) -> int:
    """The verb `live`."""
    if options.seed < 0:
        raise UsageError(f"--seed must be 0 or more, not {options.seed}")
    if options.trace is None and (options.scale or options.limit):
        raise UsageError("--scale and --limit need --trace FILE; for a generated load give --service or --seconds")
    folder = prepared(options.output)
    trace = None
    if options.trace is not None:
        trace = traces.read(options.trace, scale=options.scale or 1.0, limit=options.limit)
    names = tuple(name.strip() for name in options.designs.split(",") if name.strip())
    kept = ("workers", "utilisations", "service", "variance", "seconds", "every", "repeat", "seed")
    try:
        setting = live.Setting(names, way=options.work, **{name: getattr(options, name) for name in kept})
        if trace is not None:
            live.shifted(trace)  # refused before anything is measured
        known = calibrate.read(options.costs) if options.costs is not None else None
        with ended_by_term():
            if known is None:
                with progress_bar(calibrate.STEPS, clock, "calibrating", "steps") as advance:
                    learnt = calibrate.calibrate(advance)
                known = learnt.costs, learnt.overshoot
            chosen = live.loads(setting, *known, trace)
            with progress_bar(setting.repeat * sum(load.jobs for _, load in chosen), clock, "playing") as advance:
                found = live.live(setting, chosen, *known, advance)
    except ValueError as problem:
        raise UsageError(str(problem)) from None
    text = experiments.as_json(found.to_dict())
    figure, data, table = (folder / f"live.{kind}" for kind in ("png", "json", "csv"))
    save_figure(figure, live_report.live_figure(found))
    with whole_file(data) as path:
        path.write_text(text, encoding="utf-8")
    with whole_file(table) as path:
        write_rows(path, live_report.HEADER, live_report.rows(found))
    if options.json:
        print(text, end="")
    else:
        live_report.report(console(), found, {"Figure": figure, "JSON": data, "CSV": table})
    return FINE


def record_run(options: argparse.Namespace, clock: Callable[[], float]) -> int:
    """The verb `record`."""
    if options.url and options.seconds is None:
        raise UsageError("--url compares what ended while it watched; say for how long with --seconds S")
    if options.output.suffix not in (".jsonl", ".ndjson"):
        raise UsageError(
            f"--output: name a file that ends in .jsonl, not {str(options.output)!r}: --trace goes by that"
        )
    prepared(options.output.parent)
    try:
        before = counted(options)
        with progress_bar(options.seconds or 1.0, clock, "watching", "seconds") as advance:
            found = record.record(options.log, options.seconds, advance)
        after = counted(options)
    except MiniqueError as problem:
        raise bench.BenchError(f"--url: {problem}") from None
    if not found.jobs:
        raise bench.BenchError(
            f"no job in {found.lines:,} lines, {found.others:,} of them no event of a worker; workers tell of each job "
            "when they are started with: minique worker --verbose --log json 2>worker.log"
        )
    with whole_file(options.output) as path:
        path.write_text(found.text(), encoding="utf-8")
    ends = found.outcomes()
    print(f"{len(found.jobs):,} jobs: {', '.join(f'{number:,} {name}' for name, number in sorted(ends.items()))}")
    if found.made_before:
        print(f"left out: {len(found.made_before):,} jobs that were made before the record began, or were delayed")
    if found.nameless:
        print(f"left out: {found.nameless:,} claims of jobs whose ids do not say when they were made")
    if options.url:
        known = ends["done"] + ends["failed"] + ends["dropped"]
        print(f"the server counted {after - before:,} ends meanwhile, the logs {known:,} of jobs made meanwhile")
    print(f"Record: {options.output}")
    return FINE


def counted(options: argparse.Namespace) -> int:
    """How many jobs have ended on the server since its beginning; 0 if none was named."""
    if not options.url:
        return 0
    with connect(options.url, options.namespace) as mq:
        stats = mq.overview().stats
    return sum(stats.get(name, 0) for name in ("complete", "fail", "drop"))


@contextlib.contextmanager
def ended_by_term() -> Iterator[None]:
    """A friendly kill is as good as Control-C: what was started here is ended here."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def bench_all(options: argparse.Namespace, clock: Callable[[], float]) -> int:
    """The verb `bench` without a subject: every subject in turn, each with its own defaults."""
    if options.json:
        raise UsageError("--json prints one document: name a subject with it, such as bench throughput --json")
    _, verbs = parser()
    bench_throughput(options, clock)
    for subject, doing in (("scheduler", bench_scheduler), ("modes", bench_modes), ("recovery", bench_recovery)):
        doing(verbs[subject].parse_args(["--output", str(options.output)]), clock)
    return FINE


def bench_throughput(options: argparse.Namespace, clock: Callable[[], float]) -> int:
    """The verb `bench throughput`."""
    folder = prepared(options.output)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with progress_bar(speed.work(options), clock, "measuring", "measurements") as advance:
            result = speed.measure(options, advance)
    finally:
        signal.signal(signal.SIGTERM, before)
    text, figure, data = result.to_json(), folder / "bench-throughput.png", folder / "bench-throughput.json"
    with whole_file(data) as path:
        path.write_text(text, encoding="utf-8")
    save_figure(figure, speed.throughput_figure(result))
    if options.json:
        print(text, end="")
    else:
        speed.report(console(), result, data, figure)
    return FINE


def bench_modes(options: argparse.Namespace, clock: Callable[[], float]) -> int:
    """The verb `bench modes`."""
    folder = prepared(options.output)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with progress_bar(modes.work(options.jobs, options.rounds), clock, "measuring") as advance:
            result = modes.modes(options.jobs, options.rounds, advance)
    finally:
        signal.signal(signal.SIGTERM, before)
    text, data = result.to_json(), folder / "bench-modes.json"
    with whole_file(data) as path:
        path.write_text(text, encoding="utf-8")
    if options.json:
        print(text, end="")
    else:
        modes.report(console(), result, data)
    return FINE


def bench_recovery(options: argparse.Namespace, clock: Callable[[], float]) -> int:
    """The verb `bench recovery`."""
    return recovery.verb(options)


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


def chosen_loads(options: argparse.Namespace) -> list[list[tuple[int, Load]]]:
    """The loads that the options ask for, each kind as often as it is to be replayed, with its seeds.

    Raises UsageError where they contradict each other.
    """
    if options.trace is not None:
        for name in ("load", "jobs", "rate", "replications"):
            if getattr(options, name) is not None:
                raise UsageError(
                    f"--{name} is for generated loads and --trace brings its own; leave one of them out"
                    + (" (--limit takes the first N jobs)" if name == "jobs" else "")
                    + (" (a trace is one load and cannot be drawn again)" if name == "replications" else "")
                )
        return [[(options.seed, traces.read(options.trace, scale=options.scale or 1.0, limit=options.limit))]]
    for name in ("scale", "limit"):
        if getattr(options, name) is not None:
            raise UsageError(f"--{name} needs --trace FILE; for a generated load give --rate or --jobs")
    if options.seed < 0:
        raise UsageError(f"--seed must be 0 or more, not {options.seed}")
    seeds = replications.seeds(options.seed, options.replications or DEFAULT_REPLICATIONS)
    drawn = [[(seed, load) for load in generated_loads(options, seed)] for seed in seeds]
    return [list(same) for same in zip(*drawn, strict=True)]


def generated_loads(options: argparse.Namespace, seed: int) -> list[Load]:
    """One load of each kind that the options ask for, from this seed."""
    jobs = options.jobs or DEFAULT_JOBS
    if options.load is None and options.rate is None:
        return list(experiments.default_loads(jobs, options.workers, seed))
    erlangs = experiments.FULL_SHARE * options.workers
    return [generate(options.load or "twin", jobs, seed, rate=options.rate, erlangs=erlangs)]


def explore_run(options: argparse.Namespace, clock: Callable[[], float]) -> int:
    """The verb `explore`: exit code 1 when a rule breaks."""
    folder = prepared(options.output)
    out = console()

    def save(story: Story) -> None:
        figure, data = (folder / f"story.{kind}" for kind in ("png", "json"))
        save_figure(figure, story.figure())
        with whole_file(data) as path:
            path.write_text(story.to_json(), encoding="utf-8")
        for name, path in (("Figure", figure), ("Story", data)):
            out.print(f"{name}: {escape(str(path))}", soft_wrap=True)

    try:
        return FINE if exploring.run(options, clock, out, partial(search_bar, clock), save) else FAILED
    except exploring.Wrong as problem:
        raise UsageError(str(problem)) from None


@contextlib.contextmanager
def search_bar(clock: Callable[[], float]) -> Iterator[Searching]:
    """How far a search is, on standard error; nothing at all when that is no terminal. Nobody knows the whole."""
    shown = Console(stderr=True)
    columns = (TextColumn("exploring"), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    began = clock()
    with Progress(*columns, console=shown, get_time=clock, transient=True, disable=not shown.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def told(states: int, transitions: int, left: int, depth: int) -> str:
            rate = transitions / max(1e-9, clock() - began)
            words = f"{states:,} states, {rate:,.0f} transitions/s, {left:,} to look at, {depth} steps deep"
            bar.update(task, description=words, total=states, completed=states - left)
            return ""

        yield told


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


def run() -> NoReturn:
    """The program."""
    sys.exit(main())
