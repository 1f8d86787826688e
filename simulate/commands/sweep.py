"""`sweep`: waiting over one parameter, the hockey stick: theory as a line, simulation as dots with intervals."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from simulate import report, sweep
from simulate.commands.chosen import chosen_costs, chosen_replications, chosen_seed
from simulate.commands.options import (
    FINE,
    Clock,
    UsageError,
    names,
    not_negative,
    numbers,
    positive,
    replications_option,
    usual_options,
    verb,
)
from simulate.commands.results import Result, played, publish, ready
from simulate.commands.terminal import ended_by_term, progress_bar
from simulate.costs import Costs
from simulate.live import calibrate, crosses
from simulate.plots import sweep_figure

if TYPE_CHECKING:
    from simulate.commands.options import Verbs

SET = ("utilisation", "workers", "service", "variance", "poll", "lease")
"""What a point is made from, and the options that say it."""

LIVE_RUNS, LIVE_SECONDS = 4, 6.0


def add(verbs: "Verbs") -> None:
    """Its part of the command line."""
    one = verb(verbs, "sweep", run, help="waiting over one parameter: theory as a line, dots with intervals")
    one.add_argument("--over", choices=tuple(sweep.PARAMETERS), required=True, help="which parameter")
    one.add_argument("--values", type=numbers, metavar="X,X", help="its values (default: six that show the shape)")
    one.add_argument(
        "--designs", type=names, metavar="A,B", help="also files, such as mine.py (default: those that it matters to)"
    )
    for name, kind, words in (
        ("utilisation", positive(float), "share of its own processes that each design keeps busy"),
        ("workers", positive(int), "processes of each design that can have several"),
        ("service", positive(float), "mean seconds of work in a job"),
        ("variance", not_negative, "of the work in jobs over its squared mean: 0 fixed, 1 exponential"),
        ("poll", positive(float), "seconds between two looks of a polling design"),
        ("lease", positive(float), "seconds of a lease"),
    ):
        value, when_live = getattr(sweep.Setting(), name), getattr(crosses.USUAL, name)
        live = f"; with --live {when_live:g}" if value != when_live else ""
        one.add_argument(f"--{name}", type=kind, metavar="X", help=f"{words} (default: {value:g}{live})")
    real = one.add_argument_group("in reality")
    real.add_argument(
        "--live", action="store_true", help="also play it with real processes, as crosses; minutes, and two free cores"
    )
    real.add_argument(
        "--live-runs", type=positive(int), default=LIVE_RUNS, metavar="N", help="of each point (default: %(default)s)"
    )
    real.add_argument(
        "--live-seconds",
        type=positive(float),
        default=LIVE_SECONDS,
        metavar="S",
        help="for so long jobs arrive in each (default: %(default)g)",
    )
    replications_option(one)
    usual_options(one)


def run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `sweep`."""
    seed = chosen_seed(options)
    times = chosen_replications(options)
    parameter = sweep.PARAMETERS[options.over]
    designs = options.designs or list(parameter.designs)
    values = options.values or (options.live and crosses.VALUES.get(options.over)) or parameter.values
    if options.live:
        if options.live_runs < 2:
            raise UsageError("--live-runs must be 2 or more: a single run has no interval")
        try:
            crosses.check(options.over, designs)
        except ValueError as problem:
            raise UsageError(str(problem)) from None
    fill(options)
    ready(options)  # before anything is measured
    overshoot = calibrated(options, clock) if options.live else 0.0
    setting = sweep.Setting(**{name: getattr(options, name) for name in SET}, costs=chosen_costs(options))
    if options.live:
        try:
            crosses.check_values(options.over, values, setting.costs)
        except ValueError as problem:
            raise UsageError(str(problem)) from None

    def experiment(advance: Callable[[float], None]) -> sweep.Sweep:
        return sweep.sweep(options.over, values, designs, setting, seed, times, advance)

    found, speed = played(options, clock, len(designs) * len(values) * times, experiment)
    if options.live:
        asked = (options.live_runs, options.live_seconds)
        total = crosses.work(options.over, values, designs, setting, *asked)
        with ended_by_term(), progress_bar(total, clock, "playing") as advance_jobs:
            found = crosses.crossed(found, overshoot, *asked, advance_jobs)
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


def fill(options: argparse.Namespace) -> None:
    """What was not said is as usual; what is usual is short when somebody waits for real processes."""
    usual = crosses.USUAL if options.live else sweep.Setting()
    for name in SET:
        if getattr(options, name) is None:
            setattr(options, name, getattr(usual, name))


def calibrated(options: argparse.Namespace, clock: Clock) -> float:
    """Costs of this machine, from the file or measured now, for everything that follows; and how late sleeps end."""
    if isinstance(options.costs, Costs):
        raise UsageError("--live needs costs of this machine: name a file of calibrate with --costs, or no costs")
    if options.costs is not None:
        options.costs, overshoot = calibrate.read(options.costs)
        return overshoot
    with ended_by_term(), progress_bar(calibrate.STEPS, clock, "calibrating", "steps") as advance:
        learnt = calibrate.calibrate(advance)
    options.costs = learnt.costs
    return learnt.overshoot
