"""A store may begin to listen with the same message that makes a trip; no token is lost by that, and none is kept."""

from __future__ import annotations

import os
import select
from random import Random
from typing import Any, cast

import pytest

from minique.clock import SystemClock
from minique.errors import Unreachable
from minique.events import Events
from minique.memory_store import MemoryStore
from minique.processes import InLine
from minique.redis_store import RedisStore
from minique.registry import Registry
from minique.store import Claim, Claimed, Finished
from minique.wire import BellEar
from minique.worker import Worker
from simulate.benches import meter
from tests.arrows import NOW, bells, enqueue, ids
from tests.conftest import fake_server
from tests.servers import until

BELL, SECONDS = "*", 30.0


def look(store: Any, number: int = 1) -> Any:
    """What an idle worker asks once a second, and what it is told."""
    return store.trip_and_listen([Claim(f"w:{number}", BELL, 1, 10.0)], NOW, BELL, SECONDS)[0]


def blocked(store: Any) -> int:
    return int(meter.as_dict(store.server.call_one("INFO", "clients"))["blocked_clients"])


@pytest.fixture
def listener(real_store: RedisStore) -> RedisStore:
    """A store that knows the server already, and a subscription that is rung for."""
    real_store.beat(NOW, "w", BELL, "{}")
    return real_store


def test_the_trip_and_the_listening_are_one_read_for_the_server(listener):
    look(listener)
    listener.hush()
    before = meter.read(listener.server)
    look(listener, 2)
    assert meter.between(before, meter.read(listener.server), 1)["trips"] == 1
    listener.hush()


def test_who_listens_next_hears_what_rings_meanwhile(listener):
    look(listener)
    until(lambda: blocked(listener) == 1)
    enqueue(listener, "a")
    ear = listener.listen(BELL, SECONDS)
    assert select.select([ear], [], [], 10)[0]
    assert ear.hear()
    assert bells(listener) == set()


def test_a_word_that_comes_with_the_answer_rings_again(listener):
    listener.ring(NOW, BELL)
    look(listener)
    until(lambda: bells(listener) == {BELL})
    ear = listener.listen(BELL, SECONDS)
    assert select.select([ear], [], [], 10)[0]
    assert ear.hear()


def test_who_hushes_listens_no_more_and_takes_no_token(listener):
    look(listener)
    until(lambda: blocked(listener) == 1)
    listener.hush()
    until(lambda: blocked(listener) == 0)
    listener.ring(NOW, BELL)
    assert bells(listener) == {BELL}


def test_a_token_that_was_taken_before_the_hush_is_given_back(listener):
    look(listener)
    until(lambda: blocked(listener) == 1)
    listener.ring(NOW, BELL)
    listener.hush()
    assert bells(listener) == {BELL}


def test_for_another_bell_or_time_one_listens_anew(listener):
    look(listener)
    until(lambda: blocked(listener) == 1)
    ear = listener.listen("mail", SECONDS)
    until(lambda: blocked(listener) == 1)
    listener.ring(NOW, BELL)
    assert bells(listener) == {BELL}
    listener.ring(NOW, "mail")
    assert select.select([ear], [], [], 10)[0]
    assert ear.hear()


def test_on_a_server_that_has_forgotten_its_scripts_the_trip_is_made_all_the_same(listener):
    enqueue(listener, "a")
    listener.server.call_one("SCRIPT", "FLUSH")
    assert ids(look(listener)) == ["a"]
    until(lambda: blocked(listener) == 0)


def test_on_a_connection_that_the_server_has_closed_too(listener):
    look(listener)
    listener.hush()
    enqueue(listener, "a")
    listener.server.call_one("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")
    assert ids(look(listener, 2)) == ["a"]


def test_a_forked_child_does_not_hold_the_line_open(listener):
    # Or the pop of a parent that was killed would go on, and take a token for nobody.
    simulated = fake_server()  # made before the line that matters: it has no real socket, and must not keep it open
    assert simulated.call_one("PING") == "PONG"
    listener.server.close()
    look(listener)
    ear = listener.listen(BELL, SECONDS)
    line = os.fstat(ear.fileno()).st_ino
    child = os.fork()
    if not child:
        os._exit(any(is_line(number, line) for number in range(256)))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    ear.leave()
    assert simulated.call_one("PING") == "PONG"
    assert code == 0


def is_line(descriptor: int, line: int) -> bool:
    try:
        return os.fstat(descriptor).st_ino == line
    except OSError:
        return False


# A claim that came back empty is drawn again behind the bell.


def claim(store: Any, number: int = 1, now: str = "", limit: int = 1) -> Claimed:
    return cast(Claimed, store.trip([Claim(f"w:{number}", BELL, limit, 10.0)], now)[0])


def ring_and_hear(store: Any, id: str) -> None:
    ear = store.listen(BELL, SECONDS)
    until(lambda: blocked(store) == 1)
    enqueue(store, id)
    assert select.select([ear], [], [], 10)[0]
    assert ear.hear()


@pytest.mark.parametrize("asked_by", [claim, look], ids=["trip", "trip and listen"])
def test_who_hears_the_bell_has_the_answer_to_the_claim_already(listener, asked_by):
    if asked_by is claim:
        claim(listener)
    else:
        listener.trip_and_listen([Claim("w:1", BELL, 1, 10.0)], "", BELL, SECONDS)
    ring_and_hear(listener, "a")
    before = meter.read(listener.server)
    claimed = claim(listener)
    assert meter.between(before, meter.read(listener.server), 1)["trips"] == 0
    assert ids(claimed) == ["a"]
    assert listener.look("", "a").claim == "w:1"


def test_of_another_limit_it_is_the_same_claim(listener):
    claim(listener, limit=2)
    ring_and_hear(listener, "a")
    assert ids(claim(listener, limit=1)) == ["a"]


def test_its_lease_has_run_since_it_was_drawn(listener):
    claim(listener)
    ring_and_hear(listener, "a")
    assert 0 < claim(listener).lease_seconds < 10.0


def test_who_leaves_a_bell_in_that_moment_may_still_ask(listener):
    claim(listener)
    ear = listener.listen(BELL, SECONDS)
    until(lambda: blocked(listener) == 1)
    assert not listener.has_drawn()
    enqueue(listener, "a")
    until(lambda: listener.see("").leased == 1)
    ear.leave()
    assert listener.has_drawn()
    assert ids(claim(listener)) == ["a"]
    assert not listener.has_drawn()


def test_when_nothing_came_there_is_nothing_to_give_back(listener):
    claim(listener)
    ear = listener.listen(BELL, SECONDS)
    until(lambda: blocked(listener) == 1)
    ear.leave()
    assert not listener.has_drawn()
    assert ids(claim(listener)) == []


def test_whether_it_was_drawn_is_not_known_when_the_connection_is_lost(listener):
    claim(listener)
    ear = listener.listen(BELL, SECONDS)
    until(lambda: blocked(listener) == 1)
    listener.server.call_one("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert select.select([ear], [], [], 10)[0]
    with pytest.raises(Unreachable):
        ear.hear()
    assert listener.has_drawn()
    enqueue(listener, "a")
    assert ids(claim(listener)) == ["a"]
    assert not listener.has_drawn()


def test_a_server_that_has_forgotten_its_scripts_meanwhile_is_asked_again(listener):
    claim(listener)
    ear = listener.listen(BELL, SECONDS)
    until(lambda: blocked(listener) == 1)
    listener.server.call_one("SCRIPT", "FLUSH")
    listener.server.call_one("RPUSH", listener.prefix + "bell:" + BELL, "1")
    assert select.select([ear], [], [], 10)[0]
    assert ear.hear()
    assert not listener.has_drawn()
    enqueue(listener, "a")
    assert ids(claim(listener)) == ["a"]


def test_by_a_time_of_the_callers_nothing_is_drawn_behind_the_bell(listener):
    claim(listener, now=NOW)
    ring_and_hear(listener, "a")
    assert listener.look("", "a").state == "queued"


def test_nor_behind_another_bell(listener):
    claim(listener)
    ear = listener.listen("mail", SECONDS)
    until(lambda: blocked(listener) == 1)
    listener.ring("", "mail")
    assert select.select([ear], [], [], 10)[0]
    assert ear.hear()
    assert listener.has_drawn() is False


def idle_worker(store: Any) -> Worker:
    """One that has found nothing, listened, and been left by its bell with a job that it does not know of yet."""
    worker = Worker(store, Registry(), InLine(), SystemClock(), Random(0), Events(), "w")
    worker.tick()
    ear = store.listen(BELL, SECONDS)
    until(lambda: blocked(store) == 1)
    enqueue(store, "a")
    until(lambda: store.see("").leased == 1)
    ear.leave()
    return worker


def test_a_worker_that_stops_in_that_moment_gives_it_back(listener):
    worker = idle_worker(listener)
    worker.stop()
    worker.tick()
    assert worker.is_finished()
    found = listener.look("", "a")
    assert (found.state, found.deaths) == ("queued", 0)


def test_one_that_pauses_too_and_later_claims_under_another_name(listener):
    worker = idle_worker(listener)
    worker.pause()
    worker.tick()
    found = listener.look("", "a")
    assert (found.state, found.deaths) == ("queued", 0)
    before = worker.state.number
    worker.tick()
    assert worker.state.number == before, "once is enough"
    worker.resume()
    assert before == 2


def test_after_jobs_were_claimed_nothing_is_drawn_under_their_name_again(listener):
    # Or a worker that is told to pause and go on while a job runs would hold a job that it does not know of.
    claim(listener)
    ring_and_hear(listener, "a")
    assert ids(claim(listener)) == ["a"]
    listener.complete("", "w:1", [Finished("a", "null", 10, False)])
    ring_and_hear(listener, "b")
    assert listener.look("", "b").state == "queued"


def test_nor_after_a_release(listener):
    claim(listener)
    listener.release("", "w:1")
    ring_and_hear(listener, "a")
    assert listener.look("", "a").state == "queued"


def test_who_goes_on_under_another_name_gives_back_what_its_bell_claimed(listener):
    claim(listener)
    ring_and_hear(listener, "a")
    assert ids(claim(listener, 2)) == ["a"]
    assert listener.look("", "a").claim == "w:2"
    assert listener.look("", "a").deaths == 0


def test_an_ear_for_something_else_does_not_make_it_forgotten(listener):
    claim(listener)
    ring_and_hear(listener, "a")
    assert listener.has_drawn()
    ear = listener.listen("answer:x", 0.01)  # nobody answers
    assert select.select([ear], [], [], 10)[0]
    assert not ear.hear()
    assert listener.has_drawn()


def test_who_hushes_with_jobs_in_hand_keeps_them(listener):
    enqueue(listener, "a")
    answer = listener.trip_and_listen([Claim("w:1", BELL, 1, 10.0)], "", BELL, SECONDS)[0]
    assert ids(answer) == ["a"]
    listener.hush()
    assert not listener.has_drawn()
    assert ids(claim(listener, 2)) == []
    assert listener.look("", "a").claim == "w:1"


def test_a_job_that_comes_in_the_moment_of_listening_is_claimed_at_once(listener, monkeypatch):
    def is_over(ear: BellEar) -> bool:
        enqueue(listener, "a")
        return bool(select.select([ear], [], [], 10)[0])

    monkeypatch.setattr(BellEar, "is_over", is_over)
    answer = listener.trip_and_listen([Claim("w:1", BELL, 1, 10.0)], "", BELL, SECONDS)[0]
    assert ids(answer) == ["a"]
    assert not listener.has_drawn()
    assert bells(listener) == set()


def test_a_connection_that_is_lost_in_the_moment_of_listening_is_made_anew(listener, monkeypatch):
    def is_over(ear: BellEar) -> bool:
        listener.server.call_one("CLIENT", "KILL", "ID", ear._number)
        assert select.select([ear], [], [], 10)[0]
        return undisturbed(ear)

    undisturbed = BellEar.is_over
    monkeypatch.setattr(BellEar, "is_over", is_over)
    assert look(listener).jobs == ()
    enqueue(listener, "a")
    assert ids(look(listener, 2)) == ["a"]


def test_a_store_that_begins_nothing_makes_the_trip():
    store = MemoryStore()
    enqueue(store, "a")
    assert ids(look(store)) == ["a"]
    store.hush()
