"""What `overload` and `bursts` say."""

from simulate.intervals import COLUMNS, in_columns
from simulate.report.out import Out, inside, plus_minus, rate, share, table, why_none
from simulate.scenarios.overload import POLICIES, Drains, Overload
from simulate.words import duration

HEADER = ["policy", "utilisation", "jobs", "measure", *COLUMNS, "in_theory"]
BURSTS_HEADER = ["utilisation", "burst_jobs", "measure", *COLUMNS, "in_theory"]


def rows(found: Overload) -> list[list[str]]:
    """One row for each number, for CSV; see `HEADER`."""
    made = []
    for one in found.points:
        theory = "" if one.in_theory is None else f"{one.in_theory:.9g}"
        keys = [one.policy, f"{one.utilisation:.9g}", str(found.jobs)]
        for measure, what in (
            ("goodput_per_second", one.goodput),
            ("critical_share_in_time", one.critical),
            ("done_share", one.done),
            ("wait_p95_seconds", one.wait_p95),
        ):
            made.append([*keys, measure, *in_columns(what), theory if what is one.goodput else ""])
        for reason, part in one.given_up.items():
            made.append([*keys, f"{reason}_share", f"{part:.9g}", "", "", "", ""])
    return made


def overload(console: Out, found: Overload) -> None:
    """What each policy gets done in time at each load, for `overload`."""
    setting = found.setting
    columns = ("goodput", "theory", "critical in time", "given up", "waiting p95")
    whole = table(f"Done within {duration(setting.deadline)}, seed {found.seed}", "policy", "load", *columns)
    for name in dict.fromkeys(point.policy for point in found.points):
        points = found.of(name)
        for place, one in enumerate(points):
            whole.add_row(
                "" if place else name,
                f"{one.utilisation:g}",
                plus_minus(one.goodput, rate),
                "-" if one.in_theory is None else rate(one.in_theory),
                plus_minus(one.critical, share),
                share(sum(one.given_up.values())),
                plus_minus(one.wait_p95, duration),
                end_section=place == len(points) - 1,
            )
    console.print()
    console.print(whole)
    for name in dict.fromkeys(point.policy for point in found.points):
        console.print(f"[bold]{name}[/]: {POLICIES[name].words}.")
    why_none(console, ((f"{one.policy} at {one.utilisation:g}: waiting p95", one.wait_p95) for one in found.points))
    console.print(
        f"{setting.workers} workers can do {rate(setting.capacity)}; {setting.service.words()}. A backlog of "
        f"{setting.limit:,} jobs is the limit where there is one, and {duration(setting.expires)} the time to expire."
    )
    console.print(
        f"{found.replications} runs a point of {found.jobs:,} jobs; counted are those that come in the second half. "
        "Theory is the long run: a queue without a limit needs a while to drown."
    )
    console.print(f"[bold]Costs[/]: {setting.costs.words()}.")


def bursts_rows(found: Drains) -> list[list[str]]:
    """One row for each burst, for CSV; see `BURSTS_HEADER`."""
    return [
        [
            f"{one.utilisation:.9g}",
            str(one.burst),
            "drain_seconds",
            *in_columns(one.seconds),
            "" if one.predicted is None else f"{one.predicted:.9g}",
        ]
        for one in found.points
    ]


def bursts(console: Out, found: Drains) -> None:
    """How long each burst lasts, for `bursts`."""
    whole = table(
        f"Until nobody waits, seed {found.seed}", "usual load", "burst", "simulated", "predicted", "inside", words=0
    )
    before = None
    for one in found.points:
        whole.add_row(
            "" if one.utilisation == before else f"{one.utilisation:g}",
            f"{one.burst:,} jobs",
            plus_minus(one.seconds, duration),
            duration(one.predicted),
            inside(one.seconds, one.predicted),
        )
        before = one.utilisation
    console.print()
    console.print(whole)
    why_none(console, ((f"{one.burst:,} jobs at {one.utilisation:g}", one.seconds) for one in found.points))
    setting = found.setting
    console.print(
        f"{setting.workers} workers can do {rate(setting.capacity)}; {setting.service.words()}. Predicted: the burst "
        f"over what is left of that beside the usual load. {found.replications} runs a point."
    )
    console.print(f"[bold]Costs[/]: {setting.costs.words()}.")
