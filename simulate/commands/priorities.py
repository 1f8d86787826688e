"""`priorities`: several queues, the most urgent first: who waits for whom, and which starves."""

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from simulate import report
from simulate.commands.chosen import check_served, chosen_costs, chosen_replications, chosen_seed, chosen_service
from simulate.commands.options import (
    FINE,
    Clock,
    UsageError,
    numbers,
    positive,
    replications_option,
    service_options,
    shares,
    usual_options,
    verb,
    workers_option,
)
from simulate.commands.results import Result, played, publish
from simulate.plots import priorities_figure
from simulate.report.priorities import HEADER, rows
from simulate.scenarios.priorities import DESIGNS, THREE, Priorities, QueueLoad, priorities
from simulate.service_times import ServiceTimes

if TYPE_CHECKING:
    from simulate.commands.options import Verbs

UTILISATIONS = (0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1)
USUAL_SHARES = ",".join(f"{queue.name}={queue.share:g}" for queue in THREE)


def add(verbs: "Verbs") -> None:
    """Its part of the command line."""
    one = verb(
        verbs, "priorities", run, help="queues by urgency: how long each waits as the load rises, and which starves"
    )
    one.add_argument(
        "--utilisations",
        type=numbers,
        default=UTILISATIONS,
        metavar="X,X",
        help="work offered over what the workers can do; above 1 something must starve (default: "
        f"{','.join(f'{at:g}' for at in UTILISATIONS)})",
    )
    one.add_argument(
        "--shares",
        type=shares,
        default=USUAL_SHARES,
        metavar="Q=X,Q=X",
        help="the queues and their shares of the jobs, the most urgent first (default: %(default)s)",
    )
    one.add_argument(
        "--queues",
        metavar="Q,Q",
        help="what workers serve, in order; * is all in turn; several, dealt out to the workers, are separated by ';' "
        "(default: the queues as --shares has them)",
    )
    one.add_argument("--design", choices=tuple(DESIGNS), default="minique", help="default: %(default)s")
    workers_option(one, 4)
    service_options(one, "exponential")
    one.add_argument(
        "--means",
        type=shares,
        metavar="Q=S,Q=S",
        help="seconds that jobs of single queues take on average, such as reports=5 (default: those of --mean)",
    )
    one.add_argument(
        "--jobs",
        type=positive(int),
        default=8_000,
        metavar="N",
        help="in a run at most; light loads settle with fewer (default: %(default)s)",
    )
    replications_option(one)
    usual_options(one)


def run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `priorities`."""
    queues, times, seed = chosen_queues(options), chosen_replications(options), chosen_seed(options)
    serves = [text.strip() for text in (options.queues or ",".join(queue.name for queue in queues)).split(";")]
    check_served(serves, [queue.name for queue in queues])

    def experiment(advance: Callable[[float], None]) -> Priorities:
        return priorities(
            options.utilisations,
            queues=queues,
            serves=serves,
            design=options.design,
            workers=options.workers,
            jobs=options.jobs,
            replications=times,
            seed=seed,
            costs=chosen_costs(options),
            progress=advance,
        )

    found, speed = played(options, clock, len(options.utilisations) * times, experiment)
    result = Result(
        title="Urgent first, and who waits for it",
        data=found.to_dict(),
        header=HEADER,
        rows=rows(found),
        figures=lambda: [priorities_figure(found)],
        report=lambda out: report.priorities(out, found),
    )
    publish(options, "priorities", result, speed)
    return FINE


def chosen_queues(options: argparse.Namespace) -> list[QueueLoad]:
    """The queues with their shares, and how long their jobs take. Raises UsageError for a mean of no such queue."""
    usual = chosen_service(options) or ServiceTimes()
    means = {name: seconds for name, _, seconds in (one.partition("=") for one in options.means or ())}
    queues = {name.strip(): float(share) for name, _, share in (one.partition("=") for one in options.shares)}
    for name in means:
        if name.strip() not in queues:
            raise UsageError(f"--means: there is no queue {name.strip()!r}; --shares has {', '.join(queues)}")
    seconds = {name.strip(): float(mean) for name, mean in means.items()}
    return [
        QueueLoad(name, share, replace(usual, mean=seconds.get(name, usual.mean))) for name, share in queues.items()
    ]
