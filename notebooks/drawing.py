"""How lessons draw: one look, and the same colour and shape for the same thing in every lesson.

A thin line is theory, dots with intervals are simulation, crosses are the real system. Colours and the bare look are
those of `simulate.plots`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulate.intervals import Interval
from simulate.plots import COLOURS, IDEAL_COLOUR, tidy

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
