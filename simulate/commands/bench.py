"""`bench`: real processes on a real server: how late, how fast. A subject each, or all in turn."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from simulate import traces
from simulate.benches import modes, recovery, scheduler, simulator
from simulate.benches import report as speed
from simulate.commands.files import prepared
from simulate.commands.options import FINE, Clock, UsageError, output_options, positive, several, verb
from simulate.commands.results import keep
from simulate.commands.terminal import ended_by_term, progress_bar
from simulate.words import count, duration

if TYPE_CHECKING:
    from simulate.commands.options import Verbs


def add(verbs: "Verbs") -> None:
    """Its part of the command line."""
    whole = verb(verbs, "bench", all_run, help="real processes on a real server: how late, how fast")
    subjects = whole.add_subparsers(dest="subject", metavar="throughput|scheduler|modes|recovery|simulator")
    fast = verb(
        subjects, "throughput", throughput_run, help="jobs per second, what each costs, how it grows; beside others"
    )
    # Without a subject all of them are measured, and these options are the first one's.
    for one in (whole, fast):
        speed.add_options(one, positive)
        output_options(one, "figure and JSON go")
    recovering = recovery.add_to(subjects, positive(int))
    recovering.set_defaults(run=recovery_run, parser=recovering)
    late = verb(
        subjects, "scheduler", scheduler_run, help="lateness of delayed and recurring jobs, promotion rate, idling"
    )
    late.add_argument(
        "--rate", type=positive(float), default=1000.0, metavar="R", help="jobs due per second (default: %(default)g)"
    )
    late.add_argument(
        "--seconds", type=positive(float), default=5.0, metavar="S", help="of each measurement (default: %(default)g)"
    )
    late.add_argument(
        "--backlog",
        type=positive(int),
        default=100_000,
        metavar="N",
        help="jobs that are due all at once (default: %(default)s)",
    )
    late.add_argument(
        "--polls",
        type=several(float),
        default=scheduler.POLLS,
        metavar="S,S",
        help="how often the neighbours look, in seconds (default: 1,5)",
    )
    late.add_argument(
        "--schedulers",
        type=several(int),
        default=(1, 2, 4),
        metavar="N,N",
        help="how many promote that backlog, in turn (default: 1,2,4)",
    )
    output_options(late, "the JSON goes")
    ways = verb(subjects, "modes", modes_run, help="what each way to run a job costs: fork, recycled, spawn, in-line")
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
    output_options(ways, "the JSON goes")
    own = verb(subjects, "simulator", simulator_run, help="jobs that the simulator plays per second, and its memory")
    own.add_argument(
        "--jobs", type=positive(int), default=100_000, metavar="N", help="of most parts (default: %(default)s)"
    )
    own.add_argument(
        "--million", type=positive(int), default=1_000_000, metavar="N", help="of the long ones (default: %(default)s)"
    )
    own.add_argument(
        "--trace",
        metavar="FILE",
        help=f"a log to play, its time divided by {simulator.LOG_SCALE:g}; without, a load as large as the LCG log",
    )
    output_options(own, "the JSON goes")
    whole.set_defaults(others=(late, ways, recovering, own))


def all_run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `bench` without a subject: every subject in turn, each with its own defaults."""
    if options.json:
        raise UsageError("--json prints one document: name a subject with it, such as bench throughput --json")
    throughput_run(options, clock)
    for subject in options.others:
        usual = subject.parse_args(["--output", str(options.output)])
        usual.run(usual, clock)
    return FINE


def throughput_run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `bench throughput`."""
    prepared(options.output)
    with ended_by_term(), progress_bar(speed.work(options), clock, "measuring", "measurements") as advance:
        result = speed.measure(options, advance)

    def report(out: Console, files: Mapping[str, Path]) -> None:
        speed.report(out, result, files["JSON"], files["Figure"])

    keep(options, "bench-throughput", result.to_json(), report, speed.throughput_figure(result))
    return FINE


def modes_run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `bench modes`."""
    prepared(options.output)
    with ended_by_term(), progress_bar(modes.work(options.jobs, options.rounds), clock, "measuring") as advance:
        result = modes.modes(options.jobs, options.rounds, advance)
    keep(options, "bench-modes", result.to_json(), lambda out, files: modes.report(out, result, files["JSON"]))
    return FINE


def simulator_run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `bench simulator`."""
    prepared(options.output)
    if options.trace is not None:
        try:
            traces.read(options.trace, limit=1)
        except traces.TraceError as problem:
            raise UsageError(str(problem)) from None
    wanted = simulator.parts(options.jobs, options.million, options.trace)
    with ended_by_term(), progress_bar(sum(part.jobs for part in wanted), clock, "simulating") as advance:
        found = simulator.measure_all(wanted, advance)
    text = simulator.to_json(found)
    keep(options, "bench-simulator", text, lambda out, files: simulator.report(out, found, files["JSON"]))
    return FINE


def recovery_run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `bench recovery`."""
    return recovery.verb(options)


def scheduler_run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `bench scheduler`."""
    prepared(options.output)
    asked = (options.rate, options.seconds, options.backlog, options.schedulers, options.polls)
    with ended_by_term(), progress_bar(scheduler.work(*asked), clock, "measuring") as advance:
        result = scheduler.measure(*asked, advance)
    keep(options, "bench-scheduler", result.to_json(), lambda out, files: scheduler_report(out, result, files["JSON"]))
    return FINE


def scheduler_report(console: Console, result: scheduler.Result, data: Path) -> None:
    """Tables and words on standard output."""
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
