"""How lessons show things: tables, figures, source text, and the verdict on an exercise.

All of it reads the same in a terminal, in JupyterLab and on a web page, in light and in dark: as plain text and, where
there is one, as the simplest HTML. Nothing shown names the machine, its time or its folders, so that a lesson that is
run again says the same again.
"""

from __future__ import annotations

import inspect
import io
import textwrap
from collections.abc import Callable, Iterable, Sequence
from html import escape
from math import isclose
from typing import Any

from matplotlib.figure import Figure

DOTS_PER_INCH = 110


class Table:
    """Rows under headings. Numbers should come as text, rounded by whoever knows what they mean."""

    def __init__(self, headings: Sequence[str], rows: Iterable[Sequence[object]], code: Sequence[str] = ()) -> None:
        """Under the headings in `code` stands what is typed or stored, letter for letter."""
        self.headings = list(headings)
        self.code = [heading in code for heading in headings]
        self.rows = [[str(cell) for cell in row] for row in rows]
        if wrong := [row for row in self.rows if len(row) != len(self.headings)]:
            raise ValueError(f"a row of {len(wrong[0])} cells under {len(self.headings)} headings: {wrong[0]}")

    def __repr__(self) -> str:
        lines = [[cell.split("\n") for cell in row] for row in [self.headings, *self.rows]]
        widths = [max(len(line) for row in lines for line in row[column]) for column in range(len(self.headings))]
        text = []
        for row in lines:
            for n in range(max(len(cell) for cell in row)):
                parts = [cell[n] if n < len(cell) else "" for cell in row]
                text.append("  ".join(part.ljust(width) for part, width in zip(parts, widths, strict=True)).rstrip())
        text.insert(1, "  ".join("─" * width for width in widths))
        return "\n".join(text)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{_html(one)}</th>" for one in self.headings)
        body = "".join(
            "<tr>"
            + "".join(f"<td>{_html(cell, code)}</td>" for cell, code in zip(row, self.code, strict=True))
            + "</tr>\n"
            for row in self.rows
        )
        return f"<table>\n<tr>{head}</tr>\n{body}</table>"


def _html(cell: str, code: bool = False) -> str:
    lines = escape(cell, quote=False).split("\n")
    if code:
        # A page would fold spaces into one.
        lines = [f"<code>{line.replace(' ', '&nbsp;')}</code>" if line else "" for line in lines]
    return "<br>".join(lines)


class Picture:
    """A figure as it was drawn, with words for those who cannot see it."""

    def __init__(self, figure: Figure, words: str) -> None:
        self.words = words
        drawn = io.BytesIO()
        # White all over, so that a page in dark shows it as it is; and no word of the program that made it.
        figure.savefig(drawn, format="png", dpi=DOTS_PER_INCH, facecolor="white", metadata={"Software": None})
        self._png = drawn.getvalue()

    def __repr__(self) -> str:
        return f"[figure: {self.words}]"

    def _repr_png_(self) -> bytes:
        return self._png


class Source:
    """The text of functions that ship, so that a lesson teaches what runs."""

    def __init__(self, *things: Callable[..., Any] | type) -> None:
        self.text = "\n\n".join(textwrap.dedent(inspect.getsource(one)).rstrip() for one in things)

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return f"```python\n{self.text}\n```"


def source_of(*things: Callable[..., Any] | type) -> Source:
    """Shows the code of these functions or classes, as it stands in its file."""
    return Source(*things)


def seconds(value: float, half: float | None = None) -> str:
    """A time as a person says it: 0.35 s, 12 s, 104 s; with half of its interval 0.25 ± 0.05 s."""
    places = 2 if abs(value) < 1 else 1 if abs(value) < 10 else 0
    return f"{value:,.{places}f} s" if half is None else f"{value:,.{places}f} ± {half:,.{places}f} s"


RIGHT, NOT_YET = "Right.", "Not yet."


def judge(yours: object, truth: object, within: float = 0.0) -> None:
    """Says whether an exercise is solved: the same as the truth, numbers within so large a share of it.

    `yours` is what the reader answers, or what comes of it when the reader's code is run.
    """
    if _is_empty(yours):
        print(f"{NOT_YET} There is no answer to look at.")
    elif _same(yours, truth, within):
        print(f"{RIGHT} Yours: {_said(yours)}. It should be: {_said(truth)}.")
    else:
        print(f"{NOT_YET} Yours: {_said(yours)}. It should be: {_said(truth)}.")


def _is_empty(yours: object) -> bool:
    if isinstance(yours, (list, tuple)):
        return bool(yours) and all(map(_is_empty, yours))
    return yours is None or yours is ...


def _same(one: Any, other: Any, within: float) -> bool:
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return isclose(one, other, rel_tol=within, abs_tol=1e-9)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(_same(a, b, within) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def _said(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_said, value)) or "nothing"
    return str(value)
