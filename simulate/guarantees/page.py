"""One page with the table and every story drawn. It needs no other file, and whatever stands in it is escaped."""

from __future__ import annotations

from html import escape

from simulate.explore.drawing import svg
from simulate.guarantees.report import LEGEND, MARKS, anchor, rung_of
from simulate.guarantees.table import FAILS, HOLDS, NOT_PROMISED, UNKNOWN, Cell, Table

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1120px; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a;
       background: #ffffff }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.5rem } h3 { font-size: 1rem; margin: 1.2rem 0 .3rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: 13.5px }
th, td { padding: .3rem .55rem; border-bottom: 1px solid #dddddd; text-align: left; white-space: nowrap }
thead th { vertical-align: bottom; border-bottom: 2px solid #666666 }
th small { color: #666666; font-weight: normal; display: block }
a { color: inherit }
td.holds { background: #e3f0f8 } td.fails { background: #fbe6d9; font-weight: bold } td.not { color: #666666 }
td.unknown { background: #fff6cc }
ul { padding-left: 1.2rem } li { margin: .15rem 0 }
.svg { overflow-x: auto; border: 1px solid #dddddd; padding: .4rem }
svg.story { font: 13px system-ui, sans-serif }
svg line.lane { stroke: #cccccc } svg text.lane { font-weight: bold }
svg line.busy { stroke: #0072b2; stroke-opacity: .35; stroke-width: 8 }
svg line.time { stroke: #666666; stroke-dasharray: 2 4; stroke-width: 1.5 }
svg rect.fault { fill: #d55e00; fill-opacity: .13 } svg text.fault { fill: #b34e00; font-weight: bold }
svg text.mark { font-size: 15px } svg text.mark.step { fill: #0072b2 }
svg text.number { fill: #666666; font-size: 11px } svg text.holds { fill: #555555; font-style: italic }
svg text.broken { fill: #b34e00; font-weight: bold } svg text.why { font-weight: normal }
"""

_CLASSES = {HOLDS: "holds", FAILS: "fails", NOT_PROMISED: "not", UNKNOWN: "unknown"}


def page(found: Table) -> str:
    """The page, as HTML."""
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>What each design guarantees</title><style>{_STYLE}</style>",
        "<h1>What each design guarantees</h1>",
        f"<p>{escape(LEGEND)} Every cell is the outcome of a search of the code that runs: "
        f"{found.states:,} states in all{', in the large scopes' if found.thorough else ''}.</p>",
        *_table(found),
    ]
    for one in found.properties:
        parts.append(f'<h2 id="{anchor(one.name)}">{escape(_capital(one.name))}</h2><p>{escape(one.promise)}</p><ul>')
        for design in found.designs:
            cell = found.cell(design, one.name)
            parts.append(f"<li><b>{escape(design)}</b>: {escape(_words(cell))}</li>")
        parts.append("</ul>")
        for design in found.designs:
            cell = found.cell(design, one.name)
            if cell.story is not None:
                parts.append(f'<h3 id="{_of(cell)}">{escape(design)}: the shortest story</h3>')
                parts.append(f'<div class="svg">{svg(cell.story)}</div>')
    return "\n".join([*parts, "</html>", ""])


def _table(found: Table) -> list[str]:
    heads = "".join(
        f'<th scope="col"><small>rung {escape(rung_of(design))}</small>{escape(design)}</th>'
        for design in found.designs
    )
    parts = [f'<div class="wide"><table><thead><tr><th></th>{heads}</tr></thead><tbody>']
    for one in found.properties:
        parts.append(f'<tr><th scope="row"><a href="#{anchor(one.name)}">{escape(one.name)}</a></th>')
        for design in found.designs:
            cell = found.cell(design, one.name)
            mark = escape(MARKS[cell.verdict])
            if cell.story is not None:
                mark = f'<a href="#{_of(cell)}">{mark}</a>'
            parts.append(f'<td class="{_CLASSES[cell.verdict]}" title="{escape(cell.why, quote=True)}">{mark}</td>')
        parts.append("</tr>")
    return [*parts, "</tbody></table></div>"]


def _of(cell: Cell) -> str:
    return f"{anchor(cell.property)}-{anchor(cell.design)}"


def _words(cell: Cell) -> str:
    kind = {NOT_PROMISED: "not promised"}.get(cell.verdict, cell.verdict)
    return f"{kind}. {_capital(cell.why)}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
