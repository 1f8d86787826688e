"""The scheduler promotes what is due, and sleeps exactly until something will be."""

from __future__ import annotations

import json
import threading
from random import Random

import pytest

from minique import Client, Registry, Unreachable, job
from minique.clock import ManualClock, SystemClock
from minique.events import Events
from minique.loop import Wait, run
from minique.scheduler import LONGEST_REST_SECONDS, PROMOTE_AT_ONCE, Scheduler, State
from minique.store import Promote
from tests.servers import until
from tests.stage import ANSWER_LOST, NEVER_ARRIVES, Recording


@job(queue="mail", registry=Registry())
def send(n: int) -> None: ...


class Story:
    def __init__(self, store):
        self.store = Recording(store)
        self.clock = ManualClock()
        self.mq = Client(store, self.clock, Random(1))
        self.told = []
        self.scheduler = self.another("scheduler")

    def another(self, name):
        events = Events(lambda event, fields: self.told.append((event, fields)))
        return Scheduler(self.store, self.clock, events, name, {"pid": 7})

    def queued(self):
        return [id for id, _ in self.mq.list_queue("mail")]


@pytest.fixture
def story(one_store):
    return Story(one_store)


def test_a_job_is_promoted_when_it_is_due_and_not_before(story):
    handle = story.mq.enqueue_in(3, send, 1)
    assert story.scheduler.tick() == 3.0
    story.clock.advance(2.999)
    assert story.scheduler.tick() == pytest.approx(0.001)
    assert handle.state() == "delayed"
    story.clock.advance(0.001)
    story.scheduler.tick()
    assert handle.state() == "queued"
    assert story.told == [("promoted", {"jobs": 1})]


def test_it_rests_until_the_next_is_due_but_looks_every_few_seconds(story):
    assert story.scheduler.tick() == LONGEST_REST_SECONDS == 5.0
    story.mq.enqueue_in(60, send, 1)
    assert story.scheduler.tick() == 5.0
    story.mq.enqueue_in(0.25, send, 1)
    assert story.scheduler.tick() == 0.25


def test_a_job_that_is_due_before_all_others_rings_its_bell(story):
    assert story.scheduler.bell() == "@delayed"
    story.mq.enqueue_in(60, send, 1)
    assert "bell:@delayed" in story.store.store.contents()
    assert list(story.scheduler.watched()) == []


def test_jobs_are_promoted_in_the_order_in_which_they_are_due(story):
    late, early = story.mq.enqueue_in(2, send, 1), story.mq.enqueue_in(1, send, 2)
    story.clock.advance(5)
    story.scheduler.tick()
    assert story.queued() == [early.id, late.id]


def test_a_mass_of_due_jobs_is_promoted_without_rests_a_bounded_part_at_a_time(story):
    now = story.clock.stamp()
    for n in range(PROMOTE_AT_ONCE + 5):
        story.mq.store.delay(now, "mail", f"job{n:05}", "", "+1")
    story.clock.advance(1)
    assert story.scheduler.tick() == 0.0
    assert story.scheduler.tick() == 5.0
    assert [fields["jobs"] for _, fields in story.told] == [PROMOTE_AT_ONCE, 5]


def test_any_number_may_run_side_by_side_and_each_job_is_promoted_once(story):
    for n in range(10):
        story.mq.enqueue_in(1, send, n)
    other = story.another("other")
    story.clock.advance(1)
    story.scheduler.tick()
    other.tick()
    assert len(story.queued()) == 10
    assert story.mq.overview().stats["promote"] == 10


@pytest.mark.parametrize("fault", [NEVER_ARRIVES, ANSWER_LOST])
def test_a_lost_trip_changes_nothing_here_and_is_made_up_for(story, fault):
    story.mq.enqueue_in(1, send, 1)
    story.clock.advance(1)
    story.store.faults.append(fault)
    with pytest.raises(Unreachable):
        story.scheduler.tick()
    assert story.scheduler.state == State()
    story.scheduler.tick()
    assert len(story.queued()) == 1


def test_a_sign_of_life_goes_along_now_and_then(story):
    story.mq.enqueue_in(0.5, send, 1)
    story.scheduler.tick()
    story.clock.advance(0.5)
    story.scheduler.tick()
    assert story.store.words() == [["Promote", "Agenda", "Beat"], ["Promote", "Agenda"]]
    story.clock.advance(4.5)
    story.scheduler.tick()
    assert story.store.words()[2] == ["Promote", "Agenda", "Beat"]
    (row,) = story.mq.overview().workers
    assert (row.name, json.loads(row.about)) == ("scheduler", {"kind": "scheduler", "pid": 7})


def test_it_wakes_no_queue_for_itself(story):
    # Its beat names no subscription: nobody would answer that bell.
    story.scheduler.tick()
    assert "subscriptions" not in story.store.store.contents()


def test_one_that_leaves_is_off_the_list(story):
    story.scheduler.tick()
    story.scheduler.leave()
    assert story.mq.overview().workers == ()


def test_equal_states_behave_equally(story):
    story.scheduler.tick()
    twin = story.another("scheduler")
    twin.state = story.scheduler.state
    assert hash(twin.state) == hash(story.scheduler.state)
    for seconds in (1, 3, 2, 5):
        story.clock.advance(seconds)
        spoken = len(story.store.trips)
        story.scheduler.tick(), twin.tick()
        first, second = story.store.trips[spoken:]
        assert first == second
        assert first[0] == Promote(PROMOTE_AT_ONCE)


def test_a_job_that_is_delayed_while_the_scheduler_rests_is_on_time(bell_store):
    """With nothing turned by hand: the scheduler rests for five seconds, and is woken for what is due in a moment."""
    mq = Client(bell_store)
    clock = SystemClock()
    scheduler = Scheduler(bell_store, clock, Events(), "scheduler")
    asked = threading.Event()
    loop = threading.Thread(
        target=run, args=(scheduler, Wait(bell_store, scheduler), asked.is_set, Events(), Random(1))
    )
    loop.start()
    try:
        until(lambda: mq.overview().workers)
        began_at = clock.elapsed()
        handle = mq.enqueue_in(0.05, send, 1)
        until(lambda: handle.state() == "queued")
        waited = clock.elapsed() - began_at
    finally:
        asked.set()
        bell_store.ring("", "@delayed")
        loop.join()
    assert 0.04 < waited < LONGEST_REST_SECONDS / 2
