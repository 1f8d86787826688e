"""What `live` shows: predicted beside measured, as a table and as a figure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from simulate.live.beside import Result
from simulate.live.runs import MEASURES, summary
from simulate.plots import DOTS_PER_INCH, PIXELS_WIDE, SHORTEST_SECONDS, duration, look, tidy
from simulate.report import written

ROW_INCHES = 4.4
CROSSES = 24
"""As many quantiles of what was measured are shown."""
LINE_POINTS = 400

HEADER = ["design", "load", "effective_utilisation", "jobs", "run", "measure", "predicted", "measured"]

NAMES = {"minique": "minique, fork", "inline": "minique, in-line", "naive": "naive daemon"}


def rows(found: Result) -> list[list[str]]:
    """One row for each number of each run, for CSV."""
    return [
        [
            pair.design,
            pair.load.name,
            f"{pair.utilisation:.6g}",
            str(pair.load.jobs),
            str(turn),
            name,
            f"{summary(pair.predicted)[name]:.9g}",
            f"{run[name]:.9g}",
        ]
        for pair in found.pairs
        for turn, run in enumerate(pair.measured, 1)
        for name in MEASURES
    ]


def report(console: Console, found: Result, files: Mapping[str, Path]) -> None:
    """Tables and words on standard output."""
    table = Table(title="Waiting: predicted and measured", title_justify="left", title_style="bold")
    table.add_column("design, utilisation")
    table.add_column("jobs", justify="right")
    table.add_column("")
    for name in MEASURES:
        table.add_column(name, justify="right")
    for pair in found.pairs:
        said = summary(pair.predicted)
        name = f"{NAMES[pair.design]}, {pair.utilisation:.2f}"
        table.add_row(name, f"{pair.load.jobs:,}", "predicted", *(duration(said[one]) for one in MEASURES))
        table.add_row("", "", "measured", *(duration(pair.median_of(one)) for one in MEASURES))
        shares = (f"{pair.difference(one):+.1%}" for one in MEASURES)
        table.add_row("", "", "difference", *shares)
        shares = (f"{pair.left_over(one):+.1%}" for one in MEASURES)
        table.add_row("", "", "  own steps", *shares, end_section=True)
    console.print()
    console.print(table)
    setting = found.setting
    late = np.concatenate([run.late for pair in found.pairs for run in pair.runs])
    console.print(
        f"[bold]Measured[/]: the median of {setting.repeat} runs, each of the same load, and the median of their "
        "differences. Waiting is from the planned arrival to the beginning of the work, so a producer that comes late "
        f"is in it; ours came {duration(float(np.median(late)))} late, p99 {duration(float(np.percentile(late, 99)))}. "
        "[bold]Own steps[/]: the difference that is left when the simulator is told afterwards what the steps and jobs "
        "of each run really took; where that is small and the other is not, the machine was not as it was calibrated. "
        "These are percentiles of what happened to these jobs, not estimates of the long run."
    )
    console.print(
        f"[bold]Processes[/]: {setting.workers} workers of minique, one naive daemon that sleeps {setting.every:g} s; "
        f"the work is to {setting.way}. [bold]Utilisation[/]: effective, so with what each job costs beside its work."
    )
    console.print(f"[bold]Costs[/]: {escape(found.costs.words())}.")
    console.print("[bold]Here[/]: " + escape(", ".join(f"{name} {value}" for name, value in found.machine.items())))
    written(console, files)


def live_figure(found: Result) -> Figure:
    """For each load the share of jobs that wait longer than a time: simulated as lines, measured as crosses."""
    names = list(dict.fromkeys(pair.load.name for pair in found.pairs))
    figure = Figure(figsize=(PIXELS_WIDE / DOTS_PER_INCH, ROW_INCHES + 0.6), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
    for axis, name in zip(axes, names, strict=True):
        longest = 0.0
        for pair in (pair for pair in found.pairs if pair.load.name == name):
            own = look(pair.design)
            shares = np.linspace(0, 1, LINE_POINTS, endpoint=False)
            shown = np.maximum(np.quantile(pair.predicted, shares), SHORTEST_SECONDS)
            label = NAMES[pair.design]
            axis.plot(shown, 1 - shares, color=own.colour, linestyle=own.dashes, label=label)
            marks = (np.arange(CROSSES) + 0.5) / CROSSES
            real = np.median([np.quantile(run.waiting, marks) for run in pair.runs], axis=0)
            axis.plot(
                np.maximum(real, SHORTEST_SECONDS), 1 - marks, "x", color=own.colour, markersize=7,
                markeredgewidth=1.6,
            )  # fmt: skip
            longest = max(longest, float(shown.max()), float(real.max()))
        axis.set_xscale("log")
        axis.set_xlabel("waiting time (s)")
        axis.set_title(f"utilisation {name}" if name.replace(".", "").isdigit() else name)
        tidy(axis)
    axes[0].set_ylabel("share of jobs that wait longer")
    axes[0].set_ylim(0, 1.02)
    axes[0].plot([], [], "x", color="black", markersize=7, markeredgewidth=1.6, label="measured")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    return figure
