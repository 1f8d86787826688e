"""`sweep`: waiting over one parameter, the hockey stick: theory as a line, simulation as dots with intervals."""

import argparse
from typing import TYPE_CHECKING

from simulate import report, sweep
from simulate.commands.options import (
    DEFAULT_REPLICATIONS,
    FINE,
    Clock,
    UsageError,
    chosen_costs,
    chosen_seed,
    costs_option,
    keeping_options,
    names,
    not_negative,
    numbers,
    output_options,
    positive,
    seed_option,
    verb,
)
from simulate.commands.results import Result, publish, ready
from simulate.commands.terminal import progress_bar, speedometer
from simulate.plots import sweep_figure

if TYPE_CHECKING:
    from simulate.commands.options import Verbs


def add(verbs: "Verbs") -> None:
    """Its part of the command line."""
    one = verb(verbs, "sweep", run, help="waiting over one parameter: theory as a line, dots with intervals")
    one.add_argument("--over", choices=tuple(sweep.PARAMETERS), required=True, help="which parameter")
    one.add_argument("--values", type=numbers, metavar="X,X", help="its values (default: six that show the shape)")
    one.add_argument(
        "--designs", type=names, metavar="A,B", help="also files, such as mine.py (default: those that it matters to)"
    )
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
        type=not_negative,
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
    keeping_options(one)
    costs_option(one)


def run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `sweep`."""
    seed = chosen_seed(options)
    if options.replications < 2:
        raise UsageError("--replications must be 2 or more: a single run has no interval")
    parameter = sweep.PARAMETERS[options.over]
    designs = options.designs or list(parameter.designs)
    values = options.values or parameter.values
    setting = sweep.Setting(
        **{name: getattr(options, name) for name in ("utilisation", "workers", "service", "variance", "poll", "lease")},
        costs=chosen_costs(options),
    )
    ready(options)
    times = options.replications
    try:
        with (
            speedometer(clock) as speed,
            progress_bar(len(designs) * len(values) * times, clock, "replaying", "runs") as advance,
        ):
            found = sweep.sweep(options.over, values, designs, setting, seed, times, advance)
    except ValueError as problem:
        raise UsageError(str(problem)) from None
    over = options.over.replace("_", "-")
    result = Result(
        title=f"{found.parameter.measured.capitalize()} over {found.over.replace('_', ' ')}",
        data=found.to_dict(),
        header=sweep.HEADER,
        rows=found.rows(),
        figures=lambda: [sweep_figure(found)],
        report=lambda out: report.sweep(out, found),
    )
    publish(options, f"sweep-{over}", result, speed)
    return FINE
