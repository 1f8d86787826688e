"""Too much work: what is done in time against what was offered, and how long a burst takes to drain."""

from matplotlib.figure import Figure

from simulate.intervals import Interval
from simulate.plots.style import BAD_COLOUR, COLOURS, DOTS_PER_INCH, GOOD_COLOUR, IDEAL_COLOUR, tidy
from simulate.scenarios.overload import POLICIES, Drains, Overload
from simulate.words import count, duration

LOOKS = {
    "unbounded": (BAD_COLOUR, "o"),
    "bounded": (GOOD_COLOUR, "s"),
    "expiring": (COLOURS[2], "D"),
    "low first": (COLOURS[3], "^"),
    "newest first": (COLOURS[4], "v"),
}
assert LOOKS.keys() == POLICIES.keys()

ASIDE = 0.012  # dots of equal load are drawn side by side, or one would hide the other


def overload_figure(found: Overload) -> Figure:
    """Left, goodput over offered load: theory as thin lines, simulation as dots. Right, the critical jobs alone."""
    figure = Figure(figsize=(11, 5.2), dpi=DOTS_PER_INCH, layout="constrained")
    left, right = figure.subplots(1, 2)
    setting = found.setting
    capacity = setting.capacity
    names = list(dict.fromkeys(point.policy for point in found.points))
    for place, name in enumerate(names):
        colour, marker = LOOKS[name]
        aside = ASIDE * (place - (len(names) - 1) / 2)
        points = found.of(name)
        if found.lines.get(name):
            # Exactly at saturation the line of a queue without a limit falls to nothing.
            left.plot(*zip(*found.lines[name], strict=True), color=colour, linewidth=1, zorder=1)
        for axes, known in (
            (left, [(point.utilisation, point.goodput) for point in points]),
            (right, [(point.utilisation, point.critical) for point in points]),
        ):
            scale = 1.0 if axes is left else 100.0
            seen = [(at, what) for at, what in known if isinstance(what, Interval)]
            axes.errorbar(
                [at + aside for at, _ in seen],
                [scale * what.value for _, what in seen],
                yerr=[scale * what.half for _, what in seen],
                fmt=marker,
                color=colour,
                markersize=6,
                capsize=3,
                elinewidth=1.2,
                linestyle="" if axes is left and found.lines.get(name) else ":",
                linewidth=1,
                label=name,
            )
    left.axhline(capacity, color=IDEAL_COLOUR, linewidth=1, linestyle="--")
    left.text(found.points[0].utilisation, 1.02 * capacity, "what the workers can do", fontsize=9, color="#555555")
    left.set_ylim(0, 1.18 * capacity)
    left.set_ylabel(f"goodput: jobs per second done within {duration(setting.deadline)}")
    right.set_ylim(0, 104)
    right.set_ylabel(f"critical jobs done within {duration(setting.deadline)} (%)")
    for axes in (left, right):
        axes.axvline(1, color=IDEAL_COLOUR, linewidth=1, linestyle=":")
        axes.set_xlabel("offered load (work that comes over what can be done)")
        tidy(axes)
    handles, labels = left.get_legend_handles_labels()
    if any(found.lines.values()):
        handles += left.plot([], [], color=IDEAL_COLOUR, linewidth=1)
        labels.append("theory")
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=9)
    return figure


def drain_figure(found: Drains) -> Figure:
    """Drain time over the size of the burst: the fluid formula as thin lines, simulation as dots with intervals."""
    figure = Figure(figsize=(9, 5.2), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    for place, at in enumerate(dict.fromkeys(point.utilisation for point in found.points)):
        points = [point for point in found.points if point.utilisation == at]
        colour = COLOURS[place % len(COLOURS)]
        line = [(point.burst, point.predicted) for point in points if point.predicted is not None]
        if line:
            axes.plot(*zip(*((0, 0), *line), strict=True), color=colour, linewidth=1, zorder=1)
        seen = [(point.burst, point.seconds) for point in points if isinstance(point.seconds, Interval)]
        if seen:
            axes.errorbar(
                [burst for burst, _ in seen],
                [what.value for _, what in seen],
                yerr=[what.half for _, what in seen],
                fmt="osD^vP"[place % 6],
                color=colour,
                markersize=6,
                capsize=3,
                elinewidth=1.2,
                label=f"while the usual load is {count(at)} of the capacity",
            )
    axes.plot([], [], color=IDEAL_COLOUR, linewidth=1, label="burst / (capacity - arrivals per second)")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("burst (jobs that come at once)")
    axes.set_ylabel("seconds until nobody waits, with 95 % interval")
    axes.legend(frameon=False, fontsize=9)
    tidy(axes)
    return figure
