"""How lessons draw: one look, and the same colour and shape for the same thing in every lesson.

A thin line is theory, dots with intervals are simulation, crosses are the real system. Colours and the bare look are
those of `simulate.plots.style`, and so is how a design is drawn (`look`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from simulate.intervals import Interval
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
