"""`theory`: closed forms beside the simulator, kind by kind of queue."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from simulate import cells, report
from simulate.commands.chosen import chosen_seed
from simulate.commands.options import FINE, Clock, positive, usual_options, verb
from simulate.commands.results import Result, played, publish
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
    usual_options(one, costs=False)


def run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `theory`."""
    seed = chosen_seed(options)
    kinds = cells.catalogue()

    def experiment(advance: Callable[[float], None]) -> cells.Judgement:
        return cells.judge_all(kinds, options.runs, options.precision / 100, seed, advance)

    found, _ = played(options, clock, len(kinds), experiment, "simulating", "kinds of queues")
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
