"""An idle worker asks nothing. It listens to a bell, and is woken when there is something to look at."""

import select


def rings(ear) -> bool:
    # Whoever waits can wait for other things beside: a signal, a child that ends. Hence a file descriptor.
    return bool(select.select([ear.fileno()], [], [], 5)[0]) and ear.hear()


def test_an_idle_worker_is_woken_by_a_job(one_store):
    store = one_store
    store.beat("0", "worker", "mail,*", about="{}")  # it says which queues to wake it for
    ear = store.listen("mail,*", seconds=5)
    store.enqueue("0", "file", [("job-1", "")])
    assert rings(ear)
    assert store.claim("0", "worker:1", "mail,*", 1, 10).jobs[0].id == "job-1"


def test_no_wake_up_is_lost_between_looking_and_listening(one_store):
    store = one_store
    store.beat("0", "worker", "mail", about="{}")
    assert store.claim("0", "worker:1", "mail", 1, 10).jobs == ()
    # Exactly now, between the look and the wait, a job comes in. The token stays in the bell.
    store.enqueue("0", "mail", [("job-1", "")])
    assert rings(store.listen("mail", seconds=5))


def test_a_producer_waits_for_its_result_in_the_same_way(one_store):
    store = one_store
    store.enqueue("0", "mail", [("job-1", "")])
    assert store.watch("0", "job-1", waiter="me") == "queued"
    ear = store.listen("answer:me", seconds=5)
    store.cancel("0", "job-1")
    assert rings(ear)
