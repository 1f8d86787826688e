"""What `startup` says."""

from collections.abc import Iterable, Sequence

from simulate.intervals import COLUMNS, Estimate, in_columns
from simulate.report.out import Out, plus_minus, rate, table, why_none
from simulate.scenarios.startup import CrashPoint, DeployPoint, Setting, StartPoint
from simulate.words import count, duration, with_half

HEADER = ["per", "how", "loads_for_seconds", "measure", *COLUMNS, "in_theory"]


def rows(found: Iterable[StartPoint | DeployPoint | CrashPoint]) -> list[list[str]]:
    """One row for each number, for CSV; see `HEADER`."""
    made = []
    for one in found:
        numbers: list[tuple[str, Estimate, float | None]]
        if isinstance(one, StartPoint):
            per, how = "job", one.mode
            numbers = [("capacity_per_second", one.capacity, one.in_theory)]
        elif isinstance(one, DeployPoint):
            per, how = "deploy", one.way
            numbers = [
                ("largest_backlog_jobs", one.largest_backlog, one.predicted_backlog),
                ("waiting_mean_seconds", one.waiting, None),
                ("lasts_seconds", one.lasts, one.predicted_lasts),
            ]
        else:
            per, how = "crash", one.mode
            numbers = [("recovery_mean_seconds", one.recovery, None), ("waiting_mean_seconds", one.waiting, None)]
        for measure, what, theory in numbers:
            known = "" if theory is None else f"{theory:.9g}"
            made.append([per, how, f"{one.loads_for:.9g}", measure, *in_columns(what), known])
    return made


def per_job(console: Out, found: Sequence[StartPoint]) -> None:
    """What workers get done at most, by how they run jobs."""
    whole = table("Per job: jobs per second at most", "mode", "loads for", "simulated", "theory")
    for place, one in enumerate(found):
        whole.add_row(
            "" if place and found[place - 1].mode == one.mode else one.mode,
            duration(one.loads_for),
            plus_minus(one.capacity, rate),
            rate(one.in_theory),
            end_section=place == len(found) - 1 or found[place + 1].mode != one.mode,
        )
    console.print(whole)
    why_none(console, ((f"{one.mode}, {duration(one.loads_for)}", one.capacity) for one in found))


def per_deploy(console: Out, found: Sequence[DeployPoint]) -> None:
    """What a deploy costs the jobs, by how it is done."""
    columns = ("backlog", "predicted", "waiting", "lasts", "predicted")
    whole = table("Per deploy", "way", "loads for", *columns)
    for place, one in enumerate(found):
        whole.add_row(
            "" if place and found[place - 1].way == one.way else one.way,
            duration(one.loads_for),
            plus_minus(one.largest_backlog, _jobs),
            "-" if one.predicted_backlog is None else count(one.predicted_backlog),
            plus_minus(one.waiting, duration),
            plus_minus(one.lasts, duration),
            duration(one.predicted_lasts),
            end_section=place == len(found) - 1 or found[place + 1].way != one.way,
        )
    console.print(whole)
    why_none(console, ((f"{one.way}, {duration(one.loads_for)}: lasts", one.lasts) for one in found))


def per_crash(console: Out, found: Sequence[CrashPoint]) -> None:
    """What jobs cost that crash their process, by where they run."""
    whole = table("Per crash", "mode", "loads for", "until its job is done", "waiting mean, all jobs", "workers away")
    for place, one in enumerate(found):
        whole.add_row(
            "" if place and found[place - 1].mode == one.mode else one.mode,
            duration(one.loads_for),
            plus_minus(one.recovery, duration),
            plus_minus(one.waiting, duration),
            count(one.workers_lost),
            end_section=place == len(found) - 1 or found[place + 1].mode != one.mode,
        )
    console.print(whole)
    why_none(console, ((f"{one.mode}, {duration(one.loads_for)}: waiting", one.waiting) for one in found))


def startup(
    console: Out,
    jobs: Sequence[StartPoint],
    deploys: Sequence[DeployPoint],
    crashes: Sequence[CrashPoint],
    setting: Setting,
    asked: str,
) -> None:
    """A table for each question that was asked, and below them what was held fixed, for `startup`."""
    console.print()
    if jobs:
        per_job(console, jobs)
    if deploys:
        per_deploy(console, deploys)
        console.print(
            "[bold]A deploy[/] replaces every worker: it finishes its job, and its successor loads. The backlog is the "
            "largest, waiting the mean of the jobs that arrive during it. Predicted for all at once: what comes while "
            "they load is the backlog, and it drains at what is left of the capacity."
        )
    if crashes:
        per_crash(console, crashes)
        console.print(
            "[bold]A crash[/] takes a child, and its job is tried again after its backoff; or in-line the worker, "
            "which is away until its successor has loaded, and whose lease has to run out."
        )
    console.print(
        f"{setting.workers} workers, jobs of {duration(setting.service)} on average, exponential; {asked}. Deploys and "
        f"crashes: Poisson arrivals that keep {setting.utilisation:.0%} of them busy."
    )
    console.print(f"[bold]Costs[/]: {setting.costs.words()}.")


def _jobs(value: float | None, half: float | None = None) -> str:
    return "-" if value is None else with_half(value, half, ".3g")
