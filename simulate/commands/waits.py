"""`waits`: how long jobs wait, by how many workers there are and by the shape of the work."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from simulate import report
from simulate.commands.chosen import chosen_costs, chosen_replications, chosen_seed
from simulate.commands.options import (
    FINE,
    Clock,
    UsageError,
    names,
    positive,
    replications_option,
    several,
    usual_options,
    verb,
)
from simulate.commands.results import Result, played, publish
from simulate.plots import waits_figure
from simulate.report.waits import HEADER, rows
from simulate.scenarios.staffing import Waits, waits_by_workers
from simulate.service_times import KINDS, ServiceTimes

if TYPE_CHECKING:
    from simulate.commands.options import Verbs

SHAPES = tuple(kind for kind in KINDS if kind != "sample")
WORKERS, SERVICES = (5, 6, 7, 8, 9), ("fixed", "exponential", "lognormal")


def add(verbs: "Verbs") -> None:
    """Its part of the command line."""
    one = verb(verbs, "waits", run, help="how long jobs wait, by how many workers there are and the shape of the work")
    one.add_argument(
        "--workers",
        type=several(int),
        default=WORKERS,
        metavar="N,N",
        help=f"numbers of workers (default: {','.join(map(str, WORKERS))})",
    )
    one.add_argument(
        "--services",
        type=names,
        default=SERVICES,
        metavar="A,B",
        help=f"shapes of the work, all with the same mean, of {', '.join(SHAPES)} (default: {','.join(SERVICES)})",
    )
    for name, usual, words in (
        ("mean", 1.0, "seconds of work in a job"),
        ("variance", 8.0, "of lognormal and hyperexponential work over its squared mean"),
        ("rate", 4.0, "jobs a second, as a Poisson process"),
    ):
        one.add_argument(
            f"--{name}", type=positive(float), default=usual, metavar="X", help=f"{words} (default: %(default)g)"
        )
    one.add_argument(
        "--percentile",
        type=positive(float),
        default=95.0,
        metavar="P",
        help="of the waiting time (default: %(default)g)",
    )
    one.add_argument("--target", type=positive(float), metavar="S", help="seconds that it should stay below")
    one.add_argument("--jobs", type=positive(int), default=5000, metavar="N", help="in each run (default: %(default)s)")
    replications_option(one, 4)
    usual_options(one)


def run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `waits`."""
    times, seed = chosen_replications(options), chosen_seed(options)
    if options.percentile >= 100:
        raise UsageError(f"--percentile {options.percentile:g}: below 100, since nobody knows the longest wait")
    if unknown := [kind for kind in options.services if kind not in SHAPES]:
        raise UsageError(f"--services: unknown {unknown[0]!r}; known: {', '.join(SHAPES)}")

    def experiment(advance: Callable[[float], None]) -> Waits:
        return waits_by_workers(
            options.workers,
            [ServiceTimes(kind, options.mean, variation=options.variance) for kind in options.services],
            rate=options.rate,
            percent=options.percentile,
            jobs=options.jobs,
            replications=times,
            seed=seed,
            costs=chosen_costs(options),
            progress=advance,
        )

    found, speed = played(options, clock, len(options.workers) * len(options.services), experiment, "playing", "points")
    result = Result(
        title="How long jobs wait, by workers and by the shape of the work",
        data=found.to_dict(options.target),
        header=HEADER,
        rows=rows(found),
        figures=lambda: [waits_figure(found, options.target)],
        report=lambda out: report.waits(out, found, options.target),
    )
    publish(options, "waits", result, speed)
    return FINE
