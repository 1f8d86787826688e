"""How lessons draw: one look, and the same colour and shape for the same thing in every lesson.

A thin line is theory, dots with intervals are simulation, crosses are the real system. Colours and the bare look are
those of `simulate.plots.style`, and so is how a design is drawn (`look`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Patch, Rectangle

from notebooks.stage import Stage
from simulate.intervals import Interval
from simulate.measures import Measures
from simulate.plots.style import COLOURS as COLOURS
from simulate.plots.style import IDEAL_COLOUR
from simulate.plots.style import look as look
from simulate.plots.style import tidy as tidy

WIDTH_INCHES = 8.4

# What a job may be, in any figure that tells it apart.
STATE_COLOURS = {
    "delayed": COLOURS[5],
    "queued": COLOURS[4],
    "leased": COLOURS[1],
    "done": COLOURS[2],
    "failed": COLOURS[7],
    "lost": COLOURS[0],
    "twice": COLOURS[3],
}
PALE_STATES = ("delayed", "queued", "twice")  # on which black is read better than white
THEORY_COLOUR = "#444444"
QUIET_COLOUR = IDEAL_COLOUR  # what is there only for orientation


def sheet(rows: int = 1, columns: int = 1, height: float = 4.2, **more: Any) -> tuple[Figure, Any]:
    """An empty figure as wide as a notebook, and its axes: one, or as many as there are rows and columns."""
    figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
    axes = figure.subplots(rows, columns, **more)
    for one in np.atleast_1d(axes).flat:
        tidy(one)
    return figure, axes


def theory(axes: Axes, x: Sequence[float], y: Sequence[float], label: str | None = "theory") -> None:
    """A thin line."""
    axes.plot(x, y, color=THEORY_COLOUR, linewidth=1.0, label=label, zorder=2)


def simulated(
    axes: Axes, x: Sequence[float], y: Sequence[float | Interval], label: str | None = "simulated", colour: str = ""
) -> None:
    """Dots, with their intervals where they have any."""
    how: dict[str, Any] = {"color": colour or COLOURS[1], "label": label, "zorder": 3}
    intervals = [one for one in y if isinstance(one, Interval)]
    if intervals:
        if len(intervals) != len(y):
            raise ValueError("some of these points have an interval and some have none")
        middle, half = [one.value for one in intervals], [one.half for one in intervals]
        axes.errorbar(x, middle, yerr=half, fmt="o", markersize=5, capsize=3, elinewidth=1.2, **how)
    else:
        axes.plot(x, [float(one) for one in y], "o", markersize=4, **how)  # type: ignore[arg-type]  # none is an Interval


def real(axes: Axes, x: Sequence[float], y: Sequence[float], label: str | None = "real", colour: str = "black") -> None:
    """Crosses."""
    axes.plot(x, y, "x", markersize=7, markeredgewidth=1.6, color=colour, label=label, zorder=4)


def listing(axes: Axes, title: str, lines: Sequence[str], verdicts: Sequence[tuple[str, str]]) -> None:
    """A program line by line, and beside each line a verdict: its words, and the state that gives the colour."""
    axes.set(xlim=(0, 1.02), ylim=(len(lines) - 0.4, -0.6))
    axes.set_title(title, loc="left", fontsize=11, weight="bold")
    axes.axis("off")
    for n, (line, (words, state)) in enumerate(zip(lines, verdicts, strict=True)):
        quiet = {"color": QUIET_COLOUR, "style": "italic"} if line.startswith("(") else {"family": "monospace"}
        axes.text(0.0, n, line, va="center", fontsize=8, **quiet)  # type: ignore[arg-type]  # all of it is known to it
        box = {"facecolor": STATE_COLOURS[state], "edgecolor": "none", "boxstyle": "round,pad=0.35"}
        ink = "black" if state in PALE_STATES else "white"
        axes.text(1.0, n, words, va="center", ha="right", fontsize=8, color=ink, weight="bold", bbox=box)


def cross_at_line(axes: Axes, line: int, label: str | None) -> None:
    """A cross beside a verdict of `listing`: what the real system did there."""
    axes.plot([0.72], [line], "x", markersize=7, markeredgewidth=1.6, color="black", label=label, clip_on=False)


def chips(
    axes: Axes, x: float, y: float, texts: Sequence[str], colours: Sequence[str] | str = "", size: float = 0.5,
    height: float = 0.5,
) -> None:  # fmt: skip
    """Things in a row from the left, such as the members of a list with its head first; in the axes' own units."""
    for n, text in enumerate(texts):
        colour = (colours if isinstance(colours, str) else colours[n]) or STATE_COLOURS["queued"]
        box = FancyBboxPatch(
            (x + n * size * 1.12, y - height / 2), size, height, boxstyle="round,pad=0,rounding_size=0.08",
            facecolor=colour, edgecolor="black", linewidth=0.8, mutation_aspect=height / size, zorder=3,
        )  # fmt: skip
        axes.add_patch(box)
        ink = "black" if colour in {STATE_COLOURS[state] for state in PALE_STATES} | {"white"} else "white"
        middle = x + n * size * 1.12 + size / 2
        axes.text(middle, y, text, ha="center", va="center", fontsize=9, color=ink, zorder=4)


def bare(axes: Axes, xlim: tuple[float, float], ylim: tuple[float, float]) -> None:
    """Axes for a drawing that has no scales."""
    axes.set(xlim=xlim, ylim=ylim)
    axes.axis("off")


def stage(axes: Axes, played: Stage, until: float) -> None:
    """What happened on a stage: a lane for each worker with its work, pauses and leases, and one for the server."""
    lanes = len(played.lanes)
    bare(axes, (-3.6, until), (-1.0, lanes + 0.9))
    for second in range(0, int(until) + 1, 5):
        axes.axvline(second, ymin=0.06, color="#dddddd", linewidth=0.7, zorder=0)
        axes.text(second, -0.85, f"{second} s", ha="center", fontsize=9)
    blue = STATE_COLOURS["leased"]
    for place, (name, lane) in enumerate(played.lanes.items()):
        y = lanes - place
        axes.text(-3.5, y, name, va="center", fontsize=10, weight="bold")
        for begin, end, how in lane.work:
            asleep = played.asleep(name, begin, end)
            for start, stop in awake(begin, end, asleep):
                axes.barh(y, stop - start, left=start, height=0.42, color=blue, zorder=3)
            for start, stop in asleep:
                axes.barh(
                    y, stop - start, left=start, height=0.42, facecolor="#eeeeee", edgecolor="#999999", hatch="///"
                )
                axes.text((start + stop) / 2, y, "asleep", ha="center", va="center", fontsize=9, zorder=4,
                          bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})  # fmt: skip
            refused = any(told.at == end and told.worker == name and told.event == "lease_lost" for told in played.told)
            mark, colour = ("X", STATE_COLOURS["lost"]) if refused or how != "ended" else ("o", STATE_COLOURS["done"])
            axes.plot([end], [y], mark, color=colour, markersize=9, markeredgecolor="white", zorder=5)
        for begin, end, _ in lane.leases:
            axes.barh(y - 0.33, end - begin, left=begin, height=0.12, color=STATE_COLOURS["delayed"], zorder=2)
        axes.plot(lane.renewals, [y - 0.33] * len(lane.renewals), "^", color="black", markersize=5, zorder=4)
    axes.text(-3.5, 0, "the server", va="center", fontsize=10, weight="bold")
    for begin, end, what in played.states:
        state, _, claim = what.partition(" under ")
        stop = end if end < played.states[-1].end else until
        axes.barh(0, stop - begin, left=begin, height=0.42, color=STATE_COLOURS[state], edgecolor="white", zorder=3)
        words = f"leased: {claim}" if claim else state
        if stop - begin > 0.3 * len(words):
            axes.text((begin + stop) / 2, 0, words, ha="center", va="center", fontsize=9, color="white", zorder=4)
    key = [
        Patch(color=blue, label="works"),
        Patch(color=STATE_COLOURS["delayed"], label="has the lease"),
        Line2D([], [], marker="^", color="black", linestyle="", label="renews"),
        Line2D([], [], marker="o", color=STATE_COLOURS["done"], linestyle="", label="done"),
        Line2D([], [], marker="X", color=STATE_COLOURS["lost"], linestyle="", label="in vain"),
    ]
    axes.figure.legend(handles=key, loc="outside lower center", ncols=len(key), frameon=False, fontsize=9)


def awake(begin: float, end: float, asleep: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """What is left of a time without those others, which lie within it in order."""
    left = []
    for start, stop in asleep:
        left.append((begin, start))
        begin = stop
    return [(start, stop) for start, stop in [*left, (begin, end)] if stop > start]


def matrix(
    axes: Axes, rows: Sequence[str], columns: Sequence[str], cells: Sequence[Sequence[tuple[str | None, str]]]
) -> None:
    """A table of marks: each cell has a state, whose colour it takes (None: grey), and a sign."""
    for y, line in enumerate(cells):
        for x, (state, sign) in enumerate(line):
            colour = STATE_COLOURS[state] if state else QUIET_COLOUR
            axes.add_patch(Rectangle((x + 0.04, y + 0.06), 0.92, 0.88, color=colour, alpha=0.18, linewidth=0))
            axes.text(x + 0.5, y + 0.52, sign, color=colour, fontsize=13, weight="bold", ha="center", va="center")
    axes.set(xlim=(0, len(columns)), ylim=(len(rows), 0))
    axes.set_xticks([x + 0.5 for x in range(len(columns))], columns, fontsize=9)
    axes.set_yticks([y + 0.5 for y in range(len(rows))], rows, fontsize=9)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def nine_designs(
    names: Mapping[str, str],
    peace: Mapping[tuple[str, str], Measures],
    struck: Mapping[tuple[str, str], Sequence[Measures]],
) -> Figure:
    """A row for each design, for lesson 14: waits in peace, how soon bad luck is made good, what is lost and doubled.

    `names` says what a design is called; `peace` and `struck` have what each did in the small shop and in the big one.
    """
    figure, panels = sheet(1, 4, height=4.4, sharey=True, width_ratios=(2.6, 1.6, 1, 1))
    rows = range(len(names))
    for shop, colour, aside in (("small", COLOURS[1], -0.16), ("big", COLOURS[0], 0.16)):
        for row, design in enumerate(names):
            waits = peace[design, shop].waiting
            panels[0].plot([waits.p50, waits.p95], [row + aside] * 2, color=colour, linewidth=2, solid_capstyle="butt")
        middles = [peace[design, shop].waiting.p50 or 0.0 for design in names]
        simulated(panels[0], middles, [row + aside for row in rows], f"{shop} shop", colour)
        known = [(worst, row + aside) for row, design in enumerate(names) if (worst := _worst(struck[design, shop]))]
        simulated(panels[1], [worst for worst, _ in known], [place for _, place in known], None, colour)
    for row, design in enumerate(names):
        days = [day for (one, _), played in struck.items() if one == design for day in played]
        if _worst(days) is None:
            panels[1].text(1.2, row, "never", va="center", fontsize=9, color=STATE_COLOURS["lost"])
        for axes, number, state in (
            (panels[2], sum(day.lost for day in days), "lost"),
            (panels[3], sum(day.finished_twice for day in days), "twice"),
        ):
            ink = STATE_COLOURS[state if number else "done"]
            weight = "bold" if number else "normal"
            axes.text(0.5, row, f"{number:,}", ha="center", va="center", fontsize=11, color=ink, weight=weight)
    panels[0].set(xscale="log", xlim=(5e-4, 3e3))
    panels[0].set_xticks([0.001, 0.1, 10, 1000], ["1 ms", "0.1 s", "10 s", "17 min"])
    panels[1].set(xscale="log", xlim=(0.3, 3e3))
    panels[1].set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
    panels[0].set_yticks(rows, names.values())
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    for axes in panels[2:]:
        axes.set(xlim=(0, 1), xticks=[])
        axes.grid(visible=False)
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.tick_params(left=False)
    titles = (
        "wait in peace\n(dot: half of them; line: 19 of 20)",
        "after bad luck, a charge\nis made within (s)",
        "lost",
        "charged\ntwice",
    )
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title, fontsize=9, loc="left" if axes in panels[:2] else "center")
    figure.legend(*panels[0].get_legend_handles_labels(), frameon=False, fontsize=9, ncols=2, loc="outside lower left")
    return figure


def _worst(days: Sequence[Measures]) -> float | None:
    """The longest time until what was struck had been made good; None when something never was."""
    found = [day.recovery_time for day in days]
    known = [seconds for seconds in found if seconds is not None]
    return max(known) if len(known) == len(found) else None
