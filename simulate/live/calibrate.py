"""What each step costs on this machine, learnt in a few seconds: `python -m simulate calibrate`.

Real programs are watched while they work: a worker with forked children, one that runs jobs itself, and the naive
daemon, each with jobs one at a time (so that it is idle in between) and with a heap of them (so that it is not); the
workers also with a heap of jobs that do nothing, which are claimed many at a time. What is not measured
directly is what is left: of the time from one job's end to the next one's beginning, say, when the trip and the
hand-over are taken off. So what the simulator adds up is what was seen.

Means without the slowest and fastest twentieth: a busy machine stops everything now and then, and one such stop should
not become the price of each step. That makes calibrated costs a little too low on a machine that is always busy.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from minique.clock import SystemClock
from naive_daemon.database import Database
from simulate.benches.server import BenchError, bench
from simulate.costs import Costs
from simulate.live import jobs as live_jobs
from simulate.live import runs as live
from simulate.live.lessons import Lesson
from simulate.workload import Load

JOBS = 60
"""Of each kind: one at a time, and in a heap."""
APART_SECONDS = 0.015
WORK_SECONDS = 0.012
"""The work in each: longer than a fork, so that the next child is there when it is wanted, and than a batch should be,
so that a worker that runs jobs itself claims each alone."""
EVERY_SECONDS = 0.1
"""The daemon sleeps."""
LOOKS = 200
TRIMMED_SHARE = 0.05
STEPS = 4
"""In which a progress bar moves."""

_clock = SystemClock()

Numbers = Sequence[float] | np.ndarray[Any, Any]


class CostsUnusable(ValueError):
    """A file of costs that is none; the message says which, and what to do."""


@dataclass(frozen=True)
class Spread:
    """One price as it was seen, in seconds."""

    mean: float
    p10: float
    p50: float
    p90: float
    seen: int

    @classmethod
    def of(cls, values: Numbers) -> Spread:
        found = np.sort(np.asarray(values, dtype=float))
        if not len(found):
            raise BenchError("nothing was seen of a step that was to be measured")
        cut = int(len(found) * TRIMMED_SHARE)
        p10, p50, p90 = (float(value) for value in np.percentile(found, (10, 50, 90)))
        return cls(float(found[cut : len(found) - cut].mean()), p10, p50, p90, len(found))


@dataclass(frozen=True)
class Calibration:
    """The costs of one machine on one day."""

    costs: Costs
    overshoot: float
    """How much longer than asked a short sleep is, in seconds."""
    seen: dict[str, Spread]
    about: dict[str, object]
    lessons: dict[str, Lesson]
    """The steps that were seen of each design, one by one."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "version": 1,
            "calibrated": self.about,
            "costs_seconds": self.costs.seconds,
            "sleep_overshoot_seconds": self.overshoot,
            "seen_seconds": {name: vars(one) for name, one in self.seen.items()},
            "steps_seconds": {name: lesson.to_dict() for name, lesson in self.lessons.items()},
        }


def calibrate(advance: Callable[[float], object] = lambda done: None) -> Calibration:
    """Measure. Raises BenchError when a program does not do what it should."""
    before = os.getloadavg()
    with bench() as here:
        machine = here.about()
        forked = _watch_worker(here.url, "fork")
        advance(1)
        by_itself = _watch_worker(here.url, "inline")
        advance(2)
    rows = _watch_daemon()
    advance(3)
    looks = _look_at_table()
    advance(4)
    seen = {
        "round trip": Spread.of([*forked.trips, *by_itself.trips]),
        "planned to begun, idle, fork": Spread.of(forked.idle),
        "end to begun, busy, fork": Spread.of(forked.busy),
        "hand-over": Spread.of(forked.hand_overs),
        "fork": Spread.of([seconds for number, seconds in forked.forks if number == 1]),
        "fork in a row": Spread.of([seconds / number for number, seconds in forked.forks if number > 1]),
        "planned to begun, idle, in-line": Spread.of(by_itself.idle),
        "end to begun, busy, in-line": Spread.of(by_itself.busy),
        "end to begun, claimed together, in-line": Spread.of(by_itself.together),
        "row to row, naive daemon": Spread.of(rows.busy),
        "look, naive daemon": Spread.of(looks),
        "sleep overshoot": Spread.of([*forked.overshoots, *by_itself.overshoots, *rows.overshoots]),
    }
    # What is added up again must be what was seen: of a lone job a trip, wake-up and hand-over; of one after another
    # its end, a trip, and hand-over or what a worker does itself. So no part may be larger than its sum allows.
    alone, hand_over = seen["planned to begun, idle, fork"].mean, seen["hand-over"].mean
    one_after_another = seen["end to begun, busy, in-line"].mean
    in_line = min(seen["end to begun, claimed together, in-line"].mean, one_after_another)
    trip = min(seen["round trip"].mean, one_after_another - in_line, _left(alone - hand_over))
    day = datetime.fromtimestamp(_clock.wall(), UTC)
    about: dict[str, object] = {
        "on": platform.node(),
        "at": day.isoformat(timespec="seconds"),
        **machine,
        "load before": [round(one, 2) for one in before],
        "jobs of each kind": JOBS,
    }
    costs = Costs(
        query=seen["look, naive daemon"].mean,
        commit=seen["row to row, naive daemon"].mean,
        round_trip=trip,
        wake_up=_left(alone - trip - hand_over),
        hand_over=hand_over,
        fork=seen["fork"].mean,
        fork_in_a_row=seen["fork in a row"].mean,
        end_of_child=_left(seen["end to begun, busy, fork"].mean - trip - hand_over),
        in_line=in_line,
        end_in_line=_left(one_after_another - trip - in_line),
        origin=origin(about),
    )
    lessons = {"minique": forked.lesson, "inline": by_itself.lesson, "naive": rows.lesson}
    return Calibration(costs, seen["sleep overshoot"].mean, seen, about, lessons)


def origin(about: dict[str, object]) -> str:
    """Where costs come from, for people."""
    return f"calibrated on {about['on']}, {about['at']}"


def _left(seconds: float) -> float:
    return max(0.0, seconds)


def read(path: Path) -> tuple[Costs, float]:
    """Costs from a file that `calibrate` wrote, and how much a sleep overshoots. Raises CostsUnusable."""
    advice = "make one with: python -m simulate calibrate"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise CostsUnusable(f"--costs: cannot read {str(path)!r}: {problem.strerror}; {advice}") from None
    except ValueError as problem:
        raise CostsUnusable(f"--costs: {str(path)!r} is not JSON: {problem}; {advice}") from None
    try:
        if found["version"] != 1:
            raise ValueError(f"version {found['version']!r}, and 1 is known")
        seconds = {name: _price(name, value) for name, value in found["costs_seconds"].items()}
        missing = Costs().seconds.keys() ^ seconds.keys()
        if missing:
            raise ValueError(f"of these there is one too few or too many: {', '.join(sorted(missing))}")
        about: dict[str, object] = {
            name: str(value).encode("unicode_escape").decode() for name, value in found["calibrated"].items()
        }
        overshoot = _price("sleep_overshoot_seconds", found["sleep_overshoot_seconds"])
        return Costs(**seconds, origin=origin(about)), overshoot
    except (KeyError, TypeError, AttributeError, ValueError) as problem:
        what = f"no {problem}" if isinstance(problem, KeyError) else str(problem)
        raise CostsUnusable(f"--costs: {str(path)!r} is no file of costs: {what}; {advice}") from None


def read_steps(path: Path) -> dict[str, Lesson]:
    """The steps of each design from such a file; those of an older one are not known. Raises CostsUnusable."""
    read(path)
    try:
        found = json.loads(path.read_text(encoding="utf-8")).get("steps_seconds", {})
        return {name: Lesson.from_dict(steps) for name, steps in found.items()}
    except (KeyError, TypeError, AttributeError, ValueError) as problem:
        what = f"no {problem}" if isinstance(problem, KeyError) else str(problem)
        raise CostsUnusable(
            f"--costs: {str(path)!r} has no steps as calibrate writes them: {what}; calibrate again, or leave out "
            "'steps_seconds'"
        ) from None


def _price(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ValueError(f"{name} is {value!r}, not a number of seconds of zero or more")
    return float(value)


# Watching.


@dataclass(frozen=True)
class _Watched:
    trips: Numbers
    idle: Numbers
    """From the moment at which the producer turned to a job until it began, while nothing else was to do."""
    busy: Numbers
    """From the end of one job to the beginning of the next, while there were more."""
    together: Numbers
    """The same in a heap of jobs that do nothing, after which most are begun without a trip."""
    hand_overs: Numbers
    """From the answer to the claim to the beginning."""
    forks: Sequence[tuple[int, float]]
    """How many children were forked in a row, and how long that took."""
    overshoots: Numbers
    lesson: Lesson


def without_trip(gaps: np.ndarray[Any, Any]) -> Numbers:
    """Of the times from one job's end to the next one's beginning, where most were claimed together: those jobs'."""
    together: Numbers = gaps[gaps < 2 * np.median(gaps)]
    return together


def _load(apart: float, work: float = WORK_SECONDS) -> Load:
    arrived = live.LEAD_SECONDS + apart * np.arange(JOBS, dtype=np.float64)
    return Load("calibration", "jobs of one length", arrived, np.full(JOBS, work))


def _watch_worker(url: str, mode: str) -> _Watched:
    """One worker: jobs one at a time, then a heap."""
    namespace = f"calibrate-{mode}"
    with tempfile.TemporaryDirectory(prefix="minique-calibrate-") as name:
        notes = Path(name) / "claimed.json"
        asked = f"{url!r}, {namespace!r}, {mode!r}, None, {str(notes)!r}"
        words = ["-c", f"import {live_jobs.__name__}; from simulate.benches.measured import serve; serve({asked})"]
        with live.crew(url, namespace, words, 1, Path(name)) as there:
            loads = _load(WORK_SECONDS + APART_SECONDS), _load(0.0)
            alone, heap = (there.play(load, "sleep") for load in loads)
            nothing = there.play(_load(0.0, 0.0), "sleep")
        told = json.loads(notes.read_text(encoding="utf-8"))
        claimed = dict(told["claimed"])
    return _Watched(
        trips=alone.sent - alone.woke,
        # Where the machine was busy elsewhere, a job can still run when the next one comes.
        idle=(alone.began - alone.woke)[1:][alone.woke[1:] > alone.ended[:-1] + APART_SECONDS / 8],
        # The first ones still meet the producer, who hands in the rest of the heap.
        busy=(heap.began[1:] - heap.ended[:-1])[JOBS // 10 :],
        together=without_trip(nothing.began[1:] - nothing.ended[:-1]),
        hand_overs=[
            began - claimed[id] for id, began in zip(alone.ids, (alone.began + alone.zero).tolist(), strict=True)
        ],
        forks=told["forked"],
        overshoots=np.concatenate([run.ended - run.began for run in (alone, heap)]) - WORK_SECONDS,
        lesson=Lesson.of_all(
            [
                Lesson.of("minique" if mode == "fork" else mode, load, run)
                for load, run in zip(loads, (alone, heap), strict=True)
            ]
        ),
    )


def _watch_daemon() -> _Watched:
    load = _load(0.0)
    run = live.play_naive(load, EVERY_SECONDS, EVERY_SECONDS / 2, "sleep", lambda done: None)
    gaps = run.began[1:] - run.ended[:-1]
    # Where it took a nap in between, that is no cost of a row.
    longer, lesson = run.ended - run.began - WORK_SECONDS, Lesson.of("naive", load, run, EVERY_SECONDS)
    return _Watched((), (), gaps[gaps < EVERY_SECONDS], (), (), (), longer, lesson)


def _look_at_table() -> list[float]:
    """How long the daemon's look takes when there is nothing to do."""
    found = []
    with tempfile.TemporaryDirectory(prefix="minique-calibrate-") as name:
        table = Database(Path(name) / "rows.db")
        for _ in range(LOOKS):
            before = _clock.elapsed()
            table.due(_clock.wall())
            found.append(_clock.elapsed() - before)
        table.close()
    return found


# At the command line.


def report(console: Console, found: Calibration, data: Path) -> None:
    """Tables and words on standard output."""
    seen = Table(title="What was seen", title_justify="left", title_style="bold")
    for name in ("", "mean", "p10", "p50", "p90", "times"):
        seen.add_column(name, justify="right" if name else "left")
    for name, one in found.seen.items():
        seen.add_row(name, *(f"{value * 1e3:.3f} ms" for value in (one.mean, one.p10, one.p50, one.p90)), f"{one.seen}")
    console.print()
    console.print(seen)
    console.print(
        "[bold]Mean[/]: without the slowest and the fastest twentieth. [bold]Idle, busy[/]: jobs one at a time, and a "
        "heap of them. A wide spread means that this machine was doing other things; calibrate again when it is not."
    )
    console.print(f"[bold]Costs[/]: {escape(found.costs.words())}.")
    console.print(f"A short sleep lasts {found.overshoot * 1e3:.3f} ms longer than asked.")
    console.print("[bold]Here[/]: " + escape(", ".join(f"{name} {value}" for name, value in found.about.items())))
    console.print()
    console.print(f"JSON: {escape(str(data))}", soft_wrap=True)
    console.print(f"Use it: python -m simulate compare --costs {escape(str(data))}", soft_wrap=True)
