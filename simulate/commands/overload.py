"""`overload`: more work than can be done, and what each policy still gets done in time."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from simulate import report
from simulate.commands.chosen import chosen_costs, chosen_names, chosen_replications, chosen_seed, chosen_service
from simulate.commands.options import (
    FINE,
    Clock,
    names,
    numbers,
    positive,
    replications_option,
    service_options,
    usual_options,
    verb,
    workers_option,
)
from simulate.commands.results import Result, played, publish
from simulate.plots import overload_figure
from simulate.report.overload import HEADER, rows
from simulate.scenarios.overload import POLICIES, Overload, Setting, overload
from simulate.service_times import ServiceTimes

if TYPE_CHECKING:
    from simulate.commands.options import Verbs

UTILISATIONS = (0.5, 0.8, 0.95, 1.15, 1.4, 2.0)
USUAL = Setting()


def add(verbs: "Verbs") -> None:
    """Its part of the command line."""
    one = verb(verbs, "overload", run, help="more work than can be done: what each policy still gets done in time")
    one.add_argument(
        "--utilisations",
        type=numbers,
        default=UTILISATIONS,
        metavar="X,X",
        help=f"work offered over what the workers can do (default: {','.join(f'{at:g}' for at in UTILISATIONS)})",
    )
    one.add_argument("--policies", type=names, metavar="A,B", help=f"of {', '.join(POLICIES)} (default: all)")
    one.add_argument(
        "--deadline",
        type=positive(float),
        default=USUAL.deadline,
        metavar="S",
        help="seconds from arrival; what is done later is of no use (default: %(default)g)",
    )
    one.add_argument(
        "--limit",
        type=positive(int),
        default=USUAL.limit,
        metavar="N",
        help="a backlog of so many jobs is full, where it has a limit (default: %(default)s)",
    )
    one.add_argument(
        "--expires",
        type=positive(float),
        default=USUAL.expires,
        metavar="S",
        help="a job that was not begun so soon is dropped, where they expire (default: %(default)g)",
    )
    workers_option(one, USUAL.workers)
    service_options(one, "exponential")
    one.add_argument("--jobs", type=positive(int), default=2_000, metavar="N", help="in a run (default: %(default)s)")
    replications_option(one, 4)
    usual_options(one)


def run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `overload`."""
    policies = chosen_names("--policies", options.policies, POLICIES)
    times, seed = chosen_replications(options), chosen_seed(options)

    def experiment(advance: Callable[[float], None]) -> Overload:
        setting = Setting(
            options.workers,
            chosen_service(options) or ServiceTimes(),
            options.deadline,
            options.limit,
            options.expires,
            chosen_costs(options),
        )
        return overload(
            options.utilisations,
            policies=policies,
            setting=setting,
            jobs=options.jobs,
            replications=times,
            seed=seed,
            progress=advance,
        )

    found, speed = played(options, clock, len(policies) * len(options.utilisations) * times, experiment)
    result = Result(
        title="More work than can be done",
        data=found.to_dict(),
        header=HEADER,
        rows=rows(found),
        figures=lambda: [overload_figure(found)],
        report=lambda out: report.overload(out, found),
    )
    publish(options, "overload", result, speed)
    return FINE
