"""Recurring entries: their slots, which of them are due, their text, and what is refused."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from minique.errors import UsageError
from minique.schedule import ALIASES, HORIZON_SECONDS, LATE_SECONDS, BadSchedule, Entry

NOW = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC
DAY = 86_400


def entry(**options):
    return Entry(**{"name": "report", "job": "Report", **options})


def cron(expression, **options):
    return entry(cron=expression, **options)


def utc(slot):
    return None if slot is None else datetime.fromtimestamp(slot, UTC).isoformat(" ")[:19]


def steps(one, after, until):
    """All slots in (after, until], one by one."""
    found = []
    slot = one.next_slot(after)
    while slot is not None and slot <= until:
        found.append(slot)
        slot = one.next_slot(slot)
    return found


CRONS = (
    "* * * * *",
    "*/5 * * * *",
    "0,15,40 * * * *",
    "30 2 * * *",
    "0 8 * * 1-5",
    "0 0 1 * *",
    "15 10 L * *",
    "0 12 13 * 5",
    "*/20 * * * * *",
    "5 30 1,2,3 * * *",
    "@hourly",
    "@weekly",
)
ZONES = ("UTC", "Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu")
moments = st.floats(1e8, 4e9) | st.integers(10**8, 4 * 10**9).map(float)
timetables = st.one_of(
    st.builds(cron, st.sampled_from(CRONS), tz=st.sampled_from(ZONES)),
    st.builds(lambda every: entry(every_seconds=every), st.sampled_from((1.0, 1.1, 7.0, 60.0, 90.5, 3600.0, 1e6 / 3))),
)


class TestSlots:
    @given(timetables, moments)
    def test_the_next_slot_is_after_the_moment_and_none_lies_between(self, one, after):
        slot = one.next_slot(after)
        assert slot is not None
        assert slot > after
        for part in (0.0, 0.3, 0.9, 0.999999):
            between = after + (slot - after) * part
            assert between >= slot or one.next_slot(between) == slot
        assert one.next_slot(math.nextafter(slot, 0)) == slot
        assert one.next_slot(slot) > slot

    @given(st.sampled_from(("*/20 * * * * *", "7 * * * * *", "0,30 5-10/2 * * * *", "*/7 */9 3 * * *")), moments)
    def test_seconds_are_the_seconds_of_the_clock(self, expression, after):
        second, minute, hour = expression.split()[:3]

        def holds(field, value, high):
            for part in field.split(","):
                span, _, step = part.partition("/")
                low, top = (0, high) if span == "*" else [int(end) for end in (span.split("-") * 2)[:2]]
                if low <= value <= top and (value - low) % int(step or 1) == 0:
                    return True
            return False

        slots = steps(cron(expression), after, after + 120)
        expected = []
        for at in range(math.floor(after) + 1, math.floor(after + 120) + 1):
            local = datetime.fromtimestamp(at, UTC)
            if holds(second, local.second, 59) and holds(minute, local.minute, 59) and holds(hour, local.hour, 23):
                expected.append(float(at))
        assert slots == expected

    def test_day_of_the_month_or_day_of_the_week_as_cron_has_it(self):
        assert [utc(slot) for slot in steps(cron("0 12 13 * 5"), NOW, NOW + 25 * DAY)] == [
            "2026-09-25 12:00:00",
            "2026-10-02 12:00:00",
            "2026-10-09 12:00:00",
            "2026-10-13 12:00:00",
            "2026-10-16 12:00:00",
        ]
        assert utc(cron("0 12 13 * */5").next_slot(NOW)) == "2026-11-13 12:00:00"  # a star: and

    @pytest.mark.parametrize("alias", ALIASES)
    def test_an_alias_is_its_five_fields(self, alias):
        assert cron(alias).same_timing(cron(ALIASES[alias]))
        assert cron(alias.upper()).next_slot(NOW) == cron(ALIASES[alias]).next_slot(NOW)

    def test_the_aliases_are_those_of_crontab(self):
        """NOW is a Monday in September, at 14:13."""
        next_ones = {alias: utc(cron(alias).next_slot(NOW))[:16] for alias in ALIASES}
        midnight, new_year = "2026-09-22 00:00", "2027-01-01 00:00"
        assert next_ones == {
            "@hourly": "2026-09-21 15:00",
            "@daily": midnight,
            "@midnight": midnight,
            "@weekly": "2026-09-27 00:00",
            "@monthly": "2026-10-01 00:00",
            "@yearly": new_year,
            "@annually": new_year,
        }

    def test_the_last_day_and_the_last_friday(self):
        assert utc(cron("0 0 L * *").next_slot(NOW)) == "2026-09-30 00:00:00"
        assert utc(cron("0 0 LW 10 *").next_slot(NOW)) == "2026-10-30 00:00:00"
        assert utc(cron("0 0 * * 5L").next_slot(NOW)) == "2026-09-25 00:00:00"
        assert utc(cron("0 0 * * 1#2").next_slot(NOW)) == "2026-10-12 00:00:00"

    def test_a_day_that_comes_every_eight_years_is_found_and_one_in_28_years_is_none(self):
        century = datetime(2096, 3, 1, tzinfo=UTC).timestamp()
        assert utc(cron("0 0 29 2 *").next_slot(century)) == "2104-02-29 00:00:00"
        sunday = cron("0 0 29 2 */7")
        assert utc(sunday.next_slot(datetime(2025, 1, 1, tzinfo=UTC).timestamp())) == "2032-02-29 00:00:00"
        assert sunday.next_slot(datetime(2032, 3, 1, tzinfo=UTC).timestamp()) is None
        assert utc(sunday.last_slot(0, NOW)) == "2004-02-29 00:00:00"

    @pytest.mark.parametrize("after", [math.nan, math.inf, "now", None, True])
    def test_what_is_no_moment_is_refused(self, after):
        with pytest.raises(UsageError, match="epoch seconds"):
            cron("* * * * *").next_slot(after)

    def test_moments_that_no_date_can_hold_have_no_slot(self):
        for one in (cron("@daily", tz="Europe/Berlin"), entry(every_seconds=60)):
            assert one.next_slot(1e300) is None
            assert one.next_slot(-1e300) in (-3600.0, 0.0, 82_800.0)


class TestEvery:
    @given(st.floats(1, 1e7) | st.sampled_from((1.0, 60.0, 3600.0, 1e6 / 3, 1.1)), moments)
    @example(1.1, 1_789_012_345.7)
    def test_slots_are_the_multiples_counted_from_the_epoch(self, every, after):
        slot = entry(every_seconds=every).next_slot(after)
        count = round(slot / every)
        assert slot == count * every
        assert (count - 1) * every <= after < slot

    def test_the_phase_does_not_depend_on_when_one_began_to_ask(self):
        one = entry(every_seconds=1800)
        assert {one.next_slot(NOW + by) % 1800 for by in range(0, 100_000, 777)} == {0}

    def test_it_knows_no_zones(self):
        zoned = entry(every_seconds=7200, tz="Europe/Berlin")
        assert steps(zoned, NOW, NOW + 60 * DAY) == steps(entry(every_seconds=7200), NOW, NOW + 60 * DAY)


class TestDue:
    @given(timetables, st.integers(1_700_000_000, 1_800_000_000), st.lists(st.floats(0, 4000), max_size=6))
    def test_cut_into_any_pieces_all_fires_every_slot_once(self, one, start, cuts):
        one = Entry(**{**vars(one), "catch_up": "all"})
        after, found = float(start), []
        for piece in cuts:
            due = one.due_slots(after, after + piece, limit=10_000)
            found += due
            after += piece
        assert found == steps(one, start, after)
        assert len(set(found)) == len(found)

    @given(timetables, st.integers(1_700_000_000, 1_800_000_000), st.floats(0, 40_000), st.floats(0, 600))
    def test_last_fires_the_latest_and_none_only_if_it_is_hardly_late(self, one, start, span, late):
        now = start + span
        expected = steps(one, start, now)[-1:]
        assert Entry(**{**vars(one), "catch_up": "last"}).due_slots(start, now) == expected
        in_time = [slot for slot in expected if now - slot <= late]
        assert Entry(**{**vars(one), "catch_up": "none"}).due_slots(start, now, late) == in_time

    @given(timetables, st.integers(1_700_000_000, 1_800_000_000), st.floats(0, 40_000))
    def test_the_last_slot_is_the_last_of_all(self, one, start, span):
        assert one.last_slot(start, start + span) == (steps(one, start, start + span) or [None])[-1]

    @given(st.sampled_from(CRONS), st.sampled_from(ZONES), moments, st.floats(0, 20 * 366 * DAY))
    def test_the_last_slot_of_many_years_is_one_that_none_follows(self, expression, zone, after, span):
        one = cron(expression, tz=zone)
        slot = one.last_slot(after, after + span)
        if slot is None:
            assert one.next_slot(after) > after + span
        else:
            assert after < slot <= after + span < one.next_slot(slot)

    def test_all_comes_in_batches_the_oldest_first(self):
        one = cron("* * * * *", catch_up="all")
        first = one.due_slots(NOW - 600, NOW, limit=4)
        assert first == steps(one, NOW - 600, NOW)[:4]
        assert one.due_slots(first[-1], NOW, limit=100) == steps(one, NOW - 600, NOW)[4:]

    def test_years_of_seconds_are_not_counted(self, monkeypatch):
        """Bounded by questions asked, not by a watch."""
        asked = []
        real = Entry._next
        monkeypatch.setattr(Entry, "_next", lambda self, after: asked.append(after) or real(self, after))
        for expression in ("* * * * * *", "0 8 * * *", "0 0 1 1 *", "7 3 1 * * *"):
            for policy in ("none", "last"):
                asked.clear()
                cron(expression, catch_up=policy).due_slots(0, NOW)
                assert len(asked) < 120

    def test_late_is_counted_from_when_it_should_have_fired(self):
        one = cron("0 8 * * *", catch_up="none")
        eight = one.next_slot(NOW)
        assert one.due_slots(NOW, eight + LATE_SECONDS) == [eight]
        assert one.due_slots(NOW, eight + LATE_SECONDS + 0.001) == []
        assert one.last_due(NOW, eight + DAY - 1) == eight

    def test_a_slot_is_not_due_before_its_jitter_has_passed(self):
        one = cron("0 * * * *", catch_up="all", jitter_seconds=1800)
        slot = one.next_slot(NOW)
        at = one.fire_at(slot)
        assert at > slot
        before = math.nextafter(at, 0)
        for policy in ("none", "last", "all"):
            same = Entry(**{**vars(one), "catch_up": policy})
            assert same.due_slots(slot - 1, before) == []
            assert same.due_slots(slot - 1, at) == [slot]
        assert one.last_due(slot - 3601, before) == slot - 3600
        busy = entry(every_seconds=60, jitter_seconds=60)
        waiting = next(slot for slot in steps(busy, NOW, NOW + 3600) if busy.fire_at(slot) > slot + 1)
        assert busy.last_due(NOW - 3600, waiting + 1) == waiting - 60

    def test_nothing_is_due_when_no_time_has_passed(self):
        for policy in ("none", "last", "all"):
            one = entry(every_seconds=1, catch_up=policy)
            assert one.due_slots(NOW, NOW) == []
            assert one.due_slots(NOW, NOW - 5) == []
            assert one.due_slots(NOW - 5, NOW, limit=0) == []


class TestJitter:
    @given(st.text(min_size=1, max_size=20).filter(str.isprintable), moments, st.floats(0.001, 3600))
    def test_it_is_less_than_it_may_be_and_never_early(self, name, after, jitter):
        one = cron("0 * * * *", name=name, jitter_seconds=jitter)
        slot = one.next_slot(after)
        assert slot <= one.fire_at(slot) < slot + jitter

    def test_all_schedulers_of_all_releases_agree(self):
        one = cron("0 * * * *", jitter_seconds=600)
        assert one.fire_at(1_790_001_000.0) == one.fire_at(1_790_001_000) == 1_790_001_000 + 532.584

    def test_it_spreads_entries_and_slots(self):
        delays = {round(cron("0 * * * *", name=f"n{n}", jitter_seconds=600).fire_at(NOW) - NOW) for n in range(200)}
        assert len(delays) > 100
        assert min(delays) < 60
        assert max(delays) > 540
        one = cron("0 * * * *", jitter_seconds=600)
        assert len({one.fire_at(NOW + hour * 3600) % 3600 for hour in range(50)}) == 50

    @given(timetables, st.integers(1_700_000_000, 1_800_000_000))
    def test_jittered_slots_fire_in_their_order(self, one, start):
        assume(not one.cron or one.tz == "UTC")
        gap = min(later - earlier for earlier, later in pairwise(one._slots(start, 30)))
        try:
            jittered = Entry(**{**vars(one), "jitter_seconds": gap})
        except BadSchedule:
            return  # somewhere else there is a shorter gap
        times = [jittered.fire_at(slot) for slot in jittered._slots(start, 30)]
        assert times == sorted(times)


class TestAsText:
    values = st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text("aé\n\0"),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
        max_leaves=8,
    )

    @given(
        st.builds(
            entry,
            name=st.text(min_size=1, max_size=200).filter(str.isprintable),
            cron=st.sampled_from(CRONS),
            queue=st.sampled_from(("", "high")),
            args=st.lists(values, max_size=3).map(tuple),
            kwargs=st.dictionaries(st.text("abc", min_size=1), values, max_size=3),
            tz=st.sampled_from(ZONES),
            catch_up=st.sampled_from(("none", "last", "all")),
            overlap=st.sampled_from(("allow", "skip")),
            jitter_seconds=st.floats(0, 1),
            description=st.text("aé\n"),
            paused=st.booleans(),
            source=st.sampled_from(("", "file")),
        )
    )
    def test_it_comes_back_equal_and_as_the_same_text(self, one):
        text = one.to_json()
        back = Entry.from_json(text)
        assert back == one
        assert back.to_json() == text
        assert hash(back) == hash(one)

    @given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
    @example("[" * 100_000)
    @example("1" * 10_000)
    @example('{"name":"a","job":"B","cron":"* * * * *","args":[NaN]}')
    @example('{"name":"a","name":"b","job":"B","cron":"* * * * *"}')
    @example('{"name":"a","job":"B","cron":"* * * * *","colour":1}')
    @example('{"name":"a","job":"B","cron":"* * * * *","args":"ab"}')
    @example('{"name":"a","job":"B","cron":"* * * * *","args":null}')
    @example('{"name":"a","cron":"* * * * *"}')
    def test_hostile_text_raises_that_and_nothing_else(self, text):
        with pytest.raises(BadSchedule):
            Entry.from_json(text)

    @given(
        st.sampled_from(
            ("name", "job", "cron", "every_seconds", "queue", "args", "kwargs", "tz", "catch_up", "paused")
        ),
        values | st.sampled_from(("\ud800", "../../etc/passwd", "/etc", "a" * 10_000, "9" * 5000, 10**400, -1)),
    )
    def test_hostile_values_raise_that_and_nothing_else(self, key, value):
        good = json.loads(cron("* * * * *").to_json())
        message = ""
        try:
            Entry.from_json(json.dumps({**good, key: value}))
        except BadSchedule as error:
            message = str(error)
        assert len(message) < 3000

    def test_equal_entries_have_the_same_text(self):
        one = cron("* * * * *", kwargs={"a": 1, "b": 2})
        other = cron("* * * * *", kwargs={"b": 2, "a": 1})
        assert one == other
        assert one.to_json() == other.to_json()

    def test_arguments_are_a_copy(self):
        inner = [1]
        one = cron("* * * * *", args=(inner,), kwargs={"a": inner})
        inner.append(2)
        assert one.args == ([1],)
        assert one.kwargs == {"a": [1]}

    def test_same_timing_is_about_slots_alone(self):
        assert cron("0 8 * * MON").same_timing(cron(" 0  8 * * mon ", description="x", jitter_seconds=3))
        assert not cron("0 8 * * *").same_timing(cron("0 8 * * *", tz="Europe/Berlin"))
        assert not cron("0 8 * * *").same_timing(cron("0 9 * * *"))
        assert not entry(every_seconds=60).same_timing(entry(every_seconds=61))


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({}, "neither cron nor every"),
            ({"cron": "* * * * *", "every_seconds": 5}, "both cron and every"),
            ({"cron": "0 25 * * *"}, "the hour cannot be '25'; it holds 0 to 23"),
            ({"cron": "60 * * * *"}, "the minute cannot be"),
            ({"cron": "61 * * * * *"}, "the second cannot be"),
            ({"cron": "0 0 32 * *"}, "the day of the month cannot be"),
            ({"cron": "0 0 * 13 *"}, "the month cannot be '13'; it holds 1 to 12, or JAN to DEC"),
            ({"cron": "0 0 * * 8"}, "the day of the week cannot be"),
            ({"cron": "0 0 * * 5-1"}, "the day of the week cannot be '5-1'"),
            ({"cron": "0 0 30 2 *"}, "never comes"),
            ({"cron": "0 0 31 4,6 *"}, "never comes"),
            ({"cron": "* * * *"}, "4 fields; write five"),
            ({"cron": "@dayly"}, "there are @hourly, @daily"),
            ({"cron": "9" * 450 + " * * * *"}, "the minute cannot be"),
            ({"cron": "* " * 600}, "the limit is 500"),
            ({"cron": "²/0 * * * *"}, "the minute cannot be"),
            ({"cron": "* * * * *", "tz": "Europe/Berln"}, "did you mean Europe/Berlin"),
            ({"cron": "* * * * *", "tz": "Berlin"}, "did you mean Europe/Berlin"),
            ({"cron": "* * * * *", "tz": "../../etc/passwd"}, "there is no time zone"),
            ({"cron": "* * * * *", "tz": "right/Europe/Berlin"}, "there is no time zone"),
            ({"cron": "* * * * *", "tz": ""}, "there is no time zone"),
            ({"every_seconds": 0.5}, "1 second to ten years"),
            ({"every_seconds": -5}, "pass a number of seconds"),
            ({"every_seconds": True}, "pass a number of seconds"),
            ({"every_seconds": HORIZON_SECONDS + 1}, "1 second to ten years"),
            ({"cron": "* * * * *", "jitter_seconds": 61}, "at most 60"),
            ({"cron": "0 8,9 * * *", "jitter_seconds": 3601}, "at most 3600"),
            ({"every_seconds": 60, "jitter_seconds": 61}, "at most 60"),
            ({"cron": "* * * * *", "catch_up": "some"}, "write none, last or all"),
            ({"cron": "* * * * *", "overlap": "yes"}, "write allow or skip"),
            ({"cron": "* * * * *", "queue": "a b"}, "name of a queue"),
            ({"cron": "* * * * *", "job": "a b"}, "name of a job class"),
            ({"cron": "* * * * *", "name": "a\nb"}, "printable"),
            ({"cron": "* * * * *", "name": ""}, "1 to 200"),
            ({"cron": "* * * * *", "name": "a" * 201}, "1 to 200"),
            ({"cron": "* * * * *", "paused": 1}, "true or false"),
            ({"cron": "* * * * *", "args": "abc"}, "a list or a tuple"),
            ({"cron": "* * * * *", "args": (object(),)}, "JSON cannot hold"),
            ({"cron": "* * * * *", "args": (math.nan,)}, "JSON cannot hold"),
            ({"cron": "* * * * *", "args": (10**5000,)}, "cannot be written as JSON"),
            ({"cron": "* * * * *", "args": ("a" * 600_000,)}, "store them elsewhere"),
            ({"cron": "* * * * *", "kwargs": {1: 2}}, "only text keys"),
            ({"cron": 5}, "it must be text"),
        ],
    )
    def test_it_says_what_and_what_instead(self, options, words):
        with pytest.raises(BadSchedule) as raised:
            entry(**options)
        assert words in str(raised.value)
        assert "report" in str(raised.value) or "name" in options

    def test_all_that_is_wrong_is_said_at_once(self):
        with pytest.raises(BadSchedule) as raised:
            entry(cron="0 25 * * *", tz="Nowhere/Town", queue="a b", catch_up="some")
        assert raised.value.about == ("queue", "catch_up", "tz", "cron")
        assert len(raised.value.problems) == 4

    def test_a_jitter_as_long_as_the_gap_is_fine(self):
        assert cron("0 8,9 * * *", jitter_seconds=3600).jitter_seconds == 3600
        assert cron("0 8 * * 1", jitter_seconds=7 * DAY).jitter_seconds == 7 * DAY


class TestWords:
    @pytest.mark.parametrize(
        ("expression", "words"),
        [
            ("0 8 * * *", "every day at 08:00 in UTC"),
            ("0 8,20 * * 1-5", "every weekday (Monday to Friday) at 08:00 and 20:00 in UTC"),
            ("30 6 * * mon,4", "every Monday and Thursday at 06:30 in UTC"),
            ("0 0 * * 0,7", "every Sunday at 00:00 in UTC"),
            ("*/5 * * * *", "every 5 minutes in UTC"),
            ("*/7 * * * *", "every 7th minute of each hour, at second 0 in UTC"),
            ("* * * * *", "every minute in UTC"),
            ("* * * * * *", "every second in UTC"),
            ("*/10 * * * * *", "every 10 seconds in UTC"),
            ("@hourly", "every hour at minute 0 in UTC"),
            ("20 */6 * * *", "every 6 hours at minute 20 in UTC"),
            ("@monthly", "on the 1st of every month at 00:00 in UTC"),
            ("0 4 2,3,11,22 * *", "on the 2nd, 3rd, 11th and 22nd of every month at 04:00 in UTC"),
            ("0 4 L * *", "on the last day of every month at 04:00 in UTC"),
            ("@yearly", "every year on 1 January at 00:00 in UTC"),
            ("15 30 8 * * *", "every day at 08:30:15 in UTC"),
            ("*/5 * * * 1", "every 5 minutes, every Monday in UTC"),
            ("3-9 1 * * *", 'by cron "3-9 1 * * *" in UTC'),
            ("0 0 13 * 5", 'by cron "0 0 13 * 5" in UTC'),
        ],
    )
    def test_cron_in_english(self, expression, words):
        assert cron(expression).in_words() == words

    @pytest.mark.parametrize(
        ("seconds", "words"),
        [
            (1800, "every 30 minutes"),
            (3600, "every hour"),
            (60, "every minute"),
            (1, "every second"),
            (5400, "every 1 hour 30 minutes"),
            (90.5, "every 1 minute 30.5 seconds"),
            (DAY, "every day"),
        ],
    )
    def test_every_in_english(self, seconds, words):
        assert entry(every_seconds=seconds).in_words() == words

    def test_zone_and_jitter_are_told(self):
        one = cron("0 8 * * *", tz="Europe/Berlin", jitter_seconds=90)
        assert one.in_words() == "every day at 08:00 in Europe/Berlin, up to 1 minute 30 seconds later"


class TestExplained:
    def told(self, one, now, count=2):
        return [(firing.local, firing.note) for firing in one.explain(now, count)]

    def at(self, *date):
        return datetime(*date, tzinfo=UTC).timestamp()

    def test_the_next_firings_and_those_at_the_next_change_of_the_clocks(self):
        assert self.told(cron("30 2 * * *", tz="Europe/Berlin"), self.at(2026, 9, 21, 12)) == [
            ("2026-09-22 02:30:00 +02:00", ""),
            ("2026-09-23 02:30:00 +02:00", ""),
            ("2026-10-25 02:30:00 +02:00", "02:30 comes twice that day, fires the first time only"),
            ("2026-10-26 02:30:00 +01:00", "first after clocks went back 1 hour, from 03:00 to 02:00"),
            ("2026-10-27 02:30:00 +01:00", ""),
        ]

    def test_a_skipped_time_is_marked_as_moved(self):
        assert self.told(cron("30 2 * * *", tz="Europe/Berlin"), self.at(2026, 3, 27, 12), 3) == [
            ("2026-03-28 02:30:00 +01:00", ""),
            (
                "2026-03-29 03:00:00 +02:00",
                "02:30 does not exist that day, moved here: clocks went forward 1 hour, from 02:00 to 03:00",
            ),
            ("2026-03-30 02:30:00 +02:00", ""),
        ]

    def test_a_wildcard_entry_has_both_of_a_repeated_hour(self):
        assert self.told(cron("*/30 2 * * *", tz="Europe/Berlin"), self.at(2026, 10, 24, 23), 4) == [
            ("2026-10-25 02:00:00 +02:00", "02:00 for the first time"),
            ("2026-10-25 02:30:00 +02:00", "02:30 for the first time"),
            (
                "2026-10-25 02:00:00 +01:00",
                "first after clocks went back 1 hour, from 03:00 to 02:00; 02:00 for the second time",
            ),
            ("2026-10-25 02:30:00 +01:00", "02:30 for the second time"),
        ]

    def test_a_dropped_day_is_told(self):
        rows = self.told(cron("0 8 * * *", tz="Pacific/Apia"), self.at(2011, 12, 29, 12))
        assert rows[1][0] == "2011-12-31 08:00:00 +14:00"
        assert rows[1][1].startswith("2011-12-30 08:00 was skipped and is dropped")

    def test_where_clocks_never_change_there_is_nothing_to_add(self):
        assert self.told(cron("0 8 * * *"), self.at(2026, 3, 27, 12)) == [
            ("2026-03-28 08:00:00 +00:00", ""),
            ("2026-03-29 08:00:00 +00:00", ""),
        ]

    @given(timetables, moments)
    def test_every_row_is_a_slot_in_order(self, one, now):
        slots = [firing.slot for firing in one.explain(now, 4)]
        assert slots == sorted(set(slots))
        assert slots[:4] == one._slots(now, 4)
        assert all(one.last_slot(slot - timedelta(hours=1).total_seconds(), slot) == slot for slot in slots)
