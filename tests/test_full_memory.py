"""A server whose memory is full takes no more work, and still lets what was taken be finished.

A server refuses a script at its *first* write, if that takes memory, and otherwise lets it run to the end. So the order
of writes in a script decides; `scripts/` says where it matters.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from minique.errors import Unreachable
from minique.store import Claim, Finished, Reap

NOW = "1000.000000"
LEASE_SECONDS = 10.0


@contextmanager
def full(store) -> Iterator[None]:
    server = store.server
    server.call([("CONFIG", "SET", "maxmemory-policy", "noeviction"), ("CONFIG", "SET", "maxmemory", "1000")])
    try:
        yield
    finally:
        server.call([("CONFIG", "SET", "maxmemory", "0")])


@pytest.fixture
def held(real_store):
    """Five jobs in a worker's hand, one more queued; the scripts are known to the server."""
    real_store.enqueue(NOW, "mail", [(id, "{}") for id in "abcdef"])
    claimed = real_store.claim(NOW, "w:1", "*", 5, LEASE_SECONDS)
    assert [job.id for job in claimed.jobs] == list("abcde")
    return real_store


def test_what_was_taken_can_be_finished(held):
    with full(held):
        assert held.complete(NOW, "w:1", [Finished("a", '"done"', 600, False)]) == [True]
        assert held.retry(NOW, "w:1", "b", 5, "{}")
        assert held.fail(NOW, "w:1", "c", "{}")
        assert held.release(NOW, "w:1", ["d"]) == 1
        assert held.renew(NOW, "w:1", LEASE_SECONDS)
        assert [held.look(NOW, id).state for id in "abcde"] == ["done", "delayed", "failed", "queued", "leased"]


def test_what_was_delayed_failed_or_lost_with_its_worker_can_be_moved(held):
    held.retry(NOW, "w:1", "b", 5, "{}")
    held.fail(NOW, "w:1", "c", "{}")
    with full(held):
        assert held.promote("1006.000000", 10).promoted == 1
        assert held.requeue(NOW, "c")
        assert set(held.reap("1011.000000", 10).back) == {"a", "d", "e"}
        assert held.cancel(NOW, "f") == "queued"
        held.beat(NOW, "w", "*", "{}")
        assert held.see(NOW).claims_overdue == 0


def test_no_more_is_taken_and_nothing_half(held):
    before = held.contents()
    with full(held):
        with pytest.raises(Unreachable, match="maxmemory"):
            held.claim(NOW, "w:2", "*", 5, LEASE_SECONDS)
        with pytest.raises(Unreachable, match="maxmemory"):
            held.enqueue(NOW, "mail", [("g", "{}")])
        with pytest.raises(Unreachable, match="maxmemory"):
            held.delay(NOW, "mail", "h", "{}", "+5")
    assert held.contents() == before


def test_a_trip_that_reaps_and_is_refused_its_claim_has_reaped(held):
    """As a worker's does. The state of the worker is unchanged, and the next trip says the same again."""
    with full(held):
        with pytest.raises(Unreachable, match="maxmemory"):
            held.trip([Reap(10), Claim("w:2", "*", 5, LEASE_SECONDS)], "1011.000000")
        assert [held.look(NOW, id).deaths for id in "abcde"] == [1] * 5
        with pytest.raises(Unreachable, match="maxmemory"):
            held.trip([Reap(10), Claim("w:2", "*", 5, LEASE_SECONDS)], "1012.000000")
        assert [held.look(NOW, id).deaths for id in "abcde"] == [1] * 5
