"""How an experiment is played; what a verb leaves behind: figure, JSON, CSV, a page if wanted; and what it prints."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from matplotlib.figure import Figure
from rich.console import Console

from simulate import experiments, page
from simulate.commands.experiment import described, to_toml
from simulate.commands.files import all_or_none, prepared, write_figure, write_rows
from simulate.commands.options import Clock, UsageError
from simulate.commands.terminal import Speed, console, progress_bar, speedometer
from simulate.report import Out, written

Found = TypeVar("Found")


class Result(NamedTuple):
    """A result in every shape that it has."""

    title: str
    data: dict[str, Any]  # for JSON
    header: Sequence[str]
    rows: Sequence[Sequence[str]]  # for CSV
    figures: Callable[[], Sequence[Figure]]  # the first is the verb's picture
    report: Callable[[Out], None]
    others: Sequence[str] = ()  # how the files of the other figures are called, behind the first one's name


def ready(options: argparse.Namespace) -> Path:
    """The folder for results; what cannot be written later is refused now."""
    if options.save_experiment is not None:
        prepared(options.save_experiment.parent, "--save-experiment")
    return prepared(options.output)


def played(
    options: argparse.Namespace,
    clock: Clock,
    total: float,
    experiment: Callable[[Callable[[float], None]], Found],
    doing: str = "replaying",
    unit: str = "runs",
) -> tuple[Found, Speed]:
    """What an experiment finds, and how fast it went; it is told how to say how far it is.

    Raises UsageError for what the experiment refuses.
    """
    ready(options)
    try:
        with speedometer(clock) as speed, progress_bar(total, clock, doing, unit) as advance:
            return experiment(advance), speed
    except ValueError as problem:
        raise UsageError(str(problem)) from None


def keep(
    options: argparse.Namespace,
    stem: str,
    text: str,
    report: Callable[[Console, Mapping[str, Path]], None],
    figure: Figure | None = None,
    table: Sequence[Sequence[str]] = (),
) -> None:
    """Writes and prints what was measured in reality, which no file can repeat: JSON; picture and table if given.

    The first row of the table is its header. `report` is told where each file is.
    """
    files = {"JSON": options.output / f"{stem}.json"}
    with all_or_none() as new:
        new(files["JSON"]).write_text(text, encoding="utf-8")
        if figure is not None:
            files = {"Figure": options.output / f"{stem}.png", **files}
            write_figure(new(files["Figure"]), figure)
        if table:
            files["CSV"] = options.output / f"{stem}.csv"
            write_rows(new(files["CSV"]), table[0], table[1:])
    if options.json:
        print(text, end="")
    else:
        report(console(), files)


def publish(options: argparse.Namespace, stem: str, result: Result, speed: Speed | None = None) -> None:
    """Writes and prints it all; `ready` has been asked before the work. How fast it went is on no file."""
    folder: Path = options.output
    experiment = described(options)
    text = experiments.as_json({**result.data, "experiment": experiment})
    files = {
        name: folder / f"{stem}.{ending}" for name, ending in (("Figure", "png"), ("JSON", "json"), ("CSV", "csv"))
    }
    drawn = result.figures()
    more = {f"Figure, {name}": folder / f"{stem}-{name}.png" for name in result.others}
    files |= more
    with all_or_none() as new:
        for path, figure in zip((files["Figure"], *more.values()), drawn, strict=True):
            write_figure(new(path), figure)
        new(files["JSON"]).write_text(text, encoding="utf-8")
        write_rows(new(files["CSV"]), result.header, result.rows)
        if options.html:
            files["Page"] = folder / f"{stem}.html"
            whole = page.make(result.title, result.report, drawn, to_toml(experiment), text)
            new(files["Page"]).write_text(whole, encoding="utf-8")
        if options.save_experiment is not None:
            files["Experiment"] = options.save_experiment
            kept = to_toml(described(options, options.save_experiment.parent))
            new(files["Experiment"]).write_text(kept, encoding="utf-8")
    if options.json:
        print(text, end="")
    else:
        out = console()
        result.report(out)
        written(out, files)
        if speed is not None:
            out.print(speed.words())
