"""`theory`: closed forms beside the simulator, kind by kind of queue."""

import argparse
from typing import TYPE_CHECKING

from simulate import cells, report
from simulate.commands.options import (
    FINE,
    Clock,
    chosen_seed,
    keeping_options,
    output_options,
    positive,
    seed_option,
    verb,
)
from simulate.commands.results import Result, publish, ready
from simulate.commands.terminal import progress_bar
from simulate.plots import theory_figure

if TYPE_CHECKING:
    from simulate.commands.options import Verbs


def add(verbs: "Verbs") -> None:
    """Its part of the command line."""
    one = verb(verbs, "theory", run, help="closed forms beside the simulator, kind by kind of queue")
    one.add_argument(
        "--runs",
        type=positive(int),
        default=4,
        metavar="N",
        help="of each kind, with seeds of their own (default: %(default)s)",
    )
    one.add_argument(
        "--precision",
        type=positive(float),
        default=1.0,
        metavar="P",
        help="standard error of all runs of a kind, in per cent; half of it takes four times as long "
        "(default: %(default)g)",
    )
    seed_option(one)
    output_options(one, "figure, JSON and CSV go", "table")
    keeping_options(one)


def run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `theory`."""
    seed = chosen_seed(options)
    ready(options)
    kinds = cells.catalogue()
    with progress_bar(len(kinds), clock, "simulating", "kinds of queues") as advance:
        found = cells.judge_all(kinds, options.runs, options.precision / 100, seed, advance)
    result = Result(
        title="Theory and simulation",
        data=found.to_dict(),
        header=cells.HEADER,
        rows=found.rows(),
        figures=lambda: [theory_figure(found)],
        report=lambda out: report.theory(out, found),
    )
    publish(options, "theory", result)
    return FINE
