"""Within a queue, first come, first served. Between queues, the worker's list decides."""


def test_a_worker_takes_from_its_queues_in_the_order_of_its_list(one_store):
    store = one_store
    store.enqueue("0", "mail", [("mail-1", ""), ("mail-2", "")])
    store.enqueue("0", "critical", [("critical-1", "")])

    def take(claim: str, subscription: str) -> str:
        return store.claim("0", claim, subscription, limit=1, lease_seconds=10).jobs[0].id

    # The most urgent queue comes first in the list, though its job came last.
    assert take("worker:1", "critical,mail") == "critical-1"
    # Only when it is empty is it the other's turn; there, in order.
    assert take("worker:2", "critical,mail") == "mail-1"
    assert take("worker:3", "critical,mail") == "mail-2"


def test_queues_behind_one_star_take_turns(one_store):
    store = one_store
    for queue in ("a", "b"):
        store.enqueue("0", queue, [(f"{queue}-1", ""), (f"{queue}-2", "")])
    taken = [store.claim("0", f"worker:{n}", "*", 1, 10).jobs[0].id for n in range(4)]
    # No alphabet decides who starves.
    assert taken == ["a-1", "b-1", "a-2", "b-2"]
