"""What `plan` says."""

from rich.markup import escape

from simulate.intervals import Interval
from simulate.plan import Plan
from simulate.report.out import Out, plus_minus, share, table
from simulate.words import count, duration


def plan(console: Out, found: Plan) -> None:
    """The answer first, then every number that was tried, for `plan`."""
    goal, load = found.goal, found.load
    console.print()
    if found.workers is None:
        console.print(f"[bold]No number of workers[/] for {goal.words()}: {found.why_none}.")
    else:
        console.print(f"[bold]{found.workers:,} workers[/] of {found.design} for {goal.words()}.")
        fewer = found.point(found.workers - 1)
        if fewer is not None and isinstance(fewer.waiting, Interval):
            given = duration(fewer.waiting.value, fewer.waiting.half)
            is_close = fewer.waiting.value <= goal.seconds
            console.print(f"One fewer would give {given}{', which may be beyond the target' if is_close else ''}.")
        else:
            console.print("With fewer the backlog would have no limit.")
    columns = ("workers", f"waiting time p{goal.percent:g}", "utilisation", "jobs lost")
    whole = table("What was tried", *columns, words=0)
    for one in found.points:
        busy = share(load.offered / one.workers)
        whole.add_row(f"{one.workers:,}", plus_minus(one.waiting, duration), busy, f"{one.lost:,}")
    console.print(whole)
    console.print(
        f"[bold]Load[/]: {escape(load.words)}. {load.jobs:,} jobs in {duration(load.span)}, {count(load.offered)} "
        f"erlangs; {found.replications} loads, {goal.crashes_per_hour:g} crashes an hour. The whole 95 % interval lies "
        "below the target; it is about chance alone, not about a load unlike this one."
    )
    console.print(f"[bold]Costs[/]: {found.costs.words()}.")
