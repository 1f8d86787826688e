"""`live`: the same load against real processes: predicted beside measured."""

import argparse
from typing import TYPE_CHECKING

from simulate import experiments
from simulate.commands.chosen import chosen_seed, chosen_trace
from simulate.commands.files import prepared
from simulate.commands.options import (
    FINE,
    Clock,
    UsageError,
    costs_option,
    names,
    numbers,
    output_options,
    positive,
    seed_option,
    trace_options,
    verb,
)
from simulate.commands.results import keep
from simulate.commands.terminal import ended_by_term, progress_bar
from simulate.live import beside, calibrate
from simulate.live import check as live_check
from simulate.live import check_report as live_check_report
from simulate.live import report as live_report
from simulate.live import runs as live

if TYPE_CHECKING:
    from simulate.commands.options import Verbs


def add(verbs: "Verbs") -> None:
    """Its part of the command line."""
    one = verb(verbs, "live", run, help="the same load against real processes: predicted beside measured")
    asked = live.Setting()
    trace_options(one)
    one.add_argument(
        "--designs",
        default=",".join(asked.designs),
        metavar="A,B",
        help="minique forks a child per job, inline runs it in the worker, naive is the daemon (default: %(default)s)",
    )
    for name, kind, value, words in (
        ("workers", int, asked.workers, "processes of minique"),
        ("every", float, asked.every, "seconds that the naive daemon sleeps"),
        ("repeat", int, asked.repeat, "times that each is played; medians count"),
    ):
        one.add_argument(
            f"--{name}", type=positive(kind), default=value, metavar="X", help=f"{words} (default: %(default)g)"
        )
    one.add_argument(
        "--utilisations",
        type=numbers,
        metavar="X,X",
        help="effective shares of its own processes that a generated load keeps busy (default: 0.5,0.9; with --check "
        "also 0.3 and 0.7)",
    )
    one.add_argument(
        "--service",
        type=positive(float),
        metavar="X",
        help=f"mean seconds of work in a generated job (default: {asked.service:g}; with --check "
        f"{live_check.SERVICE_SECONDS:g}, and for the naive daemon as many times less as there are workers)",
    )
    long = one.add_mutually_exclusive_group()
    long.add_argument(
        "--seconds",
        type=positive(float),
        metavar="X",
        help=f"for how long generated jobs arrive (default: {asked.seconds:g}; with --check so long as --jobs takes)",
    )
    long.add_argument(
        "--jobs",
        type=positive(int),
        metavar="N",
        help=f"how many generated jobs there are, however long they take (default with --check: {live_check.JOBS}, "
        "enough for each percentile)",
    )
    one.add_argument(
        "--check",
        action="store_true",
        help="say of each design and load whether the simulator was right, with costs learnt anew in every turn",
    )
    one.add_argument(
        "--variance",
        type=float,
        default=asked.variance,
        metavar="X",
        help="of the work in jobs over its squared mean: 0 fixed, 1 exponential (default: %(default)g)",
    )
    one.add_argument(
        "--work", choices=live.WAYS, default=asked.way, help="what a job does all the time (default: %(default)s)"
    )
    seed_option(one)
    costs_option(one, otherwise="measured now")
    output_options(one, "figure, JSON and CSV go", "table")


def run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `live`."""
    chosen_seed(options)
    if options.trace is None and (options.scale or options.limit):
        raise UsageError("--scale and --limit need --trace FILE; for a generated load give --service or --seconds")
    if options.trace is not None and options.check:
        raise UsageError("--check makes its own loads, so that costs can be learnt from others: leave out --trace")
    prepared(options.output)
    trace = None
    usual = live_check.UTILISATIONS if options.check else live.Setting().utilisations
    options.utilisations = options.utilisations or usual
    if options.trace is not None:
        trace = chosen_trace(options)
    kept = ("workers", "utilisations", "service", "variance", "seconds", "jobs", "every", "repeat", "seed")
    options.service = options.service or (live_check.SERVICE_SECONDS if options.check else live.Setting().service)
    options.jobs = options.jobs or (live_check.JOBS if options.check and options.seconds is None else 0)
    options.seconds = options.seconds or live.Setting().seconds
    try:
        setting = live.Setting(
            tuple(names(options.designs)), way=options.work, **{name: getattr(options, name) for name in kept}
        )
        if trace is not None:
            live.shifted(trace)  # refused before anything is measured
        known = calibrate.read(options.costs) if options.costs is not None else None
        lessons = calibrate.read_steps(options.costs) if options.costs is not None else {}
        with ended_by_term():
            if known is None:
                with progress_bar(calibrate.STEPS, clock, "calibrating", "steps") as advance:
                    learnt = calibrate.calibrate(advance)
                known, lessons = (learnt.costs, learnt.overshoot), learnt.lessons
            if options.check:
                with progress_bar(len(setting.designs), clock, "trying", "designs") as advance:
                    scouts = live_check.scouted(setting, *known, advance)
                plan = live_check.planned(setting, scouts)
                with progress_bar(sum(one.work for one in plan), clock, "playing") as advance:
                    checked = live_check.check(setting, plan, *known, advance)
                keep_checked(options, checked)
                return FINE
            chosen = beside.loads(setting, *known, trace)
            with progress_bar(setting.repeat * sum(load.jobs for _, load in chosen), clock, "playing") as advance:
                found = beside.live(setting, chosen, *known, advance, lessons)
    except ValueError as problem:
        raise UsageError(str(problem)) from None
    keep(
        options,
        "live",
        experiments.as_json(found.to_dict()),
        lambda out, files: live_report.report(out, found, files),
        live_report.live_figure(found),
        [live_report.HEADER, *live_report.rows(found)],
    )
    return FINE


def keep_checked(options: argparse.Namespace, found: live_check.Checked) -> None:
    """Writes and shows what `--check` found."""
    keep(
        options,
        "live-check",
        experiments.as_json(found.to_dict()),
        lambda out, files: live_check_report.report(out, found, files),
        live_check_report.figure(found),
        [live_check_report.HEADER, *live_check_report.rows(found)],
    )
