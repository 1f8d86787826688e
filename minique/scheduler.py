"""Promotes delayed jobs when they are due, and fires the slots of recurring entries, each once.

Any number may run side by side, and none of them leads. What is due, which entries there are and how far each has come
stands on the server; every scheduler works it out for itself, and the server lets the first one through. A cursor per
entry only moves forward, in the same step that queues the job.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from minique.call import write_call
from minique.clock import Clock
from minique.errors import UsageError
from minique.events import Events
from minique.ids import make_slot_id
from minique.keys import DELAYED_BELL, LIMITS
from minique.recurring import LONGEST_SLOT
from minique.schedule import Entry
from minique.store import Agenda, Arrow, Beat, Fire, Fired, Promote, Promoted, Recurring, RecurringRow, Store

PROMOTE_AT_ONCE = LIMITS["PROMOTE_LIMIT"]
FIRE_AT_ONCE = 100

LONGEST_REST_SECONDS = 5.0
"""What became the first to be due rings the schedulers' bell. Should the one that heard it die of a crash before it
looked, the others notice within this time."""


class Planned(NamedTuple):
    """An entry as this scheduler knows it."""

    entry: Entry
    definition: str
    cursor: float
    """The last slot that was fired or passed over, in epoch seconds, or when the entry began."""
    at: float | None
    """When to look at it next; None: never."""
    stored: float = 0.0
    """The cursor that the server told last; behind the other one where missed slots were given up."""


class State(NamedTuple):
    """All that a scheduler remembers between ticks: what it need not ask the server again."""

    beat_at: float = 0.0
    """When to give the next sign of life, on the elapsed clock."""
    revision: str = ""
    """Of the entries below; empty when they are to be read again."""
    plan: tuple[Planned, ...] = ()


class Scheduler:
    is_exact = True  # a delayed job should be late by its trip, and by nothing else

    def __init__(
        self, store: Store, clock: Clock, events: Events, name: str, about: Mapping[str, object] | None = None
    ) -> None:
        self.state = State()
        self.name = name
        self._store = store
        self._clock = clock
        self._events = events
        self._about = json.dumps({"kind": "scheduler", **(about or {})})

    def leave(self) -> None:
        """Take the scheduler off the list that people look at."""
        self._store.beat(self._clock.stamp(), self.name, "", "")

    def tick(self) -> float:
        now, state = self._clock.elapsed(), self.state
        arrows: list[Arrow] = [Promote(PROMOTE_AT_ONCE), Agenda(state.revision)]
        beats = now >= state.beat_at
        if beats:
            arrows.append(Beat(self.name, "", self._about))
        answers = self._store.trip(arrows, self._clock.stamp())
        promoted: Promoted = answers[0]
        recurring: Recurring = answers[1]
        if promoted.promoted:
            self._events.emit("promoted", jobs=promoted.promoted)
        plan = state.plan if recurring.entries is None else tuple(self._read(recurring.entries))
        self.state = State(now + LONGEST_REST_SECONDS if beats else state.beat_at, recurring.revision, plan)
        self._fire(recurring.now)
        waits = [entry.at - recurring.now for entry in self.state.plan if entry.at is not None]
        if promoted.next_in_seconds is not None:
            waits.append(promoted.next_in_seconds)
        return max(0.0, min([*waits, LONGEST_REST_SECONDS]))

    def bell(self) -> str | None:
        return DELAYED_BELL

    def watched(self) -> Sequence[int]:
        return ()

    def _read(self, rows: Sequence[RecurringRow]) -> Iterator[Planned]:
        for row in rows:
            try:
                planned = _plan(row)
            except UsageError as error:
                # Written by somebody else, or by a newer release. It keeps its cursor, and the others go on.
                self._events.emit("schedule_unreadable", entry=row.entry, error=error)
                continue
            if not planned.entry.paused:
                yield planned

    def _fire(self, now: float) -> None:
        """Fire what is due, about FIRE_AT_ONCE slots; what is left over is due at once in the next tick."""
        fires: list[tuple[int, Fire]] = []
        plan = list(self.state.plan)
        due = [place for place, planned in enumerate(plan) if planned.at is not None and planned.at <= now]
        # Shared out, so that an entry that makes up for a year does not hold up the others.
        share = max(1, FIRE_AT_ONCE // max(1, len(due)))
        for place in due[:FIRE_AT_ONCE]:
            planned = plan[place]
            entry = planned.entry
            slots = entry.due_slots(planned.cursor, now, limit=share)
            fires += [(place, _fire(planned, slot)) for slot in slots]
            if not slots:
                # All that was missed is given up, as the entry wants it.
                given_up = entry.last_due(planned.cursor, now) or now
                plan[place] = _planned(entry, planned.definition, given_up, planned.stored)
        revision = self.state.revision
        answers = self._store.trip([arrow for _, arrow in fires], self._clock.stamp()) if fires else []
        for (place, arrow), fired in zip(fires, answers, strict=True):
            planned = plan[place]
            revision = "" if fired.outcome == "changed" else revision
            if fired.cursor is not None and fired.outcome != "changed":
                cursor = max(planned.cursor, fired.cursor)
                plan[place] = _planned(planned.entry, planned.definition, cursor, fired.cursor)
            self._tell(arrow, fired, now)
        self.state = self.state._replace(revision=revision, plan=tuple(plan))

    def _tell(self, arrow: Fire, fired: Fired, now: float) -> None:
        if fired.outcome in ("fired", "skipped"):
            late = round(now - float(arrow.slot), 6)
            self._events.emit(fired.outcome, entry=arrow.entry, slot=arrow.slot, job=arrow.id, late_seconds=late)


def _plan(row: RecurringRow) -> Planned:
    """Raises UsageError for what no scheduler could fire."""
    entry = Entry.from_json(row.definition)
    if entry.name != row.entry or not entry.queue or row.cursor is None:
        raise UsageError("it has no queue or no cursor, or is kept under another name: remove it, add it again")
    write_call(entry.job, entry.args, entry.kwargs, LONGEST_SLOT)
    return _planned(entry, row.definition, row.cursor, row.cursor)


def _planned(entry: Entry, definition: str, cursor: float, stored: float) -> Planned:
    following = entry.next_slot(cursor)
    return Planned(entry, definition, cursor, None if following is None else entry.fire_at(following), stored)


def _fire(planned: Planned, slot: float) -> Fire:
    entry = planned.entry
    body = write_call(entry.job, entry.args, entry.kwargs, slot)
    id = make_slot_id(entry.name, slot)
    # To the last digit: a cursor that was rounded down would be before its own slot, and never get past it.
    known = repr(planned.stored)
    return Fire(entry.name, planned.definition, repr(slot), entry.overlap, entry.queue, id, body, known)
