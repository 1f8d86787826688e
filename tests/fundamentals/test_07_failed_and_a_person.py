"""Out of tries, a job is not thrown away. It is set aside with what happened, until a person decides."""


def give_up(store, id: str, claim: str) -> None:
    store.enqueue("0", "mail", [(id, "body")])
    store.claim("0", claim, "mail", limit=1, lease_seconds=10)
    assert store.fail("1", claim, id, failure='{"error":"NoSuchUser"}') is True


def test_a_person_sends_it_round_again(one_store):
    give_up(one_store, "job-1", "worker:1")
    assert one_store.look("2", "job-1").failure == '{"error":"NoSuchUser"}'

    # The mistake has been put right. The job begins anew, with all its tries.
    assert one_store.requeue("3", "job-1") is True
    again = one_store.claim("3", "worker:2", "mail", limit=1, lease_seconds=10).jobs[0]
    assert (again.failures, again.attempt, again.record) == (0, 1, "mail\nbody")


def test_or_throws_it_away(one_store):
    give_up(one_store, "job-1", "worker:1")
    assert one_store.discard("3", "job-1") is True
    assert one_store.look("3", "job-1").state == "gone"
    # What was removed on purpose is counted: nothing ends without leaving a trace.
    assert one_store.see("3").stats["discard"] == 1
    # And a person who is a moment late is told.
    assert one_store.requeue("4", "job-1") is False
