"""Several queues: how long each waits as the load rises, and where it starves."""

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from simulate.intervals import Interval, Refusal
from simulate.plots.style import COLOURS, DOTS_PER_INCH, IDEAL_COLOUR, tidy
from simulate.scenarios.priorities import Priorities
from simulate.words import duration

MARKERS = "osD^vP"


def priorities_figure(found: Priorities) -> Figure:
    """Mean waiting time of each queue over utilisation: theory as thin lines, simulation as dots with intervals.

    A queue that starves has no mean: a cross on the upper edge stands for it.
    """
    figure = Figure(figsize=(9, 5.6), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    seen = [what.waiting for point in found.points for what in point.queues if isinstance(what.waiting, Interval)]
    foreseen = [seconds for line in found.lines.values() for _, seconds in line]
    highest = max([what.high for what in seen] or foreseen, default=1.0)
    for place, queue in enumerate(found.queues):
        colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
        line = [(at, seconds) for at, seconds in found.lines.get(queue.name, ()) if seconds < 4 * highest]
        if line:
            axes.plot(*zip(*line, strict=True), color=colour, linewidth=1, zorder=1)
        known = [(at, one.waiting) for at, one in found.of(queue.name) if isinstance(one.waiting, Interval)]
        if known:
            axes.errorbar(
                [at for at, _ in known],
                [what.value for _, what in known],
                yerr=[[min(what.half, 0.9 * what.value) for _, what in known], [what.half for _, what in known]],
                fmt=marker,
                color=colour,
                markersize=6,
                capsize=3,
                elinewidth=1.2,
                label=f"{queue.name} ({queue.share:.0%} of the jobs)",
            )
        starving = [
            at
            for at, one in found.of(queue.name)
            if isinstance(one.waiting, Refusal) and one.waiting.why.startswith(f"{queue.name} starves")
        ]
        if starving:
            axes.plot(
                starving,
                [4 * highest] * len(starving),
                linestyle="",
                marker="x",
                markersize=9,
                markeredgewidth=2.5,
                color=colour,
                clip_on=False,
                label=f"{queue.name} starves: it waits ever longer",
            )
    if any(found.lines.values()):
        axes.plot(
            [], [], color=IDEAL_COLOUR, linewidth=1, label=f"theory ({'' if found.is_exact else 'approximate, '}Cobham)"
        )
    axes.axvline(1, color=IDEAL_COLOUR, linewidth=1, linestyle=":")
    axes.set_yscale("log")
    axes.set_ylim(top=4 * highest)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("utilisation (work offered over what the workers can do)")
    axes.set_ylabel("mean waiting time, with 95 % interval")
    workers = f"{found.workers} worker{'s' if found.workers > 1 else ''}"
    axes.set_title(f"{workers} serving {found.serves} ({found.design})", fontsize=11)
    # Queues first, in their order; what starves and the theory after them.
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda n: not labels[n].endswith("of the jobs)"))
    axes.legend([handles[n] for n in order], [labels[n] for n in order], frameon=False, fontsize=9, loc="upper left")
    tidy(axes)
    return figure
