"""Recurring entries: each slot is fired once, by any number of schedulers, whatever happens to them.

The schedulers are the real ones. Each is a greenlet that stops before every arrow it draws, so that a story decides who
goes next, which message is lost, and who dies where. Beside them stands a referee that knows nothing of `schedule.py`:
it counts slots on its fingers and says of every firing whether it should have been.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from greenlet import GreenletExit, getcurrent, greenlet
from hypothesis import given, settings
from hypothesis import strategies as st

from minique import Client, Job, Registry, Unreachable, UsageError, current_job, job
from minique.clock import ManualClock
from minique.events import Events
from minique.memory_store import MemoryStore
from minique.redis_store import RedisStore
from minique.schedule import LATE_SECONDS, Entry
from minique.scheduler import FIRE_AT_ONCE, LONGEST_REST_SECONDS, Scheduler
from minique.store import Agenda, Arrow, Ear, Fire, Fired, Schedule, Store
from minique.testing import drain
from minique.wire import Server
from tests.arrows import finished, raw
from tests.conftest import clean_up
from tests.stage import ANSWER_LOST, NEVER_ARRIVES, Recording

BEGIN = 1_700_000_000.3  # as large as real times are: their floats are coarse
SENT_AGAIN = "sent again"

registry = Registry()


@job(queue="mail", registry=registry)
def send(n: int = 0) -> str | None:
    planned_at = current_job().planned_at
    return planned_at and planned_at.isoformat()


class Report(Job):
    queue, registry = "reports", registry

    def perform(self, kind: str = "daily") -> str:
        return f"{kind} {self.planned_at and self.planned_at.timestamp()}"


# The stage: schedulers that take turns, and the referee.


class SkewedClock:
    """A scheduler's own clock: wrong, and too fast or too slow. The server's is another."""

    def __init__(self, true: ManualClock, offset: float, rate: float) -> None:
        self._true, self._offset, self._rate = true, offset, rate

    def stamp(self) -> str:
        return ""

    def elapsed(self) -> float:
        return self._offset + self._rate * (self._true.now - BEGIN)

    def wall(self) -> float:
        return self._true.now + self._offset


@dataclass
class Known:
    """What the referee knows of an entry."""

    entry: Entry
    began: float
    cursor: float
    changed_at: int
    served: list[float] = field(default_factory=list)
    """Slots that were fired or skipped since it began."""
    last_id: str = ""

    def slots(self, after: float, until: float) -> list[float]:
        """Those in (after, until] whose jitter has passed, one by one."""
        every = self.entry.every_seconds
        numbers = range(int(after // every) - 2, int(until // every) + 3)
        return [n * every for n in numbers if after < n * every <= until and self.entry.fire_at(n * every) <= until]

    def latest(self, until: float) -> float | None:
        return max(self.slots(until - 3 * self.entry.every_seconds, until), default=None)


class Turns(Store):
    """A scheduler's way to the server."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name

    def trip(self, arrows: Sequence[Arrow], now: str) -> list[Any]:
        answers: list[Any] = []
        while len(answers) < len(arrows):
            fate = getcurrent().parent.switch()
            if fate == NEVER_ARRIVES:
                raise Unreachable("the cable was cut before")
            if fate == SENT_AGAIN:
                answers = []
            answers.append(self._world.apply(self._name, arrows[len(answers)]))
            if fate == ANSWER_LOST:
                for arrow in arrows[len(answers) :]:
                    self._world.apply(self._name, arrow)
                raise Unreachable("the cable was cut after")
        return answers

    def listen(self, bell: str, seconds: float) -> Ear:
        raise NotImplementedError("nobody waits in these stories")


class TooLong(AssertionError):
    """It never comes to rest."""


class World:
    def __init__(self, store: Any, schedulers: int = 2, make: type[Scheduler] = Scheduler) -> None:
        self.clock = ManualClock(BEGIN)
        self.store = store
        self.mq = Client(store, self.clock, Random(1))
        self.known: dict[str, Known] = {}
        self.steps = 0
        self.looks: dict[str, tuple[int, float]] = {}
        self.fired: Counter[tuple[str, float]] = Counter()
        self.jobs: Counter[tuple[str, float]] = Counter()
        self._make, self._born = make, 0
        self.living = [self._birth() for _ in range(schedulers)]

    # Schedulers.

    def _birth(self) -> Any:
        self._born += 1
        name = f"s{self._born}"
        clock = SkewedClock(self.clock, offset=(self._born * 977) % 4001 - 2000, rate=(0.5, 1.0, 1.7)[self._born % 3])
        scheduler = self._make(Turns(self, name), clock, Events(), name)

        def life() -> None:
            while True:
                try:
                    rest = scheduler.tick()
                except Unreachable:
                    continue
                assert 0 <= rest <= LONGEST_REST_SECONDS
                self._ticked(name)

        born = greenlet(life)
        born.switch()  # up to its first arrow
        return born

    def turn(self, which: int, fate: str = "") -> None:
        """One step of one scheduler."""
        self.living[which % len(self.living)].switch(fate)

    def kill(self, which: int) -> None:
        """It dies where it stands, and another starts."""
        place = which % len(self.living)
        self.living[place].throw(GreenletExit)
        self.living[place] = self._birth()

    def end(self) -> None:
        for one in self.living:
            one.throw(GreenletExit)

    # The server, and the referee's judgement.

    def apply(self, name: str, arrow: Arrow) -> Any:
        self.steps += 1
        answer = self.store.trip([arrow], self.clock.stamp())[0]
        if isinstance(arrow, Agenda):
            self.looks[name] = (self.steps, answer.now)
        elif isinstance(arrow, Fire):
            self._judge(arrow, answer, self.looks[name][1])
        return answer

    def _judge(self, arrow: Fire, answer: Fired, looked_at: float) -> None:
        known, slot = self.known.get(arrow.entry), float(arrow.slot)
        if known is None or known.entry.to_json() != arrow.definition:
            assert answer.outcome == "changed"
            return
        entry = known.entry
        assert not entry.paused, "a paused entry fires nothing"
        if slot <= known.cursor:
            assert answer == Fired("passed", known.cursor)
            return
        assert entry.fire_at(slot) <= looked_at <= self.clock.now, "early"
        if entry.catch_up == "all":
            soon = min(looked_at, known.cursor + 3 * entry.every_seconds)
            assert known.slots(known.cursor, soon)[:1] == [slot], "not the next one"
        else:
            assert slot == known.latest(looked_at), "not the last one"
            assert entry.catch_up == "last" or looked_at - entry.fire_at(slot) <= LATE_SECONDS, "given up, yet fired"
        last = self.mq.job(known.last_id).state() if known.last_id and known.last_id != arrow.id else "gone"
        overlaps = entry.overlap == "skip" and last in ("queued", "delayed", "leased")
        assert answer == Fired("skipped" if overlaps else "fired", slot)
        known.cursor = slot
        known.served.append(slot)
        if not overlaps:
            known.last_id = arrow.id
            self.fired[arrow.entry, slot] += 1
            assert self.fired[arrow.entry, slot] == 1, "twice"

    def _ticked(self, name: str) -> None:
        """After a whole tick, nothing that was due when it looked is left over."""
        step, looked_at = self.looks[name]
        for known in self.known.values():
            if known.entry.paused or known.changed_at > step:
                continue
            left = known.slots(max(known.cursor, looked_at - 3 * known.entry.every_seconds), looked_at)
            if known.entry.catch_up == "none":
                left = [slot for slot in left if looked_at - known.entry.fire_at(slot) <= LATE_SECONDS]
            elif known.entry.catch_up == "all" and len(known.slots(known.began, looked_at)) > FIRE_AT_ONCE // 3:
                left = []  # a tick is bounded, and shared by three
            assert not left, f"left over after a tick: {left}"

    def settle(self) -> None:
        """No more accidents: until nothing changes, everybody takes turns. Then hold the server to the books."""
        before = None
        quiet = 0
        while quiet < 2:
            for which in range(len(self.living)):
                for _ in range(FIRE_AT_ONCE + 5):
                    self.turn(which)  # at least a whole tick
            now = [known.cursor for known in self.known.values()]
            quiet, before = (quiet + 1 if now == before else 0), now
            if self.steps > 50_000:
                raise TooLong
        # The last ones may stand in the middle of a tick.
        rows = {row.entry: row for row in self.store.agenda(self.clock.stamp()).entries}
        assert {name: row.cursor for name, row in rows.items()} == {n: known.cursor for n, known in self.known.items()}
        for known in self.known.values():
            if not known.entry.paused and known.entry.catch_up == "all":
                assert known.served == known.slots(known.began, float(self.clock.stamp()))
        self.work()
        assert self.jobs == self.fired, "one job for each slot that was fired"

    # What else happens.

    def put(self, entry: Entry) -> None:
        self.steps += 1
        self.mq.schedules.put(entry)
        known, now = self.known.get(entry.name), round(self.clock.now, 6)
        if known is None:
            self.known[entry.name] = Known(entry, now, now, self.steps)
        elif known.entry != entry:
            same = (known.entry.every_seconds, known.entry.paused) == (entry.every_seconds, entry.paused)
            if not same or entry.catch_up != known.entry.catch_up:
                known.began, known.served = known.cursor if same else max(now, known.cursor), []
            known.cursor = known.cursor if same else max(known.cursor, now)
            known.entry, known.changed_at = entry, self.steps

    def set_paused(self, name: str, paused: bool) -> None:
        if name in self.known:
            (self.mq.schedules.pause if paused else self.mq.schedules.resume)(name)
            self.put(replace(self.known[name].entry, paused=paused))

    def remove(self, name: str) -> None:
        assert self.mq.schedules.remove(name) == (name in self.known)
        self.known.pop(name, None)

    def work(self) -> None:
        """A worker does all that is queued."""
        for n in range(1_000_000):
            claim = f"w{self.steps}:{n}"
            found = self.store.claim(self.clock.stamp(), claim, "*", 100, 10.0).jobs
            if not found:
                return
            for one in found:
                call = json.loads(one.record.partition("\n")[2])
                self.jobs[call["args"][0], call["slot"]] += 1
            self.store.complete(self.clock.stamp(), claim, finished(*(one.id for one in found)))
            self.steps += 1


def entry_of(name: str, every: float = 60.0, **more: Any) -> Entry:
    return Entry(name, "send", every_seconds=every, queue="mail", args=(name,), **more)


Step = tuple[Any, ...]

NAMES = ("a", "b", "c")
PERIODS = (7.7, 60.0, 3600.0)
WAITS = (0.2, 5.0, 7.7, 31.0, 60.0, 3599.0, 7200.0)

entries = st.builds(
    lambda name, every, jitter, **more: entry_of(name, every, jitter_seconds=jitter * every, **more),
    st.sampled_from(NAMES),
    st.sampled_from(PERIODS),
    st.sampled_from((0.0, 0.0, 0.5)),
    catch_up=st.sampled_from(("none", "last", "all")),
    overlap=st.sampled_from(("allow", "allow", "skip")),
)
turns = st.tuples(st.just("turn"), st.integers(0, 2))
steps: st.SearchStrategy[Step] = st.one_of(
    turns,
    turns,
    turns,
    st.tuples(st.just("wait"), st.sampled_from(WAITS)),
    st.tuples(st.just("turn"), st.integers(0, 2), st.sampled_from((NEVER_ARRIVES, ANSWER_LOST, SENT_AGAIN))),
    st.tuples(st.just("kill"), st.integers(0, 2)),
    st.tuples(st.just("put"), entries),
    st.tuples(st.just("set_paused"), st.sampled_from(NAMES), st.booleans()),
    st.tuples(st.just("remove"), st.sampled_from(NAMES)),
    st.tuples(st.just("work")),
)


def play(story: Sequence[Step], store: Any, schedulers: int = 2, make: type[Scheduler] = Scheduler) -> World:
    world = World(store, schedulers, make)
    try:
        for verb, *arguments in story:
            if verb == "wait":
                world.clock.advance(*arguments)
            else:
                getattr(world, verb)(*arguments)
        world.settle()
    finally:
        world.end()
    return world


class TestEverySlotOnce:
    """Any interleaving, any crash point, lost and repeated messages, wrong clocks, changes at run time."""

    @settings(max_examples=150)
    @given(st.lists(entries, min_size=1, max_size=3), st.lists(steps, min_size=10, max_size=60), st.integers(1, 3))
    def test_on_the_model(self, first, story, schedulers):
        play([("put", entry) for entry in first] + story, MemoryStore(), schedulers)

    @pytest.mark.prove
    @settings(max_examples=3000)
    @given(st.lists(entries, min_size=1, max_size=3), st.lists(steps, min_size=10, max_size=200), st.integers(1, 3))
    def test_on_the_model_for_longer(self, first, story, schedulers):
        play([("put", entry) for entry in first] + story, MemoryStore(), schedulers)

    @settings(max_examples=15)
    @given(st.lists(entries, min_size=1, max_size=3), st.lists(steps, min_size=10, max_size=40), st.integers(2, 3))
    def test_on_a_server(self, valkey, first, story, schedulers):
        store = RedisStore(Server(valkey.url), namespace="recurring")
        try:
            play([("put", entry) for entry in first] + story, store, schedulers)
        finally:
            clean_up(store)
            store.close()


# Mutants: the same stories must tell each of these from the real thing.


class FiresWithoutLooking(MemoryStore):
    def _fire(self, arrow: Fire, stamp: str, now: float) -> Fired:
        _, last, at = self._slots.get(arrow.entry, ("0", "", ""))
        if self._schedules.get(arrow.entry) == arrow.definition:
            self._slots[arrow.entry] = ("0", last, at)
        return super()._fire(arrow, stamp, now)


class MovesTheCursorLater(MemoryStore):
    """The job in one step, the cursor with the next one of whoever comes."""

    def __init__(self) -> None:
        super().__init__()
        self._later: Callable[[], None] = lambda: None

    def trip(self, arrows: Sequence[Arrow], now: str) -> list[Any]:
        later, self._later = self._later, lambda: None
        answers = super().trip(arrows, now)
        later()
        return answers

    def _fire(self, arrow: Fire, stamp: str, now: float) -> Fired:
        before = self._slots.get(arrow.entry)
        answer = super()._fire(arrow, stamp, now)
        after = self._slots.get(arrow.entry)
        if answer.outcome == "fired" and before and after:
            self._slots[arrow.entry] = before
            self._later = lambda: self._slots.__setitem__(arrow.entry, after)
        return answer


class FiresWhatWasReplaced(MemoryStore):
    def _fire(self, arrow: Fire, stamp: str, now: float) -> Fired:
        if arrow.entry in self._schedules:
            arrow = arrow._replace(definition=self._schedules[arrow.entry])
        return super()._fire(arrow, stamp, now)


class KeepsTheCursorOfAPause(MemoryStore):
    def _schedule(self, arrow: Schedule, stamp: str, now: float) -> bool:
        return super()._schedule(arrow._replace(restart=False), stamp, now)


class ReadsOnce(Scheduler):
    def _read(self, rows: Any) -> Any:
        return iter(self.state.plan) if self.state.plan else super()._read(rows)


class RoundsSlots(Scheduler):
    def _fire(self, now: float) -> None:
        store = self._store

        class Rounding(Store):
            def trip(self, arrows: Sequence[Arrow], stamp: str) -> list[Any]:
                return store.trip([arrow._replace(slot=f"{float(arrow.slot):.6f}") for arrow in arrows], stamp)  # type: ignore[call-arg,union-attr]

            def listen(self, bell: str, seconds: float) -> Ear:
                raise NotImplementedError

        self._store = Rounding()
        try:
            super()._fire(now)
        finally:
            self._store = store


def random_story(rng: Random) -> list[Step]:
    def entry() -> Entry:
        every = rng.choice(PERIODS)
        more = {"catch_up": rng.choice(("none", "last", "all")), "overlap": rng.choice(("allow", "allow", "skip"))}
        return entry_of(rng.choice(NAMES), every, jitter_seconds=rng.choice((0.0, every / 2)), **more)

    choices: list[Callable[[], Step]] = [
        *[lambda: ("turn", rng.randrange(3))] * 6,
        *[lambda: ("wait", rng.choice(WAITS))] * 2,
        lambda: ("turn", rng.randrange(3), rng.choice((NEVER_ARRIVES, ANSWER_LOST, SENT_AGAIN))),
        lambda: ("kill", rng.randrange(3)),
        lambda: ("put", entry()),
        lambda: ("set_paused", rng.choice(NAMES), rng.random() < 0.5),
        lambda: ("remove", rng.choice(NAMES)),
        lambda: ("work",),
    ]
    return [("put", entry()), *(rng.choice(choices)() for _ in range(rng.randint(10, 60)))]


def found(store: type[MemoryStore] = MemoryStore, make: type[Scheduler] = Scheduler, stories: int = 100) -> bool:
    """Whether one of these stories goes wrong."""
    rng = Random(4)
    for _ in range(stories):
        try:
            play(random_story(rng), store(), 2, make)
        except AssertionError:
            return True
    return False


class TestTeeth:
    def test_the_real_thing_passes(self):
        assert not found()

    @pytest.mark.parametrize(
        "store", [FiresWithoutLooking, MovesTheCursorLater, FiresWhatWasReplaced, KeepsTheCursorOfAPause]
    )
    def test_a_broken_server_is_found(self, store):
        assert found(store)

    @pytest.mark.parametrize("make", [ReadsOnce, RoundsSlots])
    def test_a_broken_scheduler_is_found(self, make):
        assert found(make=make)

    @pytest.mark.parametrize("by", [slice(1, None), slice(None, -1)])
    def test_catching_up_by_one_slot_too_few_is_found(self, monkeypatch, by):
        due_slots = Entry.due_slots
        monkeypatch.setattr(Entry, "due_slots", lambda *words, **more: due_slots(*words, **more)[by])
        assert found()

    def test_and_one_too_early(self, monkeypatch):
        due_slots = Entry.due_slots

        def greedy(self: Entry, after: float, now: float, *, limit: int) -> list[float]:
            return due_slots(self, after, now + self.every_seconds, limit=limit)

        monkeypatch.setattr(Entry, "due_slots", greedy)
        assert found()


# Stories told one by one, on the model and on a server.


class Story:
    def __init__(self, store: Any) -> None:
        self.store = Recording(store)
        self.clock = ManualClock(BEGIN)
        self.mq = Client(store, self.clock, Random(1))
        self.schedules = self.mq.schedules
        self.told: list[tuple[str, dict[str, Any]]] = []

    def scheduler(self, name: str = "s", make: type[Scheduler] = Scheduler) -> Scheduler:
        return make(self.store, self.clock, Events(lambda event, fields: self.told.append((event, fields))), name)

    def run(self, seconds: float, *schedulers: Scheduler) -> None:
        """Let them rest as long as they say, and no longer, for so many seconds."""
        until = self.clock.now + seconds
        while True:
            rest = min(scheduler.tick() for scheduler in schedulers)
            if self.clock.now + rest > until:
                self.clock.now = until
                return
            self.clock.advance(rest)

    def fired(self, entry: str) -> list[float]:
        return [fields["slot"] for fields in self.firings(entry)]

    def firings(self, entry: str) -> list[dict[str, Any]]:
        found = [fields for event, fields in self.told if event == "fired" and fields["entry"] == entry]
        return [{**fields, "slot": float(fields["slot"])} for fields in found]

    def queued(self) -> int:
        return sum(row.length for row in self.mq.overview().queues)


@pytest.fixture
def story(one_store):
    return Story(one_store)


def multiples(every: float, after: float, until: float) -> list[float]:
    return [n * every for n in range(int(after / every), int(until / every) + 2) if after < n * every <= until]


class TestOnTime:
    def test_each_slot_is_fired_at_its_moment_by_schedulers_that_rest_as_they_say(self, story):
        story.schedules.add("minutely", send, every=60)
        story.schedules.add("odd", send, every=77.7)
        story.run(3600, story.scheduler("one"), story.scheduler("two"))
        assert story.fired("minutely") == multiples(60, BEGIN, BEGIN + 3600)
        assert story.fired("odd") == multiples(77.7, BEGIN, BEGIN + 3600)
        # A stamp has microseconds; a slot may fall between two of them.
        assert all(0 <= fields["late_seconds"] < 2e-6 for _, fields in story.told)

    def test_cron_too(self, story):
        story.schedules.add("daily", send, cron="30 7 * * *")
        story.run(3 * 86_400, story.scheduler())
        days = [1_700_000_000 // 86_400 + n for n in range(5)]
        expected = [day * 86_400 + 27_000.0 for day in days if BEGIN < day * 86_400 + 27_000 <= BEGIN + 3 * 86_400]
        assert story.fired("daily") == expected
        assert len(expected) == 3

    @pytest.mark.parametrize("every", [1.1, 1.3, 7.7, 10 / 3])
    def test_a_period_that_no_float_holds_exactly_does_not_stick(self, story, every):
        story.schedules.add("odd", send, every=every, catch_up="all")
        scheduler = story.scheduler()
        scheduler.tick()
        story.clock.advance(60)
        assert scheduler.tick() > 0
        assert story.fired("odd") == multiples(every, BEGIN, BEGIN + 60)

    def test_an_entry_that_is_added_wakes_a_scheduler_that_rests(self, story):
        scheduler = story.scheduler()
        assert scheduler.tick() == LONGEST_REST_SECONDS
        story.schedules.add("soon", send, every=1)
        assert f"bell:{scheduler.bell()}" in story.store.store.contents()
        assert scheduler.tick() == pytest.approx(0.7)

    def test_jitter_is_the_same_moment_on_all_schedulers(self, story):
        entry = story.schedules.add("spread", send, every=60, jitter=timedelta(seconds=60))
        one, two = story.scheduler("one"), story.scheduler("two")
        story.run(3600, one)
        story.run(3600, one, two)
        story.run(3600, two)
        slots = multiples(60, BEGIN, BEGIN + 3 * 3600)
        assert story.fired("spread") == [slot for slot in slots if entry.fire_at(slot) <= story.clock.now]
        delays = [fields["late_seconds"] for fields in story.firings("spread")]
        assert all(0 <= delay < 60 for delay in delays)
        assert max(delays) > 50, "spread over the whole minute"
        assert len(set(delays)) > 100
        for fields in story.firings("spread"):
            assert entry.fire_at(fields["slot"]) == pytest.approx(fields["slot"] + fields["late_seconds"], abs=1e-5)

    def test_two_entries_with_the_same_slot_are_two_jobs(self, story):
        for name in ("one", "two"):
            story.schedules.add(name, send, every=60)
        story.run(60, story.scheduler("a"), story.scheduler("b"))
        assert story.fired("one") == story.fired("two") == multiples(60, BEGIN, BEGIN + 60)
        assert story.queued() == 2

    def test_hundreds_of_entries_with_the_same_slot(self, story):
        for n in range(250):
            story.schedules.add(f"entry {n}", send, every=60)
        story.run(60, story.scheduler("a"), story.scheduler("b"))
        assert story.queued() == 250 == len({fields["job"] for _, fields in story.told})
        assert {fields["slot"] for _, fields in story.told} == {repr(float(multiples(60, BEGIN, BEGIN + 60)[0]))}


class TestCatchingUp:
    """No scheduler ran for a while."""

    MISSED = 7

    def after_an_absence(self, story: Story, catch_up: str, late: float) -> list[float]:
        story.schedules.add("report", send, every=600, catch_up=catch_up)
        slots = multiples(600, BEGIN, BEGIN + 600 * self.MISSED)
        story.clock.now = slots[-1] + late
        story.run(0, story.scheduler("one"), story.scheduler("two"))
        return [slots.index(slot) for slot in story.fired("report")]

    @pytest.mark.parametrize(
        ("catch_up", "late", "expected"),
        [
            ("none", 61, []),
            ("none", 60, [6]),
            ("last", 61, [6]),
            ("last", 0, [6]),
            ("all", 61, [0, 1, 2, 3, 4, 5, 6]),
        ],
    )
    def test_each_entry_gets_what_it_says(self, story, catch_up, late, expected):
        assert self.after_an_absence(story, catch_up, late) == expected
        story.run(600, story.scheduler("three"))  # and goes on as always
        assert len(story.fired("report")) == len(expected) + 1

    @pytest.mark.parametrize(("catch_up", "again"), [("all", [0, 1, 2]), ("last", [2]), ("none", [2])])
    def test_a_server_that_came_back_from_an_older_state_is_believed(self, story, catch_up, again):
        story.schedules.add("report", send, every=60, catch_up=catch_up)
        scheduler = story.scheduler()
        scheduler.tick()
        began = repr(story.clock.now)
        story.clock.now = multiples(60, BEGIN, BEGIN + 60)[0]
        for _ in range(2):
            scheduler.tick()
            story.clock.advance(60)
        slots = story.fired("report")
        assert len(slots) == 2
        # when it forgets both, and their jobs
        store = story.store.store
        if isinstance(store, MemoryStore):
            store._slots["report"] = (began, "", "")
            for _, fields in story.told:
                store._records.pop(fields.get("job"), None)
        else:
            raw(store, "HSET", "{}slots", "report", began)
            raw(store, "DEL", *(f"{{}}job:{fields['job']}" for event, fields in story.told if event == "fired"))
        story.told.clear()
        # then they are made up for as the entry says, though the scheduler remembers that it has fired them
        story.run(1, scheduler)
        assert story.fired("report") == [[*slots, slots[-1] + 60][n] for n in again]

    def test_overlap_skip_passes_over_all_but_the_first_of_them(self, story):
        story.schedules.add("report", send, every=60, catch_up="all", overlap="skip")
        story.clock.advance(600)
        story.run(0, story.scheduler())
        assert len(story.fired("report")) == 1
        assert [event for event, _ in story.told].count("skipped") == 9
        drain(story.mq, registry=registry)
        story.run(60, story.scheduler())
        assert len(story.fired("report")) == 2

    def test_one_that_has_years_to_make_up_for_does_not_hold_up_the_others(self, story):
        story.schedules.add("a", send, every=1, catch_up="all")
        story.clock.advance(100_000)
        story.schedules.add("b", send, every=60)
        scheduler = story.scheduler()
        scheduler.tick()
        story.clock.advance(60)
        scheduler.tick()
        assert len(story.fired("b")) == 1
        assert FIRE_AT_ONCE // 2 <= len(story.fired("a")) < 1000


class TestChanges:
    def test_another_timetable_does_not_fire_what_the_old_one_missed(self, story):
        story.schedules.add("report", send, every=60, catch_up="all")
        story.clock.advance(600)
        story.schedules.add("report", send, every=90, catch_up="all")
        began = story.clock.now
        story.run(600, story.scheduler())
        assert story.fired("report") == multiples(90, began, began + 600)

    def test_beginning_anew_said_twice_equals_once(self, story):
        """A client that lost the reply sends it again; slots between the two are not given up."""
        other = Schedule("report", entry_of("report", 60.0, catch_up="all").to_json(), True)
        story.schedules.put(entry_of("report", 90.0))
        story.mq.store.trip([other], story.clock.stamp())
        story.clock.advance(120)
        story.mq.store.trip([other], story.clock.stamp())
        story.run(0, story.scheduler())
        assert story.fired("report") == multiples(60, BEGIN, BEGIN + 120)

    def test_other_arguments_keep_the_cursor(self, story):
        story.schedules.add("report", send, every=60, catch_up="all")
        story.clock.advance(600)
        story.schedules.add("report", send, args=(7,), every=60, catch_up="all")
        story.run(0, story.scheduler())
        assert story.fired("report") == multiples(60, BEGIN, BEGIN + 600)

    def test_what_fell_into_a_pause_is_given_up(self, story):
        story.schedules.add("report", send, every=60, catch_up="all")
        scheduler = story.scheduler()
        story.run(120, scheduler)
        before = story.fired("report")
        assert story.schedules.pause("report")
        assert not story.schedules.pause("report")
        story.run(600, scheduler)
        assert story.fired("report") == before
        assert story.schedules.resume("report")
        assert not story.schedules.resume("report")
        resumed = story.clock.now
        story.run(120, scheduler)
        assert story.fired("report") == before + multiples(60, resumed, resumed + 120)

    @pytest.mark.parametrize("change", ["remove", "pause"])
    def test_a_scheduler_that_has_looked_already_fires_nothing_of_what_was_changed_since(self, story, change):
        story.schedules.add("report", send, every=60)
        scheduler = story.scheduler()
        scheduler.tick()
        story.clock.advance(60)
        story.store.meanwhile.extend([lambda: None, lambda: getattr(story.schedules, change)("report")])
        assert scheduler.tick() == 0.0
        assert story.queued() == 0
        assert scheduler.tick() == LONGEST_REST_SECONDS

    def test_what_was_changed_behind_its_back_is_read_again(self, story):
        """Somebody wrote into the server without counting the change: a restore, a hand."""
        entry = story.schedules.add("report", send, every=60)
        scheduler = story.scheduler()
        scheduler.tick()
        other = replace(entry, args=(7,)).to_json()
        if isinstance(story.store.store, RedisStore):
            story.store.store.server.call_one("HSET", story.store.store.prefix + "schedules", "report", other)
        else:
            story.store.store._schedules["report"] = other
        story.run(60, scheduler)
        assert story.fired("report") == multiples(60, BEGIN, BEGIN + 60)
        [(_, record)] = story.mq.list_queue("mail")
        assert json.loads(record.body)["args"] == [7]

    @pytest.mark.parametrize(
        "definition",
        [
            "rubbish",
            "[]",
            '{"name": "other", "job": "send"}',
            '{"name": "other", "job": "send", "every_seconds": 60, "queue": "mail", "colour": "red"}',
            '{"name": "another name", "job": "send", "every_seconds": 60, "queue": "mail"}',
            '{"name": "other", "job": "send", "every_seconds": 60}',
            '{"name": "other", "job": "send", "every_seconds": 1e999, "queue": "mail"}',
            '{"name": "other", "job": "send", "cron": "61 * * * *", "queue": "mail"}',
            '{"name": "other", "job": "send", "cron": "* * * * *", "queue": "mail", "tz": "Mars/Olympus"}',
        ],
    )
    def test_what_cannot_be_read_is_told_and_leaves_the_others_alone(self, story, definition):
        story.schedules.add("report", send, every=60)
        story.mq.store.schedule(story.clock.stamp(), "other", definition)
        scheduler = story.scheduler()
        assert scheduler.tick() > 0
        story.run(120, scheduler)
        assert story.fired("report") == multiples(60, BEGIN, BEGIN + 120)
        told = [fields["entry"] for event, fields in story.told if event == "schedule_unreadable"]
        assert told == ["other"], "once, not with every tick"
        assert story.queued() == 2

    def test_nor_does_an_entry_whose_job_would_be_too_large(self, story):
        """The planned time makes a body a little longer than what could be checked when the arguments were given."""
        for length in range(512 * 1024 - 60, 512 * 1024, 4):
            entry = entry_of("a", catch_up="last")
            try:
                entry = replace(entry, args=("x" * length,))
            except UsageError:
                break
            story.mq.store.schedule(story.clock.stamp(), "a", entry.to_json())
            story.schedules.add("b", send, every=60)
            story.run(60, story.scheduler(str(length)))
        assert len(story.fired("b")) >= 2

    @pytest.mark.parametrize("cursor", ["", "rubbish", "inf", "nan", "1.2.3 id", "0x10 id 7", "17e300"])
    def test_nor_does_a_cursor_that_is_none(self, server_store, cursor):
        story = Story(server_store)
        story.schedules.add("a", send, every=60)
        story.schedules.add("b", send, every=60)
        raw(server_store, "HSET", "{}slots", "a", cursor)
        story.run(120, story.scheduler())
        assert len(story.fired("b")) == 2
        assert story.fired("a") == []


class TestPlannedTime:
    def test_a_job_knows_for_when_it_was_planned_however_late_it_runs(self, story):
        story.schedules.add("send", send, every=3600)
        story.schedules.add("report", Report, kwargs={"kind": "hourly"}, every=3600)
        story.clock.advance(5000)
        story.run(0, story.scheduler())
        handles = {fields["entry"]: story.mq.job(fields["job"]) for _, fields in story.told}
        story.clock.advance(100_000)
        assert len(drain(story.mq, registry=registry)) == 2
        [slot] = multiples(3600, BEGIN, BEGIN + 5000)[-1:]
        assert handles["send"].result(0) == datetime.fromtimestamp(slot, UTC).isoformat()
        assert handles["report"].result(0) == f"hourly {float(slot)}"

    def test_one_that_was_enqueued_by_hand_was_planned_for_no_time(self, story):
        story.schedules.add("send", send, every=3600)
        cursor = story.schedules.get("send").cursor
        handle = story.schedules.run("send")
        assert drain(story.mq, registry=registry) == [("send", "completed")]
        assert handle.result(0) is None
        assert story.schedules.get("send").cursor == cursor


class TestTheClientsSide:
    def test_options_that_a_schedule_would_not_keep_are_refused(self, story):
        with pytest.raises(UsageError, match="does not keep retries, timeout"):
            story.schedules.add("report", send.using(timeout=5, retries=1), every=60)
        story.schedules.add("report", send.using(queue="elsewhere"), every=60)
        assert story.schedules.get("report").entry.queue == "elsewhere"

    def test_an_entry_is_kept_as_it_was_given(self, story):
        entry = story.schedules.add(
            "report",
            Report,
            kwargs={"kind": "weekly"},
            cron="0 8 * * MON",
            tz="Europe/Berlin",
            catch_up="none",
            overlap="skip",
            jitter=60,
            description="for Monday's meeting",
        )
        kept = story.schedules.get("report")
        assert kept.entry == entry
        assert (kept.name, kept.cursor, kept.last_id, kept.last_at) == ("report", BEGIN, "", None)
        assert (entry.queue, entry.job, entry.source) == ("reports", "Report", "")
        assert story.schedules.list() == [kept]
        assert story.schedules.get("other") is None

    def test_it_says_what_was_fired_last_and_when(self, story):
        story.schedules.add("report", Report, every=60)
        story.clock.advance(90)
        story.run(0, story.scheduler())
        kept = story.schedules.get("report")
        assert kept.cursor == multiples(60, BEGIN, BEGIN + 90)[-1]
        assert story.mq.job(kept.last_id).state() == "queued"
        assert kept.last_at == pytest.approx(story.clock.now)

    def test_the_same_entry_again_changes_nothing(self, story):
        entry = story.schedules.add("report", Report, every=60)
        story.clock.advance(30)
        assert not story.schedules.put(entry)
        assert story.schedules.get("report").cursor == BEGIN
        assert story.schedules.put(replace(entry, description="new"))

    @pytest.mark.parametrize(
        "call",
        [
            lambda schedules: schedules.add("x", Report, args=(1, 2, 3), every=60),
            lambda schedules: schedules.add("x", Report),
            lambda schedules: schedules.add("x", Report, every=60, cron="* * * * *"),
            lambda schedules: schedules.add("x", Report, every=60, tz="Mars/Olympus"),
            lambda schedules: schedules.add("x", Report, args=("x" * (512 * 1024 - 40),), every=60),
            lambda schedules: schedules.add("", Report, every=60),
            lambda schedules: schedules.put(Entry("x", "send", every_seconds=60)),
            lambda schedules: schedules.pause("x"),
            lambda schedules: schedules.resume("x"),
            lambda schedules: schedules.run("x"),
        ],
    )
    def test_what_makes_no_sense_is_refused_at_once(self, story, call):
        with pytest.raises(UsageError):
            call(story.schedules)
        assert story.schedules.list() == []

    def test_a_removed_entry_fires_no_more_and_its_jobs_stay(self, story):
        story.schedules.add("report", Report, every=60)
        scheduler = story.scheduler()
        story.run(60, scheduler)
        assert story.schedules.remove("report")
        assert not story.schedules.remove("report")
        story.run(600, scheduler)
        assert story.queued() == 1

    def test_sync_makes_the_entries_of_a_file_be_these_and_leaves_the_others_alone(self, story):
        mine = story.schedules.add("mine", Report, every=60)
        first = story.schedules.sync([entry_of("a"), entry_of("b"), entry_of("c")])
        assert first == (("a", "b", "c"), (), ())
        second = story.schedules.sync([entry_of("a"), entry_of("b", 90.0), entry_of("d")])
        assert second == (("d",), ("b",), ("c",))
        assert story.schedules.sync([entry_of("a"), entry_of("b", 90.0), entry_of("d")]) == ((), (), ())
        assert [kept.name for kept in story.schedules.list()] == ["a", "b", "d", "mine"]
        assert story.schedules.get("mine").entry == mine
        assert story.schedules.get("a").entry.source == "file"

    def test_a_persons_pause_survives_a_new_file(self, story):
        story.schedules.sync([entry_of("a"), entry_of("b")])
        story.schedules.pause("a")
        story.schedules.sync([entry_of("a", 90.0), entry_of("b", 90.0)])
        assert [kept.entry.paused for kept in story.schedules.list()] == [True, False]
        story.run(600, story.scheduler())
        assert story.fired("a") == []
        assert len(story.fired("b")) == 7

    def test_a_file_cannot_take_a_name_that_a_program_gave_and_changes_nothing_then(self, story):
        story.schedules.add("mine", Report, every=60)
        with pytest.raises(UsageError, match="was added by a program"):
            story.schedules.sync([entry_of("a"), entry_of("mine")])
        assert [kept.name for kept in story.schedules.list()] == ["mine"]

    def test_sync_mends_an_entry_that_cannot_be_read(self, story):
        story.mq.store.schedule(story.clock.stamp(), "a", "rubbish")
        assert story.schedules.get("a").entry is None
        assert story.schedules.sync([entry_of("a")]).changed == ("a",)
        story.run(60, story.scheduler())
        assert len(story.fired("a")) == 1


class TestDelayedJobs:
    def test_moved_to_another_time(self, story):
        handle = story.mq.enqueue_in(600, send, 1)
        scheduler = story.scheduler()
        assert story.mq.move(handle.id, timedelta(seconds=3))
        story.clock.advance(2.999)
        scheduler.tick()
        assert handle.state() == "delayed"
        assert story.mq.move(handle.id, datetime.fromtimestamp(BEGIN + 10, UTC))
        story.clock.advance(7)
        scheduler.tick()
        assert handle.state() == "delayed"
        assert story.mq.move(handle.id, 0)
        scheduler.tick()
        assert handle.state() == "queued"
        assert not story.mq.move(handle.id, 5)

    def test_moving_the_first_wakes_the_schedulers(self, story):
        handle = story.mq.enqueue_in(600, send, 1)
        bell = f"bell:{story.scheduler().bell()}"
        if isinstance(story.store.store, RedisStore):
            raw(story.store.store, "DEL", f"{{}}{bell}")
        else:
            story.store.store._bells.clear()
        assert story.mq.move(handle.id, 1)
        assert bell in story.store.store.contents()

    def test_listed_by_class_and_queue_the_next_due_first(self, story):
        ids = {}
        for n in range(3):
            ids["send", n] = story.mq.enqueue_in(30 - n, send, n).id
            ids["report", n] = story.mq.enqueue_in(20 - n, Report).id
            ids["far", n] = story.mq.enqueue_in(10 - n, send.using(queue="far"), n).id

        def listed(**by: Any) -> list[str]:
            return [id for id, _ in story.mq.list_delayed(**by)]

        sends = [ids["send", n] for n in (2, 1, 0)]
        reports = [ids["report", n] for n in (2, 1, 0)]
        far = [ids["far", n] for n in (2, 1, 0)]
        assert listed() == far + reports + sends
        assert listed(job="send") == far + sends
        assert listed(queue="reports") == listed(job="Report") == reports
        assert listed(job="send", queue="far", limit=2) == far[:2]
        assert listed(job="unknown") == listed(queue="unknown") == []
