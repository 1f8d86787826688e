"""`sweep`: waiting over one parameter, the hockey stick: theory as a line, simulation as dots with intervals."""

import argparse
from typing import TYPE_CHECKING

from simulate import experiments, report, sweep
from simulate.commands.files import prepared, save_figure, save_rows, save_text
from simulate.commands.options import (
    DEFAULT_REPLICATIONS,
    FINE,
    Clock,
    UsageError,
    chosen_costs,
    chosen_seed,
    costs_option,
    names,
    numbers,
    output_options,
    positive,
    seed_option,
    verb,
)
from simulate.commands.terminal import console, progress_bar
from simulate.plots import sweep_figure

if TYPE_CHECKING:
    from simulate.commands.options import Verbs


def add(verbs: "Verbs") -> None:
    """Its part of the command line."""
    one = verb(verbs, "sweep", run, help="waiting over one parameter: theory as a line, dots with intervals")
    one.add_argument("--over", choices=tuple(sweep.PARAMETERS), required=True, help="which parameter")
    one.add_argument("--values", type=numbers, metavar="X,X", help="its values (default: six that show the shape)")
    one.add_argument("--designs", metavar="A,B", help="default: those that the parameter matters to")
    usual = sweep.Setting()
    for name, kind, value, words in (
        ("utilisation", float, usual.utilisation, "share of its own processes that each design keeps busy"),
        ("workers", int, usual.workers, "processes of each design that can have several"),
        ("service", float, usual.service, "mean seconds of work in a job"),
        ("poll", float, usual.poll, "seconds between two looks of a polling design"),
        ("lease", float, usual.lease, "seconds of a lease"),
    ):
        one.add_argument(
            f"--{name}", type=positive(kind), default=value, metavar="X", help=f"{words} (default: %(default)g)"
        )
    one.add_argument(
        "--variance",
        type=float,
        default=usual.variance,
        metavar="X",
        help="of the work in jobs over its squared mean: 0 fixed, 1 exponential (default: %(default)g)",
    )
    one.add_argument(
        "--replications",
        type=positive(int),
        default=DEFAULT_REPLICATIONS,
        metavar="N",
        help="runs of each point, with seeds of their own (default: %(default)s)",
    )
    seed_option(one)
    output_options(one, "figure, JSON and CSV go", "table")
    costs_option(one)


def run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `sweep`."""
    seed = chosen_seed(options)
    if options.replications < 2:
        raise UsageError("--replications must be 2 or more: a single run has no interval")
    parameter = sweep.PARAMETERS[options.over]
    designs = names(options.designs or ",".join(parameter.designs))
    values = options.values or parameter.values
    setting = sweep.Setting(
        **{name: getattr(options, name) for name in ("utilisation", "workers", "service", "variance", "poll", "lease")},
        costs=chosen_costs(options),
    )
    folder = prepared(options.output)
    times = options.replications
    try:
        with progress_bar(len(designs) * len(values) * times, clock, "replaying", "runs") as advance:
            found = sweep.sweep(options.over, values, designs, setting, seed, times, advance)
    except ValueError as problem:
        raise UsageError(str(problem)) from None
    text = experiments.as_json(found.to_dict())
    figure, data, table = (folder / f"sweep-{options.over.replace('_', '-')}.{kind}" for kind in ("png", "json", "csv"))
    save_figure(figure, sweep_figure(found))
    save_text(data, text)
    save_rows(table, sweep.HEADER, found.rows())
    if options.json:
        print(text, end="")
    else:
        report.sweep(console(), found, {"Figure": figure, "JSON": data, "CSV": table})
    return FINE
