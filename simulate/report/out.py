"""Where a report goes, and how it writes numbers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape

from simulate.intervals import Estimate, Interval
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
