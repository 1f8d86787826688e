"""`sweep`: the hockey stick."""

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from simulate.intervals import Interval
from simulate.plots.style import DOTS_PER_INCH, IDEAL_COLOUR, looks, tidy
from simulate.sweep import Sweep
from simulate.words import duration, rung

# How a line of theory is drawn, by what it is worth, and what the legend calls it.
TRUSTS = (
    ("exact", "-", "theory"),
    ("approximate", "--", "theory (approximate)"),
    ("back by", ":", "back in its queue by"),
)


def sweep_figure(found: Sweep) -> Figure:
    """The hockey stick: theory as thin lines, simulation as dots with their intervals."""
    figure = Figure(figsize=(9, 5.6), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    refused: list[tuple[float, str]] = []
    is_real = False
    every = looks(series.design for series in found.series)
    for series in found.series:
        seen_as = every[series.design]
        seen = [(point.value, point.simulated) for point in series.points if isinstance(point.simulated, Interval)]
        for trust, dashes, _ in TRUSTS:
            part = [(value, line.seconds) for value, line in series.line if line.trust == trust]
            # Where only a single setting is exact it is a point of the approximation and no line of its own.
            if len(part) > 1:
                axes.plot(*zip(*part, strict=True), color=seen_as.colour, linewidth=1, linestyle=dashes, zorder=1)
        if seen:
            axes.errorbar(
                [value for value, _ in seen],
                [what.value for _, what in seen],
                yerr=[what.half for _, what in seen],
                fmt=seen_as.marker,
                color=seen_as.colour,
                markersize=6,
                capsize=3,
                elinewidth=1.2,
                label=f"{series.design} ({rung(series.rung)})",
            )
        crosses = [
            (point.value, point.cross.measured)
            for point in series.points
            if point.cross is not None and isinstance(point.cross.measured, Interval)
        ]
        if crosses:
            axes.errorbar(
                [value for value, _ in crosses],
                [what.value for _, what in crosses],
                yerr=[
                    [min(what.half, 0.99 * what.value) for _, what in crosses],
                    [what.half for _, what in crosses],
                ],
                fmt="x",
                color=seen_as.colour,
                markersize=10,
                markeredgewidth=2,
                elinewidth=0.8,
                zorder=3,
            )
            axes.plot(
                [value for value, _ in crosses],
                [p.cross.simulated.value for p in series.points if p.cross and isinstance(p.cross.simulated, Interval)],
                seen_as.marker,
                color=seen_as.colour,
                markersize=8,
                fillstyle="none",
                linestyle="none",
                zorder=3,
            )
            is_real = True
        refused += [(p.value, series.design) for p in series.points if not isinstance(p.simulated, Interval)]
    trusts = {line.trust for series in found.series for _, line in series.line}
    for trust, dashes, name in TRUSTS:
        if trust in trusts:
            axes.plot([], [], color=IDEAL_COLOUR, linewidth=1, linestyle=dashes, label=name)
    if is_real:
        axes.plot([], [], "x", color=IDEAL_COLOUR, markersize=9, markeredgewidth=2, label="real processes")
        axes.plot([], [], "o", color=IDEAL_COLOUR, markersize=8, fillstyle="none", label="the same jobs, simulated")
    if found.parameter.is_logarithmic and all(point.value > 0 for one in found.series for point in one.points):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    highest = max((line.seconds for series in found.series for _, line in series.line), default=0.0)
    known = [p.simulated for s in found.series for p in s.points if isinstance(p.simulated, Interval)]
    dots = [what.value for what in known]
    if dots and max(dots) > 20 * max(min(dots), 1e-9):
        axes.set_yscale("log")
        axes.set_ylim(min(dots) / 2, max(max(dots), min(highest, 3 * max(dots))) * 2)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
    else:
        top = max([*(what.high for what in known), min(highest, 3 * max(dots, default=1.0)), 1e-9])
        axes.set_ylim(0, 1.1 * top)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
    if refused:
        words = "\n".join(f"no steady state: {design} at {value:g}" for value, design in refused[:4])
        axes.text(0.02, 0.97, words, transform=axes.transAxes, va="top", fontsize=9)
    mean = "mean waiting time" if found.parameter.measured == "waiting time" else "recovery time"
    axes.set_xlabel(found.parameter.label)
    axes.set_ylabel(f"{mean}, with 95 % interval")
    axes.set_title(f"{mean} over {found.parameter.label.partition(' (')[0]}", fontsize=11)
    axes.legend(frameon=False, fontsize=9)
    tidy(axes)
    return figure
