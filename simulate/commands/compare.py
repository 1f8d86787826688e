"""`compare`: one load, several designs: who waits how long, and what a crash costs."""

import argparse
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from simulate import designs as ladder
from simulate import experiments, replications, report
from simulate.commands.files import prepared, save_figure, save_rows, save_text
from simulate.commands.options import (
    DEFAULT_JOBS,
    DEFAULT_REPLICATIONS,
    DEFAULT_WORKERS,
    FINE,
    Clock,
    UsageError,
    chosen_costs,
    chosen_loads,
    costs_option,
    names,
    output_options,
    positive,
    seed_option,
    trace_options,
    verb,
)
from simulate.commands.terminal import console, progress_bar
from simulate.experiments import Comparison
from simulate.plots import compare_figure

if TYPE_CHECKING:
    from simulate.commands.options import Verbs


def add(verbs: "Verbs") -> None:
    """Its part of the command line."""
    one = verb(verbs, "compare", run, help="one load, several designs: who waits how long, and what a crash costs")
    load = one.add_argument_group("the load")
    trace_options(load)
    load.add_argument(
        "--load",
        choices=("poisson", "bursty", "twin"),
        help="generate one load of this kind (default: a light and a full one)",
    )
    load.add_argument(
        "--jobs", type=positive(int), metavar="N", help=f"how many jobs to generate (default: {DEFAULT_JOBS:,})"
    )
    load.add_argument(
        "--rate",
        type=positive(float),
        metavar="R",
        help=f"arrivals per second (default: to keep {experiments.FULL_SHARE:.0%}% of the workers busy)",
    )
    seed_option(load)
    one.add_argument(
        "--workers",
        type=positive(int),
        default=DEFAULT_WORKERS,
        metavar="N",
        help="processes of each design that can have several (default: %(default)s)",
    )
    one.add_argument(
        "--designs",
        default=",".join(ladder.DEFAULT),
        metavar="A,B",
        help=f"which, separated by commas, of {', '.join(ladder.KNOWN)}; or all, the ladder (default: %(default)s)",
    )
    one.add_argument(
        "--replications",
        type=positive(int),
        metavar="N",
        help="loads of each kind, with seeds of their own; intervals come from them "
        f"(default: {DEFAULT_REPLICATIONS}; a trace is one)",
    )
    output_options(one, "the figure, the JSON and the CSV go")
    costs_option(one)


def run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `compare`."""
    chosen = names(options.designs)
    if chosen == ["all"]:
        chosen = list(ladder.LADDER)
    try:
        kinds = {name: ladder.find(name) for name in chosen}
    except ValueError as problem:
        raise UsageError(f"--designs: {problem}") from None
    if not kinds:
        raise UsageError(f"--designs names none; known: {', '.join(ladder.KNOWN)}")
    sets, costs = chosen_loads(options), chosen_costs(options)
    folder = prepared(options.output)
    done: list[Comparison] = []
    times = experiments.runs(list(kinds))
    total = sum(load.jobs for same in sets for _, load in same) * times
    with progress_bar(total, clock) as advance:
        before = 0
        for (seed, load), *others in sets:
            done.append(
                experiments.compare(
                    load,
                    list(kinds),
                    options.workers,
                    costs=costs,
                    seed=seed,
                    others=others,
                    progress=partial(_advance, advance, before),
                )
            )
            before += sum(one.jobs for _, one in ((seed, load), *others)) * times
    text = experiments.to_json(done)
    figure, data, table = (folder / f"compare.{kind}" for kind in ("png", "json", "csv"))
    save_figure(figure, compare_figure(done))
    save_text(data, text)
    save_rows(table, replications.HEADER, [row for one in done for row in one.rows()])
    if options.json:
        print(text, end="")
    else:
        report.comparisons(console(), done, {"Figure": figure, "JSON": data, "CSV": table})
    return FINE


def _advance(advance: Callable[[int], None], before: int, jobs: int) -> None:
    advance(before + jobs)
