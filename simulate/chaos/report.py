"""What a chaos run showed: figures, words, and whether the promises were kept."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulate.chaos.conductor import UP, Outcome, kind_of
from simulate.history import SERVER, Ended, Fault, Report, check
from simulate.plots import COLOURS, DOTS_PER_INCH, IDEAL_COLOUR, PIXELS_WIDE, duration, tidy

PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0}
FEW = 10
"""A percentile with fewer values than this beyond it says nothing."""
TOLD_IN_FULL = 5


@dataclass(frozen=True)
class Judged:
    """A run and its verdicts."""

    outcome: Outcome
    report: Report

    @property
    def is_kept(self) -> bool:
        """Whether every promise was kept, and every program ended by what was done to it alone."""
        return not self.report.broken and not self.outcome.ended and self.outcome.drained

    def data(self) -> dict[str, Any]:
        """All figures, for JSON."""
        outcome, report = self.outcome, self.report
        settings = outcome.settings
        return {
            "settings": settings._asdict(),
            "server": outcome.server,
            "seconds": round(outcome.ended_at - outcome.began_at, 3),
            "drain_seconds": round(outcome.ended_at - outcome.faults_ended_at, 3),
            "drained": outcome.drained,
            "kept": self.is_kept,
            "kills": dict(sorted(outcome.kills.items())),
            "other_faults": dict(sorted(self.other_faults().items())),
            "stalls": {"count": len(outcome.stalls), "longest_seconds": round(max(outcome.stalls, default=0.0), 3)},
            "jobs": report.counts,
            "restarted_after_seconds": spread([one.restarted_seconds for one in report.recoveries]),
            "recovery_seconds": spread([one.seconds for one in report.recoveries]),
            "server_recovery_seconds": spread(self.server_recoveries()),
            "lateness_seconds": spread(report.lateness),
            "claims_found_old": outcome.old_claims,
            "forgotten": {
                "jobs": len(report.forgotten_seconds),
                "acknowledged_before_the_end_seconds": spread(report.forgotten_seconds),
                "bytes_cut": outcome.bytes_cut,
            },
            "ended_by_themselves": [one._asdict() for one in outcome.ended],
            "broken": [str(verdict) for verdict in report.broken],
        }

    def to_json(self) -> str:
        return json.dumps(self.data(), indent=2) + "\n"

    def faults(self) -> list[Fault]:
        return [event for event in self.outcome.history if isinstance(event, Fault)]

    def other_faults(self) -> Counter[str]:
        """Faults that are no kill of this program's, by kind; the runs of poison jobs are among them."""
        found = Counter(fault.kind for fault in self.faults() if fault.kind in ("stop", "cut", "delay"))
        found["poison"] = sum(isinstance(event, Ended) and event.how == "died" for event in self.outcome.history)
        return found

    def server_recoveries(self) -> list[float]:
        """From each kill of the server to the first job that was finished on the next one."""
        ends = np.sort([event.at for event in self.outcome.history if isinstance(event, Ended)])
        found = []
        for fault in self.faults():
            if fault.target == SERVER:
                place = int(np.searchsorted(ends, fault.until))
                if place < len(ends):
                    found.append(float(ends[place]) - fault.at)
        return found


def judge(outcome: Outcome) -> Judged:
    """Hold a run to its promises."""
    return Judged(outcome, check(outcome.history, outcome.settings.promises()))


def spread(seconds: Sequence[float]) -> dict[str, float | int | None]:
    """How many, the percentiles that enough values stand behind, and the largest."""
    told: dict[str, float | int | None] = {"count": len(seconds)}
    for name, percent in PERCENTILES.items():
        enough = len(seconds) * (100.0 - percent) / 100.0 >= FEW or (percent == 50.0 and len(seconds) > 0)
        told[name] = round(float(np.percentile(seconds, percent)), 3) if enough else None
    told["max"] = round(max(seconds), 3) if seconds else None
    return told


# The figure.

LANES = (
    ("worker", "kill", "worker killed", "o"),
    ("worker", "stop", "worker stopped", "s"),
    ("scheduler", "kill", "scheduler killed", "^"),
    ("producer", "kill", "producer killed", "v"),
    (UP, "kill", "supervisor killed", "D"),
    ("", "cut", "reply lost", "x"),
    ("", "delay", "reply delayed", "+"),
)
SERVER_COLOUR = COLOURS[6]


def chaos_figure(judged: Judged) -> Figure:
    """Three rows over one time: what was done, how much was where, how long until what was lost was made good."""
    outcome, report = judged.outcome, judged.report
    figure = Figure(figsize=(PIXELS_WIDE / DOTS_PER_INCH, 8.4), dpi=DOTS_PER_INCH, layout="constrained")
    lanes, backlog, recovery = figure.subplots(3, 1, sharex=True, height_ratios=(1.1, 1.2, 1.2))
    begin = outcome.began_at
    kills = sum(outcome.kills.values())
    verdict = "no promise was broken" if judged.is_kept else f"{len(report.broken)} PROMISES BROKEN"
    counts, settings = report.counts, outcome.settings
    title = f"{kills:,} kills, {counts['acknowledged']:,} jobs acknowledged, {counts['lost']:,} lost: {verdict}"
    how = f"{settings.mode}, supervised" if settings.supervised else settings.mode
    title += f"\n{outcome.server}; {settings.workers} workers ({how}), seed {settings.seed}"
    figure.suptitle(title, fontsize=12)
    lane_axes(lanes, judged, begin)
    backlog_axes(backlog, judged, begin)
    recovery_axes(recovery, judged, begin)
    recovery.set_xlabel("time since the start (s)")
    recovery.set_xlim(0, outcome.ended_at - begin)
    for axes in (lanes, backlog, recovery):
        for place, fault in enumerate(fault for fault in judged.faults() if fault.target == SERVER):
            axes.axvspan(
                fault.at - begin,
                max(fault.until, fault.at + 0.002 * (outcome.ended_at - begin)) - begin,
                color="#bbbbbb",
                linewidth=0,
                zorder=0,
                label="server down" if place == 0 else None,
            )
        axes.axvline(outcome.faults_ended_at - begin, color=IDEAL_COLOUR, linestyle=":", linewidth=1.5)
        tidy(axes)
    backlog.legend(loc="upper left", bbox_to_anchor=(1.005, 1.0), frameon=False, fontsize=9)
    recovery.legend(loc="upper left", bbox_to_anchor=(1.005, 1.0), frameon=False, fontsize=9)
    return figure


def lane_axes(axes: Axes, judged: Judged, begin: float) -> None:
    """One lane for each kind of fault."""
    faults = judged.faults()
    names: list[str] = []
    for target, kind, name, marker in LANES:
        some = [fault for fault in faults if fault.kind == kind and target in ("", kind_of(fault.target))]
        if not some and target == UP:
            continue
        place = len(names)
        names.append(f"{name} ({len(some):,})")
        colour = COLOURS[place % len(COLOURS)]
        times = [fault.at - begin for fault in some]
        size = 26 if len(faults) < 400 else 9
        axes.scatter(times, [place] * len(some), marker=marker, s=size, color=colour, linewidths=1.0, alpha=0.8)
        if kind == "stop":
            axes.hlines([place] * len(some), times, [fault.until - begin for fault in some], color=colour, linewidth=2)
    servers = sum(1 for fault in faults if fault.target == SERVER)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_title(
        f"faults; grey in all rows: the server was killed ({servers:,} times); dotted: faults end", fontsize=11
    )


def backlog_axes(axes: Axes, judged: Judged, begin: float) -> None:
    """How much was where, as the server says it four times a second."""
    samples = judged.outcome.samples
    times = [sample.at - begin for sample in samples]
    for place, (name, values) in enumerate(
        (
            ("queued", [sample.queued for sample in samples]),
            ("delayed", [sample.delayed for sample in samples]),
            ("leased", [sample.leased for sample in samples]),
        )
    ):
        axes.plot(times, values, label=name, color=COLOURS[place], linewidth=1.3)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("jobs")
    axes.set_title("backlog", fontsize=11)


def recovery_axes(axes: Axes, judged: Judged, begin: float) -> None:
    """Each job that a killed worker had in hand: when it was killed, how long until another had done it."""
    recoveries = judged.report.recoveries
    times = [one.killed_at - begin for one in recoveries]
    axes.scatter(
        times, [one.restarted_seconds for one in recoveries], s=14, color=COLOURS[1], marker="o", label="started again"
    )
    axes.scatter(
        times, [one.seconds for one in recoveries], s=20, color=COLOURS[0], marker="x", linewidths=1.1, label="done"
    )
    axes.set_ylim(bottom=0)
    axes.set_ylabel("seconds since the kill")
    found = spread([one.seconds for one in recoveries])
    middle = "" if found["p50"] is None else f"; half of them done within {duration(found['p50'])}"
    axes.set_title(
        f"recovery of the jobs ({len(recoveries):,}) that were running in a killed worker{middle}", fontsize=11
    )
