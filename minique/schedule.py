"""Recurring jobs: an entry says which job at which times; here is when those times, its slots, are.

Nothing here looks at a clock or at a server: a moment goes in, slots come out, in epoch seconds. Any number of
schedulers that ask the same question get the same answer, which is what lets each slot fire once.

**Clock changes follow Debian's cron**, cron(8): a *fixed-time* entry (neither minute nor hour begins with `*`) whose
time is skipped fires right after the change, and one whose time comes twice fires the first time only; so once a day,
every day. A *wildcard* entry follows elapsed time: it has no slot in an hour that is skipped, and has slots in both
of an hour that comes twice. A change of more than three hours is a correction of the zone (Apia had no 30 December
2011): the new time counts at once, nothing is moved, nothing is held back.

Two additions where cron says nothing: a sixth field, seconds, stands first and makes an entry a wildcard one when it
begins with `*`; and day-of-month takes `L` (last day) and `LW` (last weekday), day-of-week `5L` and `1#2`.

What is not promised: a time zone database that changes its mind about the future moves the slots of the future.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from minique.call import PAYLOAD_LIMIT_BYTES, check_value, is_number
from minique.errors import BadName, NotSerialisable, UsageError
from minique.subscription import check_queue_name

DAY_SECONDS = 86_400
CORRECTION_SECONDS = 3 * 3600
"""A change of the clocks by more than this is a correction, by cron(8), and moves nothing."""
HORIZON_SECONDS = 10 * 366 * DAY_SECONDS
"""How far ahead a slot is looked for: 29 February is at most 8 years away, across 2100."""
LATE_SECONDS = 60
"""With `catch_up: none`, a slot later than this is not fired any more."""
DUE_LIMIT = 100
"""How many slots `due_slots` answers at a time, so that years of missed minutes come in batches."""
SHORTEST_SECONDS = 1.0
LATEST_SECONDS = 200_000_000_000.0
"""The year 8307; beyond it there are no slots, so that no date is beyond what dates can hold."""

CATCH_UP = ("none", "last", "all")
OVERLAP = ("allow", "skip")
ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS = (
    ("second", "0 to 59"),
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of the month", "1 to 31, L for the last day, LW for the last weekday"),
    ("month", "1 to 12, or JAN to DEC"),
    (
        "day of the week",
        "0 to 7 (0 and 7 are Sunday), or SUN to SAT, 5L for the last Friday, 1#2 for the second Monday",
    ),
)
_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_CRON_LIMIT = 500
_TEXT_LIMIT = 200
_DESCRIPTION_LIMIT = 10_000
_JSON_LIMIT = PAYLOAD_LIMIT_BYTES + 64 * 1024


class BadSchedule(UsageError, ValueError):
    """An entry or a schedule file that makes no sense; `problems` has one message for each fault found."""

    def __init__(self, message: str, problems: tuple[str, ...] = (), about: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems or (message,)
        self.about = about
        """For each problem of an entry the attribute that is at fault; empty where the problems are not an entry's."""


@dataclass(frozen=True)
class Firing:
    """A slot as people read it."""

    slot: float
    """Epoch seconds."""
    local: str
    """Date, time and offset in the entry's zone: `2026-10-25 02:30:00 +02:00`."""
    note: str = ""
    """What the change of the clocks does to it; empty for most."""


@dataclass(frozen=True)
class Entry:
    """A recurring job. Raises BadSchedule, with the remedy, for what makes no sense."""

    name: str
    job: str
    """The name of a job class; whether there is one is not known here."""
    cron: str = ""
    """Five fields, or six with seconds first, or `@daily` and friends. Exactly one of cron and every_seconds is set."""
    every_seconds: float = 0.0
    """Slots are the multiples of this, counted from the epoch: the same on every machine, after every restart."""
    queue: str = ""
    """Empty: the job class's own."""
    args: tuple[Any, ...] = field(default=(), hash=False)
    kwargs: Mapping[str, Any] = field(default_factory=dict, hash=False)
    tz: str = "UTC"
    catch_up: str = "last"
    """What is fired of the slots that passed while no scheduler ran: `none`, the `last`, or `all`."""
    overlap: str = "allow"
    """Whether a slot fires while the job of an earlier one is not done: `allow`, or `skip` the new one."""
    jitter_seconds: float = 0.0
    """A slot fires up to this much later than planned; how much depends on nothing but name and slot."""
    description: str = ""
    paused: bool = False
    source: str = ""
    """`file` when it came from a schedule file."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not 0 < len(self.name) <= _TEXT_LIMIT or not self.name.isprintable():
            raise BadSchedule(f"{_short(self.name)} cannot name an entry: use 1 to {_TEXT_LIMIT} printable characters")
        faults: list[BadSchedule] = []
        for check in (
            self._check_text,
            self._check_job_and_queue,
            self._check_choices,
            self._check_arguments,
            self._check_zone,
            self._check_times,
        ):
            try:
                check()
            except BadSchedule as fault:
                faults.append(fault)
                if check == self._check_text:
                    break  # the others take text for granted
        if faults:
            raise BadSchedule(
                "\n".join(map(str, faults)),
                tuple(one for fault in faults for one in fault.problems),
                tuple(one for fault in faults for one in fault.about),
            )

    def _check_text(self) -> None:
        for attribute in ("job", "cron", "queue", "tz", "catch_up", "overlap", "description", "source"):
            value = getattr(self, attribute)
            if not isinstance(value, str):
                raise self._bad(attribute, f"{attribute} is {_short(value)}; it must be text")
            if not value.isascii() and not _is_text(value):
                raise self._bad(attribute, f"{attribute} has half a surrogate pair, which is no text: mend it")
        if len(self.description) > _DESCRIPTION_LIMIT:
            count = len(self.description)
            raise self._bad("description", f"it has {count:,} characters; the limit is {_DESCRIPTION_LIMIT:,}")

    def _check_job_and_queue(self) -> None:
        if not self.job or len(self.job) > _TEXT_LIMIT or not self.job.isprintable() or " " in self.job:
            remedy = "give the name of a job class, visible characters without spaces"
            raise self._bad("job", f"job is {_short(self.job)}; {remedy}")
        if len(self.queue) > _TEXT_LIMIT:
            raise self._bad("queue", f"queue is {_short(self.queue)}, longer than the name of a queue can be")
        if self.queue:
            try:
                check_queue_name(self.queue)
            except BadName as error:
                raise self._bad("queue", str(error)) from None

    def _check_choices(self) -> None:
        for attribute, allowed in (("catch_up", CATCH_UP), ("overlap", OVERLAP)):
            if getattr(self, attribute) not in allowed:
                value = _short(getattr(self, attribute))
                raise self._bad(attribute, f"{attribute} is {value}; write {', '.join(allowed[:-1])} or {allowed[-1]}")
        if not isinstance(self.paused, bool):
            raise self._bad("paused", f"paused is {_short(self.paused)}; write true or false")

    def _bad(self, about: str, what: str) -> BadSchedule:
        return BadSchedule(f"entry {self.name!r}: {what}", about=(about,))

    def _check_arguments(self) -> None:
        if not isinstance(self.args, (list, tuple)):
            raise self._bad("args", f"args is {_short(self.args)}; pass a list or a tuple")
        if not isinstance(self.kwargs, Mapping):
            raise self._bad("kwargs", f"kwargs is {_short(self.kwargs)}; pass a mapping of names to values")
        kwargs = dict(self.kwargs)
        try:
            check_value(self.args, "args")
            check_value(kwargs, "kwargs")
            text = json.dumps([list(self.args), kwargs], allow_nan=False, ensure_ascii=False)
            for key in kwargs:
                key.encode()
            # Read back: nothing outside can change an entry afterwards, and it equals what a server will give back.
            args, kwargs = json.loads(text)
        except NotSerialisable as error:
            raise self._bad("args", str(error)) from None
        except (ValueError, TypeError, RecursionError) as error:
            raise self._bad("args", f"the arguments cannot be written as JSON: {error}") from None
        if len(text.encode()) > PAYLOAD_LIMIT_BYTES:
            what = f"the arguments take more than {PAYLOAD_LIMIT_BYTES:,} bytes as JSON"
            raise self._bad("args", f"{what}: store them elsewhere and pass where they are")
        object.__setattr__(self, "args", tuple(args))
        object.__setattr__(self, "kwargs", kwargs)

    def _check_zone(self) -> None:
        if _zone(self.tz) is None:
            near = _near(self.tz.rsplit("/", 1)[-1], {name.rsplit("/", 1)[-1]: name for name in available_timezones()})
            raise self._bad(
                "tz",
                f"there is no time zone {_short(self.tz)}; "
                + (f"did you mean {near}?" if near else "write a name like Europe/Berlin or UTC"),
            )

    def _check_times(self) -> None:
        for attribute in ("every_seconds", "jitter_seconds"):
            value = getattr(self, attribute)
            if not is_number(value) or value < 0:
                raise self._bad(attribute, f"{attribute} is {_short(value)}; pass a number of seconds")
            object.__setattr__(self, attribute, float(value))
        if bool(self.cron.strip()) == bool(self.every_seconds):
            found = "both cron and every are given" if self.every_seconds else "neither cron nor every is given"
            raise self._bad("cron", f'{found}; write one of them: cron: "0 8 * * *", or every: 30m')
        if self.every_seconds:
            if not SHORTEST_SECONDS <= self.every_seconds <= HORIZON_SECONDS:
                raise self._bad(
                    "every_seconds", f"every is {self.every_seconds:g} seconds; it can be 1 second to ten years"
                )
        else:
            object.__setattr__(self, "cron", " ".join(self.cron.split()))
            try:
                _check_cron(self.cron)
            except BadSchedule as error:
                raise self._bad("cron", str(error)) from None
        if self.jitter_seconds:
            gap = self.every_seconds or _shortest_gap(self._fields)
            if self.jitter_seconds > gap:
                raise self._bad(
                    "jitter_seconds",
                    f"jitter is {self.jitter_seconds:g} seconds, longer than the {gap:g} seconds that can be between "
                    f"two slots: at most {gap:g}, so that they fire in their order",
                )

    # When.

    def next_slot(self, after: float) -> float | None:
        """The first slot strictly after a moment, both in epoch seconds; None when none comes within ten years.

        Slots are looked for from 1970 on. Raises UsageError for a moment that is no number.
        """
        if not is_number(after):
            raise UsageError(f"{after!r} is no moment: pass epoch seconds")
        slot = self._next(after)
        return None if slot is None or slot > max(after, 0.0) + HORIZON_SECONDS else slot

    def _next(self, after: float) -> float | None:
        """The same without a horizon of ours; cronsim gives up after fifty years."""
        after = max(float(after), -1.0)
        if after > LATEST_SECONDS:
            return None
        if not self.every_seconds:
            return _next_by_cron(self._fields, _zone(self.tz) or UTC, after)
        count = math.floor(after / self.every_seconds) - 1  # less one: the division may have rounded upwards
        while (slot := count * self.every_seconds) <= after:
            count += 1
        return slot

    def last_slot(self, after: float, until: float) -> float | None:
        """The latest slot in (after, until], or None.

        "Its next slot is not after `until`" holds for every moment before that slot and for none from it on. So the
        slot is found by halving, in some thirty steps, and nothing between is counted, however far back `after` is.
        """
        low, high = max(after, -1.0), until
        slot = self._next(low)
        if slot is None or slot > until:
            return None
        reach = 1.0
        while reach < high - low:  # most entries have a slot near the end: look there before halving the whole
            near = self._next(until - reach)
            if near is not None and near <= until:
                slot = near
                break
            high, reach = until - reach, reach * 4
        while (later := self._next(slot)) is not None and later <= until:
            slot = later
            middle = (slot + high) / 2
            later = self._next(middle)
            if later is not None and later <= until:
                slot = later
            else:
                high = middle
        return slot

    def fire_at(self, slot: float) -> float:
        """When a slot's job is to be enqueued: 0 to less than jitter_seconds after the slot, in whole milliseconds."""
        if not self.jitter_seconds:
            return slot
        digest = hashlib.sha256(f"{self.name}\0{float(slot)!r}".encode()).digest()
        part = int.from_bytes(digest[:6], "big") / 2**48
        return slot + math.floor(part * self.jitter_seconds * 1000) / 1000

    def due_slots(
        self, after: float, now: float, late_seconds: float = LATE_SECONDS, limit: int = DUE_LIMIT
    ) -> list[float]:
        """The slots in (after, now] that are to be fired now, oldest first, as `catch_up` says.

        `all`: every one, the oldest `limit` of them. `last`: the latest alone. `none`: the latest, unless it is more
        than `late_seconds` late. A slot whose jitter has not passed is not due yet. `after` may be years ago.
        """
        if self.catch_up == "all":
            found: list[float] = []
            slot = self.next_slot(after)
            while slot is not None and self.fire_at(slot) <= now and len(found) < limit:
                found.append(slot)
                slot = self.next_slot(slot)
            return found
        latest = self.last_due(after, now)
        if latest is None or limit < 1:
            return []
        if self.catch_up == "none" and now - self.fire_at(latest) > late_seconds:
            return []
        return [latest]

    def last_due(self, after: float, now: float) -> float | None:
        """The latest slot in (after, now] whose jitter has passed, or None: where a cursor stands once all is done."""
        latest = self.last_slot(after, now)
        while latest is not None and self.fire_at(latest) > now:
            latest = self.last_slot(after, math.nextafter(latest, -math.inf))
        return latest

    def same_timing(self, other: Entry) -> bool:
        """Whether both have the same slots by their text, so that one can take over where the other stands."""
        return (self._fields, self.every_seconds, self.tz) == (other._fields, other.every_seconds, other.tz)

    @property
    def _fields(self) -> str:
        return _six_fields(self.cron)

    # As JSON.

    def to_json(self) -> str:
        """This entry as JSON, the same text for equal entries."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Entry:
        """Read what `to_json` wrote. Raises BadSchedule, whatever somebody else wrote there."""
        if not isinstance(text, str) or len(text) > _JSON_LIMIT:
            raise BadSchedule(f"an entry is JSON of at most {_JSON_LIMIT:,} characters, and this is not")
        try:
            found = json.loads(text, object_pairs_hook=_no_twins)
        except (ValueError, RecursionError) as error:
            raise BadSchedule(f"the entry is not JSON: {error}") from None
        if not isinstance(found, dict):
            raise BadSchedule(f"the entry is a JSON {type(found).__name__}, not an object")
        known = [one.name for one in fields(cls)]
        for key in found:
            if key not in known:
                raise BadSchedule(
                    f"the entry has {_short(key)}, which this release does not know; known: {', '.join(known)}"
                )
        for key in ("name", "job"):
            if key not in found:
                raise BadSchedule(f"the entry has no {key}")
        if not isinstance(found.get("args", []), list):
            raise BadSchedule(f"entry {_short(found['name'])}: args is {_short(found['args'])}; it must be a list")
        return cls(**found)

    # For people.

    def in_words(self) -> str:
        """When it fires, in English; for unusual times, the expression itself."""
        words = (
            f"every {_span(self.every_seconds)}" if self.every_seconds else f"{_cron_words(self._fields)} in {self.tz}"
        )
        if "…" in words:
            words = f'by cron "{self.cron}" in {self.tz}'
        return words + (f", up to {_plural_span(self.jitter_seconds)} later" if self.jitter_seconds else "")

    def explain(self, now: float, count: int = 10) -> list[Firing]:
        """The next `count` slots and, if it lies beyond them, those around the zone's next change of the clocks.

        That change is looked for a year ahead. Each slot that it touches has a note saying how.
        """
        zone = _zone(self.tz) or UTC
        slots = self._slots(now, count)
        change = _first_change(zone, int(now), int(now) + 366 * DAY_SECONDS) if now < LATEST_SECONDS else None
        if change is not None and slots and slots[-1] <= change:
            before = self.last_slot(slots[-1], change - 1.0)
            around = [] if before is None else [before]
            slots += around + self._slots(slots[-1] if before is None else before, 2)
        found: list[Firing] = []
        earlier = now
        for slot in slots:
            local = (_EPOCH_UTC + timedelta(seconds=slot)).astimezone(zone)
            moment = local.isoformat(" ", "seconds" if slot == int(slot) else "milliseconds")
            found.append(Firing(slot, f"{moment[:-6]} {moment[-6:]}", self._note(zone, earlier, slot)))
            earlier = slot
        return found

    def _slots(self, after: float, count: int) -> list[float]:
        found: list[float] = []
        slot: float | None = after
        while len(found) < count and slot is not None:
            slot = self.next_slot(slot)
            if slot is not None:
                found.append(slot)
        return found

    def _note(self, zone: tzinfo, earlier: float, slot: float) -> str:
        """What a change of the clocks in (earlier, slot], or the coming one, means for this slot."""
        notes: list[str] = []
        moment = int(slot)
        fixed = bool(self.cron) and _is_fixed(self._fields)
        # Only the latest change between two slots is told; the earlier ones of a yearly entry touch no slot.
        change = None
        at = _first_change(zone, int(earlier), moment)
        while at is not None:
            change, at = at, _first_change(zone, at, moment)
        if change is not None:
            old, new = _offset(zone, change - 1), _offset(zone, change)
            was, is_now = _clock(change + old), _clock(change + new)
            shift = new - old
            way = "forward" if shift > 0 else "back"
            text = f"clocks went {way} {_plural_span(abs(shift))}, from {was} to {is_now}"
            wall = _first_match(self._fields, change + old) if fixed and shift > 0 else None
            if wall is None or wall >= change + new:
                notes.append(f"first after {text}")
            elif shift <= CORRECTION_SECONDS:
                notes.append(f"{_clock(wall)} does not exist that day, moved here: {text}")
            else:
                notes.append(f"{_day_and_clock(wall)} was skipped and is dropped: {text}, more than three hours")
        offset = _offset(zone, moment)
        recent = _first_change(zone, moment - DAY_SECONDS, moment)
        if recent is not None and moment + offset < recent + _offset(zone, recent - 1):
            notes.append(f"{_clock(moment + offset)} for the second time")
        coming = _first_change(zone, moment, moment + DAY_SECONDS)
        if coming is not None and moment + offset >= coming + _offset(zone, coming):
            here = _clock(moment + offset)
            once = fixed and offset - _offset(zone, coming) <= CORRECTION_SECONDS
            notes.append(
                f"{here} comes twice that day, fires the first time only" if once else f"{here} for the first time"
            )
        return "; ".join(notes)


# Zones: everything is asked of `utcoffset` at a moment, which is never ambiguous.


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo | None:
    """The zone of that name, or None."""
    if name == "UTC":
        return UTC  # also where the machine has no time zone database
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_+\-/]{0,99}", name) or name.startswith(("posix/", "right/")):
        return None
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        return None


def _offset(zone: tzinfo, moment: int) -> int:
    """Seconds by which the zone's clocks are ahead of UTC at that moment."""
    if zone is UTC:
        return 0
    offset = (_EPOCH_UTC + timedelta(seconds=moment)).astimezone(zone).utcoffset()
    return 0 if offset is None else offset // timedelta(seconds=1)


def _first_change(zone: tzinfo, after: int, until: int) -> int | None:
    """The first moment in (after, until] at which the zone's clocks change, or None.

    Looks once a day, then halves: no zone has changed twice within a day since 1970 (the tests look at them all).
    """
    if zone is UTC:
        return None
    low, offset = after, _offset(zone, after)
    while low < until:
        high = min(low + DAY_SECONDS, until)
        if _offset(zone, high) != offset:
            while high - low > 1:
                middle = (low + high) // 2
                if _offset(zone, middle) == offset:
                    low = middle
                else:
                    high = middle
            return high
        low = high
    return None


# Cron. The expression is matched against the digits on the wall, as if there were no zones; what the zone does is done
# here. (Left to do both, cronsim 2.8 misses slots after changes that are not whole hours, answers with slots that are
# past when asked within a repeated hour, moves what a missing day skipped, and was seen to search without end.)


def _six_fields(cron: str) -> str:
    """The expression with its alias replaced, seconds first, names in capitals."""
    parts = ALIASES.get(cron.lower(), cron).upper().split()
    return " ".join(["0", *parts] if len(parts) == 5 else parts)


@lru_cache(maxsize=1024)
def _check_cron(cron: str) -> None:
    if len(cron) > _CRON_LIMIT:
        raise BadSchedule(f"the cron expression has {len(cron):,} characters; the limit is {_CRON_LIMIT}")
    if cron.startswith("@") and cron.lower() not in ALIASES:
        raise BadSchedule(f"cron is {_short(cron)}; there are {', '.join(ALIASES)}")
    parts = _six_fields(cron).split()
    if len(parts) != 6:
        raise BadSchedule(
            f"cron is {_short(cron)}, {len(parts)} field{'s' * (len(parts) != 1)}; write five (minute, hour, day of "
            "the month, month, day of the week), or six with seconds first"
        )
    for position, (part, (kind, allowed)) in enumerate(zip(parts, _FIELDS, strict=True)):
        alone = ["*"] * 6
        alone[position] = part
        try:
            CronSim(" ".join(alone), _EPOCH)
        except (CronSimError, ValueError, AssertionError, TypeError):
            raise BadSchedule(
                f"cron is {_short(cron)}: the {kind} cannot be {_short(part)}; it holds {allowed}; also lists (1,3), "
                "ranges (1-5), steps (*/2) and *"
            ) from None
    try:
        never = _first_match(" ".join(parts), 30 * 365 * DAY_SECONDS) is None
    except CronSimError:
        never = True
    if never:
        raise BadSchedule(f"cron is {_short(cron)}: such a day never comes; check day of the month and month")


def _first_match(expression: str, wall: int) -> int | None:
    """The first time on the wall, at or after this one, that six fields match; both in seconds since 1970 there."""
    try:
        found = next(CronSim(expression, _EPOCH + timedelta(seconds=wall - 1)))
    except (StopIteration, OverflowError):
        return None
    return (found - _EPOCH) // timedelta(seconds=1)


def _is_fixed(expression: str) -> bool:
    """Whether this is a fixed-time entry, as cron(8) has it: a wildcard begins a field with `*`."""
    return not any(part.startswith("*") for part in expression.split()[:3])


def _next_by_cron(expression: str, zone: tzinfo, after: float) -> float | None:
    """The first slot strictly after a moment, walking from one change of the clocks to the next."""
    moment = math.floor(after)
    offset = _offset(zone, moment)
    wall = moment + 1 + offset  # the first time on the wall that was not looked at yet
    fixed = _is_fixed(expression)
    if fixed:
        # Where clocks went back a while ago, the fixed times up to the hour that they had shown have fired already.
        earlier = _first_change(zone, moment - CORRECTION_SECONDS, moment)
        if earlier is not None:
            shown = earlier + _offset(zone, earlier - 1)
            if shown - (earlier + offset) <= CORRECTION_SECONDS:
                wall = max(wall, shown)
    while True:
        match = _first_match(expression, wall)
        if match is None:
            return None
        change = _first_change(zone, moment, match - offset)
        if change is None:
            return float(match - offset)
        new = _offset(zone, change)
        shown, shift = change + offset, new - offset
        if not fixed or abs(shift) > CORRECTION_SECONDS:
            wall = change + new
        elif match < change + new:
            return float(change)  # skipped, hence moved
        else:
            wall = max(wall, shown)
        moment, offset = change, new


@lru_cache(maxsize=1024)
def _shortest_gap(expression: str) -> float:
    """The least number of seconds between two of the next 1,500 matches, a day of minutes or years of days."""
    walls = CronSim(expression, datetime(2023, 12, 31))
    gap, last = float(HORIZON_SECONDS), next(walls)
    for _ in range(1500):
        try:
            wall = next(walls)
        except StopIteration:
            break
        gap, last = min(gap, (wall - last).total_seconds()), wall
        if gap <= 1 or last.year > 2040:
            break
    return gap


# Words.

_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_UNITS = ((DAY_SECONDS, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def _span(seconds: float) -> str:
    """A duration after "every": `30 minutes`, `hour`, `1 hour 30 minutes`."""
    text = _plural_span(seconds)
    return text[2:] if text in {f"1 {unit}" for _, unit in _UNITS} else text


def _plural_span(seconds: float) -> str:
    parts, rest = [], round(seconds, 3)
    for size, unit in _UNITS:
        count = rest if unit == "second" else rest // size
        if count:
            parts.append(f"{count:g} {unit}{'s' * (count != 1)}")
            rest = round(rest - count * size, 3)
    return " ".join(parts) or "0 seconds"


def _clock(wall: int) -> str:
    moment = _EPOCH + timedelta(seconds=wall)
    return f"{moment:%H:%M:%S}" if moment.second else f"{moment:%H:%M}"


def _day_and_clock(wall: int) -> str:
    return f"{_EPOCH + timedelta(seconds=wall):%Y-%m-%d} {_clock(wall)}"


def _cron_words(expression: str) -> str:
    """Six fields in English; `…` stands for what has no common words."""
    second, minute, hour, *day_fields = expression.split()
    day = _day_words(*day_fields)
    times = _time_words(second, minute, hour)
    if day == "every day" and times.startswith("every"):
        return times
    return f"{times}, {day}" if times.startswith("every") else f"{day} {times}"


def _time_words(second: str, minute: str, hour: str) -> str:
    numbers = [_numbers(part) for part in (second, minute, hour)]
    if all(numbers):
        seconds, minutes, hours = numbers
        if len(seconds) * len(minutes) * len(hours) > 6:
            return "…"
        walls = sorted(h * 3600 + m * 60 + s for h in hours for m in minutes for s in seconds)
        return f"at {_listed([_clock(wall) for wall in walls])}"
    at_second = "" if second == "0" else f" at second {second}" if second.isdigit() else "…"
    if hour == "*":
        if minute == "*":
            step = _step(second)
            if second == "*" or step == 1:
                return "every second"
            if step:
                return f"every {step} seconds" if 60 % step == 0 else f"every {_nth(step)} second of each minute"
            return f"every minute{at_second}"
        if step := _step(minute):
            start = at_second or " at second 0"
            whole = f"every {_span(step * 60)}{at_second}"
            return whole if 60 % step == 0 else f"every {_nth(step)} minute of each hour,{start}"
        if minutes := numbers[1]:
            return (
                f"every hour at minute {_listed([str(one) for one in minutes])}{at_second}"
                if len(minutes) <= 6
                else "…"
            )
    if (step := _step(hour)) and minute.isdigit():
        whole = f"every {_span(step * 3600)}" if 24 % step == 0 else f"every {_nth(step)} hour of each day"
        return f"{whole} at minute {int(minute)}{at_second}"
    return "…"


def _day_words(day: str, month: str, weekday: str) -> str:
    if weekday == "*":
        if month == "*":
            if day == "*":
                return "every day"
            if day in ("L", "LW"):
                return f"on the last {'day' if day == 'L' else 'weekday'} of every month"
            if days := _numbers(day):
                return f"on the {_listed([_nth(one) for one in days])} of every month" if len(days) <= 6 else "…"
        elif day.isdigit() and (months := _numbers(month, _MONTHS)) and len(months) <= 6:
            return f"every year on {int(day)} {_listed([_MONTHS[one - 1] for one in months])}"
    elif day == "*" and month == "*":
        if weekday in ("1-5", "MON-FRI"):
            return "every weekday (Monday to Friday)"
        if names := _numbers(weekday, _DAYS, first=0):
            return f"every {_listed([_DAYS[one] for one in sorted({one % 7 for one in names})])}"
    return "…"


def _numbers(part: str, names: tuple[str, ...] = (), first: int = 1) -> list[int]:
    """The numbers of a list (`1,3`, `MON,THU`), in order; empty for any other form."""
    short = {name[:3].upper(): index + first for index, name in enumerate(names)}
    found = {short.get(one, int(one) if one.isdigit() else -1) for one in part.split(",")}
    return [] if -1 in found else sorted(found)


def _step(part: str) -> int:
    return int(part[2:]) if re.fullmatch(r"\*/[0-9]+", part) else 0


def _nth(number: int) -> str:
    ending = "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


# Small helpers of the checks.


def _short(value: object) -> str:
    """A value in a message: its repr, cut."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}…"


def _near(word: str, known: Mapping[str, str]) -> str:
    """Up to three of the known names that resemble a word, as text; empty when none does."""
    lower = {key.lower(): value for key, value in known.items()}
    return ", ".join(lower[key] for key in difflib.get_close_matches(word.lower(), sorted(lower), 3, 0.6))


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found
