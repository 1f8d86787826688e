"""One page with everything in it: what a verb prints, its figures, what was asked for, and the numbers as JSON.

The page asks for nothing from elsewhere and says so to the browser. Whatever came from outside (names of files, queues
and designs) is text on it and never markup.
"""

import io
import json
import os
import platform
from collections.abc import Callable, Sequence
from html import escape
from importlib.metadata import version
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from rich.table import Table
from rich.text import Text

from simulate.report import Out

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fdfdfc; --line: #d0d0d0; --soft: #f3f3f0; --dim: #5f5f5f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e3; --paper: #161616; --line: #444; --soft: #222; --dim: #a5a5a5; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
  max-width: 62rem; padding: 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; overflow-wrap: anywhere; } h2 { font-size: 1.15rem; margin-top: 2rem; }
p { max-width: 46rem; overflow-wrap: anywhere; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { padding: .2rem .7rem; text-align: left; white-space: pre; vertical-align: bottom; }
th { border-bottom: 2px solid var(--line); } td.right, th.right { text-align: right; }
tr.end td { border-bottom: 1px solid var(--line); } .dim { color: var(--dim); }
figure { background: #fff; border: 1px solid var(--line); border-radius: 4px; margin: 1rem 0; padding: .5rem; }
figure svg { display: block; width: 100%; height: auto; min-width: 40rem; }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: 4px; padding: .7rem; overflow-x: auto;
  font-size: .85rem; }
""".strip()

# The browser is told to fetch nothing, whatever a name on the page may look like, and to run no script.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'"


class Recorded:
    """Takes what a report prints, and keeps it as HTML."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def print(self, *objects: Any) -> None:
        """A table or a paragraph."""
        for one in objects:
            self.parts.append(table(one) if isinstance(one, Table) else f"<p>{inline(str(one))}</p>")


def inline(markup: str) -> str:
    """Words in rich's markup: plain, bold, dim."""
    text = Text.from_markup(markup)
    found = []
    for piece in text.divide(sorted({edge for span in text.spans for edge in (span.start, span.end)})):
        words = escape(piece.plain).replace("\n", "<br>")
        styles = {str(span.style) for span in piece.spans}
        found.append(
            f"<b>{words}</b>" if "bold" in styles else f'<span class="dim">{words}</span>' if styles else words
        )
    return "".join(found)


def table(one: Table) -> str:
    """A table with its title, its header if it has one, and a line below where a section ends."""
    sides = [' class="right"' if column.justify == "right" else "" for column in one.columns]
    made = ['<div class="wide"><table>']
    if one.title:
        made.append(f"<caption>{inline(str(one.title))}</caption>")
    if one.show_header:
        heads = (
            f"<th{side}>{inline(str(column.header))}</th>" for column, side in zip(one.columns, sides, strict=True)
        )
        made.append(f"<thead><tr>{''.join(heads)}</tr></thead>")
    cells = zip(*(list(column.cells) for column in one.columns), strict=True)
    for row, columns in zip(one.rows, cells, strict=True):
        each = (f"<td{side}>{inline(str(cell))}</td>" for cell, side in zip(columns, sides, strict=True))
        made.append(f"<tr{' class=end' if row.end_section else ''}>{''.join(each)}</tr>")
    return "\n".join([*made, "</table></div>"])


def picture(figure: Figure, number: int) -> str:
    """A figure as SVG, letters as shapes: the same in every browser. Equal figures give equal bytes."""
    made = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": f"figure {number}"}):
        figure.savefig(made, format="svg", metadata={"Date": None, "Creator": None})
    text = made.getvalue()
    told = [axes.get_title() or f"{axes.get_ylabel()} over {axes.get_xlabel()}" for axes in figure.axes]
    title = "; ".join(told).replace("\\$", "$")
    return (
        f'<figure class="wide" role="img" aria-label="{escape(title, quote=True)}">'
        f"{text[text.index('<svg') :].strip()}</figure>"
    )


def machine() -> str:
    """Where it was computed. A simulation does not depend on it, but for the last digits of sums."""
    known = {
        "processors": os.cpu_count(),
        "system": platform.platform(),
        "Python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "matplotlib")},
    }
    return ", ".join(f"{name} {value}" for name, value in known.items())


def make(title: str, report: Callable[[Out], None], figures: Sequence[Figure], experiment: str, data: str) -> str:
    """The page. `experiment` is TOML, `data` JSON."""
    recorded = Recorded()
    report(recorded)
    # Within a script element nothing is markup but its own end.
    embedded = json.dumps(json.loads(data), ensure_ascii=False, allow_nan=False)
    for mark in "<>&":
        embedded = embedded.replace(mark, f"\\u{ord(mark):04x}")
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY, quote=True)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>",
        f"<style>\n{STYLE}\n</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        *(picture(figure, number) for number, figure in enumerate(figures, 1)),
        *recorded.parts,
        "<h2>What was asked for</h2>",
        "<p>As a file: <code>python -m simulate run FILE</code> gives the same numbers again, to the last bit, with "
        "the same release and the same input files beside it; but for what was measured in reality, if anything.</p>",
        f"<pre>{escape(experiment)}</pre>",
        f"<p><b>Computed on</b>: {escape(machine())}. In virtual time: the machine decides how long that takes, and "
        "nothing else.</p>",
        '<p class="dim">All numbers stand in this page as JSON, in the element with the name <code>result</code>.</p>',
        f'<script type="application/json" id="result">{embedded}</script>',
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"
