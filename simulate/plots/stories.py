"""A story as a timeline: a lane for each process, time going down, the faulty moment marked."""

import textwrap

from matplotlib.figure import Figure

from simulate.explore.drawing import Row, lanes_of, rows_of
from simulate.explore.story import Story
from simulate.plots.style import BAD_COLOUR, DOTS_PER_INCH, GOOD_COLOUR, PIXELS_WIDE

_INCHES_PER_LINE, _GAP, _LANE_INCHES, _LETTER_INCHES = 0.185, 0.09, 0.92, 0.0745


def story_figure(story: Story, wide: float = PIXELS_WIDE / DOTS_PER_INCH) -> Figure:
    """The story as a picture, so many inches wide and as tall as it is long."""
    lanes = lanes_of(story)
    left, right = 0.35, 0.45 + _LANE_INCHES * len(lanes)
    rows = list(rows_of(story, int((wide - right - 0.2) / _LETTER_INCHES)))
    above = textwrap.wrap(story.promise, int(8.75 * wide))
    below = textwrap.wrap(story.why, int(10 * wide))
    top = 0.24 * len(above) + 0.55
    tall = top + sum(map(_height, rows)) + 0.24 * len(below) + 0.3
    figure = Figure(figsize=(wide, tall), dpi=DOTS_PER_INCH)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, wide)
    axes.set_ylim(tall, 0)  # inches, from the top
    axes.axis("off")
    for n, line in enumerate(above):
        axes.text(0.12, 0.24 + 0.24 * n, line, fontsize=11, weight="bold", va="center")
    axes.text(wide - 0.12, 0.24, story.design, fontsize=11, color="#666666", va="center", ha="right")
    places = [left + _LANE_INCHES * (n + 0.5) for n in range(len(lanes))]
    end = top + sum(map(_height, rows))
    for x, name in zip(places, lanes, strict=True):
        axes.text(x, top - 0.17, name, ha="center", va="center", fontsize=9.5, weight="bold")
        axes.plot([x, x], [top, end], color="#cccccc", linewidth=1, zorder=0)
    y = top
    for row in rows:
        _draw(axes, row, y, places, right, wide)
        y += _height(row)
    for n, line in enumerate(below):
        mark = "✗ " if not n else "   "
        axes.text(0.12, end + 0.2 + 0.24 * n, mark + line, fontsize=10.5, weight="bold", color=BAD_COLOUR, va="center")
    return figure


def _height(row: Row) -> float:
    return row.height * _INCHES_PER_LINE + _GAP


def _draw(axes, row: Row, y: float, places: list[float], right: float, wide: float) -> None:  # type: ignore[no-untyped-def]  # matplotlib's
    middle = y + _GAP / 2 + _INCHES_PER_LINE / 2
    colour = BAD_COLOUR if row.is_fault else GOOD_COLOUR
    if row.is_fault:
        axes.fill_between([0, wide], y, y + _height(row), color=BAD_COLOUR, alpha=0.13, linewidth=0, zorder=-1)
    for lane in row.busy:  # at a job
        axes.plot(
            [places[lane]] * 2,
            [y, y + _height(row)],
            color=GOOD_COLOUR,
            alpha=0.35,
            linewidth=7,
            zorder=0.5,
            solid_capstyle="butt",
        )
    axes.text(0.3, middle, str(row.number), ha="right", va="center", fontsize=8.5, color="#666666")
    if row.lane < 0:
        axes.plot([places[0] - 0.35, places[-1] + 0.35], [middle] * 2, color="#666666", linestyle=":", linewidth=1.5)
    else:
        marker = "X" if row.is_fault else "o"
        axes.plot([places[row.lane]], [middle], marker, color=colour, markersize=8 if row.is_fault else 6)
    for n, line in enumerate((*row.words, *row.holds)):
        is_words = n < len(row.words)
        axes.text(
            right + (0 if is_words else 0.2),
            middle + n * _INCHES_PER_LINE,
            line,
            va="center",
            fontsize=9.5 if is_words else 9,
            weight="bold" if row.is_fault and is_words else "normal",
            style="normal" if is_words else "italic",
            color=(BAD_COLOUR if row.is_fault else "#666666" if row.lane < 0 else "black") if is_words else "#555555",
        )
