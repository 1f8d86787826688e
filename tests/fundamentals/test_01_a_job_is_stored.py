"""Do this work later: somebody stores a job, somebody else takes it, does it, and says so."""

from minique.store import Finished


def test_a_job_is_stored_taken_and_done(one_store):
    store = one_store
    noon = "43200.0"  # what time it is, is told to the store: no test here waits

    # A producer stores a job: in a queue, under an id, with a body that only the worker will read.
    assert store.enqueue(noon, "mail", [("job-1", '{"to":"ann"}')]) == [True]
    assert store.look(noon, "job-1").state == "queued"

    # A worker claims it. The claim has a name, chosen by the worker and never used again.
    claimed = store.claim(noon, "worker-a:1", subscription="mail", limit=1, lease_seconds=10)
    assert [job.id for job in claimed.jobs] == ["job-1"]
    # "Leased", not "running": running is what a worker believes, leased is what the server knows.
    assert store.look(noon, "job-1").state == "leased"

    # It runs the job, which the store knows nothing of, and hands in the result.
    result = Finished("job-1", '"sent"', lifetime_seconds=600, went_back=False)
    assert store.complete(noon, "worker-a:1", [result]) == [True]
    done = store.look(noon, "job-1")
    assert (done.state, done.body) == ("done", '"sent"')


def test_storing_it_again_does_no_harm(one_store):
    # The answer to the first call was lost on the way, so the producer asks again. There is still one job.
    assert one_store.enqueue("0", "mail", [("job-1", "{}")]) == [True]
    assert one_store.enqueue("0", "mail", [("job-1", "{}")]) == [False]
    assert one_store.see("0").queues[0].length == 1
