"""The table for a terminal, as Markdown, and as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from simulate import designs
from simulate.guarantees.table import FAILS, HOLDS, NOT_PROMISED, UNKNOWN, Cell, Table

MARKS = {HOLDS: "✓ holds", FAILS: "✗ fails", NOT_PROMISED: "· n.p.", UNKNOWN: "? unknown"}
_STYLES = {HOLDS: "green", FAILS: "bold red", NOT_PROMISED: "dim", UNKNOWN: "yellow"}
LEGEND = (
    "✓ holds: all of a scope was searched. ✗ fails: the shortest story is told. · n.p.: not promised, for the design "
    "has no such thing."
)


_BROKEN = {
    "unclaimed": "un-\nclaimed",
    "claiming": "claim-\ning",
    "blocking": "block-\ning",
    "unfenced": "un-\nfenced",
}
"""Long names in two lines, so that all columns have room."""


def rung_of(design: str) -> str:
    return f"{designs.find(design).rung}"


def show(console: Console, found: Table) -> None:
    """The table, and below it why each cell fails."""
    shown = RichTable(
        title="What each design guarantees",
        title_justify="left",
        title_style="bold",
        pad_edge=False,
        box=None,
        padding=(0, 1, 0, 0),
    )
    shown.add_column("", width=24)
    for design in found.designs:
        shown.add_column(f"{rung_of(design)}\n{_BROKEN.get(design, design)}", no_wrap=True)
    for one in found.properties:
        cells = (found.cell(design, one.name) for design in found.designs)
        shown.add_row(one.name, *(f"[{_STYLES[cell.verdict]}]{MARKS[cell.verdict]}[/]" for cell in cells))
    console.print(shown)
    console.print(LEGEND, markup=False, highlight=False)
    for verdict, title in ((FAILS, "Fails"), (UNKNOWN, "Unknown")):
        rows = [cell for cell in _in_order(found) if cell.verdict == verdict]
        if rows:
            listing = RichTable(title=title, title_justify="left", title_style="bold", show_header=False, box=None)
            for _ in range(4):
                listing.add_column()
            for cell in rows:
                steps = f"{len(cell.story.steps)} steps" if cell.story else ""
                listing.add_row(cell.design, cell.property, steps, escape(cell.why))
            console.print(listing)


def _mark(cell: Cell) -> str:
    return MARKS[cell.verdict] + (f" {len(cell.story.steps)}" if cell.story else "")


def _in_order(found: Table) -> Iterator[Cell]:
    for one in found.properties:
        for design in found.designs:
            yield found.cell(design, one.name)


def markdown(found: Table) -> str:
    """The table, and what stands behind each cell.

    Numbers of states are rounded, so that the page changes only when something does.
    """
    head = [f"{design} ({rung_of(design)})" for design in found.designs]
    lines = ["| | " + " | ".join(head) + " |", "|---" * (len(head) + 1) + "|"]
    for one in found.properties:
        cells = (found.cell(design, one.name) for design in found.designs)
        lines.append(f"| [{one.name}](#{anchor(one.name)}) | " + " | ".join(map(_mark, cells)) + " |")
    lines += ["", LEGEND + " A number says how many steps the story has.", ""]
    for one in found.properties:
        lines += [f"## {one.name[0].upper()}{one.name[1:]}", "", one.promise, ""]
        groups: dict[tuple[str, str], list[str]] = {}
        for design in found.designs:
            cell = found.cell(design, one.name)
            groups.setdefault((cell.verdict, _rounded(cell.why)), []).append(design)
        for verdict in (HOLDS, FAILS, UNKNOWN, NOT_PROMISED):
            for (kind, why), names in groups.items():
                if kind == verdict:
                    words = "not promised" if kind == NOT_PROMISED else kind
                    lines.append(f"- **{', '.join(names)}**: {words}. {_sentence(why)}")
        lines.append("")
        told = [found.cell(design, one.name) for design in found.designs]
        for cell in told:
            if cell.story is not None:
                lines += [f"<details><summary>{cell.design}, the shortest story</summary>", "", "```text"]
                lines += [line.rstrip() for line in cell.story.timeline().splitlines()] + ["```", "", "</details>", ""]
    return "\n".join(lines)


def anchor(name: str) -> str:
    return re.sub(r"[^a-z -]", "", name.lower()).replace(" ", "-")


def _rounded(why: str) -> str:
    def one(match: re.Match[str]) -> str:
        number = int(match[1].replace(",", ""))
        unit = 10 ** (len(str(number)) - 1)
        return f"about {round(number / unit) * unit:,} states"

    return re.sub(r"([\d,]+) states", one, why)


def _sentence(why: str) -> str:
    text = why[:1].upper() + why[1:]
    return text if text.endswith(".") else text + "."


def as_json(found: Table) -> str:
    """For programs; the stories whole, each of which `explore --replay` reads."""
    return json.dumps(
        {
            "thorough": found.thorough,
            "properties": [{"name": one.name, "promise": one.promise} for one in found.properties],
            "cells": [
                {
                    "design": cell.design,
                    "property": cell.property,
                    "verdict": cell.verdict,
                    "why": cell.why,
                    "states": cell.states,
                    "story": None if cell.story is None else json.loads(cell.story.to_json()),
                }
                for cell in _in_order(found)
            ],
        },
        indent=1,
        ensure_ascii=False,
    )
