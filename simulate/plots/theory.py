"""`theory`: how far the simulator is from closed forms."""

from collections import Counter

from matplotlib.figure import Figure

from simulate.cells import Judgement
from simulate.plots.style import BAD_COLOUR, DOTS_PER_INCH, GOOD_COLOUR, PIXELS_WIDE, tidy


def theory_figure(found: Judgement) -> Figure:
    """Each kind of queue as a dot with its interval: how far the simulation is from theory, in per cent."""
    figure = Figure(figsize=(PIXELS_WIDE / DOTS_PER_INCH, 5.2), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    verdicts = found.verdicts
    for inside, colour, marker, name in (
        (True, GOOD_COLOUR, "o", "the 95 % interval holds the theory"),
        (False, BAD_COLOUR, "D", "it does not (one in twenty, by chance)"),
    ):
        places = [n for n, one in enumerate(verdicts) if one.together.holds(one.theory) == inside]
        if not places:
            continue
        chosen = [verdicts[n] for n in places]
        axes.errorbar(
            places,
            [100 * one.error for one in chosen],
            yerr=[100 * one.together.half / one.theory for one in chosen],
            fmt=marker,
            color=colour,
            markersize=4,
            elinewidth=1.2,
            label=name,
        )
    axes.axhline(0, color="black", linewidth=1, zorder=1)
    largest = max(100 * (abs(one.error) + one.together.half / one.theory) for one in verdicts)
    axes.set_ylim(-1.05 * largest, 1.3 * largest)
    axes.set_xlim(-1, len(verdicts))
    begin = 0
    for band, (family, count_of) in enumerate(Counter(one.cell.family for one in verdicts).items()):
        if band % 2:
            axes.axvspan(begin - 0.5, begin + count_of - 0.5, color="#f2f2f2", zorder=0)
        # Narrow bands have room for words only on end.
        narrow = count_of < 7
        axes.text(
            begin + count_of / 2 - 0.5,
            1.26 * largest,
            family,
            ha="center",
            va="top",
            fontsize=9,
            rotation=90 if narrow else 0,
        )
        begin += count_of
    axes.set_xticks([])
    axes.set_xlabel("kinds of queues, in the order of the table")
    axes.set_ylabel("simulated less theory (% of theory)")
    axes.set_title(
        f"{len(verdicts)} kinds; the 95 % intervals of {found.share_inside:.1%} of {found.runs:,} runs hold the theory",
        fontsize=11,
    )
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    tidy(axes)
    return figure
