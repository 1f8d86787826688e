"""A load as it really was, from the logs of running workers: `python -m simulate record`.

Workers that run with `--verbose --log json` say when they claim each job and how it ended; and the job's
id says when it was made. Nothing is asked of the server but its counts, once before and once after, and only
with --url: they say how many jobs ended whose workers' logs were not given.

What comes out is a line per job that `compare --trace` and `live --trace` read: when it arrived, for how long it was in
workers' hands, its queue, and for people how it ended. Times are as fine as the log's and the id's: a millisecond.

What cannot be seen: *When work began and ended.* From claim to completion is a little more than the work, by the
hand-over and a trip. *Who was delayed.* A delayed job or a retry counts from when it was made, as if it had waited all
the time; what was made before the first line is left out and counted. *Jobs claimed together* (in-line, of a few
milliseconds each): they share their time evenly. *Clocks*: ids come from producers' clocks, lines from workers'.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from minique.clock import SystemClock
from minique.ids import made_at
from minique.loop import sleep_until
from simulate.traces import UNKNOWN

LOOK_EVERY_SECONDS = 0.2
ENDS = {
    "completed": "done",
    "failed": "failed",
    "dropped": "dropped",
    "retry": "",
    "released": "",
    "lease_lost": "",
}
"""Events that end an attempt, and what has become of the job then; nothing yet where it goes on."""

_clock = SystemClock()


class RecordError(ValueError):
    """A log that cannot be used: which file, which line, what was expected."""


@dataclass
class _Job:
    queue: str
    service: float = 0.0
    attempts: int = 0
    outcome: str = ""
    waited: float = 0.0


@dataclass
class Recorder:
    """Takes the lines of logs, in the order of each log, and tells what the load was."""

    jobs: dict[str, _Job] = field(default_factory=dict)
    lines: int = 0
    others: int = 0
    """Lines of something else: a log may hold what jobs and libraries print."""
    made_before: set[str] = field(default_factory=set)
    nameless: int = 0
    """Jobs whose ids say no time: somebody else made them."""
    since: float | None = None
    """When the record begins; what was made before is not in it."""
    _held: dict[str, dict[str, float]] = field(default_factory=dict)
    """By worker: what it has in its hands, and since when."""
    _ended: dict[str, float] = field(default_factory=dict)
    """By worker: when the latest attempt of it ended."""

    def take(self, text: str) -> None:
        """One line. What is no event of a worker is passed over and counted."""
        self.lines += 1
        try:
            told = json.loads(text)
            at = datetime.fromisoformat(told["time"]).timestamp()
            event, job, worker = told["event"], told.get("job"), told.get("worker")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self.others += 1
            return
        if self.since is None:
            self.since = at
        if not (isinstance(job, str) and isinstance(worker, str) and isinstance(event, str)):
            return
        if event == "claimed":
            self._claimed(at, job, worker, told)
        elif event in ENDS:
            self._over(at, job, worker, ENDS[event])

    def _claimed(self, at: float, id: str, worker: str, told: dict[str, Any]) -> None:
        made = made_at(id)
        if made is None:
            self.nameless += 1
            return
        assert self.since is not None
        if made < self.since and id not in self.jobs:
            self.made_before.add(id)
            return
        job = self.jobs.setdefault(id, _Job(str(told.get("queue", ""))))
        if not job.attempts:
            job.waited = max(0.0, at - made)
        job.attempts += 1
        job.outcome = ""
        self._held.setdefault(worker, {})[id] = at

    def _over(self, at: float, id: str, worker: str, outcome: str) -> None:
        held = self._held.get(worker, {})
        since = held.pop(id, None)
        if since is None:
            return
        # Claimed together, told together: each has its part of the time.
        began = max(since, self._ended.get(worker, since))
        share = (at - began) / (1 + sum(claimed == since for claimed in held.values()))
        self._ended[worker] = began + share
        self.jobs[id].service += max(0.0, share)
        self.jobs[id].outcome = outcome

    def rows(self) -> list[dict[str, Any]]:
        """A row for each job in the order of arrival; of those that have not ended, the service is not known."""
        found = []
        for id, job in self.jobs.items():
            arrived = made_at(id)
            assert arrived is not None
            found.append(
                {
                    "arrived": round(arrived, 3),
                    "service": round(job.service, 6) if job.outcome else UNKNOWN,
                    "queue": job.queue,
                    "job": id,
                    "outcome": job.outcome or "unfinished",
                    "attempts": job.attempts,
                    "waited": round(job.waited, 3),
                }
            )
        return sorted(found, key=lambda row: (row["arrived"], row["job"]))

    def text(self) -> str:
        """The record, a JSON object on a line."""
        return "".join(f"{json.dumps(row)}\n" for row in self.rows())

    def outcomes(self) -> Counter[str]:
        """How many jobs ended how."""
        return Counter(job.outcome or "unfinished" for job in self.jobs.values())


def record(
    logs: Sequence[Path], seconds: float | None, advance: Callable[[float], object] = lambda done: None
) -> Recorder:
    """Reads logs as they are, or what is added to them in so many seconds. Raises RecordError.

    A line that is not whole yet is waited for.
    """
    recorder = Recorder(since=None if seconds is None else _clock.wall())
    try:
        files = [open(path, encoding="utf-8", errors="backslashreplace", newline="\n") for path in logs]  # noqa: SIM115
    except OSError as problem:
        raise RecordError(f"{problem.filename}: cannot be read: {problem.strerror}") from None
    try:
        if seconds is None:
            _take_in_order(recorder, (line for file in files for line in file))
        else:
            for file in files:
                file.seek(0, 2)
            _follow(recorder, files, seconds, advance)
    finally:
        for file in files:
            file.close()
    return recorder


def _follow(recorder: Recorder, files: Sequence[Any], seconds: float, advance: Callable[[float], object]) -> None:
    begun = [""] * len(files)
    started = _clock.elapsed()
    is_last = False
    while not is_last:
        passed = _clock.elapsed() - started
        is_last = passed >= seconds
        advance(min(passed, seconds))
        whole = []
        for place, file in enumerate(files):
            *lines, begun[place] = (begun[place] + file.read()).split("\n")
            whole += lines
        _take_in_order(recorder, whole)
        if not is_last:
            sleep_until(min(LOOK_EVERY_SECONDS, seconds - passed))


def _take_in_order(recorder: Recorder, lines: Iterable[str]) -> None:
    """By the time that each line tells, so that a job may go from one worker's log to another's."""
    kept = sorted((line for line in lines if line.strip()), key=_time_of)
    for line in kept:
        recorder.take(line)


def _time_of(line: str) -> str:
    """As text: all have the same form, in UTC. What tells no time comes first, and is not read anyway."""
    before, mark, rest = line.partition('"time": "')
    return rest[:29] if mark and before == "{" else ""
