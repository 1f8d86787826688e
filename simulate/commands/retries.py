"""`retries`: what is needed from elsewhere is down for a while, and what each backoff does to it and to the others."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from simulate import report
from simulate.commands.chosen import chosen_costs, chosen_names, chosen_replications, chosen_seed
from simulate.commands.options import (
    FINE,
    Clock,
    UsageError,
    names,
    not_negative,
    positive,
    replications_option,
    usual_options,
    verb,
    whole,
    workers_option,
)
from simulate.commands.results import Result, played, publish
from simulate.dependency import Outage
from simulate.plots import retries_figure
from simulate.report.retries import HEADER, rows
from simulate.scenarios.retries import POLICIES, Retries, Setting, retries

if TYPE_CHECKING:
    from simulate.commands.options import Verbs

USUAL = Setting()
USUAL_POLICIES = ("at once", "in step", "backoff", "jitter")
MENDED_AFTER_SECONDS = 120.0


def add(verbs: "Verbs") -> None:
    """Its part of the command line."""
    one = verb(
        verbs,
        "retries",
        run,
        help="an outage, or slow answers, and what each backoff makes of it: waves, storms, who is held down",
    )
    one.add_argument(
        "--policies",
        type=names,
        default=USUAL_POLICIES,
        metavar="A,B",
        help=f"of {', '.join(POLICIES)} (default: all but the last)",
    )
    outage = USUAL.outage
    for name, kind, usual, words in (
        ("outage-seconds", positive(float), outage.seconds, "for so long nobody is answered"),
        ("outage-begins", not_negative, outage.begins, "seconds until it begins"),
        ("fails-after", not_negative, outage.fails_after, "seconds that a call takes which fails"),
        (
            "calls-per-second",
            not_negative,
            outage.calls_per_second,
            "are answered at most, at any time; 0 for no limit",
        ),
        ("collapse", not_negative, outage.collapse, "answers that each call beyond the limit takes away"),
        ("rate", positive(float), USUAL.rate, "jobs per second, half of which call"),
        ("after", not_negative, USUAL.after, "seconds for which they come when it is over"),
        ("mean", positive(float), USUAL.service, "seconds of work in each job"),
    ):
        one.add_argument(f"--{name}", type=kind, default=usual, metavar="X", help=f"{words} (default: %(default)g)")
    one.add_argument(
        "--slower",
        type=positive(float),
        metavar="X",
        help="it is not down but answers all the while, and a call takes so many times as long",
    )
    one.add_argument(
        "--times-out",
        type=positive(float),
        metavar="S",
        help="with --slower: a call that would take longer fails then (default: it waits for ever)",
    )
    one.add_argument(
        "--mended-after",
        type=not_negative,
        metavar="S",
        help="so long after the outage a person sees to it that there is no limit any more (default: never; with "
        f"--collapse {MENDED_AFTER_SECONDS:g})",
    )
    one.add_argument(
        "--burst",
        type=whole,
        default=USUAL.burst,
        metavar="N",
        help="jobs that come as it begins, all of which call (default: %(default)s)",
    )
    workers_option(one, USUAL.workers)
    replications_option(one, 4)
    usual_options(one)


def run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `retries`."""
    policies = chosen_names("--policies", options.policies, POLICIES)
    times, seed = chosen_replications(options), chosen_seed(options)
    if options.collapse and not options.calls_per_second:
        raise UsageError("--collapse is about calls beyond the limit; give --calls-per-second")
    if options.times_out is not None and options.slower is None:
        raise UsageError("--times-out is about a call that takes longer than usual; give --slower")
    if options.slower is not None and options.slower <= 1:
        raise UsageError(f"--slower {options.slower:g}: so many times as long, so it is above 1")
    if options.collapse and options.mended_after is None:
        options.mended_after = MENDED_AFTER_SECONDS

    def experiment(advance: Callable[[float], None]) -> Retries:
        outage = Outage(
            options.outage_begins,
            options.outage_seconds,
            options.fails_after,
            calls_per_second=options.calls_per_second or None,
            collapse=options.collapse,
            mended_after=options.mended_after,
            queue=USUAL.outage.queue,
            slower=options.slower,
            times_out=options.times_out,
        )
        setting = Setting(
            outage,
            options.burst,
            options.rate,
            options.after,
            options.mean,
            options.workers,
            chosen_costs(options),
        )
        return retries(policies, setting=setting, replications=times, seed=seed, progress=advance)

    found, speed = played(options, clock, len(policies) * times, experiment)
    result = Result(
        title="An outage, and what retries make of it",
        data=found.to_dict(),
        header=HEADER,
        rows=rows(found),
        figures=lambda: [retries_figure(found)],
        report=lambda out: report.retries(out, found),
    )
    publish(options, "retries", result, speed)
    return FINE
