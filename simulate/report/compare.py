"""What `compare` says: tables, and below them in words what the numbers mean and do not mean."""

from collections.abc import Callable, Sequence

from rich.markup import escape
from rich.table import Table

from simulate.experiments import Comparison, Outcome
from simulate.intervals import Interval, Refusal
from simulate.replications import Difference, Estimates
from simulate.report.out import Out, Words, plus_minus, rate, share
from simulate.words import count, duration, rung

# More designs than that do not fit side by side: each has a row then, and fewer numbers; the CSV has all.
SIDE_BY_SIDE = 4

DIFFERENCES = {
    "waiting_mean": "longer waiting, mean",
    "waiting_p95": "longer waiting, p95",
    "sojourn_mean": "longer sojourn, mean",
    "recovery_time": "longer recovery",
}


def comparisons(console: Out, found: Sequence[Comparison]) -> None:
    """Tables and words for `compare`."""
    for comparison in found:
        load = comparison.load
        console.print()
        if len(comparison.outcomes) > SIDE_BY_SIDE:
            for table in ladder_tables(comparison):
                console.print(table)
        else:
            console.print(comparison_table(comparison))
        if comparison.replications > 1 and comparison.differences:
            console.print(difference_table(comparison.differences))
        console.print(
            f"[bold]Load[/]: {escape(load.words)}. {load.jobs:,} jobs in {duration(load.span)}; mean work "
            f"{duration(float(load.service.mean()))}; offered load {count(load.offered)} erlangs, that is, "
            "as many processes as the work would keep busy."
        )
        for assumed in load.assumed:
            console.print(f"[bold]Job sizes[/]: {escape(assumed)}.")
        unsettled: dict[str, list[str]] = {}
        for one in comparison.estimates:
            if isinstance(one.long_run, Refusal):
                unsettled.setdefault(one.long_run.why, []).append(one.design)
        for why, designs in unsettled.items():
            console.print(f"[bold]No long run of {', '.join(designs)}[/]: {why}.")
        settled = [one for one in comparison.estimates if one.warm_up_jobs is not None]
        if settled:
            cut = ", ".join(f"{one.design} {one.warm_up_jobs:,}" for one in settled)
            console.print(f"[bold]Long run[/]: without the first jobs of each load, by MSER-5: {cut}.")
        if comparison.outcomes and load.offered >= 1 and any(o.peace.processes == 1 for o in comparison.outcomes):
            drowned = ", ".join(o.design for o in comparison.outcomes if o.peace.processes == 1)
            console.print(f"[bold]Mind[/]: {drowned} is one process by nature, and this load is more than one can do.")
    first = found[0]
    console.print()
    if first.replications > 1:
        console.print(
            f"[bold]Intervals[/]: {first.replications} loads of each kind, each with a seed of its own; ± is the 95 % "
            "interval by Student's t. Numbers without one, the words on the load and the figure are of the first. "
            "Differences are taken load by load, which removes what a load does to both."
        )
    for outcome in first.outcomes:
        console.print(f"[bold]{outcome.design}[/] ({rung(outcome.rung)}): {escape(outcome.shows)}.")
    console.print(
        "[bold]ideal[/]: first come, first served by as many workers, at no cost; no queue that serves in "
        "order can do better."
    )
    console.print(
        "A percentile with fewer than ten jobs beyond it is not printed (-). Times are over the whole run, "
        "filling and draining included, but for the long run."
    )
    if any(outcome.design == "minique" for outcome in first.outcomes):
        console.print(
            "[bold]Looks[/]: polling designs look each ten seconds. An idle worker of minique is woken by a "
            "bell, and looks once a second all the same, in the trip that gives its sign of life. Its own supervisor, "
            "`minique up`, gives a dead worker's jobs back at once; here nobody does before the lease has run out."
        )
    console.print(f"[bold]{first.faults.name.capitalize()}[/]: the same load again; {first.faults.words}.")
    console.print(f"[bold]Costs[/]: {first.costs.words()}.")


def comparison_table(comparison: Comparison) -> Table:
    """Designs as columns, measures as rows."""
    load = comparison.load
    title = f"{escape(load.name)}: {load.jobs:,} jobs, {count(load.offered)} erlangs, seed {comparison.seed}"
    if comparison.replications > 1:
        title += f", and {comparison.replications - 1} more such loads"
    whole = Table(title=title, title_justify="left", title_style="bold")
    whole.add_column("")
    for outcome in comparison.outcomes:
        whole.add_column(f"{outcome.design}\n({rung(outcome.rung)})", justify="right", no_wrap=True)
    whole.add_column("ideal", justify="right", style="dim", no_wrap=True)
    both = list(zip(comparison.outcomes, comparison.estimates, strict=True))

    def row(name: str, cell: Callable[[Outcome, Estimates], str], ideal: str = "", last: bool = False) -> None:
        whole.add_row(name, *(cell(*one) for one in both), ideal, end_section=last)

    def times(name: str, measure: str, last: bool = False) -> None:
        ideal = comparison.ideal_estimates.get(measure)
        row(
            name,
            lambda o, e: of_run(o, measure, duration) or plus_minus(e.measures[measure], duration),
            "" if ideal is None else alone(comparison.ideal, measure) or plus_minus(ideal, duration),
            last,
        )

    def of_run(outcome: Outcome, measure: str, words: Words) -> str:
        """Of a single run there are numbers without an interval."""
        if comparison.replications > 1:
            return ""
        spread, _, which = measure.rpartition("_")
        of = outcome.queues[spread] if spread in outcome.queues else getattr(outcome.peace, spread)
        return words(getattr(of, which))

    def alone(spread: object, measure: str) -> str:
        return "" if comparison.replications > 1 else duration(getattr(spread, measure.partition("_")[2]))

    def whole_run(name: str, measure: str, words: Words) -> None:
        row(
            name,
            lambda o, e: (
                plus_minus(e.measures[measure], words)
                if comparison.replications > 1
                else words(getattr(o.peace, measure))
            ),
        )

    row("processes", lambda o, e: f"{o.peace.processes:,}", f"{comparison.workers:,}", last=True)
    for which in ("p50", "p95", "p99", "mean"):
        times(f"waiting time {which}", f"waiting_{which}", last=which == "mean")
    queues = [name for name in comparison.estimates[0].measures if name.startswith("queue ")]
    for place, name in enumerate(queues):
        queue, _, which = name.rpartition("_")
        times(escape(f"{queue} {which}"), name, last=place == len(queues) - 1)
    row("waiting time mean, long run", lambda o, e: plus_minus(e.long_run, duration), last=True)
    for which in ("p50", "p95", "p99"):
        times(f"sojourn time {which}", f"sojourn_{which}", last=which == "p99")
    whole_run("throughput", "throughput", rate)
    whole_run("drain time after the last arrival", "drain_time", duration)
    whole_run("utilisation", "utilisation", share)
    row("largest backlog", lambda o, e: f"{o.peace.largest_backlog:,}")
    row("looks at an empty table or queue", lambda o, e: f"{o.peace.empty_looks:,}")
    row("jobs lost", lambda o, e: f"{o.peace.lost:,}")
    row("jobs run twice", lambda o, e: f"{o.peace.finished_twice:,}", last=True)
    row(f"{comparison.faults.name}: jobs lost", lambda o, e: f"{o.killed.lost:,}")
    if any(outcome.killed.failures for outcome in comparison.outcomes):
        row("  attempts that raised", lambda o, e: f"{o.killed.failures:,}")
        row("  jobs given up as failed", lambda o, e: f"{o.killed.left.get('failed', 0):,}")
    row("  jobs started again", lambda o, e: f"{o.killed.started_again:,}")
    row("  jobs run twice", lambda o, e: f"{o.killed.finished_twice:,}")
    row("  recovery time", lambda o, e: recovery(o, e, comparison.replications))
    return whole


def ladder_tables(comparison: Comparison) -> list[Table]:
    """Designs as rows: how long one waits, and what a crash costs."""
    load, single = comparison.load, comparison.replications == 1
    title = (
        f"{escape(load.name)}, {comparison.workers:,} workers, {comparison.replications} loads, seed {comparison.seed}"
    )
    peace = Table(title=f"In peace: {title}", title_justify="left", title_style="bold")
    killed = Table(title=f"{comparison.faults.name.capitalize()}: {title}", title_justify="left", title_style="bold")
    for name in ("design", "waiting mean", "waiting p95", "drain time", "empty looks", "lost", "run twice"):
        peace.add_column(name, justify="left" if name == "design" else "right")
    for name in ("design", "lost", "started again", "run twice", "recovery time"):
        killed.add_column(name, justify="left" if name == "design" else "right")
    for outcome, estimates in zip(comparison.outcomes, comparison.estimates, strict=True):
        run, measures = outcome.peace, estimates.measures
        of_one = (run.waiting.mean, run.waiting.p95, run.drain_time)
        of_all = (measures[name] for name in ("waiting_mean", "waiting_p95", "drain_time"))
        times = [
            duration(one) if single else plus_minus(all_, duration) for one, all_ in zip(of_one, of_all, strict=True)
        ]
        name = f"{outcome.rung} {outcome.design}" if outcome.rung is not None else f"- {outcome.design}"
        peace.add_row(name, *times, f"{run.empty_looks:,}", f"{run.lost:,}", f"{run.finished_twice:,}")
        with_kill = outcome.killed
        killed.add_row(
            name,
            f"{with_kill.lost:,}",
            f"{with_kill.started_again:,}",
            f"{with_kill.finished_twice:,}",
            recovery(outcome, estimates, comparison.replications),
        )
    ideal = comparison.ideal
    of_ideal = [comparison.ideal_estimates[name] for name in ("waiting_mean", "waiting_p95")]
    alone = [ideal.mean, ideal.p95]
    peace.add_row(
        "ideal", *(duration(a) if single else plus_minus(b, duration) for a, b in zip(alone, of_ideal, strict=True))
    )
    return [peace, killed]


def difference_table(differences: Sequence[Difference]) -> Table:
    """How much more each design takes than the one that all are held against, load by load."""
    than = differences[0].than
    whole = Table(title=f"Compared with {than}, on the same loads", title_justify="left", title_style="bold")
    if len(differences) >= SIDE_BY_SIDE:
        whole.add_column("design")
        for name in DIFFERENCES.values():
            whole.add_column(name, justify="right")
        for one in differences:
            whole.add_row(one.design, *(plus_minus(one.measures[name], duration, signed=True) for name in DIFFERENCES))
        return whole
    whole.add_column("")
    for one in differences:
        whole.add_column(one.design, justify="right")
    for measure, name in DIFFERENCES.items():
        whole.add_row(name, *(plus_minus(one.measures[measure], duration, signed=True) for one in differences))
    return whole


def recovery(outcome: Outcome, estimates: Estimates, replications: int) -> str:
    """From the kill to the job done, or why there is no such time."""
    killed, over_all = outcome.killed, estimates.measures["recovery_time"]
    if not killed.killed and not killed.paused:
        return "nobody died"
    if replications > 1 and isinstance(over_all, Interval):
        return plus_minus(over_all, duration)
    return "never" if killed.recovery_time is None else duration(killed.recovery_time)
