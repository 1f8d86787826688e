"""`plan`: how many workers, so that nearly all jobs start soon enough."""

import argparse
from typing import TYPE_CHECKING

from simulate import plan, report
from simulate.commands.options import (
    DEFAULT_REPLICATIONS,
    FAILED,
    FINE,
    Clock,
    UsageError,
    chosen_costs,
    chosen_loads,
    costs_option,
    generated_options,
    keeping_options,
    not_negative,
    output_options,
    positive,
    seed_option,
    trace_options,
    verb,
)
from simulate.commands.results import Result, publish, ready
from simulate.commands.terminal import progress_bar, speedometer
from simulate.plots import plan_figure

if TYPE_CHECKING:
    from simulate.commands.options import Verbs


def add(verbs: "Verbs") -> None:
    """Its part of the command line."""
    one = verb(verbs, "plan", run, help="how many workers, so that nearly all jobs start soon enough")
    one.add_argument("--target", type=positive(float), required=True, metavar="S", help="seconds of waiting")
    one.add_argument("--percentile", type=positive(float), default=95.0, metavar="P", help="default: %(default)g")
    one.add_argument(
        "--growth", type=positive(float), default=1.0, metavar="G", help="arrivals G times as fast (default: 1)"
    )
    one.add_argument(
        "--crashes-per-hour", type=not_negative, default=0.0, metavar="N", help="workers killed with a job in the hand"
    )
    one.add_argument(
        "--design", default="minique", metavar="A", help="or a file, such as mine.py (default: %(default)s)"
    )
    one.add_argument(
        "--most", type=positive(int), default=plan.MOST_WORKERS, metavar="N", help="try no more (default: %(default)s)"
    )
    load = one.add_argument_group("the load")
    trace_options(load)
    generated_options(load, "twin", ", in which jobs come now")
    one.add_argument("--replications", type=positive(int), metavar="N", help=f"default: {DEFAULT_REPLICATIONS}")
    seed_option(one)
    output_options(one, "figure, JSON and CSV go", "table")
    keeping_options(one)
    costs_option(one)
    one.set_defaults(workers=1)  # the rate is given and does not follow from them


def run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `plan`. Without an answer the exit code is 1."""
    if options.trace is None and options.rate is None:
        raise UsageError("how many jobs come? Give --rate R (jobs per second) or --trace FILE")
    [loads] = chosen_loads(options)
    goal = plan.Goal(options.target, options.percentile, options.growth, options.crashes_per_hour)
    ready(options)
    try:
        # Doubling and halving take some twenty tries; how many exactly, nobody knows before.
        with speedometer(clock) as speed, progress_bar(20, clock, "trying", "numbers of workers") as advance:
            found = plan.plan(loads, options.design, goal, chosen_costs(options), options.most, advance)
    except ValueError as problem:
        raise UsageError(str(problem)) from None
    result = Result(
        title=f"How many workers for {goal.words()}",
        data=found.to_dict(),
        header=plan.HEADER,
        rows=found.rows(),
        figures=lambda: [plan_figure(found)],
        report=lambda out: report.plan(out, found),
    )
    publish(options, "plan", result, speed)
    return FINE if found.workers is not None else FAILED
