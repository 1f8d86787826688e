"""A store may begin to listen with the same message that makes a trip; no token is lost by that, and none is kept."""

from __future__ import annotations

import os
import select
from typing import Any

import pytest

from minique.memory_store import MemoryStore
from minique.redis_store import RedisStore
from minique.store import Claim
from simulate.benches import meter
from tests.arrows import NOW, bells, enqueue, ids
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
    look(listener)
    ear = listener.listen(BELL, SECONDS)
    line = os.fstat(ear.fileno()).st_ino
    child = os.fork()
    if not child:
        os._exit(any(is_line(number, line) for number in range(256)))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    ear.leave()


def is_line(descriptor: int, line: int) -> bool:
    try:
        return os.fstat(descriptor).st_ino == line
    except OSError:
        return False


def test_a_store_that_begins_nothing_makes_the_trip():
    store = MemoryStore()
    enqueue(store, "a")
    assert ids(look(store)) == ["a"]
    store.hush()
