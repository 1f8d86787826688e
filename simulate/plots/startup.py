"""An application that loads for long: what workers get done, by how they run jobs."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from simulate.intervals import Interval
from simulate.plots.style import COLOURS, DOTS_PER_INCH, IDEAL_COLOUR, tidy
from simulate.scenarios.startup import StartPoint
from simulate.words import count, duration


def start_figure(found: Sequence[StartPoint]) -> Figure:
    """Jobs per second that workers do at most, over the time to load: theory as thin lines, simulation as dots."""
    figure = Figure(figsize=(9, 5.2), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    for place, mode in enumerate(dict.fromkeys(point.mode for point in found)):
        points = [point for point in found if point.mode == mode]
        colour, aside = COLOURS[place % len(COLOURS)], 1.03 ** (place - 1)
        axes.plot([one.loads_for for one in points], [one.in_theory for one in points], color=colour, linewidth=1)
        known = [(one.loads_for, one.capacity) for one in points if isinstance(one.capacity, Interval)]
        axes.errorbar(
            [at * aside for at, _ in known],  # side by side, or one would hide the other
            [what.value for _, what in known],
            yerr=[what.half for _, what in known],
            fmt="osD^vP"[place % 6],
            color=colour,
            markersize=6,
            capsize=3,
            elinewidth=1.2,
            label=mode,
        )
    axes.plot([], [], color=IDEAL_COLOUR, linewidth=1, label="theory")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: count(value) if f"{value:e}"[0] in "25" else ""))
    axes.set_ylim(top=2 * max(point.in_theory for point in found))
    axes.set_xlabel("how long the application takes to load")
    axes.set_ylabel("jobs per second that all workers do at most")
    axes.legend(frameon=False, fontsize=9)
    tidy(axes)
    return figure
