"""`plan`: how many workers, so that nearly all jobs start soon enough."""

import argparse
from typing import TYPE_CHECKING

from simulate import experiments, plan, report
from simulate.commands.files import prepared, save_figure, save_text
from simulate.commands.options import (
    DEFAULT_JOBS,
    DEFAULT_REPLICATIONS,
    FAILED,
    FINE,
    Clock,
    UsageError,
    chosen_costs,
    chosen_loads,
    costs_option,
    output_options,
    positive,
    seed_option,
    trace_options,
    verb,
)
from simulate.commands.terminal import console, progress_bar
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
        "--crashes-per-hour", type=float, default=0.0, metavar="N", help="workers killed with a job in the hand"
    )
    one.add_argument("--design", default="minique", metavar="A", help="default: %(default)s")
    one.add_argument(
        "--most", type=positive(int), default=plan.MOST_WORKERS, metavar="N", help="try no more (default: %(default)s)"
    )
    trace_options(one)
    one.add_argument("--load", choices=("poisson", "bursty", "twin"), help="generate this kind (default: twin)")
    one.add_argument("--rate", type=positive(float), metavar="R", help="of a generated load: arrivals per second")
    one.add_argument("--jobs", type=positive(int), metavar="N", help=f"to generate (default: {DEFAULT_JOBS:,})")
    one.add_argument("--replications", type=positive(int), metavar="N", help=f"default: {DEFAULT_REPLICATIONS}")
    seed_option(one)
    output_options(one, "figure and JSON go", "table")
    costs_option(one)
    one.set_defaults(workers=1)  # the rate is given and does not follow from them


def run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `plan`. Without an answer the exit code is 1."""
    if options.trace is None and options.rate is None:
        raise UsageError("how many jobs come? Give --rate R (jobs per second) or --trace FILE")
    [loads] = chosen_loads(options)
    goal = plan.Goal(options.target, options.percentile, options.growth, options.crashes_per_hour)
    folder = prepared(options.output)
    try:
        # Doubling and halving take some twenty tries; how many exactly, nobody knows before.
        with progress_bar(20, clock, "trying", "numbers of workers") as advance:
            found = plan.plan(loads, options.design, goal, chosen_costs(options), options.most, advance)
    except ValueError as problem:
        raise UsageError(str(problem)) from None
    text = experiments.as_json(found.to_dict())
    figure, data = folder / "plan.png", folder / "plan.json"
    save_figure(figure, plan_figure(found))
    save_text(data, text)
    if options.json:
        print(text, end="")
    else:
        report.plan(console(), found, {"Figure": figure, "JSON": data})
    return FINE if found.workers is not None else FAILED
