"""Every figure: data in, Figure out, one style.

Colours are those of Okabe and Ito (2008), told apart with any kind of colour blindness, and three more from Tol's muted
scheme for a whole ladder; each design has a line style of its own as well, for paper. Nothing here touches matplotlib's
global state.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from simulate.cells import Judgement
from simulate.designs import KNOWN
from simulate.experiments import Comparison, Outcome
from simulate.intervals import Interval, Numbers
from simulate.plan import Plan
from simulate.sweep import Sweep

COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#882255", "#999933", "#332288")
DASHES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)), (0, (3, 2)), "-", "--", "-.", (0, (1, 1)))
IDEAL_COLOUR = "#888888"

PIXELS_WIDE = 1200
DOTS_PER_INCH = 100
ROW_INCHES = 4.6

# So many designs that are late are named in a figure.
LATE_LINES = 3

# More designs than that have a legend of two lines.
LEGEND_COLUMNS = 6

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
    columns = len(names) if len(names) <= LEGEND_COLUMNS else -(-len(names) // 2)
    figure.legend(list(names.values()), list(names), loc="outside upper center", ncols=columns, frameon=False)
    return figure


def theory_figure(found: Judgement) -> Figure:
    """Each kind of queue as a dot with its interval: how far the simulation is from theory, in per cent."""
    figure = Figure(figsize=(PIXELS_WIDE / DOTS_PER_INCH, 5.2), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    verdicts = found.verdicts
    for inside, colour, marker, name in (
        (True, COLOURS[1], "o", "the 95 % interval holds the theory"),
        (False, COLOURS[0], "D", "it does not (one in twenty, by chance)"),
    ):
        places = [n for n, one in enumerate(verdicts) if one.together.holds(one.theory) == inside]
        if not places:
            continue
        chosen = [verdicts[n] for n in places]
        axes.errorbar(
            places,
            [100 * one.error for one in chosen],
            yerr=[100 * one.together.half / one.theory for one in chosen],
            fmt=marker,
            color=colour,
            markersize=4,
            elinewidth=1.2,
            label=name,
        )
    axes.axhline(0, color="black", linewidth=1, zorder=1)
    largest = max(100 * (abs(one.error) + one.together.half / one.theory) for one in verdicts)
    axes.set_ylim(-1.05 * largest, 1.3 * largest)
    axes.set_xlim(-1, len(verdicts))
    begin = 0
    for band, (family, count_of) in enumerate(Counter(one.cell.family for one in verdicts).items()):
        if band % 2:
            axes.axvspan(begin - 0.5, begin + count_of - 0.5, color="#f2f2f2", zorder=0)
        # Narrow bands have room for words only on end.
        narrow = count_of < 7
        axes.text(
            begin + count_of / 2 - 0.5,
            1.26 * largest,
            family,
            ha="center",
            va="top",
            fontsize=9,
            rotation=90 if narrow else 0,
        )
        begin += count_of
    axes.set_xticks([])
    axes.set_xlabel("kinds of queues, in the order of the table")
    axes.set_ylabel("simulated less theory (% of theory)")
    axes.set_title(
        f"{len(verdicts)} kinds; the 95 % intervals of {found.share_inside:.1%} of {found.runs:,} runs hold the theory",
        fontsize=11,
    )
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    tidy(axes)
    return figure


def sweep_figure(found: Sweep) -> Figure:
    """The hockey stick: theory as thin lines, simulation as dots with their intervals."""
    figure = Figure(figsize=(9, 5.6), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    refused: list[tuple[float, str]] = []
    for series in found.series:
        # A design looks the same whatever is swept and whoever stands beside it.
        place = list(KNOWN).index(series.design)
        colour, marker = COLOURS[place % len(COLOURS)], "osD^vP"[place % 6]
        seen = [(point.value, point.simulated) for point in series.points if isinstance(point.simulated, Interval)]
        for trust, dashes, _ in TRUSTS:
            part = [(value, line.seconds) for value, line in series.line if line.trust == trust]
            # Where only a single setting is exact it is a point of the approximation and no line of its own.
            if len(part) > 1:
                axes.plot(*zip(*part, strict=True), color=colour, linewidth=1, linestyle=dashes, zorder=1)
        if seen:
            axes.errorbar(
                [value for value, _ in seen],
                [what.value for _, what in seen],
                yerr=[what.half for _, what in seen],
                fmt=marker,
                color=colour,
                markersize=6,
                capsize=3,
                elinewidth=1.2,
                label=f"{series.design} (rung {series.rung})",
            )
        refused += [(p.value, series.design) for p in series.points if not isinstance(p.simulated, Interval)]
    trusts = {line.trust for series in found.series for _, line in series.line}
    for trust, dashes, name in TRUSTS:
        if trust in trusts:
            axes.plot([], [], color=IDEAL_COLOUR, linewidth=1, linestyle=dashes, label=name)
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
    axes.set_title(f"{mean} over {found.over.replace('_', ' ')}", fontsize=11)
    axes.legend(frameon=False, fontsize=9)
    tidy(axes)
    return figure


def plan_figure(found: Plan) -> Figure:
    """The percentile of the waiting time over the number of workers, and the target as a line."""
    figure = Figure(figsize=(9, 5.6), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    goal = found.goal
    known = [(one.workers, one.waiting) for one in found.points if isinstance(one.waiting, Interval)]
    # An end of an interval at or below zero has no place on a logarithmic axis.
    axes.errorbar(
        [workers for workers, _ in known],
        [what.value for _, what in known],
        yerr=[
            [min(what.half, 0.99 * what.value) for _, what in known],
            [what.half for _, what in known],
        ],
        fmt="o",
        color=COLOURS[1],
        markersize=6,
        capsize=3,
        label=f"{found.design}, simulated, with 95 % interval",
    )
    axes.axhline(goal.seconds, color=COLOURS[0], linewidth=1.5, linestyle="--", label=f"target: {goal.seconds:g} s")
    if found.workers is not None:
        axes.axvline(found.workers, color=COLOURS[2], linewidth=1, label=f"enough: {found.workers:,} workers")
    if known and min(what.value for _, what in known) > 0:
        axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value) if value > 0 else "0 s"))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("workers")
    axes.set_ylabel(f"waiting time, p{goal.percent:g}")
    axes.set_title(f"{found.load.name}: {count(found.load.offered)} erlangs", fontsize=11)
    axes.legend(frameon=False, fontsize=9)
    tidy(axes)
    return figure


def style(place: int) -> dict[str, object]:
    """How the line of the design in this place looks, in every figure."""
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": DASHES[place % len(DASHES)], "linewidth": 2.0}


def placed(comparison: Comparison) -> list[tuple[int, Outcome]]:
    """Each design with its place in the table of designs, so that it looks the same whoever stands beside it."""
    return [(list(KNOWN).index(outcome.design), outcome) for outcome in comparison.outcomes]


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

    for place, outcome in placed(comparison):
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
    for place, outcome in placed(comparison):
        axes.plot(outcome.backlog_times / unit, outcome.backlog_jobs, label=label(outcome), **style(place))  # type: ignore[arg-type]  # a dictionary of mixed values, all known to matplotlib
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


# How a line of theory is drawn, by what it is worth, and what the legend calls it.
TRUSTS = (
    ("exact", "-", "theory"),
    ("approximate", "--", "theory (approximate)"),
    ("back by", ":", "back in its queue by"),
)

UNITS = ((0.9995, 1e-3, "ms"), (120, 1, "s"), (3600, 60, "min"), (float("inf"), 3600, "h"))


def duration(seconds: float | None, half: float | None = None) -> str:
    """Seconds as a person writes them: 0.2 ms, 350 ms, 12.3 s, 34 min, 2.1 h; a dash for None.

    With half an interval: 12.3 ± 0.4 s.
    """
    if seconds is None:
        return "-"
    if seconds == 0 and not half:
        return "0 s"
    for below, unit, name in UNITS:
        if max(abs(seconds), half or 0.0) < below:
            return f"{with_half(seconds / unit, None if half is None else half / unit, '.3g')} {name}"
    raise ValueError(f"{seconds} is no length of time")


def with_half(value: float, half: float | None, digits: str) -> str:
    """A number, and if there is one half of its interval; one that only rounding made is none."""
    if half is None:
        return f"{value:{digits}}"
    half = half if half > 1e-6 * abs(value) else 0.0
    return f"{value:{digits}} ± {f'{half:.0f}' if half >= 100 else f'{half:.2g}'}"
