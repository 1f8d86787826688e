"""What `waits` says."""

from rich.markup import escape

from simulate.intervals import COLUMNS, in_columns
from simulate.report.out import Out, plus_minus, table, why_none
from simulate.scenarios.staffing import Shape, Waits
from simulate.words import count, duration

HEADER = ["service", "workers", *COLUMNS, "in_theory"]


def rows(found: Waits) -> list[list[str]]:
    """One row for each shape and number of workers, for CSV; see `HEADER`."""
    return [
        [
            shape.service.kind,
            str(one.workers),
            *in_columns(one.waiting),
            "" if one.in_theory is None else f"{one.in_theory:.9g}",
        ]
        for shape in found.shapes
        for one in shape.points
    ]


def waits(console: Out, found: Waits, target: float | None) -> None:
    """One row for each number of workers, one column for each shape."""
    whole = table(f"Waiting time, p{found.percent:g}, seed {found.seed}", "workers", *map(_name, found.shapes))
    for points in zip(*(shape.points for shape in found.shapes), strict=True):
        whole.add_row(str(points[0].workers), *(plus_minus(one.waiting, duration) for one in points))
    console.print()
    console.print(whole)
    if target is not None:
        for shape in found.shapes:
            enough = shape.enough(target)
            said = "none of these numbers is enough" if enough is None else f"{enough} workers are enough"
            console.print(f"[bold]Below {duration(target)}[/]: {_name(shape)}: {said}.")
    why_none(
        console,
        ((f"{_name(shape)}, {one.workers} workers", one.waiting) for shape in found.shapes for one in shape.points),
    )
    service = found.shapes[0].service
    theory = [one for shape in found.shapes for one in shape.points if one.in_theory is not None]
    if theory:
        known = ", ".join(f"{duration(one.in_theory)} with {one.workers}" for one in theory)
        console.print(f"[bold]In theory[/] (M/M/c, without costs), exponential: {known}.")
    console.print(
        f"{count(found.rate)} jobs a second, {duration(service.mean)} of work in each on average: "
        f"{count(found.rate * service.mean)} erlangs. The shapes differ in variance alone, given in brackets over the "
        f"squared mean. {found.replications} runs of {found.jobs:,} jobs each, the first fifth of each left out."
    )
    console.print(f"[bold]Costs[/]: {escape(found.costs.words())}.")


def _name(shape: Shape) -> str:
    return escape(f"{shape.service.kind} ({shape.service.squared_variation:g})")
