"""What `theory` says."""

from rich.table import Table

from simulate.cells import LANES, SLEEP, Judgement
from simulate.report.out import Out
from simulate.words import with_half


def theory(console: Out, found: Judgement) -> None:
    """The table of kinds and what it comes to, for `theory`."""
    whole = Table(title=f"Theory and simulation, seed {found.seed}", title_justify="left", title_style="bold")
    whole.add_column("kind of queue, at its utilisation")
    for name in ("theory", "simulated", "error", "inside"):
        whole.add_column(name, justify="right")
    for place, one in enumerate(found.verdicts):
        following = found.verdicts[place + 1 : place + 2]
        half = with_half(one.together.value, one.together.half, ".4g")
        whole.add_row(
            one.cell.name,
            f"{one.theory:.4g}",
            half,
            f"{one.error:+.2%}",
            f"{'yes' if one.together.holds(one.theory) else 'no'}, {one.inside} of {len(one.runs)}",
            end_section=bool(following) and following[0].cell.family != one.cell.family,
        )
    console.print()
    console.print(whole)
    worst, chance = found.largest_error, found.far_outside_by_chance
    by_chance = f" ({chance:.0f} would by chance)" if chance >= 1 else ""
    console.print(
        f"[bold]{found.share_inside:.1%}[/] of {found.runs:,} runs have a 95 % interval that holds the theory, and "
        f"{found.far_outside or 'none'} a 99.99 % interval that does not{by_chance}; the largest error is "
        f"{abs(worst.error):.2%} ({worst.cell.name})."
    )
    if found.wrong:
        names = "; ".join(one.cell.name for one in found.wrong)
        console.print(f"[bold]Wrong[/] by their 99.99 % intervals of all runs together: {names}.")
    console.print(
        "Times are in mean service times. ± is the 95 % interval of all runs of a kind together, by Student's t over "
        f"{LANES} independent lanes a run; 'inside' says whether it holds the theory, and of how many runs the own one "
        f"does. One in twenty misses by chance. A daemon sleeps {SLEEP:g} mean service times."
    )
