"""`theory`: closed forms beside the simulator, kind by kind of queue."""

import argparse
from typing import TYPE_CHECKING

from simulate import cells, experiments, report
from simulate.commands.files import prepared, save_figure, save_rows, save_text
from simulate.commands.options import FINE, Clock, chosen_seed, output_options, positive, seed_option, verb
from simulate.commands.terminal import console, progress_bar
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


def run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `theory`."""
    seed, folder = chosen_seed(options), prepared(options.output)
    kinds = cells.catalogue()
    with progress_bar(len(kinds), clock, "simulating", "kinds of queues") as advance:
        found = cells.judge_all(kinds, options.runs, options.precision / 100, seed, advance)
    text = experiments.as_json(found.to_dict())
    figure, data, table = (folder / f"theory.{kind}" for kind in ("png", "json", "csv"))
    save_figure(figure, theory_figure(found))
    save_text(data, text)
    save_rows(table, cells.HEADER, found.rows())
    if options.json:
        print(text, end="")
    else:
        report.theory(console(), found, {"Figure": figure, "JSON": data, "CSV": table})
    return FINE
