"""`explore`: every interleaving and every fault of a small scope: what breaks?"""

import argparse
import contextlib
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from simulate.commands.files import prepared, save_figure, save_text
from simulate.commands.options import FAILED, FINE, Clock, UsageError, folder_option, positive, verb
from simulate.commands.terminal import console
from simulate.explore import command
from simulate.explore.search import Progress as Searching
from simulate.explore.story import Story
from simulate.plots import story_figure

if TYPE_CHECKING:
    from simulate.commands.options import Verbs


def add(verbs: "Verbs") -> None:
    """Its part of the command line."""
    one = verb(verbs, "explore", run, help="every interleaving and every fault of a small scope: what breaks?")
    command.add_options(one, positive)
    folder_option(one, "a failing story goes, as JSON and as a figure")


def run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `explore`: exit code 1 when a rule breaks."""
    folder = prepared(options.output)
    out = console()

    def save(story: Story) -> None:
        figure, data = (folder / f"story.{kind}" for kind in ("png", "json"))
        save_figure(figure, story_figure(story))
        save_text(data, story.to_json())
        for name, path in (("Figure", figure), ("Story", data)):
            out.print(f"{name}: {escape(str(path))}", soft_wrap=True)

    try:
        return FINE if command.run(options, clock, out, partial(search_bar, clock), save) else FAILED
    except command.Wrong as problem:
        raise UsageError(str(problem)) from None


@contextlib.contextmanager
def search_bar(clock: Clock) -> Iterator[Searching]:
    """How far a search is, on standard error; nothing at all when that is no terminal. Nobody knows the whole."""
    shown = Console(stderr=True)
    columns = (TextColumn("exploring"), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    began = clock()
    with Progress(*columns, console=shown, get_time=clock, transient=True, disable=not shown.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def told(states: int, transitions: int, left: int, depth: int) -> str:
            rate = transitions / max(1e-9, clock() - began)
            words = f"{states:,} states, {rate:,.0f} transitions/s, {left:,} to look at, {depth} steps deep"
            bar.update(task, description=words, total=states, completed=states - left)
            return ""

        yield told
