"""Do this work later, at a stated time."""


def test_a_delayed_job_is_queued_when_it_is_due(one_store):
    store = one_store
    store.delay("0", "mail", "at-nine", body="", due="9")
    store.delay("0", "mail", "in-five", body="", due="+5")  # counted from the server's now, since clocks differ

    # Until then no worker sees them.
    assert store.claim("4", "worker:1", "*", limit=9, lease_seconds=10).jobs == ()
    store.promote("9", limit=100)
    assert [job.id for job in store.claim("9", "worker:1", "*", 9, 10).jobs] == ["in-five", "at-nine"]


def test_a_job_can_be_cancelled_as_long_as_nobody_holds_it(one_store):
    store = one_store
    store.delay("0", "mail", "later", body="", due="+5")
    store.enqueue("0", "mail", [("held", "")])
    store.claim("0", "worker:1", "mail", limit=1, lease_seconds=10)

    # The answer is the state it was in; anything but queued or delayed means: too late.
    assert store.cancel("1", "later") == "delayed"
    assert store.cancel("1", "held") == "leased"
    assert store.promote("9", limit=100).promoted == 0
