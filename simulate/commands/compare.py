"""`compare`: one load, several designs: who waits how long, and what a crash costs."""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from simulate import designs as ladder
from simulate import experiments, replications, report
from simulate.commands.chosen import check_served, chosen_costs, chosen_loads
from simulate.commands.faults import chosen_faults, fault_options
from simulate.commands.options import (
    DEFAULT_REPLICATIONS,
    DEFAULT_WORKERS,
    FINE,
    Clock,
    UsageError,
    generated_options,
    names,
    positive,
    trace_options,
    usual_options,
    verb,
    workers_option,
)
from simulate.commands.results import Result, played, publish
from simulate.experiments import Comparison
from simulate.plots import compare_figure
from simulate.workload import Load

if TYPE_CHECKING:
    from simulate.commands.options import Verbs


def add(verbs: "Verbs") -> None:
    """Its part of the command line."""
    one = verb(verbs, "compare", run, help="one load, several designs: who waits how long, and what a crash costs")
    load = one.add_argument_group("the load")
    trace_options(load)
    usual = f" (default: to keep {experiments.FULL_SHARE:.0%}% of the workers busy)"
    generated_options(load, "a light and a full one", usual)
    fault_options(one)
    workers_option(one, DEFAULT_WORKERS, "processes of each design that can have several")
    one.add_argument(
        "--designs",
        type=names,
        default=",".join(ladder.DEFAULT),
        metavar="A,B",
        help=f"which, separated by commas, of {', '.join(ladder.KNOWN)}; or all, the ladder; or a file with a design "
        "of your own, such as mine.py (default: %(default)s)",
    )
    one.add_argument(
        "--queues",
        metavar="Q,Q",
        help="what workers serve, the most urgent first, in designs that have queues; * is all in turn (default: "
        "one queue for all jobs)",
    )
    one.add_argument(
        "--replications",
        type=positive(int),
        metavar="N",
        help="loads of each kind, with seeds of their own; intervals come from them "
        f"(default: {DEFAULT_REPLICATIONS}; a trace is one)",
    )
    one.add_argument(
        "--faithful",
        action="store_true",
        help="carry out every command and script on a server in this process, Lua included: the same numbers, slowly",
    )
    usual_options(one, "tables")


def run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `compare`."""
    designs = chosen_designs(options)
    faulty, sets, costs = chosen_faults(options), chosen_loads(options), chosen_costs(options)
    check_queues(options.queues, sets)
    jobs = [sum(load.jobs for _, load in same) * experiments.runs(designs) for same in sets]

    def experiment(advance: Callable[[float], None]) -> list[Comparison]:
        return [
            experiments.compare(
                load,
                designs,
                options.workers,
                costs=costs,
                seed=seed,
                others=others,
                faulty=faulty,
                queues=options.queues,
                faithful=options.faithful,
                progress=partial(_advance, advance, sum(jobs[:place])),
            )
            for place, ((seed, load), *others) in enumerate(sets)
        ]

    done, speed = played(options, clock, sum(jobs), experiment, unit="jobs")
    result = Result(
        title=" and ".join(f"{load.name}, {load.jobs:,} jobs" for load in (one.load for one in done)),
        data=experiments.to_dict(done),
        header=replications.HEADER,
        rows=[row for one in done for row in one.rows()],
        figures=lambda: [compare_figure(done)],
        report=lambda out: report.comparisons(out, done),
    )
    publish(options, "compare", result, speed)
    return FINE


def chosen_designs(options: argparse.Namespace) -> list[str]:
    """The designs that are asked for, each once. Raises UsageError for one that there is not, or a broken one."""
    asked = [name for one in options.designs for name in (ladder.LADDER if one == "all" else (one,))]
    chosen = list(dict.fromkeys(asked))
    if not chosen:
        raise UsageError(f"--designs names none; known: {', '.join(ladder.KNOWN)}")
    found: dict[str, str] = {}
    for name in chosen:
        try:
            called = ladder.find(name).name
        except ValueError as problem:
            raise UsageError(f"--designs: {problem}") from None
        if called in found:
            raise UsageError(f"--designs: {found[called]} and {name} are both called {called!r}; rename one of them")
        found[called] = name
    return chosen


def check_queues(serves: str | None, sets: Sequence[Sequence[tuple[int, Load]]]) -> None:
    """Raises UsageError for queues that the load does not have, or that nobody would serve."""
    if serves is None:
        return
    for (_, load), *_ in sets:
        if load.queues is None:
            raise UsageError(
                f"--queues: the load {load.name} has none; give --shares critical=0.2,default=0.8 or a trace"
            )
        check_served([serves], load.queues)


def _advance(advance: Callable[[float], None], before: int, jobs: int) -> None:
    advance(before + jobs)
