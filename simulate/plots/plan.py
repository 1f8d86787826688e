"""`plan`: waiting over the number of workers, and where it is short enough."""

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from simulate.intervals import Interval
from simulate.plan import Plan
from simulate.plots.style import BAD_COLOUR, DOTS_PER_INCH, look, tidy
from simulate.words import count, duration, plain


def plan_figure(found: Plan) -> Figure:
    """The percentile of the waiting time over the number of workers, and the target as a line."""
    figure = Figure(figsize=(9, 5.6), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    goal = found.goal
    known = [(one.workers, one.waiting) for one in found.points if isinstance(one.waiting, Interval)]
    axes.errorbar(
        [workers for workers, _ in known],
        [what.value for _, what in known],
        yerr=[
            [min(what.half, (1 - 1e-9) * what.value) for _, what in known],
            [what.half for _, what in known],
        ],
        fmt=look(found.design).marker,
        color=look(found.design).colour,
        markersize=6,
        capsize=3,
        label=f"{found.design}, simulated, with 95 % interval",
    )
    axes.axhline(goal.seconds, color=BAD_COLOUR, linewidth=1.5, linestyle="--", label=f"target: {goal.seconds:g} s")
    if found.workers is not None:
        enough = f"enough: {found.workers:,} workers"
        axes.axvline(found.workers, color="black", linewidth=1, linestyle=":", label=enough)
    if known and min(what.value for _, what in known) > 0:
        axes.set_yscale("log")
        # An end of an interval at or below zero has no place there: its bar goes on to the lower edge.
        axes.set_ylim(bottom=min(what.low if what.low > 0 else what.value for _, what in known) / 2)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value) if value > 0 else "0 s"))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("workers")
    axes.set_ylabel(f"waiting time, p{goal.percent:g}")
    axes.set_title(f"{plain(found.load.name)}: {count(found.load.offered)} erlangs", fontsize=11)
    axes.legend(frameon=False, fontsize=9)
    tidy(axes)
    return figure
