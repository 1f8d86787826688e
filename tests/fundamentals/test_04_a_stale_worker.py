"""The worker was not dead, only asleep: a laptop closed, a process stopped. It wakes up and goes on. What now?"""

from minique.store import Finished


def test_a_sleeper_who_wakes_up_cannot_write_over_its_successor(one_store):
    store = one_store
    store.enqueue("0", "mail", [("job-1", "")])
    store.claim("0", "sleeper:1", "mail", limit=1, lease_seconds=10)
    store.reap("10", limit=100)
    store.claim("10", "successor:1", "mail", limit=1, lease_seconds=10)

    # The job's latest claim is the successor's. Whatever the sleeper writes is refused, and the answer says so.
    late = [Finished("job-1", '"late"', 600, went_back=True)]
    assert store.complete("11", "sleeper:1", late) == [False]
    assert store.retry("11", "sleeper:1", "job-1", in_seconds=5, failure="{}") is False
    assert store.fail("11", "sleeper:1", "job-1", failure="{}") is False
    assert store.release("11", "sleeper:1") == 0
    assert store.renew("11", "sleeper:1", lease_seconds=10) is False

    # The job did run twice: that cannot be helped, for the sleeper might as well have been dead. Its result is one.
    assert store.look("11", "job-1").claim == "successor:1"
    assert store.complete("12", "successor:1", [Finished("job-1", '"mine"', 600, went_back=True)]) == [True]
    assert store.look("12", "job-1").body == '"mine"'
