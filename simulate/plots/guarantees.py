"""The guarantee table as a picture: a square for each cell, with a sign and a word in it."""

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from simulate.guarantees.report import rung_of
from simulate.guarantees.table import FAILS, HOLDS, NOT_PROMISED, UNKNOWN, Table
from simulate.plots.style import BAD_COLOUR, DOTS_PER_INCH, GOOD_COLOUR, PIXELS_WIDE

_LOOKS = {
    HOLDS: ("✓", "holds", GOOD_COLOUR, 0.16),
    FAILS: ("✗", "fails", BAD_COLOUR, 0.28),
    NOT_PROMISED: ("·", "n.p.", "#000000", 0.03),
    UNKNOWN: ("?", "unknown", "#F0E442", 0.5),
}
_ROW_INCHES, _LABEL_INCHES = 0.34, 3.3


def guarantees_figure(found: Table) -> Figure:
    """Designs across, properties down."""
    wide = PIXELS_WIDE / DOTS_PER_INCH
    top = 0.75
    tall = top + _ROW_INCHES * len(found.properties) + 0.42
    each = (wide - _LABEL_INCHES - 0.15) / len(found.designs)
    figure = Figure(figsize=(wide, tall), dpi=DOTS_PER_INCH)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, wide)
    axes.set_ylim(tall, 0)  # inches, from the top
    axes.axis("off")
    for n, design in enumerate(found.designs):
        x = _LABEL_INCHES + each * (n + 0.5)
        axes.text(x, 0.28, f"rung {rung_of(design)}", ha="center", va="center", fontsize=9, color="#666666")
        axes.text(x, 0.53, design, ha="center", va="center", fontsize=10, weight="bold")
    for row, one in enumerate(found.properties):
        y = top + _ROW_INCHES * row
        axes.text(_LABEL_INCHES - 0.12, y + _ROW_INCHES / 2, one.name, ha="right", va="center", fontsize=9.5)
        for n, design in enumerate(found.designs):
            sign, word, colour, alpha = _LOOKS[found.cell(design, one.name).verdict]
            x = _LABEL_INCHES + each * n
            axes.add_patch(
                Rectangle((x + 0.02, y + 0.02), each - 0.04, _ROW_INCHES - 0.04, color=colour, alpha=alpha, linewidth=0)
            )
            middle = (x + each / 2, y + _ROW_INCHES / 2)
            is_bad = sign in "✗?"
            axes.text(
                *middle, f"{sign} {word}".strip(), ha="center", va="center", fontsize=9.5,
                weight="bold" if is_bad else "normal", color="#888888" if sign == "·" else "black",
            )  # fmt: skip
    words = "✓ holds in all of a scope    ✗ fails: a shortest story is told    · n.p.: not promised"
    axes.text(_LABEL_INCHES, tall - 0.2, words, fontsize=9, color="#555555", va="center")
    return figure
