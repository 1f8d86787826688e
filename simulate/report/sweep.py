"""What `sweep` says."""

from simulate.intervals import Interval
from simulate.report.out import Out, plus_minus, table, why_none
from simulate.sweep import Point, Sweep, is_inside
from simulate.theory import UNSTABLE
from simulate.words import duration


def sweep(console: Out, found: Sweep) -> None:
    """The table of points for `sweep`, and below it what was held fixed."""
    what = found.parameter.measured
    title = f"{what.capitalize()} over {found.over.replace('_', ' ')}, seed {found.seed}"
    is_real = any(point.cross for series in found.series for point in series.points)
    # All of it would not fit into a narrow terminal.
    columns = ("simulated", "theory", "inside", *(("real", "same jobs simulated") if is_real else ("jobs a run",)))
    whole = table(title, "design", found.over.replace("_", " "), *columns)
    for series in found.series:
        for place, point in enumerate(series.points):
            line, inside = point.theory, is_inside(point)
            marks = {"exact": "", "approximate": "about ", "back by": "back by "}
            whole.add_row(
                "" if place else series.design,
                f"{point.value:g}",
                plus_minus(point.simulated, duration),
                "-"
                if line is None
                else marks[line.trust] + ("∞" if line.seconds == UNSTABLE else duration(line.seconds)),
                "" if inside is None else "yes" if inside else "no",
                *(real_cells(point) if is_real else [f"{point.jobs:,}"]),
                end_section=place == len(series.points) - 1,
            )
    console.print()
    console.print(whole)
    points = ((f"{series.design} at {point.value:g}", point) for series in found.series for point in series.points)
    why_none(console, ((name, point.simulated) for name, point in points))
    if is_real:
        console.print(real_words(found))
    at = found.setting
    console.print(
        f"[bold]Held fixed[/], but for what is swept: utilisation {at.utilisation:g} of each design's own processes, "
        f"{at.workers} workers (naive: one), service {duration(at.service)} on average, variance {at.variance:g} of "
        f"its square, polls each {duration(at.poll)}, leases of {duration(at.lease)}. Poisson arrivals."
    )
    if what == "waiting time":
        console.print(
            f"{found.replications} runs a point; the first fifth of each is left out. ± is the 95 % interval; one in "
            "twenty misses the theory by chance. Theory has the costs of each step added."
        )
    else:
        console.print(
            f"{found.replications} runs a point; one process is killed halfway, in the middle of a job. Recovery is "
            "over when another has done that job; 'back by' is when it is in its queue again at the latest."
        )
    console.print(f"[bold]Costs[/]: {at.costs.words()}.")


def real_cells(point: Point) -> list[str]:
    """What was measured at a point, and what the simulator says of the same jobs."""
    if point.cross is None:
        return ["", ""]
    return [plus_minus(point.cross.measured, duration), plus_minus(point.cross.simulated, duration)]


def real_words(found: Sweep) -> str:
    """What the crosses are."""
    crosses = [point.cross for series in found.series for point in series.points if point.cross is not None]
    fewest, most = min(one.jobs for one in crosses), max(one.jobs for one in crosses)
    agree = sum(isinstance(one.difference, Interval) and one.difference.holds(0.0) for one in crosses)
    return (
        f"[bold]Real[/]: {crosses[0].runs} runs a point of {fewest:,} to {most:,} jobs each, with real processes on "
        "this machine; the first fifth of each is left out. So short a run says little of the long run where the queue "
        f"is long; of the same jobs the simulator says the same in {agree} of {len(crosses)} points, within the 95 % "
        "interval of the difference."
    )
