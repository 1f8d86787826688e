"""How every figure of the project looks: sizes, colours, and one look for each design.

Thin lines are theory, dots with bars are simulations with their 95 % intervals, crosses are real processes; thick lines
are distributions. Colours are those of Okabe and Ito (2008), told apart with any kind of colour blindness, and three
more from Tol's muted scheme for a whole ladder; each design has a marker and a line style of its own too, for paper.
Nothing here touches matplotlib's global state.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from matplotlib.axes import Axes

PIXELS_WIDE = 1200
DOTS_PER_INCH = 100

COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#882255", "#999933", "#332288")
DASHES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)), (0, (3, 2)), "-", "--", "-.", (0, (1, 1)))
IDEAL_COLOUR = "#888888"
GOOD_COLOUR, BAD_COLOUR = "#0072B2", "#D55E00"
"""As wanted; and not."""

Dashes = str | tuple[int, tuple[int, ...]]


class Look(NamedTuple):
    """How a design is drawn, in every figure and whoever stands beside it."""

    colour: str
    marker: str
    dashes: Dashes


LOOKS = {
    "naive": Look("#D55E00", "o", "-"),
    "unclaimed": Look("#E69F00", "v", "--"),
    "claiming": Look("#009E73", "s", "-."),
    "timer": Look("#CC79A7", "P", (0, (1, 1))),
    "resque": Look("#882255", "^", (0, (5, 1, 1, 1, 1, 1))),
    "blocking": Look("#999933", "<", (0, (3, 2))),
    "backup": Look("#000000", ">", "--"),
    "unfenced": Look("#332288", "X", "-."),
    "minique": Look("#0072B2", "D", "-"),
    "inline": Look("#56B4E9", "d", "--"),
}
STRANGERS = (
    Look("#555555", "*", (0, (4, 1))),
    Look("#AA4499", "p", (0, (2, 1))),
    Look("#8B5A2B", "h", (0, (6, 2, 1, 2))),
    Look("#117733", "8", (0, (1, 2))),
)
"""Designs that are not of this house, in the order in which they are shown."""


def looks(designs: Iterable[str]) -> dict[str, Look]:
    """How each of the designs that are shown together is drawn."""
    names = list(designs)
    strangers = [name for name in names if name not in LOOKS]
    return {name: LOOKS[name] if name in LOOKS else STRANGERS[strangers.index(name) % len(STRANGERS)] for name in names}


def look(design: str) -> Look:
    """How a design that is shown alone is drawn."""
    return looks([design])[design]


def line_of(own: Look) -> dict[str, Any]:
    """A look as arguments for a thick line."""
    return {"color": own.colour, "linestyle": own.dashes, "linewidth": 2.0}


def tidy(axes: Axes) -> None:
    """Light grid, no box."""
    axes.tick_params(labelsize=9)
    axes.grid(True, which="major", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
