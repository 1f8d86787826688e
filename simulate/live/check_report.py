"""What `live --check` shows: for each design and load, whether the simulator was right; as a table and as a figure."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from statistics import median

from matplotlib.figure import Figure
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from simulate.intervals import jobs_needed
from simulate.live.check import AIMS, PERCENTS, Cell, Checked
from simulate.live.lessons import DRAWS
from simulate.live.report import NAMES
from simulate.live.runs import MEASURES
from simulate.plots import COLOURS, DOTS_PER_INCH, PIXELS_WIDE, duration, tidy
from simulate.report import written

PANEL_INCHES = 4.0
MARKS = ("o", "s", "D", "^")
APART = 0.022
"""Between the measures of one load, on the axis of utilisation."""
CUT = 0.3
"""The figure shows differences up to this share; what is beyond stands at its edge."""

HEADER = [
    "design",
    "utilisation",
    "jobs",
    "measure",
    "turn",
    "predicted",
    "predicted_low",
    "predicted_high",
    "measured",
    "ratio",
    "aim",
    "verdict",
    "spread",
]


def rows(found: Checked) -> list[list[str]]:
    """One row for each number of each turn, for CSV; `verdict` is said of the median of all turns."""
    return [
        [
            cell.design,
            f"{cell.utilisation:g}",
            str(cell.jobs),
            cell.measure,
            str(turn),
            f"{said.value:.9g}",
            f"{said.low:.9g}",
            f"{said.high:.9g}",
            f"{real:.9g}",
            f"{ratio:.6g}",
            f"{AIMS[cell.measure]:g}",
            cell.verdict,
            f"{cell.spread:.6g}",
        ]
        for cell in found.cells
        for turn, (said, real, ratio) in enumerate(zip(cell.predicted, cell.measured, cell.ratios, strict=True), 1)
    ]


def by_load(found: Checked) -> list[list[Cell]]:
    """The cells of each design under each load."""
    return [list(some) for _, some in groupby(found.cells, lambda cell: (cell.design, cell.utilisation))]


def report(console: Console, found: Checked, files: Mapping[str, Path]) -> None:
    """Tables and words on standard output."""
    table = Table(title="Waiting: predicted over measured", title_justify="left", title_style="bold")
    table.add_column("design, utilisation")
    table.add_column("jobs", justify="right")
    table.add_column("")
    for name in MEASURES:
        table.add_column(f"{name} (±{AIMS[name]:.0%})", justify="right")
    for cells in by_load(found):
        first = cells[0]
        name = f"{NAMES[first.design]}, {first.utilisation:g} (busy {first.effective:.2f})"
        table.add_row(name, f"{first.jobs:,}", "predicted", *(duration(one.said.value) for one in cells))
        ranges = (
            f"{one.said.low / one.said.value - 1:+.0%} to {one.said.high / one.said.value - 1:+.0%}" for one in cells
        )
        table.add_row("", "", "  range", *ranges)
        table.add_row("", "", "measured", *(duration(median(one.measured)) for one in cells))
        table.add_row("", "", "difference", *map(_difference, cells))
        table.add_row("", "", "equal runs", *(f"{one.spread:.0%} apart" for one in cells), end_section=True)
    console.print()
    console.print(table)
    within = sum(cell.is_within for cell in found.cells)
    missed = [cell for cell in found.cells if not (cell.is_within or cell.too_few)]
    unlike = sum(cell.spread > AIMS[cell.measure] for cell in missed)
    setting, machine = found.setting, found.machine
    console.print(
        f"[bold]{within} of {len(found.cells)}[/] are within the aim. The difference is the median of {setting.repeat} "
        "turns; in each, short runs of other loads at the same utilisation, one before and one after, taught what the "
        f"steps cost. [bold]Range[/]: of {DRAWS} predictions, each with other draws of the steps, all but the highest "
        "and the lowest."
    )
    if few := [cell for cell in found.cells if cell.too_few]:
        console.print(
            f"[bold]Too few jobs[/] for {len(few)} percentiles, which are not judged: leave out --seconds, or give "
            f"--jobs {max(jobs_needed(PERCENTS[cell.measure]) for cell in few)}."
        )
    console.print(
        f"[bold]Noise[/]: equal runs lay so far apart, the highest from the lowest; in {unlike} of the "
        f"{len(missed)} that miss it is more than the aim, and there a miss says as much of the machine "
        f"as of the simulator. Load average before {machine['load before']}, after {machine['load after']}, of "
        f"{machine['cpus']} processors."
    )
    console.print("[bold]Here[/]: " + escape(", ".join(f"{name} {value}" for name, value in machine.items())))
    written(console, files)


def _difference(cell: Cell) -> str:
    if cell.too_few:
        return cell.too_few
    return f"{cell.ratio - 1:+.1%} {'pass' if cell.is_within else '[bold]MISS[/]'}"


def figure(found: Checked) -> Figure:
    """Predicted over measured, for each design a panel: each turn as a small dot, the median as a mark."""
    designs = found.setting.designs
    drawn = Figure(figsize=(PIXELS_WIDE / DOTS_PER_INCH, PANEL_INCHES + 0.6), dpi=DOTS_PER_INCH, layout="constrained")
    panels = drawn.subplots(1, len(designs), squeeze=False, sharey=True)[0]
    for axes, design in zip(panels, designs, strict=True):
        axes.axhspan(-AIMS["p50"], AIMS["p50"], color="#000000", alpha=0.06, linewidth=0, label="aim of percentiles")
        axes.axhspan(-AIMS["mean"], AIMS["mean"], color="#000000", alpha=0.08, linewidth=0, label="of the mean")
        axes.axhline(0, color="#888888", linewidth=1)
        for place, measure in enumerate(MEASURES):
            own = [cell for cell in found.cells if cell.design == design and cell.measure == measure]
            cells = [cell for cell in own if not cell.too_few]
            at = [cell.utilisation + (place - 1.5) * APART for cell in cells]
            for x, cell in zip(at, cells, strict=True):
                shown = [cut(ratio - 1) for ratio in cell.ratios]
                axes.plot([x] * len(shown), shown, ".", color=COLOURS[place], markersize=4, alpha=0.6)
            medians = [cut(cell.ratio - 1) for cell in cells]
            axes.plot(at, medians, MARKS[place], color=COLOURS[place], markersize=7, label=measure)
        axes.set_title(NAMES[design])
        axes.set_xlabel("utilisation")
        axes.set_xticks(found.setting.utilisations)
        axes.set_xlim(min(found.setting.utilisations) - 0.1, max(found.setting.utilisations) + 0.1)
        tidy(axes)
    panels[0].set_ylim(-CUT * 1.05, CUT * 1.05)
    panels[0].yaxis.set_major_formatter(lambda value, _: f"{value:+.0%}")
    panels[0].set_ylabel("predicted over measured, less one")
    drawn.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=6, frameon=False)
    return drawn


def cut(difference: float) -> float:
    return max(-CUT, min(CUT, difference))
