"""What `bench throughput` prints and draws, and its verb."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from simulate.benches import throughput
from simulate.benches.contenders import ENTRIES, FAMILIES
from simulate.benches.neighbours import survivals
from simulate.benches.throughput import Result, Row, by_part
from simulate.plots import COLOURS, DOTS_PER_INCH, IDEAL_COLOUR, PIXELS_WIDE, tidy

NAME_COLUMNS = 29
DRAWN = ("drain", "fork", "two", "one", "many", "growth")
"""Parts in the figure: those that are rates."""


def add_options(to: argparse.ArgumentParser, positive: Callable[[Any], Callable[[str], float]]) -> None:
    """The options of `bench throughput`."""
    to.add_argument(
        "--jobs",
        type=positive(int),
        default=throughput.DEFAULT_JOBS,
        metavar="N",
        help="of the fastest, in each round; slower ones have fewer (default: %(default)s)",
    )
    to.add_argument(
        "--rounds", type=positive(int), default=throughput.DEFAULT_ROUNDS, metavar="N", help="default: %(default)s"
    )
    to.add_argument(
        "--full",
        action="store_true",
        help=f"growth up to {throughput.FULL:,} jobs instead of {throughput.BOUNDED:,}; a few minutes more",
    )
    to.add_argument(
        "--against",
        type=_families,
        default=(),
        metavar="A,B",
        help=f"other libraries beside it, if installed (the extra `neighbours`): {','.join(FAMILIES)}",
    )
    to.add_argument(
        "--kills",
        type=positive(int),
        metavar="N",
        help="kill each one's worker so often, too, and count jobs lost and run twice (a minute or so for each)",
    )


def _families(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in FAMILIES]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(FAMILIES)}")
    missing = throughput.missing(names)
    if missing:
        raise argparse.ArgumentTypeError(
            f"{', '.join(missing)}: not installed here; pip install --editable '.[neighbours]', or leave it out"
        )
    return names


def work(options: argparse.Namespace) -> int:
    """How many measurements and kills that will be, for a progress bar."""
    measurements = throughput.work(options.jobs, options.rounds, options.full, options.against)
    killed = 2 + sum(entry.family in options.against for entry in ENTRIES.values())
    return measurements + (options.kills or 0) * killed


def measure(options: argparse.Namespace, advance: Callable[[int], None]) -> Result:
    result = throughput.throughput(options.jobs, options.rounds, options.full, options.against, advance)
    if options.kills:
        before = throughput.work(options.jobs, options.rounds, options.full, options.against)
        result.survival.extend(survivals(options.against, options.kills, lambda done: advance(before + done)))
    return result


# Words.


def report(console: Console, result: Result, data: Path, figure: Path) -> None:
    for _, part, rows in by_part(result.rows):
        table = Table(title=f"{part.title} ({part.unit})", title_justify="left", title_style="bold", box=None)
        has_costs = any(row.client_microseconds is not None for row in rows)
        table.add_column("", width=NAME_COLUMNS)
        for name in ("", "of limit", *(("µs client", "µs server", "trips", "commands", "bytes") if has_costs else ())):
            table.add_column(name, justify="right", min_width=8)
        for row in rows:
            costs = (row.client_microseconds, row.server_microseconds, row.trips, row.commands, row.bytes)
            shown = map(_or_nothing, (row.value, row.of_limit, *(costs if has_costs else ())))
            table.add_row(escape(row.name), *shown)
        console.print()
        console.print(table)
    if result.survival:
        console.print()
        console.print(_survival(result))
    console.print()
    for name, how in result.configurations.items():
        console.print(
            f"[bold]{escape(name)}[/]: {escape(how['configuration'])}. [bold]Risks[/]: {escape(how['risks'])}."
        )
    console.print(
        "[bold]µs, trips, commands, bytes[/]: per job. [bold]Of limit[/]: over what is marked raw in its "
        "part, or has nothing else beside it. Server and process share one core unless said otherwise; "
        f"medians of the rounds ({result.rounds}), all in turn. Compare ratios and µs: seconds depend on who else is "
        "here."
    )
    console.print("[bold]Here[/]: " + escape(", ".join(f"{name} {value}" for name, value in result.machine.items())))
    console.print()
    console.print(f"Figure: {escape(str(figure))}", soft_wrap=True)
    console.print(f"JSON: {escape(str(data))}", soft_wrap=True)


def _survival(result: Result) -> Table:
    first = result.survival[0]
    table = Table(title=f"{first['kills']} kills of the worker in {first['jobs']:,} jobs of 2 ms", title_justify="left")
    for name in ("", "lost", "run twice", "all done after"):
        table.add_column(name, justify="right" if name else "left")
    for row in result.survival:
        took = row["recovered_seconds"]
        late = f"never, within {row['afterwards_seconds']:g} s" if took is None else f"{took:g} s"
        table.add_row(str(row["name"]), str(row["lost"]), str(row["twice"]), late)
    return table


def _or_nothing(value: float | None) -> str:
    return "" if value is None else _number(value)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


# The figure.


def throughput_figure(result: Result) -> Figure:
    """Jobs per second, part by part, each run as a dot and the median as a bar, on a logarithmic axis."""
    drawn = [(name, part, rows) for name, part, rows in by_part(result.rows) if name in DRAWN]
    heights = [len(rows) + 1 for *_, rows in drawn]
    figure = Figure(
        figsize=(PIXELS_WIDE / DOTS_PER_INCH, 0.34 * sum(heights) + 0.8), dpi=DOTS_PER_INCH, layout="constrained"
    )
    panels = figure.subplots(len(drawn), 1, squeeze=False, sharex=True, height_ratios=heights)
    everything = [run for *_, rows in drawn for row in rows for run in row.runs]
    for axes, (_, part, rows) in zip(panels[:, 0], drawn, strict=True):
        places = range(len(rows))
        axes.barh(places, [row.value for row in rows], color=[_colour(row) for row in rows], height=0.7)
        for place, row in zip(places, rows, strict=True):
            axes.plot(row.runs, [place] * len(row.runs), "o", color="black", markersize=2.5)
            axes.annotate(f" {_number(row.value)}", (row.value, place), va="center", fontsize=9)
        axes.set_yticks(list(places), [row.name for row in rows])
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.set_xlim(min(everything) / 2, max(everything) * 3)
        axes.set_title(part.title, fontsize=10, loc="left")
        tidy(axes)
    panels[-1, 0].xaxis.set_major_formatter(FuncFormatter(lambda value, _: _number(value)))
    panels[-1, 0].set_xlabel("jobs per second (logarithmic: compare where bars end, not how long they are)")
    return figure


def _colour(row: Row) -> str:
    if row.name.startswith("raw"):
        return IDEAL_COLOUR
    if row.name.startswith("minique") or row.part == "growth":
        return COLOURS[1]
    return COLOURS[4]
