"""`plan`: how many workers, so that nearly all jobs start soon enough."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from simulate import plan, report
from simulate.commands.chosen import chosen_costs, chosen_goal, chosen_loads
from simulate.commands.options import (
    DEFAULT_REPLICATIONS,
    FAILED,
    FINE,
    Clock,
    UsageError,
    generated_options,
    goal_options,
    positive,
    trace_options,
    usual_options,
    verb,
)
from simulate.commands.results import Result, played, publish
from simulate.plots import plan_figure

if TYPE_CHECKING:
    from simulate.commands.options import Verbs


def add(verbs: "Verbs") -> None:
    """Its part of the command line."""
    one = verb(verbs, "plan", run, help="how many workers, so that nearly all jobs start soon enough")
    goal_options(one, plan.MOST_WORKERS)
    one.add_argument(
        "--design", default="minique", metavar="A", help="or a file, such as mine.py (default: %(default)s)"
    )
    load = one.add_argument_group("the load")
    trace_options(load)
    generated_options(load, "twin", ", in which jobs come now")
    one.add_argument("--replications", type=positive(int), metavar="N", help=f"default: {DEFAULT_REPLICATIONS}")
    usual_options(one)
    one.set_defaults(workers=1)  # the rate is given and does not follow from them


def run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `plan`. Without an answer the exit code is 1."""
    if options.trace is None and options.rate is None:
        raise UsageError("how many jobs come? Give --rate R (jobs per second) or --trace FILE")
    [loads] = chosen_loads(options)
    goal = chosen_goal(options)

    def experiment(advance: Callable[[float], None]) -> plan.Plan:
        return plan.plan(loads, options.design, goal, chosen_costs(options), options.most, advance)

    # Doubling and halving take some twenty tries; how many exactly, nobody knows before.
    found, speed = played(options, clock, 20, experiment, "trying", "numbers of workers")
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
