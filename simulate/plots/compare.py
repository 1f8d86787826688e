"""`compare`: who waits how long, and how much waits."""

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from simulate.experiments import Comparison, Outcome
from simulate.intervals import Numbers
from simulate.plots.style import DOTS_PER_INCH, IDEAL_COLOUR, PIXELS_WIDE, line_of, looks, tidy
from simulate.words import count, duration, plain, rung

ROW_INCHES = 4.6

# So many designs that are late are named in a figure.
LATE_LINES = 3

# More designs than that have a legend of several lines.
LEGEND_COLUMNS = 5
LEGEND_LINE_INCHES = 0.22

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
    columns = min(len(names), LEGEND_COLUMNS)
    lines = -(-len(names) // LEGEND_COLUMNS)
    figure.set_figheight(figure.get_figheight() + LEGEND_LINE_INCHES * (lines - 1))
    figure.legend(list(names.values()), list(names), loc="outside upper center", ncols=columns, frameon=False)
    return figure


def waiting_axes(axes: Axes, comparison: Comparison) -> None:
    """The share of jobs that wait longer than a time, both axes logarithmic."""
    beyond = 1 - np.linspace(0, 1, len(comparison.ideal_quantiles))

    def draw(waits: Numbers, **how: object) -> None:
        if len(waits) and waits[-1] > SHORTEST_SECONDS:
            # Waits beyond the left edge are drawn at it, so that the line begins at the share that waits at all.
            axes.plot(np.maximum(waits, SHORTEST_SECONDS), beyond[-len(waits) :], **how)  # type: ignore[arg-type]

    seen_as = looks(outcome.design for outcome in comparison.outcomes)
    for outcome in comparison.outcomes:
        draw(outcome.waiting_quantiles, label=label(outcome), **line_of(seen_as[outcome.design]))
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
    axes.tick_params(axis="x", labelsize=8)  # up to nine of them


def backlog_axes(axes: Axes, comparison: Comparison) -> None:
    """How many jobs are queued, on average over short stretches of time.

    Cut at twice the time of arrivals; what drains later is said in words.
    """
    span = comparison.load.span
    last = max(float(outcome.backlog_times[-1]) for outcome in comparison.outcomes)
    end = min(last, 2 * span) if span else last
    unit, name = (1.0, "s") if end < 300 else (60.0, "min") if end < 3 * 3600 else (3600.0, "h")
    late = []
    seen_as = looks(outcome.design for outcome in comparison.outcomes)
    for outcome in comparison.outcomes:
        axes.plot(
            outcome.backlog_times / unit, outcome.backlog_jobs, label=label(outcome), **line_of(seen_as[outcome.design])
        )
        if outcome.backlog_times[-1] > end:
            late.append((float(outcome.backlog_times[-1]), outcome.design))
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
    words = [f"{design}: empty only after {duration(seconds)}" for seconds, design in sorted(late, reverse=True)]
    if len(words) > LATE_LINES:
        words = [*words[: LATE_LINES - 1], f"and {len(words) - LATE_LINES + 1} more, earlier"]
    axes.text(
        0.02,
        0.97,
        "\n".join([note, *words]),
        transform=axes.transAxes,
        va="top",
        fontsize=9,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2},
    )
    axes.set_xlabel(f"time since the first arrival ({name})")
    axes.set_ylabel("backlog (jobs queued, mean)" + (", log above 10" if highest > 50 else ""))
    axes.set_title("backlog over time", fontsize=11)
    tidy(axes)


def label(outcome: Outcome) -> str:
    """What the legend calls it."""
    return f"{outcome.design} ({rung(outcome.rung)})"


def short(comparison: Comparison) -> str:
    """The load in one line."""
    load = comparison.load
    workers = f"{comparison.workers} worker{'s' if comparison.workers > 1 else ''}"
    return f"{plain(load.name)}: {load.jobs:,} jobs, {count(load.offered)} erlangs, {workers}"
