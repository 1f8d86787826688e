"""A worker is killed with a job in its hand. The job is not lost: its lease runs out, and somebody else takes it."""


def test_what_a_dead_worker_held_is_given_to_another(one_store):
    store = one_store
    store.enqueue("0", "mail", [("job-1", ""), ("job-2", "")])
    store.claim("0", "worker-a:1", "mail", limit=1, lease_seconds=10)
    # … and here worker-a is killed. Nobody is told.

    # Nobody may take its job before the lease has run out: it might only be slow.
    assert store.reap("9.9", limit=100).back == ()
    # Then the reaper, which every worker runs beside its work, gives it back, to the head of the queue.
    assert store.reap("10", limit=100).back == ("job-1",)
    again = store.claim("10", "worker-b:1", "mail", limit=1, lease_seconds=10).jobs[0]
    assert (again.id, again.deaths, again.attempt) == ("job-1", 1, 2)


def test_a_job_that_kills_its_workers_is_set_aside_after_three(one_store):
    store = one_store
    store.enqueue("0", "mail", [("poison", "")])
    for n in range(3):
        store.claim(str(n * 10), f"worker-{n}:1", "mail", limit=1, lease_seconds=10)
        store.reap(str(n * 10 + 10), limit=100)
    # Otherwise it would go on killing them for ever.
    assert store.look("30", "poison").state == "failed"
