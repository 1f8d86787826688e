"""`staff`: how many workers at which hour, for a load that comes and goes."""

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from simulate import plan, report
from simulate.arrivals import DAY_SECONDS
from simulate.commands.chosen import chosen_costs, chosen_goal, chosen_loads
from simulate.commands.options import (
    DEFAULT_JOBS,
    FAILED,
    FINE,
    Clock,
    generated_options,
    goal_options,
    positive,
    trace_options,
    usual_options,
    verb,
)
from simulate.commands.results import Result, played, publish
from simulate.plots import staffing_figure
from simulate.report.staffing import HEADER, rows
from simulate.scenarios.staffing import DESIGNS, MOST_ROUNDS, Staffing, staffing
from simulate.workload import Load

if TYPE_CHECKING:
    from simulate.commands.options import Verbs

TARGET_SECONDS, WINDOW_SECONDS = 5.0, 3600.0
MEAN_SECONDS = 60.0
SPARE = 1.05  # days that all jobs would take: then the first one is full, whatever is drawn


def add(verbs: "Verbs") -> None:
    """Its part of the command line."""
    one = verb(verbs, "staff", run, help="how many workers at which hour, for a load that comes and goes")
    goal_options(one, plan.MOST_WORKERS, TARGET_SECONDS)
    one.add_argument(
        "--window",
        type=positive(float),
        default=WINDOW_SECONDS,
        metavar="S",
        help="the number may change every so many seconds (default: %(default)g, an hour)",
    )
    one.add_argument("--design", choices=DESIGNS, default="minique", help="default: %(default)s")
    load = one.add_argument_group("the load")
    trace_options(load)
    generated_options(load, "daily", " (default: so that they fill a day)", f"exponential, {MEAN_SECONDS:g} s")
    one.add_argument("--replications", type=positive(int), metavar="N", help="default: 5; a trace is one")
    usual_options(one)
    one.set_defaults(workers=1)


def run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `staff`. Without an answer the exit code is 1."""
    if options.trace is None:
        fill(options)
    [loads] = chosen_loads(options)
    if options.load == "daily":
        loads = [(seed, whole_days(load)) for seed, load in loads]
    goal = chosen_goal(options)

    def experiment(advance: Callable[[float], None]) -> Staffing:
        return staffing(
            loads,
            goal,
            window=options.window,
            design=options.design,
            costs=chosen_costs(options),
            most=options.most,
            progress=advance,
        )

    found, speed = played(options, clock, MOST_ROUNDS, experiment, "playing", "plays of the whole load at most")
    result = Result(
        title=f"How many workers when, for {goal.words()}",
        data=found.to_dict(),
        header=HEADER,
        rows=rows(found),
        figures=lambda: [staffing_figure(found)],
        report=lambda out: report.staffing(out, found),
    )
    publish(options, "staff", result, speed)
    return FINE if found.why_none is None else FAILED


def fill(options: argparse.Namespace) -> None:
    """What was not said of a load that is generated: a day of jobs that take a while."""
    options.load = options.load or "daily"
    options.rate = options.rate or (options.jobs or DEFAULT_JOBS) / (SPARE * DAY_SECONDS)
    if options.service is None:
        options.service, options.mean = "exponential", options.mean or MEAN_SECONDS


def whole_days(load: Load) -> Load:
    """The load until the end of its last whole day, if it has one: nobody wants to staff what chance left beyond it."""
    days = int(load.span / DAY_SECONDS)
    jobs = int(np.searchsorted(load.arrived, days * DAY_SECONDS)) if days else load.jobs
    queues = load.queues[:jobs] if load.queues else None
    return replace(load, arrived=load.arrived[:jobs], service=load.service[:jobs], queues=queues)
