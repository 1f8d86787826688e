"""`startup`: what it costs that an application takes long to load: per job, per deploy, per crash."""

import argparse
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from matplotlib.figure import Figure

from simulate import report
from simulate.commands.chosen import chosen_costs, chosen_names, chosen_replications, chosen_seed
from simulate.commands.options import (
    FINE,
    Clock,
    names,
    positive,
    replications_option,
    several,
    usual_options,
    verb,
    workers_option,
)
from simulate.commands.results import Result, played, publish
from simulate.plots import crash_figure, deploy_figure, start_figure
from simulate.report.startup import HEADER, rows
from simulate.scenarios.startup import (
    CRASH_MODES,
    MODES,
    WAYS,
    CrashPoint,
    DeployPoint,
    Setting,
    StartPoint,
    crash_costs,
    deploys,
    start_costs,
)

if TYPE_CHECKING:
    from simulate.commands.options import Verbs

PER = ("job", "deploy", "crash")
USUAL, LOADS = Setting(), (1.0, 3.0, 10.0, 30.0)


class Costs(NamedTuple):
    """What was found; empty where it was not asked for."""

    job: tuple[StartPoint, ...] = ()
    deploy: tuple[DeployPoint, ...] = ()
    crash: tuple[CrashPoint, ...] = ()


def add(verbs: "Verbs") -> None:
    """Its part of the command line."""
    one = verb(
        verbs, "startup", run, help="an application that loads for long: what it costs per job, deploy and crash"
    )
    one.add_argument(
        "--per", type=names, default=",".join(PER), metavar="A,B", help="what it costs (default: %(default)s)"
    )
    one.add_argument(
        "--loads",
        type=several(float),
        default=LOADS,
        metavar="S,S",
        help=f"seconds that the application takes to load (default: {','.join(f'{at:g}' for at in LOADS)})",
    )
    workers_option(one, USUAL.workers)
    one.add_argument(
        "--mean",
        type=positive(float),
        default=USUAL.service,
        metavar="S",
        help="seconds of work in a job, on average (default: %(default)g)",
    )
    one.add_argument(
        "--utilisation",
        type=positive(float),
        default=USUAL.utilisation,
        metavar="X",
        help="share of the workers that is busy, with deploys and crashes (default: %(default)g)",
    )
    one.add_argument(
        "--crashes-per-hour",
        type=positive(float),
        default=60.0,
        metavar="N",
        help="jobs that crash their process (default: %(default)g)",
    )
    one.add_argument(
        "--jobs",
        type=positive(int),
        default=2_000,
        metavar="N",
        help="in a run, but for deploys (default: %(default)s)",
    )
    replications_option(one, 4)
    usual_options(one, "tables")


def run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `startup`."""
    asked = chosen_names("--per", options.per, PER)
    times, seed, loads = chosen_replications(options), chosen_seed(options), options.loads
    kinds = {"job": len(MODES), "deploy": len(WAYS), "crash": len(CRASH_MODES)}
    runs = {name: kinds[name] * len(loads) * times for name in asked}

    def experiment(advance: Callable[[float], None]) -> tuple[Setting, Costs]:
        setting = Setting(options.workers, options.mean, options.utilisation, chosen_costs(options))
        questions: dict[str, Callable[..., Any]] = {
            "job": partial(start_costs, jobs=options.jobs),
            "deploy": deploys,
            "crash": partial(crash_costs, jobs=options.jobs, crashes_per_hour=options.crashes_per_hour),
        }
        found: dict[str, Any] = {}
        for name in asked:
            progress = partial(_advance, advance, sum(runs[one] for one in found))
            found[name] = questions[name](loads, setting=setting, replications=times, seed=seed, progress=progress)
        return setting, Costs(**found)

    (setting, found), speed = played(options, clock, sum(runs.values()), experiment)
    draw: dict[str, Callable[[], Figure]] = {
        "job": partial(start_figure, found.job),
        "deploy": partial(deploy_figure, found.deploy),
        "crash": partial(crash_figure, found.crash),
    }
    words = f"{options.crashes_per_hour:g} crashes an hour; {times} runs a point"
    result = Result(
        title="An application that loads for long",
        data={
            **setting.to_dict(),
            "seed": seed,
            "replications": times,
            "crashes_per_hour": options.crashes_per_hour,
            **{f"per_{name}": [one.to_dict() for one in getattr(found, name)] for name in asked},
        },
        header=HEADER,
        rows=rows(one for name in asked for one in getattr(found, name)),
        figures=lambda: [draw[name]() for name in asked],
        report=lambda out: report.startup(out, *found, setting, words),
        others=asked[1:],
    )
    publish(options, "startup", result, speed)
    return FINE


def _advance(advance: Callable[[float], None], before: int, runs: int) -> None:
    advance(before + runs)
