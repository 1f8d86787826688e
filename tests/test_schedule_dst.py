"""Slots where clocks change: compared, zone by zone, with Debian's cron played minute by minute.

The oracle is written from the manual, cron(8): "Local time changes of less than three hours, such as those caused by
the start or end of Daylight Saving Time, are handled specially. This only applies to jobs that run at a specific time
and jobs that are run with a granularity greater than one hour. [...] If time has moved forward, those jobs that would
have run in the interval that has been skipped will be run immediately. Conversely, if time has moved backward, care is
taken to avoid running jobs twice. Time changes of more than 3 hours are considered to be corrections to the clock or
timezone, and the new time is used immediately." It leaves a change of exactly three hours open; here that is special.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo, available_timezones

import pytest

from minique.schedule import Entry

EPOCH = datetime(1970, 1, 1)
FIRST_YEAR, LAST_YEAR = 1970, 2038
HOUR, DAY = 3600, 86_400
THREE_HOURS_IN_MINUTES = 180
WITHIN_A_MINUTE = (63_593_070,)
"""Since 1970 one change alone was not at the beginning of a minute: Monrovia's, in January 1972."""
ODD_ZONES = (
    "Australia/Lord_Howe",  # half an hour
    "Antarctica/Troll",  # two hours
    "Antarctica/Casey",  # three hours, and not at a full hour
    "Antarctica/Vostok",  # seven hours: a correction
    "Pacific/Apia",  # no 30 December 2011
    "Pacific/Kwajalein",  # no 21 August 1993
    "Africa/Casablanca",  # summer time ends for Ramadan
    "America/Sao_Paulo",  # midnight was skipped
    "America/Havana",  # midnight comes twice
    "Asia/Beirut",
    "Asia/Pyongyang",
    "Asia/Kathmandu",
    "America/St_Johns",  # at one minute past midnight, for years
    "Europe/Dublin",  # summer is the standard
)


# The oracle.


def numbers(field: str, low: int, high: int) -> frozenset[int]:
    """The numbers of one field, by crontab(5): lists of `*`, numbers and ranges, each with a step or without."""
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        if span == "*":
            first, last = low, high
        else:
            ends = [int(end) for end in span.split("-")]
            first, last = ends[0], ends[-1] if len(ends) > 1 or not step else high
        found.update(range(first, last + 1, int(step or 1)))
    return frozenset(found)


class Crontab:
    """Five fields, and whether a time on the wall matches them."""

    def __init__(self, expression: str) -> None:
        minute, hour, day, month, weekday = expression.split()
        self.minutes, self.hours = numbers(minute, 0, 59), numbers(hour, 0, 23)
        self.days, self.months = numbers(day, 1, 31), numbers(month, 1, 12)
        self.weekdays = frozenset(one % 7 for one in numbers(weekday, 0, 7))
        self.both = day.startswith("*") or weekday.startswith("*")
        self.is_wildcard = minute.startswith("*") or hour.startswith("*")

    def matches(self, wall: int) -> bool:
        """`wall` counts minutes since 1970 as clocks on the wall do."""
        if wall % 60 not in self.minutes or wall // 60 % 24 not in self.hours:
            return False
        today = EPOCH + timedelta(minutes=wall)
        is_day, is_weekday = today.day in self.days, today.isoweekday() % 7 in self.weekdays
        return today.month in self.months and (is_day and is_weekday if self.both else is_day or is_weekday)


def walls(zone: ZoneInfo, start: int, end: int) -> Iterator[tuple[int, int]]:
    """(moment, minute on the wall) for every minute of [start, end)."""
    for moment in range(start, end, 60):
        local = datetime.fromtimestamp(moment, UTC).astimezone(zone)
        yield moment, (local.replace(tzinfo=None) - EPOCH) // timedelta(minutes=1)


def debian(crontab: Crontab, minutes: list[tuple[int, int]]) -> list[int]:
    """The moments at which cron runs a job, as it lives through these minutes one after the other."""
    ran: list[int] = []
    done_until = minutes[0][1] - 1  # the latest minute on the wall whose fixed-time jobs have run
    for moment, wall in minutes:
        moved = wall - done_until - 1
        if crontab.is_wildcard:
            if crontab.matches(wall):
                ran.append(moment)
        elif abs(moved) > THREE_HOURS_IN_MINUTES:
            done_until = wall
            if crontab.matches(wall):
                ran.append(moment)
        elif moved >= 0:
            if any(crontab.matches(one) for one in range(done_until + 1, wall + 1)):
                ran.append(moment)
            done_until = wall
    return ran


# Where to look.


def changes(zone: ZoneInfo, start: int, end: int, step: int = 6 * HOUR) -> Iterator[int]:
    """The moments in (start, end] at which the zone's offset changes."""

    def offset(moment: int) -> timedelta | None:
        return datetime.fromtimestamp(moment, UTC).astimezone(zone).utcoffset()

    for low in range(start, end, step):
        high = min(low + step, end)
        if offset(low) != offset(high):
            before = offset(low)
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(middle) == before else (low, middle)
            yield high


@cache
def year_start(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp())


def chance(*words: object) -> int:
    return int.from_bytes(hashlib.sha256(repr(words).encode()).digest()[:6], "big")


def expressions(zone: ZoneInfo, change: int) -> list[str]:
    """Entries whose times lie around this change, where mistakes would be, and some that are everyday."""
    old = datetime.fromtimestamp(change - 60, UTC).astimezone(zone)
    new = datetime.fromtimestamp(change, UTC).astimezone(zone)
    near = sorted({(one.hour + by) % 24 for one in (old, new) for by in (-1, 0, 1)})
    hours = ",".join(str(hour) for hour in near)
    inside = (min(old.replace(tzinfo=None), new.replace(tzinfo=None)) + timedelta(minutes=15)).time()
    return [
        f"{inside.minute} {inside.hour} * * *",
        f"0,17,30,59 {hours} * * *",
        f"*/10 {hours} * * *",
        f"*/25 {new.hour} * * *",
        f"5-55/25 {old.hour},{new.hour} * * {new.isoweekday()}",
        f"{new.minute} {new.hour} {new.day} * *",
        f"0 {near[0]} {old.day} {old.month} {old.isoweekday() % 7}",
        "0 * * * *",
        "*/30 * * * *",
        "20 */2 * * *",
        "0 0 * * *",
        "30 2 * * *",
        "59 23 1-31 * *",
    ]


def differences(name: str, change: int, tried: list[str]) -> list[str]:
    """What `next_slot` says otherwise than cron does, from six hours before a change until thirty after it."""
    zone = ZoneInfo(name)
    start, end = change - 6 * HOUR, change + 30 * HOUR
    if change in WITHIN_A_MINUTE:
        return []  # cron knows no seconds; a story below tells what happens
    minutes = list(walls(zone, start, end))
    found = []
    for expression in tried:
        entry = Entry("an entry", "Job", cron=expression, tz=name)
        expected = debian(Crontab(expression), minutes)
        slots = []
        slot = entry.next_slot(start - 1)
        while slot is not None and slot < end:
            slots.append(int(slot))
            slot = entry.next_slot(slot)
        if slots != expected:
            wrong = sorted(set(slots) ^ set(expected))
            local = [f"{datetime.fromtimestamp(one, UTC).astimezone(zone)}" for one in wrong[:4]]
            found.append(f"{name} {expression!r}: {local} are wrong")
        for index in range(4):  # and from anywhere between, as a scheduler that starts then
            after = start + chance(name, change, expression, index) % (end - start)
            first = next((one for one in expected if one > after), None)
            answer = entry.next_slot(after)
            if (first is not None and answer != first) or (first is None and answer is not None and answer < end):
                found.append(f"{name} {expression!r} after {after}: {answer}, not {first}")
    return found


ZONES = sorted(name for name in available_timezones() if name not in ("localtime", "Factory"))


def test_every_zone_is_looked_at():
    assert len(ZONES) > 400
    assert set(ODD_ZONES) <= set(ZONES)


def test_slots_are_those_of_debian_cron_in_a_sample_of_changes_of_every_zone():
    found, looked_at = [], 0
    for name in ZONES:
        zone = ZoneInfo(name)
        years = sorted(range(FIRST_YEAR, LAST_YEAR), key=lambda year: chance(name, year))
        for year in years[:12]:
            there = list(changes(zone, year_start(year), year_start(year + 1)))
            if there:
                change = there[chance(name) % len(there)]
                tried = min(expressions(zone, change), key=lambda one: chance(name, one))
                found += differences(name, change, [tried])
                looked_at += 1
                break
    assert not found
    assert looked_at > 350


@pytest.mark.parametrize("name", ODD_ZONES)
def test_slots_are_those_of_debian_cron_in_odd_zones(name):
    zone = ZoneInfo(name)
    there = list(changes(zone, year_start(FIRST_YEAR), year_start(LAST_YEAR), DAY // 2))
    assert there
    shifts = {}
    for change in there:  # one of each size and hour, the latest; corrections among them
        before = datetime.fromtimestamp(change - 1, UTC).astimezone(zone).utcoffset()
        after = datetime.fromtimestamp(change, UTC).astimezone(zone)
        shifts[before, after.utcoffset(), after.hour] = change
    some = sorted(shifts.values())[-6:]
    assert not [text for change in some for text in differences(name, change, expressions(zone, change))]


def distinct(names: list[str]) -> list[str]:
    """One name of each zone: hundreds are links to others, and their data are the same bytes."""
    data = {}
    for name in names:
        files = [Path(root, name) for root in TZPATH]
        found = next((file for file in files if file.is_file()), None)
        data.setdefault(name if found is None else found.read_bytes(), name)
    return sorted(data.values())


@pytest.mark.soak
@pytest.mark.parametrize("part", range(8))
def test_slots_are_those_of_debian_cron_at_every_change_of_every_zone(part):
    found, looked_at = [], 0
    for name in distinct(ZONES)[part::8]:
        zone = ZoneInfo(name)
        there = list(changes(zone, year_start(FIRST_YEAR), year_start(LAST_YEAR), HOUR))
        # `next_slot` looks for changes once a day.
        assert all(later - earlier > DAY for earlier, later in pairwise(there)), name
        for change in there:
            tried = sorted(expressions(zone, change), key=lambda one: chance(name, change, one))[:5]
            found += differences(name, change, tried)
            looked_at += 1
    assert not found
    assert looked_at > 300


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


class TestTheRuleAsStories:
    """The same rule with its moments written out, so that a reader can check it without the oracle."""

    def slots(self, cron: str, tz: str, after: str, count: int) -> list[str]:
        entry, slot, found = Entry("an entry", "Job", cron=cron, tz=tz), at(after), []
        for _ in range(count):
            slot = entry.next_slot(slot)
            found.append(datetime.fromtimestamp(slot, UTC).astimezone(ZoneInfo(tz)).isoformat(" ", "minutes"))
        return found

    def test_a_fixed_time_that_is_skipped_fires_right_after_the_change(self):
        assert self.slots("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00Z", 2) == [
            "2026-03-29 03:00+02:00",
            "2026-03-30 02:30+02:00",
        ]

    def test_fixed_times_that_are_skipped_together_fire_once(self):
        assert self.slots("0,30 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00Z", 3) == [
            "2026-03-29 03:00+02:00",
            "2026-03-29 03:30+02:00",
            "2026-03-30 02:00+02:00",
        ]

    def test_a_fixed_time_that_comes_twice_fires_the_first_time(self):
        expected = ["2026-10-25 02:30+02:00", "2026-10-26 02:30+01:00"]
        assert self.slots("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00Z", 2) == expected
        assert self.slots("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10Z", 1) == expected[1:]

    def test_an_hourly_entry_follows_elapsed_time(self):
        assert self.slots("0 * * * *", "Europe/Berlin", "2026-10-24T23:30Z", 3) == [
            "2026-10-25 02:00+02:00",
            "2026-10-25 02:00+01:00",
            "2026-10-25 03:00+01:00",
        ]
        assert self.slots("0 * * * *", "Europe/Berlin", "2026-03-28T23:30Z", 3) == [
            "2026-03-29 01:00+01:00",
            "2026-03-29 03:00+02:00",
            "2026-03-29 04:00+02:00",
        ]

    def test_half_an_hour_of_lord_howe_moves_nothing_else(self):
        assert self.slots("*/15 3 * * *", "Australia/Lord_Howe", "2026-10-03T14:00Z", 2) == [
            "2026-10-04 03:00+11:00",
            "2026-10-04 03:15+11:00",
        ]
        assert self.slots("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T14:00Z", 1) == ["2026-10-04 02:30+11:00"]

    def test_a_midnight_that_does_not_exist_moves_to_one_o_clock(self):
        assert self.slots("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00Z", 2) == [
            "2018-11-04 01:00-02:00",
            "2018-11-05 00:00-02:00",
        ]

    def test_a_wildcard_entry_of_a_midnight_that_does_not_exist_has_no_slot_that_day(self):
        assert self.slots("*/30 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00Z", 1) == ["2018-11-05 00:00-02:00"]

    def test_a_day_that_does_not_exist_has_no_slots(self):
        assert self.slots("0 8 * * *", "Pacific/Apia", "2011-12-29T12:00Z", 2) == [
            "2011-12-29 08:00-10:00",
            "2011-12-31 08:00+14:00",
        ]

    def test_a_change_within_a_minute_is_where_the_skipped_fire(self):
        entry = Entry("an entry", "Job", cron="30 0 * * *", tz="Africa/Monrovia")
        assert entry.next_slot(WITHIN_A_MINUTE[0] - 1) == WITHIN_A_MINUTE[0]
        assert entry.next_slot(WITHIN_A_MINUTE[0]) == at("1972-01-08T00:30Z")

    def test_a_field_of_seconds_changes_nothing_of_the_rule(self):
        assert self.slots("0 30 2 * * *", "Europe/Berlin", "2026-03-28T12:00Z", 1) == ["2026-03-29 03:00+02:00"]
        assert self.slots("0 30 2 * * *", "Europe/Berlin", "2026-10-25T01:10Z", 1) == ["2026-10-26 02:30+01:00"]
