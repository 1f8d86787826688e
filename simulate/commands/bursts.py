"""`bursts`: many jobs at once beside the usual load: how long until nobody waits."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from simulate import report
from simulate.commands.chosen import chosen_costs, chosen_replications, chosen_seed, chosen_service
from simulate.commands.options import (
    FINE,
    Clock,
    numbers,
    replications_option,
    service_options,
    several,
    usual_options,
    verb,
    workers_option,
)
from simulate.commands.results import Result, played, publish
from simulate.plots import drain_figure
from simulate.report.overload import BURSTS_HEADER, bursts_rows
from simulate.scenarios.overload import Drains, Setting, drain_times
from simulate.service_times import ServiceTimes

if TYPE_CHECKING:
    from simulate.commands.options import Verbs

BURSTS, UTILISATIONS = (100, 200, 400), (0.3, 0.6, 0.8)


def add(verbs: "Verbs") -> None:
    """Its part of the command line."""
    one = verb(verbs, "bursts", run, help="many jobs at once beside the usual load: how long until nobody waits")
    one.add_argument(
        "--bursts",
        type=several(int),
        default=BURSTS,
        metavar="N,N",
        help=f"jobs that come at once (default: {','.join(map(str, BURSTS))})",
    )
    one.add_argument(
        "--utilisations",
        type=numbers,
        default=UTILISATIONS,
        metavar="X,X",
        help=f"of the usual load beside it (default: {','.join(f'{at:g}' for at in UTILISATIONS)})",
    )
    workers_option(one, Setting().workers)
    service_options(one, "exponential")
    replications_option(one, 10)
    usual_options(one)


def run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `bursts`."""
    times, seed = chosen_replications(options), chosen_seed(options)

    def experiment(advance: Callable[[float], None]) -> Drains:
        setting = Setting(options.workers, chosen_service(options) or ServiceTimes(), costs=chosen_costs(options))
        return drain_times(
            options.bursts, options.utilisations, setting=setting, replications=times, seed=seed, progress=advance
        )

    found, speed = played(options, clock, len(options.bursts) * len(options.utilisations) * times, experiment)
    result = Result(
        title="How long a burst lasts",
        data=found.to_dict(),
        header=BURSTS_HEADER,
        rows=bursts_rows(found),
        figures=lambda: [drain_figure(found)],
        report=lambda out: report.bursts(out, found),
    )
    publish(options, "bursts", result, speed)
    return FINE
