"""An outage: what the dependency sees under each backoff."""

from math import isfinite

from matplotlib.figure import Figure

from simulate.intervals import Interval
from simulate.plots.style import BAD_COLOUR, DOTS_PER_INCH, GOOD_COLOUR, IDEAL_COLOUR, tidy
from simulate.scenarios.retries import BIN_SECONDS, Retries
from simulate.words import count, duration

# What comes later than so many lengths of the outage after its end is said in words.
SHOWN_LENGTHS = 1.6


def retries_figure(found: Retries) -> Figure:
    """Calls per second over time, one row for each policy; the outage is grey, and calls that failed are orange.

    A dotted line is where a person steps in, if one does.
    """
    rows = found.outcomes
    figure = Figure(figsize=(9, 0.9 + 1.7 * len(rows)), dpi=DOTS_PER_INCH, layout="constrained")
    all_axes = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
    outage = found.setting.outage
    mended = outage.mended if isfinite(outage.mended) else outage.ends
    end = max(outage.ends + SHOWN_LENGTHS * outage.seconds, mended + 0.5 * outage.seconds)
    for axes, one in zip(all_axes, rows, strict=True):
        shown = one.seconds <= end
        seconds, succeeded, refused = one.seconds[shown], (one.calls - one.refused)[shown], one.refused[shown]
        axes.bar(seconds, succeeded, BIN_SECONDS, color=GOOD_COLOUR, label="answered")
        axes.bar(seconds, refused, BIN_SECONDS, bottom=succeeded, color=BAD_COLOUR, label="failed")
        axes.axvspan(outage.begins, outage.ends, color="#eeeeee", zorder=0)
        if outage.calls_per_second is not None:
            axes.axhline(
                outage.calls_per_second, color=IDEAL_COLOUR, linewidth=1, linestyle="--", label="the most it can answer"
            )
        if mended > outage.ends:
            axes.axvline(mended, color="black", linewidth=1, linestyle=":", label="a person steps in")
        top = float(one.calls[shown].max())
        axes.set_ylim(0, 1.5 * top)
        said = []
        if isinstance(one.calls_per_job, Interval):
            said.append(f"{count(one.calls_per_job.value)} calls a job")
        if one.held_down:
            said.append("held down by its callers" + ("" if one.held_down == 1 else f" in {one.held_down:.0%} of runs"))
        elif isinstance(one.recovered, Interval):
            said.append(f"95 % over {duration(one.recovered.value)} after it")
        if isinstance(one.given_up, Interval) and one.given_up.value:
            said.append(f"{one.given_up.value:.0%} given up")
        axes.text(0.01, 0.95, f"{one.policy.name}: {one.policy.words}", transform=axes.transAxes, va="top", fontsize=10)
        axes.text(
            0.99,
            0.95,
            ", ".join(said),
            transform=axes.transAxes,
            va="top",
            ha="right",
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )
        axes.set_xlim(max(0.0, outage.begins - 0.3 * outage.seconds), end)
        tidy(axes)
    struck = "nobody is answered" if outage.slower is None else f"answers take {outage.slower:g} times as long"
    all_axes[-1].set_xlabel(f"seconds; grey: {struck}")
    figure.supylabel("calls per second, mean of the runs", fontsize=10)
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=9)
    return figure
