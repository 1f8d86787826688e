"""A load staffed window by window: how many workers when, and whether the target holds."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from simulate.intervals import Interval
from simulate.plots.style import BAD_COLOUR, COLOURS, DOTS_PER_INCH, GOOD_COLOUR, IDEAL_COLOUR, tidy
from simulate.scenarios.staffing import Staffing, Waits
from simulate.words import count, duration


def staffing_figure(found: Staffing) -> Figure:
    """Above, workers and erlangs over time; below, the percentile of the waiting time in each window, and the goal."""
    figure = Figure(figsize=(9, 6.4), dpi=DOTS_PER_INCH, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    windows, goal = found.windows, found.goal
    if not windows:
        above.text(0.5, 0.5, f"no staffing: {found.why_none}", ha="center", va="center", wrap=True)
        return figure
    end = windows[-1].begins + windows[-1].seconds
    unit, name = (60.0, "min") if end < 3 * 3600 else (3600.0, "h") if end < 4 * 86400 else (86400.0, "days")
    edges = np.array([window.begins for window in windows] + [end]) / unit
    above.stairs([one.workers for one in windows], edges, color=GOOD_COLOUR, linewidth=2, label="workers that it takes")
    theory = [one.in_theory if one.in_theory is not None else np.nan for one in windows]
    above.stairs(theory, edges, color=COLOURS[4], linewidth=1.2, linestyle="--", label="by the book (Erlang C)")
    offered = [one.offered for one in windows]
    above.stairs(offered, edges, color=IDEAL_COLOUR, fill=True, alpha=0.35, label="work that comes (erlangs)")
    if found.constant is not None:
        above.axhline(found.constant, color=BAD_COLOUR, linewidth=1, linestyle=":")
        above.text(edges[-1], found.constant, f"{found.constant:,} all the time", ha="right", va="bottom", fontsize=9)
    above.set_ylim(0, 1.35 * max(one.workers for one in windows))
    above.yaxis.set_major_locator(MaxNLocator(integer=True))
    above.set_ylabel("workers")
    above.legend(frameon=False, fontsize=9, loc="upper left", ncols=3)
    saved = found.constant_worker_hours
    cost = f"{count(found.worker_hours)} worker-hours" + ("" if saved is None else f" instead of {count(saved)}")
    above.set_title(f"{found.load.name}, {found.design}\n{goal.words()}: {cost}", fontsize=11)
    middles = (edges[:-1] + edges[1:]) / 2
    waits = [one.waiting if one.waiting is not None else np.nan for one in windows]
    below.plot(middles, waits, "o", color=GOOD_COLOUR, markersize=4, label="as the shipping workers played it")
    below.axhline(goal.seconds, color=BAD_COLOUR, linewidth=1.5, linestyle="--", label=f"target: {goal.seconds:g} s")
    below.set_ylim(0, 1.45 * goal.seconds)
    below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
    below.set_ylabel(f"p{goal.percent:g} of the waiting time")
    below.set_xlabel(f"time since the load began ({name})")
    if name == "h":
        below.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 3, 6, 10]))  # as a day is divided
    below.legend(frameon=False, fontsize=9, loc="upper left", ncols=2)
    for axes in (above, below):
        axes.set_xlim(0, edges[-1])
        tidy(axes)
    return figure


def waits_figure(found: Waits, target: float | None = None) -> Figure:
    """A percentile of the waiting time over the number of workers, one row of dots for each shape of service times."""
    figure = Figure(figsize=(9, 5.4), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    shortest = 0.01
    for place, shape in enumerate(found.shapes):
        colour = COLOURS[place % len(COLOURS)]
        aside = 0.08 * (place - (len(found.shapes) - 1) / 2)
        known = [(one.workers, one.waiting) for one in shape.points if isinstance(one.waiting, Interval)]
        line = [(one.workers, max(one.in_theory, shortest)) for one in shape.points if one.in_theory is not None]
        if line:
            axes.plot(*zip(*line, strict=True), color=colour, linewidth=1, zorder=1)
        axes.errorbar(
            [workers + aside for workers, _ in known],
            [max(what.value, shortest) for _, what in known],
            yerr=[
                [max(0.0, min(what.half, max(what.value, shortest) - shortest)) for _, what in known],
                [what.half for _, what in known],
            ],
            fmt="osD^vP"[place % 6],
            color=colour,
            markersize=6,
            capsize=3,
            elinewidth=1.2,
            label=f"{shape.service.kind} (squared variation {shape.service.squared_variation:g})",
        )
    if any(one.in_theory is not None for shape in found.shapes for one in shape.points):
        axes.plot([], [], color=IDEAL_COLOUR, linewidth=1, label="theory (M/M/c)")
    if target is not None:
        axes.axhline(target, color=BAD_COLOUR, linewidth=1.5, linestyle="--", label=f"target: {target:g} s")
    axes.set_yscale("log")
    axes.set_ylim(bottom=shortest)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("workers")
    axes.set_ylabel(f"waiting time, p{found.percent:g}, with 95 % interval")
    offered = found.rate * found.shapes[0].service.mean
    axes.set_title(f"{count(offered)} erlangs of work that differ in shape alone", fontsize=11)
    axes.legend(frameon=False, fontsize=9)
    tidy(axes)
    return figure
