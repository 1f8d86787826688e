"""The reaper gives back what leases ran out on, and forgets what was kept long enough. It remembers nothing itself."""

from __future__ import annotations

import pytest

from minique.clock import ManualClock
from minique.events import Events
from minique.reaper import CLAIMS_AT_ONCE, FORGET_AT_ONCE, REST_SECONDS, Reaper
from minique.store import DEATHS_ALLOWED, Finished, Forget, Reap
from tests.stage import Recording


class Story:
    def __init__(self, store):
        self.store = Recording(store)
        self.clock = ManualClock()
        self.told = []
        self.reaper = self.another()

    def another(self):
        return Reaper(self.store, self.clock, Events(lambda name, fields: self.told.append((name, *fields.values()))))

    def enqueue(self, *ids):
        self.store.enqueue(self.clock.stamp(), "mail", [(id, "") for id in ids])

    def claim(self, name, limit=1, lease=10.0):
        return [job.id for job in self.store.claim(self.clock.stamp(), name, "*", limit, lease).jobs]

    def state(self, id):
        return self.store.look(self.clock.stamp(), id).state


@pytest.fixture
def story(one_store):
    return Story(one_store)


def test_a_lease_that_has_not_run_out_is_left_alone(story):
    story.enqueue("a")
    story.claim("worker:1")
    story.clock.advance(9.999)
    assert story.reaper.tick() == REST_SECONDS == 1.0
    assert story.state("a") == "leased"
    assert story.told == []


def test_the_jobs_of_one_that_ran_out_are_back_at_the_head_and_it_is_told(story):
    story.enqueue("a", "b", "c")
    story.claim("worker:1", limit=2)
    story.clock.advance(10)
    assert story.reaper.tick() == REST_SECONDS
    assert [id for id, _ in story.store.page("", "queue:mail", 0, 10)] == ["a", "b", "c"]
    assert sorted(story.told) == [("reaped", "a", "queued"), ("reaped", "b", "queued")]


def test_a_job_that_saw_too_many_deaths_is_set_aside_and_that_is_told(story):
    story.enqueue("a")
    for n in range(DEATHS_ALLOWED):
        assert story.claim(f"worker:{n}") == ["a"]
        story.clock.advance(10)
        story.reaper.tick()
    assert story.told == [("reaped", "a", "queued")] * 2 + [("reaped", "a", "failed")]
    assert story.state("a") == "failed"


def test_results_are_forgotten_when_their_time_has_passed(story):
    story.enqueue("a", "b")
    story.claim("worker:1", limit=2)
    story.store.complete(
        story.clock.stamp(), "worker:1", [Finished("a", "1", 10, False), Finished("b", "1", 60, False)]
    )
    story.clock.advance(9.9)
    story.reaper.tick()
    assert (story.state("a"), story.state("b")) == ("done", "done")
    story.clock.advance(0.1)
    story.reaper.tick()
    assert (story.state("a"), story.state("b")) == ("gone", "done")


def test_both_travel_in_one_trip(story):
    story.reaper.tick()
    assert story.store.trips == [[Reap(CLAIMS_AT_ONCE), Forget(FORGET_AT_ONCE)]]


def test_a_mass_of_dead_workers_is_worked_off_without_rests_a_bounded_part_at_a_time(story):
    ids = [f"job{n:03}" for n in range(50)]
    story.enqueue(*ids)
    for n in range(50):
        story.claim(f"worker{n}:1")
    story.clock.advance(10)
    assert [story.reaper.tick() for _ in range(3)] == [0.0, 0.0, 1.0]
    assert story.store.see(story.clock.stamp()).leased == 0


def test_a_mass_of_old_results_too(story):
    count = FORGET_AT_ONCE + 10
    ids = [f"job{n:05}" for n in range(count)]
    story.enqueue(*ids)
    taken, n = 0, 0
    while taken < count:
        n += 1
        some = story.claim(f"worker:{n}", limit=100)
        story.store.complete(story.clock.stamp(), f"worker:{n}", [Finished(id, "null", 10, False) for id in some])
        taken += len(some)
    story.clock.advance(10)
    rests = []
    while not rests or rests[-1] == 0.0:
        rests.append(story.reaper.tick())
    assert 2 <= len(rests) <= 3
    assert story.state(ids[0]) == story.state(ids[-1]) == "gone"


def test_any_number_may_reap_side_by_side(story):
    story.enqueue("a")
    story.claim("worker:1")
    story.clock.advance(10)
    story.reaper.tick()
    story.another().tick()
    assert story.told == [("reaped", "a", "queued")]
    assert story.store.look("", "a").deaths == 1


def test_it_listens_to_no_bell_and_watches_nothing(story):
    assert story.reaper.bell() is None
    assert list(story.reaper.watched()) == []
