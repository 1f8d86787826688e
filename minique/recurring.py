"""Recurring entries, as an application and the command line see them: add, replace, remove, pause, look.

    mq.schedules.add("report", Report, cron="0 8 * * *", tz="Europe/Berlin")

Entries are kept on the server, so that any scheduler fires them, also one that was started before they were added.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from minique.call import write_call
from minique.errors import UsageError
from minique.job import Enqueueable
from minique.job_class import job_class_of
from minique.schedule import LATEST_SECONDS, Entry
from minique.store import Recurring

if TYPE_CHECKING:
    from minique.client import Client, Handle

LONGEST_SLOT = math.nextafter(LATEST_SECONDS, 0.0)
"""With as many digits as a slot can have: a body that is not too large with it never is."""


class Kept(NamedTuple):
    """An entry as it stands on the server."""

    name: str
    entry: Entry | None
    """None when what stands there cannot be read."""
    definition: str
    cursor: float | None
    """The last slot that was fired or passed over; before the first one, when the entry began. Epoch seconds."""
    last_id: str
    """Of the job that was fired last; empty before the first."""
    last_at: float | None
    """When it was fired, in epoch seconds."""


class Synced(NamedTuple):
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]


class Schedules:
    def __init__(self, client: Client) -> None:
        self._client = client

    def add(
        self,
        name: str,
        kind: Enqueueable,
        /,
        *,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        cron: str = "",
        every: timedelta | float = 0.0,
        tz: str = "UTC",
        catch_up: str = "last",
        overlap: str = "allow",
        jitter: timedelta | float = 0.0,
        description: str = "",
    ) -> Entry:
        """Keep an entry under a name, in place of the one that had it; its first slot is the first after now.

        `cron` has five fields, six with seconds in front, or is one of @hourly, @daily and so on, and is read in the
        zone `tz`. `every` and `jitter` are timedeltas or seconds; slots of `every` are counted from the epoch, so that
        they stay the same across restarts and deploys. `catch_up` says what becomes of slots during which no scheduler
        ran: none, the last, or all. With `overlap="skip"` a slot is passed over while the job of the one before is
        unfinished.

        Raises BadSchedule, UsageError for options of `using` other than the queue, and WrongArguments or
        NotSerialisable as `enqueue` does.
        """
        job_class = job_class_of(kind)
        if job_class.options:
            names = ", ".join(option for option, _ in job_class.options)
            raise UsageError(
                f"entry {name!r}: a schedule does not keep {names} of single jobs; give them to the job class"
            )
        job_class.body(tuple(args), dict(kwargs or {}))
        entry = Entry(
            name=name,
            job=job_class.name,
            cron=cron,
            every_seconds=_seconds(every),
            queue=job_class.queue,
            args=tuple(args),
            kwargs=dict(kwargs or {}),
            tz=tz,
            catch_up=catch_up,
            overlap=overlap,
            jitter_seconds=_seconds(jitter),
            description=description,
        )
        self.put(entry)
        return entry

    def put(self, entry: Entry) -> bool:
        """Keep an entry as it is; False when it stands there already. With another timetable it begins anew."""
        if not entry.queue:
            raise UsageError(f"entry {entry.name!r} names no queue: give it one, or import its job class")
        write_call(entry.job, entry.args, entry.kwargs, LONGEST_SLOT)  # raises for what no scheduler could fire
        before = self.get(entry.name)
        restart = before is not None and (before.entry is None or not _same_course(before.entry, entry))
        client = self._client
        return client.store.schedule(client.clock.stamp(), entry.name, entry.to_json(), restart)

    def remove(self, name: str) -> bool:
        """Forget an entry; jobs that it has made stay. False: there is none of that name."""
        client = self._client
        return client.store.schedule(client.clock.stamp(), name, "")

    def pause(self, name: str) -> bool:
        """Fire no slot of this entry until it is resumed. False: it was so already. Raises UsageError without it."""
        return self.put(replace(self._entry(name), paused=True))

    def resume(self, name: str) -> bool:
        """The end of a pause; slots that fell into it are given up. False: there was none."""
        return self.put(replace(self._entry(name), paused=False))

    def run(self, name: str) -> Handle[Any]:
        """Enqueue the entry's job now, beside its slots: no cursor moves."""
        entry, client = self._entry(name), self._client
        handle = client.job(client.new_id())
        body = write_call(entry.job, entry.args, entry.kwargs)
        client.store.enqueue(client.clock.stamp(), entry.queue, ((handle.id, body),))
        return handle

    def get(self, name: str) -> Kept | None:
        """The entry of that name, or None."""
        return next((kept for kept in self.list() if kept.name == name), None)

    def list(self) -> list[Kept]:
        """All entries, by name."""
        return kept_of(self._client.store.agenda(self._client.clock.stamp()))

    def sync(self, entries: Iterable[Entry]) -> Synced:
        """Make the entries that came from a file be these, and leave all others alone.

        What a person paused stays paused. Raises UsageError, before anything is changed, for a name that was given to
        an entry from elsewhere.
        """
        wanted = {entry.name: replace(entry, source="file") for entry in entries}
        known = {kept.name: kept for kept in self.list()}
        for name in wanted:
            there = known.get(name)
            if there is not None and there.entry is not None and there.entry.source != "file":
                raise UsageError(
                    f"entry {name!r} was added by a program: remove that one, or rename the one in the file"
                )
        added: list[str] = []
        changed: list[str] = []
        for name, entry in wanted.items():
            there = known.get(name)
            if there is not None and there.entry is not None:
                entry = replace(entry, paused=there.entry.paused)
            if self.put(entry):
                (changed if name in known else added).append(name)
        gone = [
            name for name, kept in known.items() if kept.entry and kept.entry.source == "file" and name not in wanted
        ]
        for name in gone:
            self.remove(name)
        return Synced(tuple(added), tuple(changed), tuple(gone))

    def _entry(self, name: str) -> Entry:
        kept = self.get(name)
        if kept is None or kept.entry is None:
            names = ", ".join(one.name for one in self.list()) or "none"
            raise UsageError(f"there is no readable entry {name!r}; there are: {names}")
        return kept.entry


def kept_of(recurring: Recurring) -> list[Kept]:
    """The entries of an agenda, read."""
    found = []
    for row in recurring.entries or ():
        try:
            entry = Entry.from_json(row.definition)
        except UsageError:
            entry = None
        found.append(Kept(row.entry, entry, row.definition, row.cursor, row.last_id, row.last_at))
    return found


def _same_course(one: Entry, other: Entry) -> bool:
    """Whether the slots since the cursor are still the ones that were promised."""
    return one.same_timing(other) and one.paused == other.paused


def _seconds(value: timedelta | float) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else value
