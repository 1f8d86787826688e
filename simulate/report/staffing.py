"""What `staff` says."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from simulate.intervals import COLUMNS, Refusal, in_columns
from simulate.report.out import Out, table
from simulate.scenarios.staffing import Staffing, Window
from simulate.words import count, duration

HEADER = ["begins_seconds", "seconds", "jobs", "offered_erlangs", "workers", "workers_in_theory", "waiting_seconds"]
HEADER += COLUMNS[1:]

# More do not fit on a screen; the CSV has all.
MOST_WINDOWS = 48


def rows(found: Staffing) -> list[list[str]]:
    """One row for each window, for CSV; see `HEADER`."""
    return [
        [
            f"{one.begins:.9g}",
            f"{one.seconds:.9g}",
            str(one.jobs),
            f"{one.offered:.9g}",
            str(one.workers),
            "" if one.in_theory is None else str(one.in_theory),
            "" if one.waiting is None else f"{one.waiting:.9g}",
            *in_columns(one.estimate)[1:],
        ]
        for one in found.windows
    ]


def staffing(console: Out, found: Staffing) -> None:
    """The answer first, then window by window, for `staff`."""
    goal, load = found.goal, found.load
    console.print()
    if found.why_none is not None:
        console.print(f"[bold]No staffing[/] for {goal.words()}: {escape(found.why_none)}.")
    else:
        least, most = (pick(one.workers for one in found.windows) for pick in (min, max))
        number = f"{most:,}" if least == most else f"{least:,} to {most:,}"
        console.print(f"[bold]{number} worker{'s' if most > 1 else ''}[/] of {found.design} for {goal.words()}.")
        constant = found.constant_worker_hours
        instead = "" if constant is None else f" instead of {count(constant)} with {found.constant:,} all the time"
        console.print(f"{count(found.worker_hours)} worker-hours{instead}.")
        console.print(windows_table(found, busiest(found.windows)))
        if len(found.windows) > MOST_WINDOWS:
            console.print(f"The {MOST_WINDOWS} busiest of {len(found.windows):,} windows; the CSV has all.")
    if found.replications == 1:
        console.print("One load has no interval, and the answer is of this load: another day will differ.")
    elif found.windows:
        few = sum(isinstance(one.estimate, Refusal) for one in found.windows)
        console.print(
            f"{found.replications} loads of this kind; jobs and erlangs are those of the first. 'At most' is the upper "
            "end of the 95 % interval, which lies below the target."
            + (f" {few} windows have too few jobs for one, and are staffed by those that they have." if few else "")
        )
    console.print(
        f"[bold]Load[/]: {escape(load.words)}. {load.jobs:,} jobs in {duration(load.span)}, {count(load.offered)} "
        f"erlangs on average; {goal.crashes_per_hour:g} crashes an hour. By the book: Poisson arrivals and exponential "
        "service at the rate and mean of the window (Erlang C)."
    )
    console.print(f"[bold]Costs[/]: {found.costs.words()}.")


def busiest(windows: Sequence[Window]) -> list[Window]:
    """As many as are shown, in their order."""
    kept = sorted(windows, key=lambda one: -one.offered)[:MOST_WINDOWS]
    return sorted(kept, key=lambda one: one.begins)


def windows_table(found: Staffing, windows: Sequence[Window]) -> Table:
    """A row for each window."""
    columns = ("from", "jobs", "erlangs", "workers", "by the book", f"waiting p{found.goal.percent:g}", "at most")
    whole = table(f"Windows of {duration(windows[0].seconds)}", *columns, words=0)
    for one in windows:
        whole.add_row(
            duration(one.begins) if one.begins else "0",
            f"{one.jobs:,}",
            count(one.offered),
            f"{one.workers:,}",
            "-" if one.in_theory is None else f"{one.in_theory:,}",
            duration(one.waiting),
            "-" if isinstance(one.estimate, Refusal) else duration(one.estimate.high),
        )
    return whole
