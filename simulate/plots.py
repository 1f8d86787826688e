"""Every figure: data in, Figure out, one style.

Colours are those of Okabe and Ito (2008), told apart with any kind of colour blindness; each design has a line style of
its own as well, for paper. Nothing here touches matplotlib's global state.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from simulate.experiments import Comparison, Outcome
from simulate.measures import Numbers

COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)), (0, (3, 2)), "-")
IDEAL_COLOUR = "#888888"

PIXELS_WIDE = 1200
DOTS_PER_INCH = 100
ROW_INCHES = 4.6

# A wait of less than a tenth of a millisecond is no wait: the logarithmic axis ends there.
SHORTEST_SECONDS = 1e-4


def compare_figure(comparisons: Sequence[Comparison]) -> Figure:
    """One row for each load: left, the share of jobs that wait longer than a time; right, the backlog over time."""
    rows = len(comparisons)
    figure = Figure(
        figsize=(PIXELS_WIDE / DOTS_PER_INCH, ROW_INCHES * rows + 0.5), dpi=DOTS_PER_INCH, layout="constrained"
    )
    axes = figure.subplots(rows, 2, squeeze=False)
    for comparison, (left, right) in zip(comparisons, axes, strict=True):
        waiting_axes(left, comparison)
        backlog_axes(right, comparison)
    names: dict[str, Artist] = {}
    for one in axes.flat:
        for handle, label in zip(*one.get_legend_handles_labels(), strict=True):
            names.setdefault(label, handle)
    figure.legend(list(names.values()), list(names), loc="outside upper center", ncols=len(names), frameon=False)
    return figure


def style(place: int) -> dict[str, object]:
    """How the line of the design in this place looks, in every figure."""
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": DASHES[place % len(DASHES)], "linewidth": 2.0}


def label(outcome: Outcome) -> str:
    """What the legend calls it."""
    return f"{outcome.design} (rung {outcome.rung})"


def short(comparison: Comparison) -> str:
    """The load in one line."""
    load = comparison.load
    workers = f"{comparison.workers} worker{'s' if comparison.workers > 1 else ''}"
    return f"{load.name}: {load.jobs:,} jobs, {count(load.offered)} erlangs, {workers}"


def waiting_axes(axes: Axes, comparison: Comparison) -> None:
    """The share of jobs that wait longer than a time, both axes logarithmic."""
    beyond = 1 - np.linspace(0, 1, len(comparison.ideal_quantiles))

    def draw(waits: Numbers, **how: object) -> None:
        if len(waits) and waits[-1] > SHORTEST_SECONDS:
            # Waits beyond the left edge are drawn at it, so that the line begins at the share that waits at all.
            axes.plot(np.maximum(waits, SHORTEST_SECONDS), beyond[-len(waits) :], **how)  # type: ignore[arg-type]

    for place, outcome in enumerate(comparison.outcomes):
        draw(outcome.waiting_quantiles, label=label(outcome), **style(place))
    draw(
        comparison.ideal_quantiles,
        label="ideal: in order, at no cost",
        color=IDEAL_COLOUR,
        linewidth=4,
        alpha=0.5,
        zorder=1,
    )
    longest = max((float(o.waiting_quantiles[-1]) for o in comparison.outcomes if len(o.waiting_quantiles)), default=1)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(SHORTEST_SECONDS, max(longest * 1.5, 1.0))
    axes.set_ylim(0.005, 1.1)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f} s" if value >= 1 else duration(value)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:g} %"))
    axes.set_xlabel("waiting time t (arrived to started, logarithmic)")
    axes.set_ylabel("jobs that wait longer than t")
    axes.set_title(short(comparison), fontsize=11)
    tidy(axes)


def backlog_axes(axes: Axes, comparison: Comparison) -> None:
    """How many jobs are queued, on average over short stretches of time.

    Cut at twice the time of arrivals; what drains later is said in words.
    """
    span = comparison.load.span
    last = max(float(outcome.backlog_times[-1]) for outcome in comparison.outcomes)
    end = min(last, 2 * span) if span else last
    unit, name = (1.0, "s") if end < 300 else (60.0, "min") if end < 3 * 3600 else (3600.0, "h")
    late = []
    for place, outcome in enumerate(comparison.outcomes):
        axes.plot(outcome.backlog_times / unit, outcome.backlog_jobs, label=label(outcome), **style(place))  # type: ignore[arg-type]  # a dictionary of mixed values, all known to matplotlib
        if outcome.backlog_times[-1] > end:
            late.append(f"{outcome.design}: empty only after {duration(float(outcome.backlog_times[-1]))}")
    highest = max(float(outcome.backlog_jobs.max()) for outcome in comparison.outcomes)
    if highest > 50:
        axes.set_yscale("symlog", linthresh=10)
        axes.set_ylim(0, highest * 15)  # room for the words above the curves
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    else:
        axes.set_ylim(0, highest * 1.3)
    axes.set_xlim(0, end / unit)
    axes.axvline(span / unit, color=IDEAL_COLOUR, linewidth=1, linestyle=":")
    note = f"dotted: the last arrival, after {duration(span)}"
    axes.text(
        0.02,
        0.97,
        "\n".join([note, *late]),
        transform=axes.transAxes,
        va="top",
        fontsize=9,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2},
    )
    axes.set_xlabel(f"time since the first arrival ({name})")
    axes.set_ylabel("backlog (jobs queued, mean)" + (", log above 10" if highest > 50 else ""))
    axes.set_title("backlog over time", fontsize=11)
    tidy(axes)


def tidy(axes: Axes) -> None:
    """Light grid, no box."""
    axes.tick_params(labelsize=9)
    axes.grid(True, which="major", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def count(number: float) -> str:
    """A number as a person writes it: 0.1, 5.6, 1,095."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def duration(seconds: float | None) -> str:
    """Seconds as a person writes them: 0.2 ms, 350 ms, 12.3 s, 34 min, 2.1 h; a dash for None."""
    if seconds is None:
        return "-"
    if seconds == 0:
        return "0 s"
    for below, unit, name in ((0.9995, 1e-3, "ms"), (120, 1, "s"), (3600, 60, "min"), (float("inf"), 3600, "h")):
        if abs(seconds) < below:
            return f"{seconds / unit:.3g} {name}"
    raise ValueError(f"{seconds} is no length of time")
