"""What happened, and which promises it kept: events in, verdicts out.

A history is a list of events with their times, however it came about: from log files of real processes, from a
simulation, from a search. The checker knows nothing but these events, and decides per job:

- **lost**: acknowledged, and ended nowhere, or never ran;
- **run twice**: started again though nobody had asked for it (a retry after an exception is no repeat);
- **out of order**: of two jobs of one queue that one worker ran, the later was started first;
- **early**, **late**: a delayed or planned job was started before its time, or long after it;
- **set aside**: failed though nothing in it fails; excused when as many workers died with it as are allowed to;
- **unexpected**: what no history can contain: run and never sent, done and never run.

A fault may *excuse* a verdict: at-least-once means that a job may run again when its worker was killed, or when its
lease can have run out. A server that forgets what it had acknowledged (a lost tail of its append-only file) excuses a
lost job, if the job was acknowledged shortly before. What is not excused is a broken promise, and every verdict brings
the job's own story, so that a person sees why.

What this cannot see: an effect that a job had without writing it down, and events that a program did not live to write
down (a job that was sent, and whose producer was killed before it noted the answer, counts as unanswered).
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

SERVER = "server"
EVERYTHING = "machine"
"""Targets of faults that touch every program; all others name one worker or program."""


# Events.


class Sent(NamedTuple):
    """A producer is about to send a job, perhaps again."""

    at: float
    job: str
    queue: str = ""
    due: float | None = None
    """Not to be started before."""
    poison: bool = False
    """It is meant to end as failed."""


class Answered(NamedTuple):
    """The producer heard that the job is stored; or, if not `stored`, it gave up hearing anything."""

    at: float
    job: str
    stored: bool = True


class Planned(NamedTuple):
    """A slot of a recurring entry, which must be fired once though nobody sends it."""

    at: float
    job: str
    queue: str = ""


class Started(NamedTuple):
    """A job's body began to run."""

    at: float
    job: str
    worker: str
    attempt: int = 1


class Ended(NamedTuple):
    """A job's body came to its end."""

    at: float
    job: str
    worker: str
    how: str = "finished"
    """finished; raised; died (it killed its own process)."""


class Fault(NamedTuple):
    """Something that was done to a program, or happened to it."""

    at: float
    kind: str
    """kill; stop (continued at `until`); cut and delay (of a reply); stall (nobody did it; the machine was busy)."""
    target: str
    until: float
    """When it was over: killed and gone, continued, back again."""
    forgets: bool = False
    """Whether a server may have come back without the latest of what it had acknowledged."""


class Found(NamedTuple):
    """What the server says of a job at the end."""

    at: float
    job: str
    state: str
    deaths: int = 0
    why: str = ""


Event = Sent | Answered | Planned | Started | Ended | Fault | Found

_KINDS: dict[str, Any] = {
    kind.__name__.lower(): kind for kind in (Sent, Answered, Planned, Started, Ended, Fault, Found)
}


def to_line(event: Event) -> str:
    """One event as one line of JSON."""
    return json.dumps({"event": type(event).__name__.lower(), **event._asdict()})


def from_line(line: str) -> Event:
    """The event of a line; raises ValueError for what is none."""
    try:
        fields = json.loads(line)
        event: Event = _KINDS[fields.pop("event")](**fields)
        return event
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an event of a history: {line[:200]!r} ({error})") from None


class Promises(NamedTuple):
    """What is checked, where that can be chosen. Times in seconds."""

    late_bound: float = 60.0
    """A job that is started longer after its time is late."""
    least_lease: float = 1.0
    """Within less time than this no lease runs out, so that a fault before it excuses no second run. 0 where a
    supervisor gives back at once what its dead workers held."""
    deaths_allowed: int = 3
    ordered_queues: frozenset[str] | None = None
    """Queues whose order is checked; None: all. Where several workers serve a queue, one of them may give back a job
    that is then started late by another, without any fault."""
    forgotten: float = 3.0
    """How much a server that forgets may forget: what it acknowledged in the last so many seconds."""
    clocks_differ: float = 0.001
    """By how much the clocks of those who wrote the events may differ."""
    dying: float = 0.05
    """A program that is killed may run on for so long, on another processor."""


WHATS = ("lost", "run twice", "out of order", "early", "late", "set aside", "unexpected")


class Verdict(NamedTuple):
    what: str
    """One of WHATS."""
    job: str
    why: str
    excuse: str
    """Empty: a promise was broken."""
    story: tuple[Event, ...]
    """The job's own events, and the faults that touched it, in order."""

    def __str__(self) -> str:
        head = f"{self.what}: {self.job}: {self.why}" + (f" (excused: {self.excuse})" if self.excuse else "")
        start = self.story[0].at if self.story else 0.0
        return "\n".join([head, *(f"    {event.at - start:+9.3f} s  {_told(event)}" for event in self.story)])


class Recovery(NamedTuple):
    """A job that was in the hands of a worker when that was killed, and done by another."""

    job: str
    killed_at: float
    restarted_seconds: float
    """From the kill until it was started again."""
    seconds: float
    """From the kill until it was done; other workers may have been killed meanwhile."""


class Report(NamedTuple):
    counts: dict[str, int]
    verdicts: list[Verdict]
    recoveries: list[Recovery]
    lateness: list[float]
    """Seconds from due to started, of each job that had a time, sorted."""
    forgotten_seconds: list[float]
    """For each job that a forgetful server lost: how long before the server's end it had been acknowledged, sorted."""

    @property
    def broken(self) -> list[Verdict]:
        """Promises that were not kept."""
        return [verdict for verdict in self.verdicts if not verdict.excuse]


def check(history: Iterable[Event], promises: Promises | None = None) -> Report:
    """Judge a history; its events may come in any order."""
    return _Judge(history, promises or Promises()).report()


class _Story:
    """One job's events, by kind and in order of time."""

    def __init__(self, job: str) -> None:
        self.job = job
        self.sent: list[Sent] = []
        self.answers: list[Answered] = []
        self.planned: list[Planned] = []
        self.runs: list[_Run] = []
        self.ends: list[Ended] = []
        self.found: list[Found] = []
        self.events: list[Event] = []

    @property
    def acknowledged_at(self) -> float | None:
        stored = [answer.at for answer in self.answers if answer.stored]
        return stored[0] if stored else None

    @property
    def is_promised(self) -> bool:
        return bool(self.planned) or self.acknowledged_at is not None

    @property
    def has_finished(self) -> bool:
        return any(end.how == "finished" for end in self.ends)

    @property
    def due(self) -> float | None:
        if self.planned:
            return self.planned[0].at
        return self.sent[0].due if self.sent else None

    @property
    def queue(self) -> str:
        return self.sent[0].queue if self.sent else ""


class _Run:
    def __init__(self, start: Started) -> None:
        self.start = start
        self.end: Ended | None = None


# At the same moment a cause stands before its effect.
_ORDER = {kind: place for place, kind in enumerate((Planned, Sent, Fault, Started, Ended, Answered, Found))}


class _Judge:
    def __init__(self, history: Iterable[Event], promises: Promises) -> None:
        self._promises = promises
        self._faults: list[Fault] = []
        self._stories: dict[str, _Story] = {}
        self._verdicts: list[Verdict] = []
        self._lateness: list[float] = []
        self._recoveries: list[Recovery] = []
        self._forgotten: list[float] = []
        self._pairs = 0
        for event in sorted(history, key=lambda event: (event.at, _ORDER[type(event)])):
            if isinstance(event, Fault):
                self._faults.append(event)
            else:
                self._tell(event)
        self._by_target: dict[str, _Faults] = {}
        grouped = defaultdict(list)
        for fault in self._faults:
            grouped[fault.target].append(fault)
        self._by_target = {target: _Faults(some) for target, some in grouped.items()}
        self._any = _Faults(self._faults)

    def _tell(self, event: Sent | Answered | Planned | Started | Ended | Found) -> None:
        story = self._stories.setdefault(event.job, _Story(event.job))
        story.events.append(event)
        if isinstance(event, Sent):
            story.sent.append(event)
        elif isinstance(event, Answered):
            story.answers.append(event)
        elif isinstance(event, Planned):
            story.planned.append(event)
        elif isinstance(event, Started):
            story.runs.append(_Run(event))
        elif isinstance(event, Ended):
            story.ends.append(event)
        else:
            story.found.append(event)

    def report(self) -> Report:
        for story in self._stories.values():
            self._match_runs(story)
            self._check_producer(story)
            self._check_runs(story)
            self._check_time(story)
            self._check_end(story)
            self._note_recoveries(story)
        self._check_order()
        return Report(
            self._counts(),
            sorted(self._verdicts, key=lambda verdict: (bool(verdict.excuse), verdict.what, verdict.job)),
            sorted(self._recoveries, key=lambda recovery: recovery.killed_at),
            sorted(self._lateness),
            sorted(self._forgotten),
        )

    def _counts(self) -> dict[str, int]:
        stories = self._stories.values()
        states = Counter(story.found[-1].state for story in stories if story.found)
        counts = {
            "sent": sum(1 for story in stories if story.sent),
            "acknowledged": sum(1 for story in stories if story.acknowledged_at is not None),
            "unanswered": sum(1 for story in stories if story.sent and story.acknowledged_at is None),
            "planned slots": sum(1 for story in stories if story.planned),
            "started": sum(len(story.runs) for story in stories),
            "finished": sum(1 for story in stories if story.has_finished),
            "done": states["done"],
            "failed": states["failed"],
            "pairs compared for order": self._pairs,
        }
        for what in WHATS:
            some = [verdict for verdict in self._verdicts if verdict.what == what]
            counts[what] = sum(1 for verdict in some if not verdict.excuse)
            counts[f"{what}, excused"] = len(some) - counts[what]
        return counts

    def _judge(self, what: str, story: _Story, why: str, excuse: Fault | str | None = None) -> None:
        begins = story.events[0].at
        workers = {run.start.worker for run in story.runs} | {SERVER, EVERYTHING}
        ends = story.events[-1].at if not story.found else max(begins, _last_but_found(story))
        touching = [
            fault for worker in workers for fault in self._faults_of(worker, begins, ends + self._promises.forgotten)
        ]
        told = sorted([*story.events, *touching], key=lambda event: (event.at, _ORDER[type(event)]))
        text = excuse if isinstance(excuse, str) else _told(excuse) if excuse else ""
        self._verdicts.append(Verdict(what, story.job, why, text, tuple(told)))

    # One job.

    def _match_runs(self, story: _Story) -> None:
        """Give each start its end: the first of the same worker that no other start has."""
        open_runs = list(story.runs)
        for end in story.ends:
            run = next((run for run in open_runs if run.start.worker == end.worker and run.start.at <= end.at), None)
            if run is None:
                self._judge("unexpected", story, f"{end.how} in {end.worker}, which had not started it")
            else:
                run.end = end
                open_runs.remove(run)

    def _check_producer(self, story: _Story) -> None:
        if story.planned:
            if len(story.planned) > 1:
                self._judge("unexpected", story, "planned twice")
            return
        if not story.sent:
            if story.runs or story.ends or story.found:
                self._judge("unexpected", story, "known, and nobody had sent it")
            return
        open_since: float | None = None
        stored = False
        said: list[Sent | Answered] = [*story.sent, *story.answers]
        for event in sorted(said, key=lambda event: (event.at, _ORDER[type(event)])):
            if isinstance(event, Sent):
                if stored or open_since is not None:
                    self._judge("unexpected", story, "sent again, and no answer was missing")
                open_since = event.at
            elif open_since is None:
                self._judge("unexpected", story, "answered, and nobody had asked")
            else:
                stored = stored or event.stored
                open_since = None
        if open_since is not None and not any(
            fault.kind == "kill" for fault in self._any.between(open_since, float("inf"))
        ):
            self._judge("unexpected", story, "no answer was noted, and no program was killed")
        first = story.sent[0].at
        if story.runs and story.runs[0].start.at < first - self._promises.clocks_differ:
            self._judge("unexpected", story, "started before it was sent")

    def _check_runs(self, story: _Story) -> None:
        for run in story.runs:
            begin = run.start.at - self._promises.dying
            if run.end is None and not any(
                next(self._faults_of(target, begin), None) for target in (run.start.worker, SERVER, EVERYTHING)
            ):
                self._judge(
                    "unexpected", story, f"its run in {run.start.worker} has no end, and nobody had killed that"
                )
        for before, after in zip(story.runs, story.runs[1:], strict=False):
            if before.end is not None and before.end.how in ("raised", "died") and before.end.at <= after.start.at:
                continue
            gap = after.start.at - before.start.at
            excuse = self._excuse_for_repeat(before.start, after.start)
            was = "had finished" if before.end is not None and before.end.at <= after.start.at else "had not ended"
            self._judge("run twice", story, f"started again after {gap:.3f} s, when the run before {was}", excuse)

    def _excuse_for_repeat(self, before: Started, after: Started) -> Fault | None:
        gap = after.at - before.at
        # A batch is claimed together: its lease is older than the last one's start.
        for target in (before.worker, after.worker, SERVER, EVERYTHING):
            for fault in self._faults_of(target, before.at - self._promises.dying, after.at):
                if target == after.worker != before.worker and fault.kind != "stop":
                    continue  # only who slept may begin what is no longer its own
                if fault.forgets or max(gap, fault.until - fault.at) >= self._promises.least_lease:
                    return fault
        return None

    def _check_time(self, story: _Story) -> None:
        due = story.due
        if due is None or not story.runs:
            return
        late = story.runs[0].start.at - due
        if late < -self._promises.clocks_differ:
            self._judge("early", story, f"started {-late:.6f} s before its time")
            return
        self._lateness.append(max(0.0, late))
        if late > self._promises.late_bound:
            self._judge(
                "late", story, f"started {late:.3f} s after its time, with a bound of {self._promises.late_bound:g} s"
            )

    def _check_end(self, story: _Story) -> None:
        if not story.found:
            if story.is_promised or story.runs:
                self._judge("lost" if story.is_promised else "unexpected", story, "the server was not asked about it")
            return
        if len(story.found) > 1:
            self._judge("unexpected", story, "found twice")
        state = story.found[-1].state
        if state == "done":
            if not story.has_finished:
                self._judge("unexpected", story, "done, and never run to its end")
        elif state == "failed":
            self._check_failed(story)
        elif state == "gone":
            self._check_gone(story)
        else:
            self._judge("lost", story, f"still {state} when all should have ended")

    def _check_failed(self, story: _Story) -> None:
        if any(sent.poison for sent in story.sent):
            return
        found = story.found[-1]
        allowed = self._promises.deaths_allowed
        begins, ends = story.events[0].at, found.at
        hits = [fault for fault in self._any.between(begins, ends) if fault.kind in ("kill", "stop", "stall")]
        excuse = None
        if found.deaths >= allowed and len(hits) >= allowed:
            excuse = f"{found.deaths} workers died or slept with it in hand, and {len(hits)} were hit meanwhile"
        self._judge("set aside", story, f"failed, and nothing in it fails: {found.why}", excuse)

    def _check_gone(self, story: _Story) -> None:
        acknowledged = story.acknowledged_at
        if story.has_finished:
            end = max(end.at for end in story.ends)
            if self._forgetting(end) is None and self._forgetting(acknowledged) is None:
                self._judge("unexpected", story, "it ran, and the server knows nothing of it")
        elif story.planned:
            # Nobody notes when a slot is fired: at any time until it would be late.
            begin = story.planned[0].at
            forgetting = self._faults_of(SERVER, begin, begin + self._promises.late_bound)
            fault = next((fault for fault in forgetting if fault.forgets), None)
            self._judge("lost", story, "its slot was never fired, or its job is gone", fault)
        elif acknowledged is not None:
            fault = self._forgetting(acknowledged)
            self._judge("lost", story, "acknowledged, never run to its end, and gone", fault)
            if fault:
                self._forgotten.append(fault.at - acknowledged)

    def _forgetting(self, moment: float | None) -> Fault | None:
        """A server's end, shortly after a moment, from which it came back without its latest memories."""
        if moment is None:
            return None
        until = moment + self._promises.forgotten
        return next((fault for fault in self._faults_of(SERVER, moment, until) if fault.forgets), None)

    def _note_recoveries(self, story: _Story) -> None:
        for place, run in enumerate(story.runs):
            if run.end is not None:
                continue
            begin = run.start.at - self._promises.dying
            kills = [fault for fault in self._faults_of(run.start.worker, begin) if fault.kind == "kill"]
            later = story.runs[place + 1 :]
            ends = [one.end.at for one in later if one.end is not None and one.end.how == "finished"]
            if kills and ends:
                at = kills[0].at
                self._recoveries.append(Recovery(story.job, at, later[0].start.at - at, min(ends) - at))

    # Jobs among each other.

    def _check_order(self) -> None:
        lanes: dict[tuple[str, str], list[_Story]] = defaultdict(list)
        ordered = self._promises.ordered_queues
        for story in self._stories.values():
            plain = story.runs and story.sent and story.due is None and story.acknowledged_at is not None
            if plain and (ordered is None or story.queue in ordered):
                lanes[story.queue, story.runs[0].start.worker].append(story)
        for lane in lanes.values():
            lane.sort(key=lambda story: story.runs[0].start.at)
            # From the last to be started backwards: whichever of those had been stored first.
            oldest: _Story | None = None
            for story in reversed(lane):
                if oldest is not None:
                    self._pairs += 1
                    if _stored_at(oldest) < story.sent[0].at:
                        why = f"started after {story.job}, which was sent later to the same queue, in the same worker"
                        self._judge("out of order", oldest, why)
                if self._any.touch(story.sent[0].at, story.runs[0].start.at):
                    continue
                if oldest is None or _stored_at(story) < _stored_at(oldest):
                    oldest = story

    def _faults_of(self, target: str, begin: float, end: float = float("inf")) -> Iterator[Fault]:
        found = self._by_target.get(target)
        return iter(()) if found is None else found.between(begin, end)


class _Faults:
    """Faults in order of time, to be asked which of them overlap a stretch of it."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self._faults = faults
        self._begins = [fault.at for fault in faults]
        self._longest = max((fault.until - fault.at for fault in faults), default=0.0)

    def between(self, begin: float, end: float) -> Iterator[Fault]:
        for place in range(bisect_left(self._begins, begin - self._longest), len(self._faults)):
            fault = self._faults[place]
            if fault.at > end:
                return
            if fault.until >= begin:
                yield fault

    def touch(self, begin: float, end: float) -> bool:
        return next(self.between(begin, end), None) is not None


def _stored_at(story: _Story) -> float:
    return float("inf") if story.acknowledged_at is None else story.acknowledged_at


def _last_but_found(story: _Story) -> float:
    return max((event.at for event in story.events if not isinstance(event, Found)), default=story.events[-1].at)


def _told(event: Event) -> str:
    """An event in words."""
    if isinstance(event, Sent):
        due = "" if event.due is None else f", due {event.due - event.at:.3f} s later"
        return f"sent to {event.queue or 'its queue'}{due}"
    if isinstance(event, Answered):
        return "acknowledged" if event.stored else "no answer came"
    if isinstance(event, Planned):
        return f"slot planned for {event.queue or 'its queue'}"
    if isinstance(event, Started):
        return f"started in {event.worker}, attempt {event.attempt}"
    if isinstance(event, Ended):
        return f"{event.how} in {event.worker}"
    if isinstance(event, Fault):
        forgets = ", and forgot" if event.forgets else ""
        return f"{event.kind} of {event.target} for {event.until - event.at:.3f} s{forgets}"
    why = f": {event.why}" if event.why else ""
    return f"found {event.state}, {event.deaths} deaths{why}"
