"""How every figure of the project looks: sizes, colours, and one look for each design.

Thin lines are theory, dots with bars are simulations with their 95 % intervals, crosses are real processes; thick lines
are distributions. Colours are those of Okabe and Ito (2008), told apart with any kind of colour blindness, and three
more from Tol's muted scheme for a whole ladder; each design has a marker and a line style of its own too, for paper.
Nothing here touches matplotlib's global state.
"""

from typing import NamedTuple

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
STRANGER = Look("#666666", "*", (0, (4, 1)))
"""A design that is not of this house."""


def look(design: str) -> Look:
    """How the design of that name is drawn."""
    return LOOKS.get(design, STRANGER)


def line_of(design: str) -> dict[str, object]:
    """The same, as arguments for a thick line."""
    own = look(design)
    return {"color": own.colour, "linestyle": own.dashes, "linewidth": 2.0}


def tidy(axes: Axes) -> None:
    """Light grid, no box."""
    axes.tick_params(labelsize=9)
    axes.grid(True, which="major", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
