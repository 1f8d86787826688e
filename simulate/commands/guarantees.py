"""`guarantees`: what each design guarantees, and the shortest story of each way in which it does not."""

import argparse
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from simulate.commands.files import prepared, save_figure, save_text
from simulate.commands.options import FAILED, FINE, Clock, UsageError, folder_option, verb
from simulate.commands.terminal import console
from simulate.explore.command import Wrong
from simulate.guarantees import command, report
from simulate.guarantees.page import page
from simulate.guarantees.table import Cell, Watch, table
from simulate.plots import guarantees_figure

if TYPE_CHECKING:
    from simulate.commands.options import Verbs


def add(verbs: "Verbs") -> None:
    """Its part of the command line."""
    one = verb(
        verbs, "guarantees", run, help="what each design guarantees, and a story of each way in which it does not"
    )
    command.add_options(one)
    folder_option(one, "the table and the stories go")


def run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `guarantees`: exit code 1 when minique breaks a promise, or when a search was not finished."""
    folder = prepared(options.output)
    out = console()
    try:
        with bar(clock, len(options.designs) * len(options.properties)) as watch:
            found = table(
                options.designs,
                options.properties,
                thorough=options.thorough,
                changes=options.changes,
                clock=clock,
                watch=watch,
            )
    except Wrong as problem:
        raise UsageError(str(problem)) from None
    report.show(out, found)
    if options.stories:
        for cell in found.stories():
            assert cell.story is not None
            out.print(f"\n{cell.design}: {cell.property}\n", style="bold", markup=False)
            out.print(cell.story.timeline(), markup=False, highlight=False, soft_wrap=True)
    for name, text in (("md", report.markdown(found)), ("json", report.as_json(found)), ("html", page(found))):
        save_text(folder / f"guarantees.{name}", text)
    save_figure(folder / "guarantees.png", guarantees_figure(found))
    stories = prepared(folder / "stories")
    for cell in found.stories():
        assert cell.story is not None
        save_text(stories / f"{file_name(cell)}.json", cell.story.to_json())
    written = (
        ("Page with every story drawn", folder / "guarantees.html"),
        ("Table", folder / "guarantees.md"),
        ("Figure", folder / "guarantees.png"),
        ("For programs", folder / "guarantees.json"),
        ("Stories, for `explore --replay`", stories),
    )
    for words, path in written:
        out.print(f"{words}: {escape(str(path))}", soft_wrap=True)
    return FINE if found.is_as_promised else FAILED


def file_name(cell: Cell) -> str:
    """A story's, without an ending."""
    return f"{cell.design}-{report.anchor(cell.property)}"


@contextlib.contextmanager
def bar(clock: Clock, cells: int) -> Iterator[Watch]:
    """How many cells are known, on standard error; nothing at all when that is no terminal."""
    shown = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=shown, get_time=clock, transient=True, disable=not shown.is_terminal) as progress:
        task = progress.add_task("", total=cells, completed=-1)

        def watch(design: str, property: str):  # type: ignore[no-untyped-def]  # a Progress
            progress.update(task, advance=1, description=f"{design}: {property}")

            def told(states: int, transitions: int, left: int, depth: int) -> str:
                progress.update(task, description=f"{design}: {property}, {states:,} states")
                return ""

            return told

        yield watch
