"""Retries and retry storms: what a dependency that was down or slow sees when it comes back, by the backoff chosen.

Jobs that failed together come back together, unless something parts them. Exponential backoff alone only makes the
waves rarer; jitter makes them no waves. Whoever retries at once keeps every worker busy with failing, and those who
need nothing of the dependency wait behind that. A dependency that collapses under calls may be held down by them for
as long as nobody steps in, though what took it down is long over.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minique.backoff import Backoff
from simulate.actors import World
from simulate.costs import Costs
from simulate.dependency import Outage
from simulate.designs.minique import Minique
from simulate.faults import Plan
from simulate.intervals import Estimate, Numbers, mean_interval
from simulate.measures import measure
from simulate.replications import of_all, seeds
from simulate.words import told
from simulate.workload import Load, poisson_arrivals, stream

CALLING, BYSTANDING = "mail", "other"
"""Jobs that call the dependency, and those that do not, on the same workers."""

BIN_SECONDS = 1.0
RECOVERED_PERCENT = 95
GRID_SECONDS = 0.01  # on which the sum of random delays is worked out

PLENTY = 1_000_000
"""Of tries, where giving up is not the subject."""


@dataclass(frozen=True)
class RetryPolicy:
    """When a failed job is tried again, and how often."""

    name: str
    words: str
    backoff: Backoff
    retries: int = PLENTY


POLICIES: dict[str, RetryPolicy] = {
    policy.name: policy
    for policy in (
        RetryPolicy("at once", "again at once, for ever", Backoff(first_seconds=0.0)),
        RetryPolicy("in step", "every 8 s", Backoff(first_seconds=8.0, factor=1.0, jitter=False)),
        RetryPolicy("backoff", "5 s, doubling, without jitter", Backoff(jitter=False)),
        RetryPolicy("jitter", "5 s, doubling, with full jitter", Backoff()),
        RetryPolicy("as shipped", "the same, and given up after three retries", Backoff(), retries=3),
    )
}


@dataclass(frozen=True)
class Setting:
    """What all policies meet."""

    outage: Outage = field(default_factory=lambda: Outage(30.0, 60.0, calls_per_second=40.0, queue=CALLING))
    burst: int = 150  # jobs that come together as it begins, such as a newsletter
    rate: float = 4.0  # jobs per second beside them, half of which call the dependency
    after: float = 90.0  # seconds for which they go on coming when it is over
    service: float = 0.1  # seconds, fixed
    workers: int = 8
    costs: Costs = field(default_factory=Costs)

    def __post_init__(self) -> None:
        if self.workers < 1 or self.burst < 0 or self.rate <= 0 or self.after < 0 or self.service <= 0:
            raise ValueError(
                f"{told(workers=self.workers, burst=self.burst, rate=self.rate)}, "
                f"{told(after=self.after, service=self.service)}: one worker at least, and numbers above 0"
            )
        if self.outage.queue != CALLING:
            raise ValueError(f"the outage must be of the queue {CALLING!r}, so that there are bystanders")


@dataclass(frozen=True, eq=False)
class RetryOutcome:
    """One policy, over all replications."""

    policy: RetryPolicy
    seconds: Numbers  # the middle of each bin of a second, from the beginning of the load
    calls: Numbers  # calls per second in it, on average over the replications
    refused: Numbers  # of these, the ones that failed
    calls_per_job: Estimate  # of the jobs that met the outage: how often each called until it was done or given up
    in_theory: float | None  # the same; only for delays above zero, a dependency without a limit, and no giving up
    peak: Estimate  # the most calls in any second after the outage
    recovered: Estimate  # seconds from the end of the outage until 95 % of the jobs that met it were done or given up
    recovered_all: Estimate  # until the last of them was
    refused_after: Estimate  # calls that failed although the outage was over: the dependency was called too often
    given_up: Estimate  # share of the jobs that met the outage and were not done in the end
    bystanders: Estimate  # mean waiting time during the outage of jobs that need nothing of it; seconds
    failing: Estimate  # share of all workers' time during the outage that went into failing attempts
    slow: Estimate  # the same, into waiting for answers that came in the end, longer than they usually take
    held_down: float | None  # share of runs in which callers kept it down until a person stepped in; None: nobody does


@dataclass(frozen=True, eq=False)
class Retries:
    """The whole result; see `retries`."""

    setting: Setting
    seed: int
    replications: int
    outcomes: tuple[RetryOutcome, ...]

    def of(self, policy: str) -> RetryOutcome:
        """One policy."""
        return next(outcome for outcome in self.outcomes if outcome.policy.name == policy)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        outage = self.setting.outage
        return {
            "outage_begins_seconds": outage.begins,
            "outage_seconds": outage.seconds,
            "calls_per_second_at_most": outage.calls_per_second,
            "collapse": outage.collapse,
            "slower": outage.slower,
            "times_out_after_seconds": outage.times_out,
            "mended_after_seconds": outage.mended_after,
            "bystanders_and_callers_per_second": self.setting.rate,
            "costs_seconds": self.setting.costs.seconds,
            "costs_are": self.setting.costs.origin,
            "workers": self.setting.workers,
            "burst_jobs": self.setting.burst,
            "seed": self.seed,
            "replications": self.replications,
            "policies": [
                {
                    "policy": one.policy.name,
                    "words": one.policy.words,
                    "seconds": one.seconds.tolist(),
                    "calls_per_second": one.calls.tolist(),
                    "refused_per_second": one.refused.tolist(),
                    "calls_per_job": one.calls_per_job.to_dict(),
                    "calls_per_job_in_theory": one.in_theory,
                    "peak_calls_per_second": one.peak.to_dict(),
                    "recovered_after_seconds": one.recovered.to_dict(),
                    "recovered_all_after_seconds": one.recovered_all.to_dict(),
                    "refused_after_the_outage": one.refused_after.to_dict(),
                    "given_up_share": one.given_up.to_dict(),
                    "bystanders_waiting_mean": one.bystanders.to_dict(),
                    "failing_share": one.failing.to_dict(),
                    "slow_share": one.slow.to_dict(),
                    "held_down_share": one.held_down,
                }
                for one in self.outcomes
            ],
        }


def retries(
    policies: Sequence[str | RetryPolicy] = ("at once", "in step", "backoff", "jitter"),
    *,
    setting: Setting | None = None,
    replications: int = 4,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Retries:
    """What an outage does under each policy: the shipping worker, scheduler and backoff, on the same jobs.

    A policy is the name of one of `POLICIES`, or one of your own. `progress` is called with the number of runs done.
    Raises ValueError for a name that is not known.
    """
    setting = setting or Setting()
    for name in policies:
        if isinstance(name, str) and name not in POLICIES:
            raise ValueError(f"unknown policy {name!r}; known: {', '.join(POLICIES)}")
    done, outcomes = 0, []
    for policy in (POLICIES[one] if isinstance(one, str) else one for one in policies):
        runs = []
        for own in seeds(seed, replications):
            runs.append(_play(policy, setting, own))
            done += 1
            if progress is not None:
                progress(done)
        outcomes.append(_outcome(policy, setting, runs))
    return Retries(setting, seed, replications, tuple(outcomes))


@dataclass(frozen=True, eq=False)
class _Run:
    calls: Numbers
    refused: Numbers
    calls_per_job: float | None
    peak: float
    recovered: float | None
    recovered_all: float | None
    refused_after: float
    given_up: float | None
    bystanders: float | None
    failing: float
    slow: float
    held_down: bool


def _load(setting: Setting, seed: int) -> Load:
    outage = setting.outage
    end = outage.ends + setting.after
    usual = poisson_arrivals(setting.rate, int(setting.rate * end * 1.5) + 50, stream(seed, "arrivals"))
    usual = usual[usual <= end]
    calls = stream(seed, "queues").random(len(usual)) < 0.5
    arrived = np.concatenate((usual, np.full(setting.burst, outage.begins)))
    queues = np.concatenate((np.where(calls, CALLING, BYSTANDING), np.full(setting.burst, CALLING)))
    order = np.argsort(arrived, kind="stable")
    service = np.full(len(arrived), setting.service)
    words = "Poisson arrivals of two queues, and a burst as the outage begins"
    return Load("outage", words, arrived[order], service, tuple(queues[order].tolist()))


def _play(policy: RetryPolicy, setting: Setting, seed: int) -> _Run:
    load, outage = _load(setting, seed), setting.outage
    world = World(load, workers=setting.workers, costs=setting.costs, seed=seed, plan=Plan(outage=outage))
    design = Minique(world, queues="*", retries=policy.retries, backoff=policy.backoff)
    try:
        world.run(design)
        measured = measure(world, design.processes)  # the books must balance
    finally:
        design.close()
    dependency, ledger = world.dependency, world.ledger
    assert dependency is not None
    calls, was_refused = np.array(dependency.calls), np.array(dependency.refused, dtype=bool)
    took = np.array(dependency.took)
    starts, first = ledger.column("starts"), ledger.column("first_start")
    queues = np.array(load.queues)
    met = (queues == CALLING) & (first >= outage.begins) & (first < outage.ends)
    over = np.fmax(ledger.column("ended"), ledger.column("left_at"))[met]
    beside = (queues == BYSTANDING) & (load.arrived >= outage.begins) & (load.arrived < outage.ends)
    after = calls[calls >= outage.ends]
    during = (calls >= outage.begins) & (calls < outage.ends)
    whole = setting.workers * outage.seconds
    return _Run(
        calls,
        calls[was_refused],
        float(starts[met].mean()) if met.any() else None,
        float(np.bincount((after - outage.ends).astype(int)).max()) if len(after) else 0.0,
        max(0.0, float(np.percentile(over, RECOVERED_PERCENT)) - outage.ends) if met.any() else None,
        max(0.0, float(over.max()) - outage.ends) if met.any() else None,
        float((calls[was_refused] >= outage.ends).sum()),
        measured.left.get("failed", 0) / int(met.sum()) if met.any() else None,
        float((first - load.arrived)[beside].mean()) if beside.any() else None,
        float(took[during & was_refused].sum()) / whole if whole else 0.0,
        float((took - setting.service)[during & ~was_refused].sum()) / whole if whole else 0.0,
        _held_down(calls, was_refused, outage),
    )


def _held_down(calls: Numbers, was_refused: Numbers, outage: Outage) -> bool:
    """Whether most calls failed in most of the seconds from the end of the outage until a person stepped in."""
    alone = (calls >= outage.ends) & (calls < outage.mended)
    second = (calls[alone] - outage.ends).astype(int)
    came, failed = (
        np.bincount(second),
        np.bincount(second[was_refused[alone]], minlength=int(second.max(initial=0)) + 1),
    )
    return bool(outage.mended_after) and 2 * int((2 * failed > came).sum()) > outage.mended - outage.ends


def _outcome(policy: RetryPolicy, setting: Setting, runs: Sequence[_Run]) -> RetryOutcome:
    end = max(float(run.calls.max(initial=0.0)) for run in runs)
    edges = np.arange(0.0, end + 2 * BIN_SECONDS, BIN_SECONDS)

    def per_second(of: Callable[[_Run], Numbers]) -> Numbers:
        found = np.mean([np.histogram(of(run), edges)[0] for run in runs], axis=0) / BIN_SECONDS
        return np.asarray(found, dtype=np.float64)

    return RetryOutcome(
        policy,
        (edges[:-1] + edges[1:]) / 2,
        per_second(lambda run: run.calls),
        per_second(lambda run: run.refused),
        of_all(mean_interval, [run.calls_per_job for run in runs]),
        calls_in_theory(policy, setting),
        mean_interval([run.peak for run in runs]),
        of_all(mean_interval, [run.recovered for run in runs]),
        of_all(mean_interval, [run.recovered_all for run in runs]),
        mean_interval([run.refused_after for run in runs]),
        of_all(mean_interval, [run.given_up for run in runs]),
        of_all(mean_interval, [run.bystanders for run in runs]),
        mean_interval([run.failing for run in runs]),
        mean_interval([run.slow for run in runs]),
        None if setting.outage.mended_after is None else float(np.mean([run.held_down for run in runs])),
    )


# Theory.


def calls_in_theory(policy: RetryPolicy, setting: Setting) -> float | None:
    """How often a job calls that meets the outage, on average: those of the burst at its beginning, others anywhere."""
    outage, backoff = setting.outage, policy.backoff
    has_limits = outage.calls_per_second is not None or policy.retries < PLENTY or outage.share < 1
    has_limits = has_limits or outage.slower is not None
    if has_limits or not backoff.first_seconds or not outage.seconds:
        return None
    expected = expected_calls(backoff, outage.seconds, outage.fails_after)
    others = setting.rate / 2 * outage.seconds
    return float((setting.burst * expected[-1] + others * expected.mean()) / (setting.burst + others))


def expected_calls(backoff: Backoff, seconds: float, fails_after: float) -> Numbers:
    """Calls of a job until it is done, by how much of the outage is left at its first: on a grid from none to all.

    One that succeeds, one that failed, and one for each retry that still meets the outage. The n-th comes after n
    delays and n failing calls; each delay is fixed, or uniform below its limit, and then the chance is folded one delay
    at a time.
    """
    grid = np.arange(0.0, seconds + GRID_SECONDS / 2, GRID_SECONDS)
    found = np.full(len(grid), 2.0)
    begun = np.ones(len(grid))  # the chance that the n-th retry has come by then
    failures, longest = 0, 0.0
    while begun[-1] > 1e-9:
        failures += 1
        delay = min(backoff.cap_seconds, backoff.first_seconds * backoff.factor ** (failures - 1))
        if backoff.jitter:
            area = np.concatenate(([0.0], np.cumsum((begun[1:] + begun[:-1]) / 2))) * GRID_SECONDS
            shift = np.interp(grid - fails_after, grid, area, left=0.0)
            begun = (shift - np.interp(grid - fails_after - delay, grid, area, left=0.0)) / delay
        else:
            longest += delay + fails_after
            begun = (grid > longest).astype(np.float64)
        found = found + begun
    return found
