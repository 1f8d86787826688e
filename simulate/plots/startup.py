"""An application that loads for long: what it costs per job, per deploy and per crash.

In each figure the time to load goes along the axis below.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from simulate.intervals import Estimate, Interval
from simulate.plots.style import COLOURS, DOTS_PER_INCH, IDEAL_COLOUR, tidy
from simulate.scenarios.startup import MODES, CrashPoint, DeployPoint, StartPoint
from simulate.words import count, duration

LINE_POINTS = 100


def start_figure(found: Sequence[StartPoint]) -> Figure:
    """Jobs per second that workers do at most, over the time to load: theory as thin lines, simulation as dots."""
    figure = Figure(figsize=(9, 5.2), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    for place, mode in enumerate(dict.fromkeys(point.mode for point in found)):
        points = [point for point in found if point.mode == mode]
        axes.plot(
            [one.loads_for for one in points],
            [one.in_theory for one in points],
            color=COLOURS[place % len(COLOURS)],
            linewidth=1,
        )
        _dots(axes, mode, place, [(one.loads_for, one.capacity) for one in points])
    axes.plot([], [], color=IDEAL_COLOUR, linewidth=1, label="theory")
    _over_loading(axes, [one.loads_for for one in found])
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: count(value) if f"{value:e}"[0] in "25" else ""))
    axes.set_ylim(top=2 * max(point.in_theory for point in found))
    axes.set_ylabel("jobs per second that all workers do at most")
    axes.legend(frameon=False, fontsize=9)
    tidy(axes)
    return figure


def deploy_figure(found: Sequence[DeployPoint]) -> Figure:
    """Left, how long jobs wait that arrive during a deploy; right, the largest backlog, with what is predicted."""
    figure = Figure(figsize=(11, 4.8), dpi=DOTS_PER_INCH, layout="constrained")
    left, right = figure.subplots(1, 2)
    for place, way in enumerate(dict.fromkeys(point.way for point in found)):
        points = sorted((point for point in found if point.way == way), key=lambda point: point.loads_for)
        _dots(left, way, place, [(one.loads_for, one.waiting) for one in points])
        _dots(right, way, place, [(one.loads_for, one.largest_backlog) for one in points])
        known = [(one.loads_for, one.predicted_backlog) for one in points if one.predicted_backlog is not None]
        if known:
            grid = np.geomspace(known[0][0], known[-1][0], LINE_POINTS)
            line = np.interp(grid, [at for at, _ in known], [jobs for _, jobs in known])
            right.plot(grid, line, color=COLOURS[place % len(COLOURS)], linewidth=1)
            right.plot([], [], color=IDEAL_COLOUR, linewidth=1, label="predicted: what comes while nobody works")
    left.set_ylabel("mean waiting time of jobs that arrive during it")
    right.set_ylabel("largest backlog (jobs)")
    _durations(left)
    right.yaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    for axes in (left, right):
        _over_loading(axes, [one.loads_for for one in found])
        axes.set_ylim(bottom=0)
        tidy(axes)
    _legend_above(figure, right)
    return figure


def crash_figure(found: Sequence[CrashPoint]) -> Figure:
    """Left, how long it takes until a job is done that crashed; right, how long all jobs wait on average."""
    figure = Figure(figsize=(11, 4.8), dpi=DOTS_PER_INCH, layout="constrained")
    left, right = figure.subplots(1, 2)
    for place, mode in enumerate(dict.fromkeys(point.mode for point in found)):
        points = [point for point in found if point.mode == mode]
        # As in the figure of the modes.
        turn = MODES.index(mode) if mode in MODES else place
        _dots(left, mode, turn, [(one.loads_for, one.recovery) for one in points])
        _dots(right, mode, turn, [(one.loads_for, one.waiting) for one in points])
    left.set_ylabel("from a crash until its job is done, mean")
    right.set_ylabel("mean waiting time of all jobs")
    for axes in (left, right):
        _over_loading(axes, [one.loads_for for one in found])
        axes.set_ylim(bottom=0)
        _durations(axes)
        tidy(axes)
    _legend_above(figure, left)
    return figure


def _dots(axes: Axes, name: str, place: int, points: Sequence[tuple[float, Estimate]]) -> None:
    """What was simulated, with intervals; what was refused is left out."""
    known = [(at, what) for at, what in points if isinstance(what, Interval)]
    axes.errorbar(
        [at * 1.03 ** (place - 1) for at, _ in known],  # side by side, or one would hide the other
        [what.value for _, what in known],
        yerr=[what.half for _, what in known],
        fmt="osD^vP"[place % 6],
        color=COLOURS[place % len(COLOURS)],
        markersize=6,
        capsize=3,
        elinewidth=1.2,
        label=name,
    )


def _over_loading(axes: Axes, loads: Sequence[float]) -> None:
    """The axis below: times to load, those that were played."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sorted(set(loads))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
    axes.set_xlabel("how long the application takes to load")


def _legend_above(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=9)


def _durations(axes: Axes) -> None:
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
