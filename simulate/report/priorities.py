"""What `priorities` says."""

from math import isfinite

from rich.markup import escape

from simulate.intervals import COLUMNS, in_columns
from simulate.report.out import Out, inside, plus_minus, table, why_none
from simulate.scenarios.priorities import Priorities
from simulate.words import count, duration

HEADER = ["design", "serves", "workers", "utilisation", "jobs", "queue", "measure", *COLUMNS, "in_theory"]


def rows(found: Priorities) -> list[list[str]]:
    """Two rows for each queue at each load, for CSV; see `HEADER`."""
    made = []
    for point in found.points:
        for one in point.queues:
            for measure, what, theory in (
                ("waiting_mean_seconds", one.waiting, one.theory),
                ("backlog_grows_per_second", one.grows, one.grows_in_theory),
            ):
                known = "" if theory is None or not isfinite(theory) else f"{theory:.9g}"
                keys = [found.design, found.serves, str(found.workers), f"{point.utilisation:.9g}", str(point.jobs)]
                made.append([*keys, one.queue, measure, *in_columns(what), known])
    return made


def priorities(console: Out, found: Priorities) -> None:
    """The mean waiting time of each queue at each load, theory beside it, for `priorities`."""
    workers = f"{found.workers} worker{'s' if found.workers > 1 else ''}"
    title = f"Mean waiting time, {workers} of {found.design} serving {found.serves}, seed {found.seed}"
    columns = ("simulated", "theory", *(["inside"] if found.is_exact else []), "backlog grows")
    whole = table(escape(title), "utilisation", "queue", *columns, words=2)
    for point in found.points:
        for place, one in enumerate(point.queues):
            known = one.theory is not None
            starves = one.grows_in_theory is not None and one.grows_in_theory > 0
            whole.add_row(
                "" if place else f"{point.utilisation:g}",
                escape(one.queue),
                "starves" if starves else plus_minus(one.waiting, duration),
                "-" if one.theory is None else duration(one.theory) if isfinite(one.theory) else "∞",
                *([inside(one.waiting, one.theory) if known else ""] if found.is_exact else []),
                plus_minus(one.grows, _per_second) if starves else "",
                end_section=place == len(point.queues) - 1,
            )
    console.print()
    console.print(whole)
    # That a queue starves stands in the table.
    why_none(
        console,
        (
            (f"{one.queue} at {point.utilisation:g}", one.waiting)
            for point in found.points
            for one in point.queues
            if not one.grows_in_theory
        ),
    )
    settled = [point for point in found.points if point.together_in_theory is not None]
    if settled:
        last = settled[-1]
        console.print(
            f"[bold]All queues together[/], weighted with their work, wait {plus_minus(last.together, duration)} at "
            f"{last.utilisation:g} (theory {duration(last.together_in_theory)}), in whichever order they are taken: "
            "what one no longer waits, the others wait."
        )
    shares = "; ".join(f"{one.name} {one.share:g}, {one.service.words()}" for one in found.queues)
    trust = f"Theory (Cobham, 1954) is {'exact' if found.is_exact else 'an approximation'} here."
    if not any(found.lines.values()):
        trust = "Nothing closed is known of queues that are served like that."
    fewest, most = (pick(point.jobs for point in found.points) for pick in (min, max))
    console.print(
        f"[bold]Queues[/], with their shares of the jobs: {escape(shares)}. Poisson arrivals; {found.replications} "
        f"runs a point of {fewest:,} to {most:,} jobs, the first fifth of each left out. {trust}"
    )
    console.print(f"[bold]Costs[/]: {found.costs.words()}.")


def _per_second(value: float | None, half: float | None = None) -> str:
    return "-" if value is None else f"{count(value)}/s"
