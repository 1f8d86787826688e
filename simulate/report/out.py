"""Where a report goes, and how it writes numbers."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from simulate.intervals import Estimate, Interval, Refusal
from simulate.words import with_half


class Out(Protocol):
    """Where tables and words go: a terminal, or a page. Words are in rich's markup."""

    def print(self, *objects: Any) -> None:
        """A table, or a paragraph; without either an empty line."""


def written(console: Console, files: Mapping[str, Path]) -> None:
    """Where the results are."""
    console.print()
    width = max(map(len, files)) + 1
    for name, path in files.items():
        console.print(f"{name + ':':{width}} {escape(str(path))}", soft_wrap=True)


def table(title: str, *columns: str, words: int = 1) -> Table:
    """A table without rows yet: the first columns hold words, as many as is said, and all others numbers."""
    made = Table(title=title, title_justify="left", title_style="bold")
    for place, name in enumerate(columns):
        made.add_column(name, justify="left" if place < words else "right")
    return made


def inside(estimate: Estimate | None, truth: float | None) -> str:
    """Whether theory lies within the interval; nothing where one of them is missing."""
    if truth is None or not isinstance(estimate, Interval):
        return ""
    return "yes" if estimate.holds(truth) else "no"


def why_none(console: Out, estimates: Iterable[tuple[str, Estimate | None]]) -> None:
    """Why there is no number, for each that is refused; `estimates` come with what they are called."""
    for name, what in estimates:
        if isinstance(what, Refusal):
            console.print(f"[bold]{escape(name)}[/]: no number: {escape(what.why)}.")


class Words(Protocol):
    """How a number is written, with half its interval if there is one; a dash for None."""

    def __call__(self, value: float | None, half: float | None = None, /) -> str: ...


def plus_minus(estimate: Estimate | None, words: Words, signed: bool = False) -> str:
    """A number and half its interval; a dash where it is refused."""
    if not isinstance(estimate, Interval):
        return "-"
    return ("+" if signed and estimate.value > 0 else "") + words(estimate.value, estimate.half)


def rate(value: float | None, half: float | None = None) -> str:
    """Jobs per second."""
    return "-" if value is None else f"{with_half(value, half, '.3g')}/s"


def share(value: float | None, half: float | None = None) -> str:
    """A share as per cent."""
    return "-" if value is None else f"{with_half(100 * value, None if half is None else 100 * half, '.1f')}%"
