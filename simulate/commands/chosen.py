"""What the options of several verbs come to: seeds, loads, costs, names; and how what cannot be is refused."""

import argparse
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches

import numpy as np

from minique.errors import MiniqueError
from minique.subscription import Subscription
from simulate import experiments, plan, replications, traces
from simulate.commands.options import DEFAULT_JOBS, DEFAULT_REPLICATIONS, UsageError
from simulate.costs import Costs
from simulate.live import calibrate
from simulate.service_times import KINDS, ServiceTimes
from simulate.workload import Load, generate, stream


def chosen_seed(options: argparse.Namespace) -> int:
    """The seed. Raises UsageError for one that there is not."""
    if options.seed < 0:
        raise UsageError(f"--seed must be 0 or more, not {options.seed}")
    return int(options.seed)


def check_served(serves: Sequence[str], queues: Iterable[str]) -> None:
    """Raises UsageError for what no worker can serve, and for queues that none of these texts serves."""
    try:
        terms = [Subscription.parse(text) for text in serves]
    except MiniqueError as problem:
        raise UsageError(f"--queues: {problem}") from None
    unserved = sorted({queue for queue in queues if not any(one.serves(queue) for one in terms)})
    if unserved:
        raise UsageError(f"--queues: nobody would serve {', '.join(unserved[:5])}; name it, or end with *")


def chosen_names(option: str, given: Sequence[str] | None, known: Collection[str]) -> list[str]:
    """Those of the known names that are given, each once and in their order; all if nothing is given.

    A hyphen stands for a space, so that nobody needs quotes. Raises UsageError for a name that is not known, or none.
    """
    if given is None:
        return list(known)
    asked = [name if name in known else name.replace("-", " ") for name in given]
    unknown = [name for name in asked if name not in known]
    if unknown or not asked:
        close = get_close_matches(unknown[0], list(known), 1) if unknown else []
        meant = f"; did you mean {close[0]!r}?" if close else ""
        what = f"{unknown[0]!r} is not known" if unknown else "names none"
        raise UsageError(f"{option}: {what}{meant}; known: {', '.join(known)}")
    return [name for name in known if name in asked]


def chosen_replications(options: argparse.Namespace) -> int:
    """How often each point is played. Raises UsageError for once: nothing would have an interval."""
    if options.replications < 2:
        raise UsageError("--replications must be 2 or more: a single run has no interval")
    return int(options.replications)


def chosen_goal(options: argparse.Namespace) -> plan.Goal:
    """How soon jobs must start."""
    return plan.Goal(options.target, options.percentile, options.growth, options.crashes_per_hour)


def chosen_costs(options: argparse.Namespace) -> Costs:
    """From the file that was named, as the experiment's own file says, or assumed."""
    if isinstance(options.costs, Costs):
        return options.costs
    return calibrate.read(options.costs)[0] if options.costs is not None else Costs()


def chosen_loads(options: argparse.Namespace) -> list[list[tuple[int, Load]]]:
    """The loads that the options ask for, each kind as often as it is to be replayed, with its seeds.

    Raises UsageError where they contradict each other.
    """
    if options.trace is not None:
        for name in ("load", "jobs", "rate", "service", "mean", "variance", "shares", "replications"):
            if getattr(options, name) is not None:
                raise UsageError(
                    f"--{name} is for generated loads and --trace brings its own; leave one of them out"
                    + (" (--limit takes the first N jobs)" if name == "jobs" else "")
                    + (" (a trace is one load and cannot be drawn again)" if name == "replications" else "")
                )
        return [[(chosen_seed(options), chosen_trace(options))]]
    for name in ("scale", "limit", "sort", "ignore_columns"):
        if getattr(options, name):
            option = name.replace("_", "-")
            raise UsageError(f"--{option} needs --trace FILE; for a generated load give --rate or --jobs")
    seeds = replications.seeds(chosen_seed(options), options.replications or DEFAULT_REPLICATIONS)
    drawn = [[(seed, load) for load in generated_loads(options, seed)] for seed in seeds]
    return [list(same) for same in zip(*drawn, strict=True)]


def chosen_trace(options: argparse.Namespace) -> Load:
    """The log that was named, read as was asked."""
    how = traces.Reading(options.sort, options.ignore_columns)
    return traces.read(options.trace, scale=options.scale or 1.0, limit=options.limit, how=how)


def generated_loads(options: argparse.Namespace, seed: int) -> list[Load]:
    """One load of each kind that the options ask for, from this seed."""
    jobs, service = options.jobs or DEFAULT_JOBS, chosen_service(options)
    if all(getattr(options, name) is None for name in ("load", "rate", "service")):
        found = list(experiments.default_loads(jobs, options.workers, seed))
    else:
        erlangs = experiments.FULL_SHARE * options.workers
        found = [generate(options.load or "twin", jobs, seed, rate=options.rate, erlangs=erlangs, service=service)]
    return [dealt(load, options.shares, seed) for load in found] if options.shares else found


def chosen_service(options: argparse.Namespace) -> ServiceTimes | None:
    """How long jobs take, if that is asked for. Raises UsageError for a distribution that there is not."""
    if options.service is None:
        for name in ("mean", "variance"):
            if getattr(options, name) is not None:
                raise UsageError(f"--{name} needs --service {'|'.join(KINDS[:-1])}")
        return None
    if options.variance is not None and options.service not in ("lognormal", "hyperexponential"):
        raise UsageError(f"--variance is for lognormal and hyperexponential times; {options.service} ones have theirs")
    more = {} if options.variance is None else {"variation": options.variance}
    try:
        return ServiceTimes(options.service, options.mean or 1.0, **more)
    except ValueError as problem:
        raise UsageError(f"--service: {problem}") from None


def dealt(load: Load, shares: Sequence[str], seed: int) -> Load:
    """The same load with a queue for each job, drawn by the shares."""
    queues = [one.partition("=")[0].strip() for one in shares]
    weights = np.array([float(one.partition("=")[2]) for one in shares])
    weights = weights / weights.sum()
    drawn = stream(seed, "queues").choice(len(queues), load.jobs, p=weights)
    words = ", ".join(f"{queue} {weight:.0%}" for queue, weight in zip(queues, weights, strict=True))
    return replace(load, words=f"{load.words}; queues: {words}", queues=tuple(queues[place] for place in drawn))
