"""A job raises an exception. That is no death of a worker: it is tried again, a little later, at the tail."""


def test_a_job_that_raised_waits_and_comes_again(one_store):
    store = one_store
    store.enqueue("0", "mail", [("job-1", ""), ("job-2", "")])
    store.claim("0", "worker:1", "mail", limit=1, lease_seconds=10)

    # How long to wait is the worker's decision (see backoff.py); what happened is kept for people to read.
    assert store.retry("1", "worker:1", "job-1", in_seconds=5, failure='{"error":"Timeout"}') is True
    waiting = store.look("1", "job-1")
    assert (waiting.state, waiting.at, waiting.failure) == ("delayed", 6.0, '{"error":"Timeout"}')

    # The scheduler puts back what is due, and is told how long it may rest until then.
    assert store.promote("2", limit=100) == (0, 4.0)
    assert store.promote("6", limit=100) == (1, None)
    assert [id for id, _ in store.page("6", "queue:mail", 0, 10)] == ["job-2", "job-1"]

    # Failures and deaths are counted apart: a machine that loses power says nothing about the job.
    again = store.claim("6", "worker:2", "mail", limit=2, lease_seconds=10).jobs[1]
    assert (again.id, again.failures, again.deaths) == ("job-1", 1, 0)
