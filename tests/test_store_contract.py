"""What each arrow does and refuses: one class per arrow, the same for every store.

The words `enqueue`, `claim` and so on come from arrows.py. No test waits: time is an argument.
"""

from __future__ import annotations

import json
import select
import threading
from typing import Any

import pytest

from minique.keys import LIMITS
from minique.store import (
    CLAIM_LIMIT,
    NOTHING_CLAIMED,
    Beat,
    Cancel,
    Claim,
    Complete,
    Delay,
    Discard,
    Drop,
    Enqueue,
    Fail,
    Finished,
    Fire,
    Fired,
    FollowUp,
    Forget,
    Leased,
    Move,
    Pause,
    Promote,
    Promoted,
    Reap,
    Recurring,
    RecurringRow,
    Release,
    Renew,
    Requeue,
    Resume,
    Retry,
    Ring,
    Store,
    Watch,
)
from tests.arrows import (
    LEASE,
    NOW,
    START,
    at,
    bells,
    claim,
    contents,
    enqueue,
    fail_once,
    finished,
    ids,
    queue_of,
    raw,
    state,
    twice,
)
from tests.servers import until

# (new) → queued


class TestEnqueue:
    def test_a_job_waits_at_the_tail_of_its_queue(self, store):
        assert enqueue(store, "a", "b") == [True, True]
        assert enqueue(store, "c") == [True]
        assert queue_of(store) == ["a", "b", "c"]
        assert state(store, "b") == "queued"
        found = store.look(NOW, "b")
        assert (found.queue, found.body, found.failures, found.deaths) == ("mail", "body of b", 0, 0)

    def test_twice_equals_once(self, store):
        first, second = twice(store, Enqueue("mail", [("a", "1"), ("b", "2")]))
        assert (first, second) == ([True, True], [False, False])

    def test_a_known_id_is_refused_whatever_its_state(self, store):
        enqueue(store, "leased", "done", "failed", "cancelled")
        claim(store, "w:1", limit=3)
        store.complete(NOW, "w:1", finished("done"))
        store.fail(NOW, "w:1", "failed", "{}")
        store.cancel(NOW, "cancelled")
        store.delay(NOW, "mail", "delayed", "", at(5))
        before = contents(store)
        assert enqueue(store, "leased", "done", "failed", "cancelled", "delayed", queue="other") == [False] * 5
        assert contents(store) == before

    def test_an_id_twice_in_one_call_counts_once(self, store):
        assert store.enqueue(NOW, "mail", [("a", "1"), ("a", "2")]) == [True, False]
        assert queue_of(store) == ["a"]
        assert store.look(NOW, "a").body == "1"

    def test_bodies_come_back_byte_for_byte(self, store):
        bodies = [
            "",
            "[]",
            '{"n":12345678901234567890}',
            "two\nlines",
            "ä€😀",
            "\x00\x01",
            "[1.0,[],{}]",
            "x" * 100_000,
        ]
        store.enqueue(NOW, "mail", [(f"job{n}", body) for n, body in enumerate(bodies)])
        taken = claim(store, limit=100).jobs
        assert [job.record.partition("\n")[2] for job in taken] == bodies

    def test_five_thousand_at_once(self, store):
        many = [f"job{n:05}" for n in range(5000)]
        assert enqueue(store, *many) == [True] * 5000
        assert queue_of(store) == many

    def test_a_name_of_sixty_four_characters_is_a_queue_like_others(self, store):
        name = "q" * 64
        enqueue(store, "a", queue=name)
        assert claim(store, subscription=name).jobs == (Leased("a", name, 0, 0, f"{name}\nbody of a"),)

    def test_an_empty_call_does_nothing(self, store):
        before = contents(store)
        assert store.enqueue(NOW, "mail", []) == []
        assert contents(store) == before


# (new) → delayed


class TestDelay:
    def test_a_job_waits_until_it_is_due(self, store):
        assert store.delay(NOW, "mail", "a", "body", at(5)) is True
        found = store.look(NOW, "a")
        assert (found.state, found.at, found.queue, found.body) == ("delayed", START + 5, "mail", "body")
        assert claim(store) == NOTHING_CLAIMED

    def test_a_plus_counts_from_the_servers_now(self, store):
        store.delay(at(2), "mail", "a", "", "+5.5")
        assert store.look(NOW, "a").at == START + 7.5

    def test_twice_equals_once(self, store):
        assert twice(store, Delay("mail", "a", "body", "+5")) == (True, False)

    def test_a_known_id_is_refused(self, store):
        enqueue(store, "a")
        before = contents(store)
        assert store.delay(NOW, "mail", "a", "other", at(5)) is False
        assert contents(store) == before

    def test_the_scheduler_is_woken_only_by_a_job_that_is_due_before_all_others(self, store):
        store.delay(NOW, "mail", "a", "", at(5))
        assert bells(store) == {"@delayed"}
        take_token(store, "@delayed")
        store.delay(NOW, "mail", "b", "", at(6))
        assert bells(store) == set()
        store.delay(NOW, "mail", "c", "", at(4))
        assert bells(store) == {"@delayed"}


# delayed → queued


class TestPromote:
    def test_what_is_due_goes_to_the_tail_earliest_first(self, store):
        enqueue(store, "first")
        store.delay(NOW, "mail", "late", "", at(3))
        store.delay(NOW, "mail", "early", "", at(2))
        store.delay(NOW, "mail", "not yet", "", at(9))
        assert store.promote(at(3), 100) == Promoted(2, 6.0)
        assert queue_of(store) == ["first", "early", "late"]
        assert state(store, "not yet") == "delayed"

    def test_nothing_is_promoted_before_its_time(self, store):
        store.delay(NOW, "mail", "a", "", at(5))
        before = contents(store)
        assert store.promote(at(4.999999), 100) == Promoted(0, 0.000001)
        assert contents(store) == before
        assert store.promote(at(5), 100) == Promoted(1, None)

    def test_it_says_how_long_to_rest(self, store):
        assert store.promote(NOW, 100) == Promoted(0, None)
        store.delay(NOW, "mail", "a", "", at(5))
        assert store.promote(at(1), 100) == Promoted(0, 4.0)

    def test_at_most_so_many_and_then_no_rest(self, store):
        for n in range(5):
            store.delay(NOW, "mail", f"job{n}", "", at(n))
        assert store.promote(at(9), 3) == Promoted(3, 0.0)
        assert store.promote(at(9), 3) == Promoted(2, None)
        assert queue_of(store) == [f"job{n}" for n in range(5)]

    def test_a_step_is_bounded_whatever_was_asked_for(self, store):
        limit = LIMITS["PROMOTE_LIMIT"]
        for n in range(limit + 5):
            store.delay(NOW, "mail", f"job{n:04d}", "", at(1))
        assert store.promote(at(1), 1_000_000) == Promoted(limit, 0.0)
        assert store.promote(at(1), 1_000_000) == Promoted(5, None)

    def test_each_goes_to_its_own_queue(self, store):
        for n, queue in enumerate(["mail", "file", "mail"]):
            store.delay(NOW, queue, f"job{n}", "", at(n))
        store.promote(at(9), 100)
        assert queue_of(store, "mail") == ["job0", "job2"]
        assert queue_of(store, "file") == ["job1"]

    def test_twice_equals_once(self, store):
        store.delay(NOW, "mail", "a", "", at(5))
        assert twice(store, Promote(100), at(5)) == (Promoted(1, None), Promoted(0, None))

    def test_a_waiting_worker_is_woken(self, store):
        store.beat(NOW, "worker", "mail", "")
        store.delay(NOW, "mail", "a", "", at(1))
        assert bells(store) == {"@delayed"}
        store.promote(at(1), 100)
        assert bells(store) == {"@delayed", "mail"}


# queued → leased


class TestClaim:
    def test_the_first_of_the_queue_is_leased(self, store):
        enqueue(store, "a", "b")
        taken = claim(store, "worker:1")
        assert taken.lease_seconds == LEASE
        assert taken.jobs == (Leased("a", "mail", 0, 0, "mail\nbody of a"),)
        assert taken.jobs[0].attempt == 1
        found = store.look(NOW, "a")
        assert (found.state, found.claim) == ("leased", "worker:1")
        assert contents(store)["leases"] == {"worker:1": START + LEASE}
        assert queue_of(store) == ["b"]

    def test_the_same_name_answers_the_same_jobs(self, store):
        enqueue(store, "a", "b", "c")
        first, second = twice(store, Claim("worker:1", "*", 2, LEASE))
        assert ids(first) == ["a", "b"]
        assert second == first

    def test_a_repeated_claim_starts_its_lease_anew(self, store):
        enqueue(store, "a")
        claim(store, "worker:1")
        claim(store, "worker:1", now=at(4))
        assert contents(store)["leases"] == {"worker:1": START + 4 + LEASE}

    def test_two_claims_never_share_a_job(self, store):
        enqueue(store, "a", "b", "c")
        taken = [ids(claim(store, f"worker:{n}", limit=2)) for n in range(3)]
        assert taken == [["a", "b"], ["c"], []]

    def test_an_empty_claim_changes_nothing(self, store):
        enqueue(store, "a", queue="mail")
        store.beat(NOW, "worker", "file", "")
        before = contents(store)
        assert claim(store, subscription="file") == NOTHING_CLAIMED
        assert contents(store) == before

    def test_no_jobs_wanted_changes_nothing(self, store):
        enqueue(store, "a")
        before = contents(store)
        assert claim(store, limit=0) == NOTHING_CLAIMED
        assert contents(store) == before

    def test_a_batch_of_a_hundred_keeps_its_order(self, store):
        # With so long a name a server's hash forgets the order of insertion.
        queue = "q" * 64
        many = [f"{n * 7919 % 1000:03}" for n in range(100)]
        enqueue(store, *many, queue=queue)
        assert ids(claim(store, "worker:1", limit=100)) == many
        assert ids(claim(store, "worker:1", limit=100)) == many
        store.release(NOW, "worker:1")
        assert queue_of(store, queue) == many

    def test_no_claim_holds_more_than_its_limit(self, store):
        enqueue(store, *(f"{n:03}" for n in range(CLAIM_LIMIT + 50)))
        assert len(claim(store, "worker:1", limit=500).jobs) == CLAIM_LIMIT
        assert {job.queue for job in claim(store, "worker:1", limit=500).jobs} == {"mail"}

    def test_a_batch_reaches_across_queues_in_order_of_urgency(self, store):
        enqueue(store, "low1", "low2", queue="low")
        enqueue(store, "mid1", queue="mid")
        enqueue(store, "top1", "top2", queue="top")
        assert ids(claim(store, subscription="top,mid,low", limit=4)) == ["top1", "top2", "mid1", "low1"]

    def test_order_in_the_list_is_priority(self, store):
        enqueue(store, "m", queue="mail")
        enqueue(store, "c", queue="critical")
        assert ids(claim(store, "w:1", "critical,mail")) == ["c"]
        enqueue(store, "c2", queue="critical")
        assert ids(claim(store, "w:2", "mail,critical")) == ["m"]

    def test_a_star_is_every_queue_but_the_excluded(self, store):
        for queue in ("mail", "low", "tmp_a"):
            enqueue(store, f"in {queue}", queue=queue)
        assert ids(claim(store, subscription="*,!low,!tmp_*", limit=9)) == ["in mail"]

    def test_a_named_queue_comes_before_the_star_and_is_not_taken_twice(self, store):
        enqueue(store, "a", queue="apples")
        enqueue(store, "m", queue="mail")
        assert ids(claim(store, subscription="mail,*", limit=9)) == ["m", "a"]

    def test_a_beginning_with_a_star_is_all_queues_that_begin_so(self, store):
        for queue in ("file", "file_1", "profile_1", "file_2"):
            enqueue(store, f"in {queue}", queue=queue)
        assert ids(claim(store, subscription="file_*", limit=9)) == ["in file_1", "in file_2"]

    def test_an_exclusion_wins_over_a_plain_name(self, store):
        enqueue(store, "a", queue="mail")
        assert claim(store, subscription="mail,!ma*") == NOTHING_CLAIMED

    def test_a_pattern_with_odd_characters_is_taken_literally(self, store):
        # In Lua's own patterns . + - mean something.
        enqueue(store, "dot", queue="a.b")
        enqueue(store, "any", queue="axb")
        assert ids(claim(store, subscription="a.*", limit=9)) == ["dot"]
        enqueue(store, "plus", queue="c+d-e")
        assert ids(claim(store, "w:2", subscription="c+d-*", limit=9)) == ["plus"]

    def test_queues_of_one_pattern_take_turns(self, store):
        for queue in ("a", "b", "c"):
            enqueue(store, *(f"{queue}{n}" for n in range(3)), queue=queue)
        order = [ids(claim(store, f"w:{n}", "*"))[0] for n in range(9)]
        assert order == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]

    def test_a_queue_that_is_refilled_again_and_again_does_not_starve_the_others(self, store):
        enqueue(store, "slow1", "slow2", queue="z")
        order = []
        for n in range(4):
            enqueue(store, f"busy{n}", queue="a")
            order += ids(claim(store, f"w:{n}", "*"))
        assert order == ["slow1", "busy0", "slow2", "busy1"]

    def test_more_queues_than_are_looked_at_in_one_go(self, store):
        for n in range(45):
            enqueue(store, f"in {n:02}", queue=f"q{n:02}")
        assert ids(claim(store, "w:1", "q44")) == ["in 44"]
        assert ids(claim(store, "w:2", "q43*", limit=9)) == ["in 43"]
        assert ids(claim(store, "w:3", "*", limit=100)) == [f"in {n:02}" for n in range(43)]

    def test_a_job_that_saw_its_worker_die_is_taken_alone(self, store):
        enqueue(store, "poison", "b", "c")
        claim(store, "dead:1", limit=1)
        store.reap(at(LEASE), 9)
        assert ids(claim(store, "w:1", limit=9)) == ["poison"]
        assert ids(claim(store, "w:2", limit=9)) == ["b", "c"]

    def test_a_job_that_saw_its_worker_die_ends_a_batch_before_it(self, store):
        enqueue(store, "poison")
        claim(store, "dead:1", "mail")
        enqueue(store, "urgent", queue="critical")
        store.reap(at(LEASE), 9)
        assert ids(claim(store, "w:1", "critical,mail", limit=9)) == ["urgent"]
        taken = claim(store, "w:2", "critical,mail", limit=9)
        assert ids(taken) == ["poison"]
        assert (taken.jobs[0].deaths, taken.jobs[0].failures, taken.jobs[0].attempt) == (1, 0, 2)

    def test_ghosts_of_cancelled_jobs_are_skipped(self, store):
        enqueue(store, "a", "b", "c", "d")
        store.cancel(NOW, "a")
        store.cancel(NOW, "c")
        assert ids(claim(store, limit=9)) == ["b", "d"]
        assert queue_of(store) == []

    def test_a_queue_of_ghosts_alone_ends_up_empty(self, store):
        enqueue(store, "a", "b")
        store.cancel(NOW, "a")
        store.cancel(NOW, "b")
        assert claim(store) == NOTHING_CLAIMED
        assert queue_of(store) == []
        assert "ready" not in contents(store)

    def test_very_many_ghosts_are_passed_in_several_claims_and_each_asks_for_the_next(self, store):
        many = LIMITS["GHOSTS_AT_ONCE"] + 10
        names = [f"{n:05}" for n in range(many)]
        enqueue(store, *names, "alive")
        store.trip([Cancel(id) for id in names], NOW)
        assert claim(store, "w:1", "mail", limit=50) == NOTHING_CLAIMED
        assert bells(store) == {"mail"}, "or the worker would rest before the last job"
        assert ids(claim(store, "w:1", "mail", limit=50)) == ["alive"]

    def test_what_is_left_rings_the_claimers_bell_again(self, store):
        enqueue(store, "a", "b")
        claim(store, "w:1", "mail")
        assert bells(store) == {"mail"}
        take_token(store, "mail")
        claim(store, "w:2", "mail")
        assert bells(store) == set()

    def test_an_empty_stamp_is_the_stores_own_clock(self, store):
        enqueue(store, "a", now="")
        claim(store, "w:1", now="")
        deadline = contents(store)["leases"]["w:1"]
        assert deadline == pytest.approx(store.see("").now + LEASE, abs=5)
        assert store.see("").now > 1.7e9


# leased → leased


class TestRenew:
    def test_the_lease_starts_anew(self, store):
        enqueue(store, "a")
        claim(store, "w:1")
        assert store.renew(at(6), "w:1", LEASE) is True
        assert store.reap(at(LEASE), 9).back == ()
        assert contents(store)["leases"] == {"w:1": START + 6 + LEASE}

    def test_a_claim_that_is_over_cannot_be_renewed(self, store):
        enqueue(store, "a")
        claim(store, "w:1")
        store.reap(at(LEASE), 9)
        before = contents(store)
        assert store.renew(at(LEASE), "w:1", LEASE) is False
        assert store.renew(at(LEASE), "never:1", LEASE) is False
        assert contents(store) == before

    def test_a_lease_that_ran_out_unseen_can_still_be_renewed(self, store):
        # Nobody was given the job meanwhile, so nothing is gained by taking it away.
        enqueue(store, "a")
        claim(store, "w:1")
        assert store.renew(at(LEASE + 1), "w:1", LEASE) is True

    def test_twice_equals_once(self, store):
        enqueue(store, "a")
        claim(store, "w:1")
        assert twice(store, Renew("w:1", LEASE), at(3)) == (True, True)


# leased → done


class TestComplete:
    def test_a_finished_job_keeps_its_result(self, store):
        enqueue(store, "a")
        claim(store, "w:1")
        assert store.complete(at(2), "w:1", finished("a", result='{"n":1}')) == [True]
        found = store.look(at(2), "a")
        assert (found.state, found.at, found.body, found.claim) == ("done", START + 2, '{"n":1}', "")

    def test_nothing_else_is_left_of_it(self, store):
        enqueue(store, "a")
        claim(store, "w:1")
        store.complete(NOW, "w:1", finished("a"))
        assert sorted(contents(store)) == ["done:600", "job:a", "lifetimes", "queues", "stats"]

    def test_part_of_a_claim_can_be_finished(self, store):
        enqueue(store, "a", "b", "c")
        claim(store, "w:1", limit=3)
        assert store.complete(NOW, "w:1", finished("b")) == [True]
        assert [state(store, id) for id in "abc"] == ["leased", "done", "leased"]
        assert contents(store)["claim:w:1"] == ["a", "c"]
        assert contents(store)["leases"] == {"w:1": START + LEASE}
        assert ids(claim(store, "w:1", limit=3)) == ["a", "c"]

    def test_twice_equals_once(self, store):
        enqueue(store, "a", "b")
        claim(store, "w:1", limit=2)
        assert twice(store, Complete("w:1", finished("a", "b"))) == ([True, True], [True, True])

    def test_a_stale_claim_is_refused_and_changes_nothing(self, store):
        enqueue(store, "a")
        claim(store, "old:1")
        store.reap(at(LEASE), 9)
        before = contents(store)
        assert store.complete(at(LEASE), "old:1", finished("a", result='"stale"')) == [False]
        assert contents(store) == before
        claim(store, "new:1", now=at(LEASE))
        before = contents(store)
        assert store.complete(at(LEASE), "old:1", finished("a", result='"stale"')) == [False]
        assert contents(store) == before

    def test_a_stale_result_does_not_replace_the_successors(self, store):
        enqueue(store, "a")
        claim(store, "old:1")
        store.reap(at(LEASE), 9)
        claim(store, "new:1", now=at(LEASE))
        store.complete(at(LEASE), "new:1", finished("a", result='"new"'))
        assert store.complete(at(LEASE), "old:1", finished("a", result='"old"')) == [False]
        assert store.look(NOW, "a").body == '"new"'

    def test_in_one_call_some_count_and_some_do_not(self, store):
        enqueue(store, "a", "b")
        claim(store, "w:1", limit=2)
        assert store.complete(NOW, "w:1", finished("unknown", "b", "a")) == [False, True, True]

    def test_a_lease_that_ran_out_unseen_still_counts(self, store):
        enqueue(store, "a")
        claim(store, "w:1")
        assert store.complete(at(LEASE + 5), "w:1", finished("a")) == [True]
        assert store.reap(at(LEASE + 5), 9).back == ()

    def test_counts_of_a_job_that_went_back_are_cleared(self, store):
        enqueue(store, "a")
        claim(store, "w:1")
        store.retry(NOW, "w:1", "a", 0, "{}")
        store.promote(NOW, 9)
        claim(store, "w:2")
        store.complete(NOW, "w:2", finished("a", went_back=True))
        assert not {"failures", "failures:count", "deaths"} & set(contents(store))

    def test_each_job_has_its_own_lifetime(self, store):
        enqueue(store, "a", "b")
        claim(store, "w:1", limit=2)
        store.complete(NOW, "w:1", finished("a", lifetime=10, went_back=False) + finished("b", lifetime=600))
        assert contents(store)["done:10"] == [f"{NOW} a"]
        assert contents(store)["done:600"] == [f"{NOW} b"]


class TestFollowUps:
    """Jobs that come to be with another's completion, or not at all."""

    def complete(self, store, *follow_ups, claim="worker:1", id="a"):
        return store.complete(
            NOW, claim, [*finished("before"), Finished(id, "1", 600, False, follow_ups), *finished("z")]
        )

    def test_they_are_stored_with_the_completion(self, store):
        enqueue(store, "a")
        claim(store)
        done = self.complete(
            store, FollowUp("b", "mail", "B"), FollowUp("c", "file", "C"), FollowUp("d", "mail", "D", "+5")
        )
        assert done == [False, True, False]
        assert [state(store, id) for id in "abcd"] == ["done", "queued", "queued", "delayed"]
        assert (queue_of(store, "mail"), queue_of(store, "file")) == (["b"], ["c"])
        assert (store.look(NOW, "d").at, store.look(NOW, "d").body) == (START + 5, "D")
        assert [store.look(NOW, id).record for id in "bc"] == ["mail\nB", "file\nC"]

    def test_those_of_a_refused_completion_are_not(self, store):
        enqueue(store, "a")
        claim(store)
        store.reap(at(LEASE), 9)
        before = contents(store)
        assert self.complete(store, FollowUp("b", "mail", "B"), FollowUp("c", "mail", "C", at(5))) == [False] * 3
        assert contents(store) == before

    def test_only_those_of_the_jobs_that_count(self, store):
        enqueue(store, "a", "b")
        claim(store, "worker:1")
        claim(store, "worker:2")
        jobs = [Finished(id, "1", 600, False, (FollowUp(f"after {id}", "mail", ""),)) for id in ("b", "a", "x")]
        assert store.complete(NOW, "worker:1", jobs) == [False, True, False]
        assert queue_of(store) == ["after a"]

    def test_twice_equals_once(self, store):
        enqueue(store, "a", "b")
        claim(store, limit=2)
        jobs = [Finished(id, "1", 600, False, (FollowUp(f"after {id}", "mail", ""),)) for id in ("a", "b")]
        assert twice(store, Complete("worker:1", jobs)) == ([True, True], [True, True])
        assert queue_of(store) == ["after a", "after b"]

    def test_twice_equals_once_though_a_key_was_freed_in_between(self, store):
        store.enqueue(NOW, "mail", [("holder", "@ key\nx")])
        claim(store, "other:1")
        enqueue(store, "a")
        claim(store)
        one = Complete("worker:1", [Finished("a", "1", 600, False, (FollowUp("b", "mail", "@ key\ny"),))])
        assert store.trip([one], NOW) == [[True]]
        assert store.complete(NOW, "other:1", finished("holder")) == [True]
        assert store.trip([one], NOW) == [[True]]
        assert state(store, "b") == "gone"

    def test_one_whose_key_is_held_is_dropped_and_counted(self, store):
        store.enqueue(NOW, "other", [("holder", "@ key\nx")])
        enqueue(store, "a")
        claim(store, subscription="mail")
        assert self.complete(store, FollowUp("b", "mail", "@ key\ny"), FollowUp("c", "mail", "@ key\ny", "+1")) == [
            False, True, False]  # fmt: skip
        assert [state(store, id) for id in "abc"] == ["done", "gone", "gone"]
        assert store.see(NOW).stats["held"] == 2

    def test_a_job_may_be_followed_by_one_with_its_own_key(self, store):
        store.enqueue(NOW, "mail", [("a", "@ key\nx")])
        claim(store)
        self.complete(store, FollowUp("b", "mail", "@ key\nx"))
        assert [state(store, id) for id in "ab"] == ["done", "queued"]
        assert store.enqueue(NOW, "mail", [("c", "@ key\n")]) == ["b"]

    def test_a_worker_is_woken_for_them(self, store):
        store.beat(NOW, "idle", "file", "x")
        enqueue(store, "a")
        claim(store)
        self.complete(store, FollowUp("b", "file", ""))
        assert "file" in bells(store)


STAYS = {
    "claimed": lambda s: None,
    "retried": lambda s: s.retry(NOW, "worker:1", "a", 5, "{}"),
    "retried and promoted": lambda s: (s.retry(NOW, "worker:1", "a", 5, "{}"), s.promote(at(5), 9)),
    "released": lambda s: s.release(NOW, "worker:1"),
    "reaped": lambda s: s.reap(at(LEASE), 9),
    "refused": lambda s: s.complete(NOW, "stale:1", finished("a")),
}


FREES = {
    "done": lambda s: s.complete(NOW, "worker:1", finished("a")),
    "failed": lambda s: s.fail(NOW, "worker:1", "a", "{}"),
    "dropped": lambda s: s.drop(NOW, "worker:1", "a", 60, "no use"),
    "died too often": lambda s: s.reap(at(LEASE), 9, deaths_allowed=1),
    "cancelled": lambda s: (s.release(NOW, "worker:1"), s.cancel(NOW, "a")),
    "cancelled while delayed": lambda s: (s.retry(NOW, "worker:1", "a", 5, "{}"), s.cancel(NOW, "a")),
    "expired": lambda s: (s.release(NOW, "worker:1"), claim(s, "worker:2", now=at(61))),
    "discarded": lambda s: (s.fail(NOW, "worker:1", "a", "{}"), s.requeue(NOW, "a"), claim(s, "worker:2"),
                            s.fail(NOW, "worker:2", "a", "{}"), s.discard(NOW, "a")),
}  # fmt: skip


class TestTerms:
    """A body may begin with `@EXPIRES KEY` and a newline."""

    def test_a_key_lets_one_in_and_names_it_to_the_others(self, store):
        assert store.enqueue(NOW, "mail", [("a", "@ user 7\nx"), ("b", "@ user 7\nx"), ("c", "@ user 8\nx")]) == [
            True, "a", True]  # fmt: skip
        assert store.delay(NOW, "mail", "d", "@ user 7\n", "+5") == "a"
        assert queue_of(store) == ["a", "c"]
        assert (state(store, "b"), state(store, "d")) == ("gone", "gone")

    def test_a_delayed_job_holds_its_key_too(self, store):
        assert store.delay(NOW, "mail", "a", "@ key\n", "+5") is True
        assert store.enqueue(NOW, "mail", [("b", "@ key\n")]) == ["a"]

    @pytest.mark.parametrize("arrow", [
        Enqueue("mail", [("a", "@ key\n"), ("b", "@ key\n")]), Delay("mail", "a", "@+5 key\n", "+5"),
    ], ids=["enqueue", "delay"])  # fmt: skip
    def test_twice_equals_once(self, store, arrow):
        twice(store, arrow)

    def test_a_known_id_is_known_and_not_its_own_rival(self, store):
        store.enqueue(NOW, "mail", [("a", "@ key\n")])
        assert store.enqueue(NOW, "mail", [("a", "@ key\n")]) == [False]

    @pytest.mark.parametrize("way", STAYS)
    def test_it_is_held_while_the_job_is_under_way(self, store, way):
        store.enqueue(NOW, "mail", [("a", "@ key\n")])
        claim(store)
        STAYS[way](store)
        assert store.enqueue(NOW, "mail", [("b", "@ key\n")]) == ["a"]

    @pytest.mark.parametrize("way", FREES)
    def test_it_is_freed_on_every_way_out(self, store, way):
        store.enqueue(NOW, "mail", [("a", "@+60 key\n")])
        claim(store)
        FREES[way](store)
        assert "unique" not in contents(store)
        assert store.enqueue(NOW, "mail", [("b", "@ key\n")]) == [True]

    def test_a_failed_job_that_comes_back_takes_its_key_again(self, store):
        store.enqueue(NOW, "mail", [("a", "@ key\n")])
        claim(store)
        store.fail(NOW, "worker:1", "a", "{}")
        assert store.requeue(NOW, "a") is True
        assert store.enqueue(NOW, "mail", [("b", "@ key\n")]) == ["a"]

    def test_unless_another_has_it_by_then(self, store):
        store.enqueue(NOW, "mail", [("a", "@ key\n")])
        claim(store)
        store.fail(NOW, "worker:1", "a", "{}")
        store.enqueue(NOW, "mail", [("b", "@ key\n")])
        assert twice(store, Requeue("a")) == ("b", "b")
        assert state(store, "a") == "failed"

    def test_nobody_frees_anothers_key(self, store):
        store.enqueue(NOW, "mail", [("a", "@ key\n")])
        claim(store)
        store.fail(NOW, "worker:1", "a", "{}")
        store.enqueue(NOW, "mail", [("b", "@ key\n")])
        assert store.discard(NOW, "a") is True
        assert store.enqueue(NOW, "mail", [("c", "@ key\n")]) == ["b"]

    def test_an_expired_job_is_removed_by_the_claim_and_counted(self, store):
        store.enqueue(NOW, "mail", [("a", f"@{at(5)} \nx"), ("b", f"@{at(5)} \nx"), ("c", "x")])
        assert ids(claim(store, limit=9, now=at(5.000001))) == ["c"]
        assert (state(store, "a"), store.look(NOW, "a").body) == ("gone", "expire")
        assert store.see(NOW).stats["expire"] == 2
        assert store.forget(at(16), 9) == 2

    def test_until_then_it_is_a_job_like_others(self, store):
        store.enqueue(NOW, "mail", [("a", f"@{at(5)} \nx")])
        assert ids(claim(store, now=at(5))) == ["a"]
        assert store.complete(at(9), "worker:1", finished("a")) == [True]

    def test_a_plus_counts_from_when_the_job_is_due(self, store):
        store.enqueue(at(2), "mail", [("a", "@+60.5 \nx")])
        store.delay(at(2), "mail", "b", "@+60 key\nx", "+3")
        store.delay(at(2), "mail", "c", "@+60 \nx", at(10))
        assert [store.look(NOW, id).record for id in "abc"] == [
            f"mail\n@{at(62.5)} \nx", f"mail\n@{at(65)} key\nx", f"mail\n@{at(70)} \nx"]  # fmt: skip

    def test_one_that_waited_too_long_for_its_retry_expires_like_others(self, store):
        store.enqueue(NOW, "mail", [("a", "@+5 \nx")])
        claim(store)
        store.retry(NOW, "worker:1", "a", 9, "{}")
        store.promote(at(9), 9)
        assert claim(store, "worker:2", now=at(9)) == NOTHING_CLAIMED
        found = store.look(NOW, "a")
        assert (found.state, found.body, found.failures) == ("gone", "expire", 0)

    def test_whoever_waits_for_it_is_told(self, store):
        store.enqueue(NOW, "mail", [("a", "@+5 \nx")])
        assert store.watch(NOW, "a", "me") == "queued"
        claim(store, now=at(6))
        assert "answer:me" in store.contents()

    def test_an_empty_line_of_terms_means_nothing(self, store):
        assert store.enqueue(NOW, "mail", [("a", "@ \nx"), ("b", "@ \nx")]) == [True, True]
        assert ids(claim(store, limit=9, now=at(9e8))) == ["a", "b"]

    @pytest.mark.parametrize(
        "body",
        [
            "@",
            "@x",
            "@never \n",
            "@ key",
            "@\n@ key\n",
            "x\n@ key\n",
            "@x y z\n",
            "@+ key\n",
            "@. key\n",
            "@1.2.3 key\n",
            "@nan key\n",
            "@0x1 key\n",
            "@-1 key\n",
            "@1e3 key\n",
        ],
    )
    def test_what_somebody_else_wrote_there_breaks_nothing(self, store, body):
        store.enqueue(NOW, "mail", [("a", body)])
        [job] = claim(store, now=at(9e8)).jobs
        assert job.record == f"mail\n{body}"
        assert store.complete(NOW, "worker:1", finished("a")) == [True]
        assert "unique" not in contents(store)


# leased → (gone)


class TestDrop:
    def test_a_leased_job_goes_with_its_reason(self, store):
        enqueue(store, "a", "b")
        claim(store, limit=2)
        assert store.drop(NOW, "worker:1", "a", 60, "the user is\ngone") is True
        found = store.look(NOW, "a")
        assert (found.state, found.at, found.body) == ("gone", START, "drop: the user is\ngone")
        assert state(store, "b") == "leased"
        assert store.see(NOW).stats["drop"] == 1

    def test_the_reason_is_kept_for_its_lifetime(self, store):
        enqueue(store, "a")
        claim(store)
        store.drop(NOW, "worker:1", "a", 60, "no use")
        assert store.forget(at(59.9), 9) == 0
        assert store.forget(at(60), 9) == 1
        assert contents(store).keys() <= {"queues", "stats"}

    def test_it_leaves_no_counts(self, store):
        enqueue(store, "a")
        claim(store)
        store.reap(at(LEASE), 9)
        claim(store, "worker:2")
        store.drop(NOW, "worker:2", "a", 60, "")
        assert not {"deaths", "failures", "leases", "leased"} & set(contents(store))

    def test_twice_equals_once(self, store):
        enqueue(store, "a")
        claim(store)
        assert twice(store, Drop("worker:1", "a", 60, "why")) == (True, True)

    def test_a_stale_claim_is_refused(self, store):
        enqueue(store, "a")
        claim(store)
        store.reap(at(LEASE), 9)
        before = contents(store)
        assert store.drop(NOW, "worker:1", "a", 60, "why") is False
        assert contents(store) == before
        claim(store, "worker:2")
        assert store.drop(NOW, "worker:1", "a", 60, "why") is False
        assert state(store, "a") == "leased"

    def test_whoever_waits_for_it_is_told(self, store):
        enqueue(store, "a")
        claim(store)
        store.watch(NOW, "a", "me")
        store.drop(NOW, "worker:1", "a", 60, "why")
        assert "answer:me" in store.contents()


class TestRetry:
    def test_the_job_waits_for_its_next_try(self, store):
        enqueue(store, "a")
        claim(store, "w:1")
        assert store.retry(at(1), "w:1", "a", 5.5, '{"error":"Boom"}') is True
        found = store.look(NOW, "a")
        assert (found.state, found.at, found.failures, found.deaths) == ("delayed", START + 6.5, 1, 0)
        assert found.failure == '{"error":"Boom"}'
        assert "leases" not in contents(store)

    def test_it_comes_back_at_the_tail_and_the_try_is_counted(self, store):
        enqueue(store, "a", "b")
        claim(store, "w:1")
        store.retry(NOW, "w:1", "a", 1, "{}")
        store.promote(at(1), 9)
        assert queue_of(store) == ["b", "a"]
        assert [job.failures for job in claim(store, "w:2", limit=2).jobs] == [0, 1]

    def test_twice_equals_once(self, store):
        enqueue(store, "a")
        claim(store, "w:1")
        assert twice(store, Retry("w:1", "a", 5, "{}")) == (True, True)
        assert store.look(NOW, "a").failures == 1

    def test_again_after_the_job_has_moved_on_changes_nothing(self, store):
        enqueue(store, "a")
        claim(store, "w:1")
        store.retry(NOW, "w:1", "a", 0, "{}")
        store.promote(NOW, 9)
        claim(store, "w:2")
        before = contents(store)
        assert store.retry(NOW, "w:1", "a", 0, "{}") is True
        assert contents(store) == before

    def test_a_stale_claim_is_refused_and_changes_nothing(self, store):
        enqueue(store, "a")
        claim(store, "old:1")
        store.reap(at(LEASE), 9)
        claim(store, "new:1", now=at(LEASE))
        before = contents(store)
        assert store.retry(at(LEASE), "old:1", "a", 5, "{}") is False
        assert contents(store) == before

    def test_the_others_of_the_batch_stay_leased(self, store):
        enqueue(store, "a", "b")
        claim(store, "w:1", limit=2)
        store.retry(NOW, "w:1", "a", 5, "{}")
        assert [state(store, id) for id in "ab"] == ["delayed", "leased"]
        assert contents(store)["leases"] == {"w:1": START + LEASE}

    def test_the_scheduler_is_woken_by_the_first_to_be_due(self, store):
        enqueue(store, "a")
        claim(store, "w:1")
        store.retry(NOW, "w:1", "a", 5, "{}")
        assert bells(store) == {"@delayed"}


# leased → failed


class TestFail:
    def test_the_job_is_set_aside_for_a_person(self, store):
        enqueue(store, "a")
        claim(store, "w:1")
        assert store.fail(at(3), "w:1", "a", '{"error":"Boom"}') is True
        found = store.look(NOW, "a")
        assert (found.state, found.at, found.failures, found.failure) == ("failed", START + 3, 1, '{"error":"Boom"}')
        assert found.body == "body of a"
        assert not {"leases", "leased", "claim:w:1"} & set(contents(store))

    def test_twice_equals_once(self, store):
        enqueue(store, "a")
        claim(store, "w:1")
        assert twice(store, Fail("w:1", "a", "{}")) == (True, True)

    def test_a_stale_claim_is_refused_and_changes_nothing(self, store):
        enqueue(store, "a")
        claim(store, "old:1")
        store.reap(at(LEASE), 9)
        claim(store, "new:1", now=at(LEASE))
        before = contents(store)
        assert store.fail(at(LEASE), "old:1", "a", "{}") is False
        assert contents(store) == before

    def test_beyond_ten_thousand_the_oldest_are_dropped_and_counted(self, store):
        limit = LIMITS["FAILED_LIMIT"]
        names = [f"{n:05}" for n in range(limit)]
        for first in range(0, limit, 5000):
            enqueue(store, *names[first : first + 5000])
        store.trip([Claim(f"w:{n}", "mail", 100, LEASE) for n in range(limit // 100)], NOW)
        # One by one, so that each has a time of its own; the last hundred by the reaper.
        store.reap(at(LEASE), limit, deaths_allowed=1)
        assert store.see(NOW).failed == limit
        fail_late(store, "straw", at(20))
        overview = store.see(NOW)
        assert (overview.failed, overview.stats["dropped"]) == (limit, 1)
        assert state(store, "00000") == "gone"
        assert store.look(NOW, "00000").deaths == 0
        assert state(store, "00001") == state(store, "straw") == "failed"


# leased → queued, by the worker


class TestRelease:
    def test_jobs_go_back_to_the_head_in_their_old_order(self, store):
        enqueue(store, "a", "b", "c", "d")
        claim(store, "w:1", limit=3)
        assert store.release(NOW, "w:1") == 3
        assert queue_of(store) == ["a", "b", "c", "d"]
        assert not {"leases", "leased", "claim:w:1"} & set(contents(store))

    def test_some_of_a_claim_in_the_order_of_the_claim(self, store):
        enqueue(store, "a", "b", "c", "d")
        claim(store, "w:1", limit=4)
        assert store.release(NOW, "w:1", ["d", "b"]) == 2
        assert queue_of(store) == ["b", "d"]
        assert ids(claim(store, "w:1")) == ["a", "c"]

    def test_it_costs_no_try(self, store):
        enqueue(store, "a")
        claim(store, "w:1")
        store.release(NOW, "w:1")
        assert claim(store, "w:2").jobs[0].attempt == 1

    def test_each_goes_to_its_own_queue(self, store):
        enqueue(store, "m", queue="mail")
        enqueue(store, "f", queue="file")
        claim(store, "w:1", "mail,file", limit=2)
        store.release(NOW, "w:1")
        assert (queue_of(store, "mail"), queue_of(store, "file")) == (["m"], ["f"])

    def test_twice_equals_once(self, store):
        enqueue(store, "a", "b")
        claim(store, "w:1", limit=2)
        assert twice(store, Release("w:1")) == (2, 0)

    def test_a_stale_claim_changes_nothing(self, store):
        enqueue(store, "a")
        claim(store, "old:1")
        store.reap(at(LEASE), 9)
        claim(store, "new:1", now=at(LEASE))
        before = contents(store)
        assert store.release(at(LEASE), "old:1") == 0
        assert store.release(at(LEASE), "old:1", ["a"]) == 0
        assert contents(store) == before

    def test_a_waiting_worker_is_woken(self, store):
        store.beat(NOW, "worker", "mail", "")
        enqueue(store, "a")
        claim(store, "w:1", "mail")
        take_token(store, "mail")
        store.release(NOW, "w:1")
        assert bells(store) == {"mail"}


# leased → queued or failed, by anybody


class TestReap:
    def test_a_lease_that_ran_out_gives_its_jobs_back_at_the_head_in_order(self, store):
        enqueue(store, "a", "b", "c", "d", "e")
        claim(store, "dead:1", limit=2, now=at(0))
        claim(store, "dead:2", limit=2, now=at(1))
        reaped = store.reap(at(1 + LEASE), 9)
        assert set(reaped.back) == {"a", "b", "c", "d"}
        assert (reaped.failed, reaped.next_in_seconds) == ((), None)
        assert queue_of(store) == ["a", "b", "c", "d", "e"]
        assert not {"leases", "leased"} & set(contents(store))

    def test_not_before_its_time(self, store):
        enqueue(store, "a")
        claim(store, "w:1")
        before = contents(store)
        assert store.reap(at(LEASE - 0.5), 9) == ((), (), 0.5)
        assert contents(store) == before

    def test_it_says_how_long_to_rest(self, store):
        assert store.reap(NOW, 9).next_in_seconds is None
        enqueue(store, "a", "b")
        claim(store, "w:1", now=at(0))
        claim(store, "w:2", now=at(4))
        assert store.reap(at(LEASE), 9) == (("a",), (), 4.0)

    def test_twice_equals_once(self, store):
        enqueue(store, "a")
        claim(store, "w:1")
        assert twice(store, Reap(9), at(LEASE)) == ((("a",), (), None), ((), (), None))

    def test_at_most_so_many_claims(self, store):
        enqueue(store, "a", "b", "c")
        for n in range(3):
            claim(store, f"w:{n}")
        first = store.reap(at(LEASE), 2)
        assert (len(first.back), first.next_in_seconds) == (2, 0.0)
        assert len(store.reap(at(LEASE), 2).back) == 1

    def test_deaths_are_counted_apart_from_failures(self, store):
        enqueue(store, "a")
        claim(store, "w:1")
        store.retry(NOW, "w:1", "a", 0, "{}")
        store.promote(NOW, 9)
        claim(store, "w:2")
        store.reap(at(LEASE), 9)
        job = claim(store, "w:3", now=at(LEASE)).jobs[0]
        assert (job.failures, job.deaths, job.attempt) == (1, 1, 3)

    def test_a_job_that_saw_too_many_workers_die_is_failed(self, store):
        enqueue(store, "poison")
        for n in range(2):
            claim(store, f"w:{n}", now=at(n * LEASE))
            assert store.reap(at((n + 1) * LEASE), 9).back == ("poison",)
        claim(store, "w:2", now=at(2 * LEASE))
        assert store.reap(at(3 * LEASE), 9) == ((), ("poison",), None)
        found = store.look(NOW, "poison")
        assert (found.state, found.deaths, found.failures) == ("failed", 3, 0)
        assert "WorkerDied" in found.failure
        assert queue_of(store) == []

    def test_how_each_worker_died_is_kept(self, store):
        enqueue(store, "a")
        for n, why in enumerate(['killed by "SIGSEGV"\\\n\x1b[2J ü', "", "x" * 300]):
            claim(store, f"w{n}:1")
            store.reap(NOW, 9, worker=f"w{n}", why=why)
        died = ("killed by  SIGSEGV   [2J  ", "its worker died", "x" * 200)
        assert store.look(NOW, "a").died == died
        message = json.loads(store.look(NOW, "a").failure)["message"]
        assert message == f"its worker died, or stopped renewing the lease, 3 times: {'; '.join(died)}"

    def test_a_lease_that_ran_out_says_so(self, store):
        enqueue(store, "a")
        claim(store)
        store.reap(at(LEASE), 9, why="ignored, since nobody saw it")
        assert store.look(NOW, "a").died == ("its lease ran out",)

    def test_how_many_deaths_are_too_many_is_the_callers_word(self, store):
        enqueue(store, "a")
        claim(store, "w:1")
        assert store.reap(at(LEASE), 9, deaths_allowed=1).failed == ("a",)

    def test_a_dead_workers_claims_are_given_back_at_once(self, store):
        enqueue(store, "a", "b", "c")
        claim(store, "dead:1")
        claim(store, "alive:1")
        claim(store, "dead:2")
        assert set(store.reap(NOW, 9, worker="dead").back) == {"a", "c"}
        assert queue_of(store) == ["a", "c"]
        assert state(store, "b") == "leased"

    def test_a_worker_whose_name_begins_like_a_dead_one_keeps_its_claims(self, store):
        enqueue(store, "a", "b")
        claim(store, "host:7:1")
        claim(store, "host:77:1")
        assert store.reap(NOW, 9, worker="host").back == ()
        assert store.reap(NOW, 9, worker="host:7").back == ("a",)

    def test_what_was_finished_in_time_stays_finished(self, store):
        enqueue(store, "a", "b")
        claim(store, "w:1", limit=2)
        store.complete(NOW, "w:1", finished("a"))
        assert store.reap(at(LEASE), 9).back == ("b",)
        assert state(store, "a") == "done"

    def test_a_waiting_worker_is_woken(self, store):
        store.beat(NOW, "worker", "mail", "")
        enqueue(store, "a")
        claim(store, "w:1", "mail")
        take_token(store, "mail")
        store.reap(at(LEASE), 9)
        assert bells(store) == {"mail"}


# failed → queued


class TestRequeue:
    def test_the_job_goes_to_the_tail_with_all_its_tries(self, store):
        fail_once(store, "a")
        enqueue(store, "b")
        assert store.requeue(NOW, "a") is True
        assert queue_of(store) == ["b", "a"]
        job = claim(store, "w:2", limit=2).jobs[1]
        assert (job.failures, job.deaths, job.record) == (0, 0, "mail\nbody of a")

    def test_only_what_failed(self, store):
        enqueue(store, "a")
        before = contents(store)
        assert store.requeue(NOW, "a") is False
        assert store.requeue(NOW, "unknown") is False
        assert contents(store) == before

    def test_twice_equals_once(self, store):
        fail_once(store, "a")
        assert twice(store, Requeue("a")) == (True, False)


# failed → (gone)


class TestDiscard:
    def test_the_job_is_gone(self, store):
        fail_once(store, "a")
        assert store.discard(at(2), "a") is True
        found = store.look(NOW, "a")
        assert (found.state, found.at, found.body, found.failure) == ("gone", START + 2, "discard", "")
        assert store.see(NOW).failed == 0

    def test_only_what_failed(self, store):
        enqueue(store, "a")
        before = contents(store)
        assert store.discard(NOW, "a") is False
        assert contents(store) == before

    def test_twice_equals_once(self, store):
        fail_once(store, "a")
        assert twice(store, Discard("a")) == (True, False)


# queued or delayed → (gone)


class TestCancel:
    def test_a_queued_job_never_runs(self, store):
        enqueue(store, "a")
        assert store.cancel(at(1), "a") == "queued"
        found = store.look(NOW, "a")
        assert (found.state, found.at, found.body) == ("gone", START + 1, "cancel")
        assert claim(store) == NOTHING_CLAIMED

    def test_a_delayed_job_never_runs(self, store):
        store.delay(NOW, "mail", "a", "", at(5))
        assert store.cancel(NOW, "a") == "delayed"
        assert store.promote(at(5), 9) == Promoted(0, None)
        assert state(store, "a") == "gone"

    def test_a_job_that_is_leased_done_or_failed_is_left_alone(self, store):
        fail_once(store, "failed")
        enqueue(store, "done", "leased")
        claim(store, "w:1", limit=2)
        store.complete(NOW, "w:1", finished("done"))
        before = contents(store)
        assert [store.cancel(NOW, id) for id in ("leased", "done", "failed")] == ["leased", "done", "failed"]
        assert store.cancel(NOW, "unknown") == "gone"
        assert contents(store) == before

    def test_twice_equals_once(self, store):
        enqueue(store, "a")
        assert twice(store, Cancel("a")) == ("queued", "gone")

    def test_a_late_enqueue_does_not_bring_it_back(self, store):
        enqueue(store, "a")
        store.cancel(NOW, "a")
        assert enqueue(store, "a") == [False]
        assert claim(store) == NOTHING_CLAIMED
        assert state(store, "a") == "gone"

    def test_it_is_remembered_only_for_as_long_as_an_enqueue_may_be_repeated(self, store):
        enqueue(store, "a")
        store.cancel(NOW, "a")
        lifetime = LIMITS["GONE_LIFETIME_SECONDS"]
        assert store.forget(at(lifetime - 0.001), 9) == 0
        assert store.forget(at(lifetime), 9) == 1
        assert store.look(NOW, "a").record == ""


# done → (gone)


class TestFire:
    """recurring slot → queued, once per slot."""

    ENTRY = "{the entry}"

    def fire(self, store, slot, id="job", now=None, definition=ENTRY, overlap="allow"):
        return store.fire(now or slot, "report", definition, slot, overlap, "mail", id, "body")

    def test_a_server_that_forgot_slots_lets_none_after_them_through(self, store):
        store.schedule(NOW, "report", self.ENTRY)
        self.fire(store, at(60))
        before = contents(store)
        late = (at(180), "report", self.ENTRY, at(180), "allow", "mail", "late", "body")
        assert store.fire(*late, known_cursor=at(120)) == Fired("changed", START + 60)
        assert contents(store) == before
        assert store.fire(*late, known_cursor=at(60)) == Fired("fired", START + 180)

    def test_a_slot_is_queued_once_whoever_fires_it(self, store):
        store.schedule(NOW, "report", self.ENTRY)
        assert self.fire(store, at(60)) == Fired("fired", START + 60)
        assert self.fire(store, at(60)) == Fired("passed", START + 60)
        assert self.fire(store, at(60), id="another's") == Fired("passed", START + 60)
        assert queue_of(store) == ["job"]
        [row] = store.agenda(NOW).entries
        assert (row.cursor, row.last_id, row.last_at) == (START + 60, "job", START + 60)
        assert store.look(NOW, "job").record == "mail\nbody"

    def test_twice_equals_once(self, store):
        store.schedule(NOW, "report", self.ENTRY)
        twice(store, Fire("report", self.ENTRY, at(60), "allow", "mail", "job", "body"), at(60))

    def test_the_cursor_only_moves_forward(self, store):
        store.schedule(NOW, "report", self.ENTRY)
        self.fire(store, at(60))
        before = contents(store)
        assert self.fire(store, at(59), id="older", now=at(100)) == Fired("passed", START + 60)
        assert contents(store) == before

    def test_nothing_is_fired_before_its_time(self, store):
        store.schedule(NOW, "report", self.ENTRY)
        before = contents(store)
        assert self.fire(store, at(60), now=at(59.999999)) == Fired("early", START)
        assert contents(store) == before

    def test_slots_before_the_entry_was_there_are_none_of_its(self, store):
        store.schedule(at(100), "report", self.ENTRY)
        assert self.fire(store, at(60), now=at(101)).outcome == "passed"

    @pytest.mark.parametrize("meanwhile", ["{another}", ""])
    def test_an_entry_that_was_replaced_or_removed_meanwhile_does_not_fire(self, store, meanwhile):
        store.schedule(NOW, "report", self.ENTRY)
        store.schedule(NOW, "report", meanwhile)
        before = contents(store)
        assert self.fire(store, at(60)).outcome == "changed"
        assert contents(store) == before

    def test_an_overlap_is_passed_over_when_the_entry_says_so(self, store):
        store.schedule(NOW, "report", self.ENTRY)
        self.fire(store, at(60), id="one")
        assert self.fire(store, at(120), id="two", overlap="skip") == Fired("skipped", START + 120)
        claim(store, "w:1", now=at(121))
        assert self.fire(store, at(180), id="three", overlap="skip").outcome == "skipped"
        store.complete(at(181), "w:1", finished("one"))
        assert self.fire(store, at(240), id="four", overlap="skip").outcome == "fired"
        assert self.fire(store, at(300), id="five", overlap="allow").outcome == "fired"
        assert queue_of(store) == ["four", "five"]
        assert store.see(NOW).stats["skip"] == 2

    def test_it_wakes_a_worker(self, store):
        store.beat(NOW, "w", "*", "about")
        store.schedule(NOW, "report", self.ENTRY)
        self.fire(store, at(60))
        assert store.contents()["bell:*"] == ["1"]


class TestSchedule:
    def test_an_entry_begins_now(self, store):
        assert store.schedule(at(5), "report", "{}")
        [row] = store.agenda(at(6)).entries
        assert row == RecurringRow("report", "{}", START + 5, "", None)

    def test_the_same_again_changes_nothing(self, store):
        store.schedule(NOW, "report", "{}")
        before = contents(store)
        assert not store.schedule(at(5), "report", "{}")
        assert contents(store) == before

    def test_another_definition_keeps_the_cursor_unless_told_to_begin_anew(self, store):
        store.schedule(NOW, "report", "{}")
        store.schedule(at(5), "report", "{1}")
        assert store.agenda(NOW).entries[0].cursor == START
        store.schedule(at(5), "report", "{2}", restart=True)
        assert store.agenda(NOW).entries[0].cursor == START + 5
        store.schedule(at(3), "report", "{3}", restart=True)
        assert store.agenda(NOW).entries[0].cursor == START + 5  # never back

    def test_a_removed_entry_leaves_nothing(self, store):
        store.schedule(NOW, "report", "{}")
        assert store.schedule(NOW, "report", "")
        assert not store.schedule(NOW, "report", "")
        assert store.agenda(NOW).entries == ()
        assert not {"schedules", "slots"} & set(store.contents())

    def test_schedulers_are_woken_and_learn_of_a_change_by_its_number(self, store):
        known = store.agenda(NOW)
        assert known.entries == ()
        assert store.agenda(at(1), known.revision) == Recurring(START + 1, known.revision, None)
        store.schedule(NOW, "b", "{}")
        store.schedule(NOW, "a", "{}")
        assert store.contents()["bell:@delayed"] == ["1"]
        changed = store.agenda(NOW, known.revision)
        assert [row.entry for row in changed.entries] == ["a", "b"]
        assert store.agenda(NOW, changed.revision).entries is None


class TestMove:
    """delayed → delayed, to another time."""

    def test_to_a_time_or_by_a_time(self, store):
        store.delay(NOW, "mail", "a", "", at(60))
        assert store.move(NOW, at(30), "a")
        assert store.look(NOW, "a").at == START + 30
        assert store.move(at(10), "+90", "a")
        assert store.look(NOW, "a").at == START + 100

    def test_twice_equals_once(self, store):
        store.delay(NOW, "mail", "a", "", at(60))
        assert twice(store, Move(at(30), "a")) == (True, True)

    @pytest.mark.parametrize("where", ["queued", "leased", "gone"])
    def test_only_what_is_delayed(self, store, where):
        if where != "gone":
            enqueue(store, "a")
        if where == "leased":
            claim(store, "w:1")
        before = contents(store)
        assert not store.move(NOW, at(30), "a")
        assert contents(store) == before

    def test_the_schedulers_are_woken_when_it_is_the_first_now(self, store):
        store.delay(NOW, "mail", "a", "", at(30))
        store.delay(NOW, "mail", "b", "", at(60))
        store.trip([Promote(1)], NOW)
        take_token(store, "@delayed")
        store.move(NOW, at(50), "b")
        assert "bell:@delayed" not in store.contents()
        store.move(NOW, at(10), "b")
        assert store.contents()["bell:@delayed"] == ["1"]


class TestForget:
    def test_a_result_is_forgotten_after_its_lifetime(self, store):
        finish(store, "a", lifetime=60)
        assert store.forget(at(59.999), 9) == 0
        assert state(store, "a") == "done"
        assert store.forget(at(60), 9) == 1
        found = store.look(NOW, "a")
        assert (found.state, found.record) == ("gone", "")

    def test_twice_equals_once(self, store):
        finish(store, "a", lifetime=60)
        assert twice(store, Forget(9), at(60)) == (1, 0)

    def test_nothing_at_all_is_left(self, store):
        finish(store, "a", "b", lifetime=10)
        store.forget(at(10), 9)
        assert set(contents(store)) - {"lifetimes"} == {"queues", "stats"}
        store.forget(at(10), 9)
        assert set(contents(store)) == {"queues", "stats"}

    def test_at_most_so_many_at_a_time_and_whoever_reaches_the_limit_calls_again(self, store):
        for n in range(5):
            finish(store, f"job{n}", name=f"w:{n}", lifetime=10)
        assert [store.forget(at(10), 2) for _ in range(4)] == [2, 2, 1, 0]

    def test_short_lifetimes_do_not_wait_behind_long_ones(self, store):
        finish(store, "long", name="w:1", lifetime=600)
        finish(store, "short", name="w:2", lifetime=9)
        assert store.forget(at(9), 9) == 1
        assert (state(store, "long"), state(store, "short")) == ("done", "gone")


# What moves no job.


class TestLook:
    def test_an_unknown_job_is_gone(self, store):
        assert store.look(NOW, "unknown") == ("gone", None, "", "", 0, (), "")

    def test_it_changes_nothing(self, store):
        fail_once(store, "a")
        before = contents(store)
        store.look(NOW, "a")
        store.look(NOW, "unknown")
        assert contents(store) == before


class TestWatch:
    def test_the_answer_is_the_state_now(self, store):
        enqueue(store, "a")
        assert store.watch(NOW, "a", "me") == "queued"
        assert contents(store)["waiters"] == {"a": "me"}

    def test_who_watches_what_is_over_is_not_noted(self, store):
        finish(store, "a")
        before = contents(store)
        assert store.watch(NOW, "a", "me") == "done"
        assert store.watch(NOW, "unknown", "me") == "gone"
        assert contents(store) == before

    def test_twice_equals_once(self, store):
        enqueue(store, "a")
        assert twice(store, Watch("a", "me")) == ("queued", "queued")

    @pytest.mark.parametrize("way_out", ["complete", "fail", "reap", "cancel", "cancel delayed", "discard later"])
    def test_everybody_who_watches_is_told_on_every_way_out(self, store, way_out):
        if way_out == "cancel delayed":
            store.delay(NOW, "mail", "a", "", at(5))
        else:
            enqueue(store, "a")
        if not way_out.startswith("cancel"):
            claim(store, "w:1")
        store.watch(NOW, "a", "me")
        store.watch(NOW, "a", "you")
        {
            "complete": lambda: store.complete(NOW, "w:1", finished("a")),
            "fail": lambda: store.fail(NOW, "w:1", "a", "{}"),
            "reap": lambda: store.reap(at(LEASE), 9, deaths_allowed=1),
            "cancel": lambda: store.cancel(NOW, "a"),
            "cancel delayed": lambda: store.cancel(NOW, "a"),
            "discard later": lambda: (store.fail(NOW, "w:1", "a", "{}"), store.discard(NOW, "a")),
        }[way_out]()
        found = contents(store)
        assert found["answer:me"] == found["answer:you"] == ["1"]
        assert "waiters" not in found

    def test_a_retry_or_a_first_death_is_not_the_end(self, store):
        enqueue(store, "a")
        claim(store, "w:1")
        store.watch(NOW, "a", "me")
        store.retry(NOW, "w:1", "a", 0, "{}")
        store.promote(NOW, 9)
        claim(store, "w:2")
        store.reap(at(LEASE), 9)
        assert "answer:me" not in contents(store)
        assert contents(store)["waiters"] == {"a": "me"}

    def test_one_who_watches_two_jobs_finds_one_token_at_most(self, store):
        enqueue(store, "a", "b")
        store.watch(NOW, "a", "me")
        store.watch(NOW, "b", "me")
        store.cancel(NOW, "a")
        store.cancel(NOW, "b")
        assert contents(store)["answer:me"] == ["1"]

    def test_a_name_within_anothers_name_is_not_mistaken_for_it(self, store):
        enqueue(store, "a")
        for name in ("me-and-you", "me", "and"):
            store.watch(NOW, "a", name)
        assert contents(store)["waiters"] == {"a": "me-and-you me and"}


class TestBeat:
    def test_a_worker_is_seen_until_it_says_goodbye(self, store):
        store.beat(NOW, "worker", "mail,*", '{"pid":1}')
        assert store.see(at(3)).workers == (("worker", 3.0, '{"pid":1}'),)
        store.beat(at(4), "worker", "", "")
        assert store.see(at(4)).workers == ()
        assert "workers:about" not in contents(store)

    def test_its_subscription_is_rung_for_from_then_on(self, store):
        enqueue(store, "before")
        assert bells(store) == set()
        store.beat(NOW, "worker", "file", "about")
        enqueue(store, "after", queue="file")
        assert bells(store) == {"file"}

    def test_the_silent_are_taken_off_the_lists(self, store):
        hour = LIMITS["SILENCE_SECONDS"]
        store.beat(NOW, "silent", "mail", "about")
        store.beat(at(hour - 0.001), "other", "file", "about")
        assert len(store.see(NOW).workers) == 2
        store.beat(at(hour), "other", "file", "about")
        assert [row.name for row in store.see(NOW).workers] == ["other"]
        assert set(contents(store)["subscriptions"]) == {"file"}
        assert set(contents(store)["workers:about"]) == {"other"}

    def test_twice_equals_once(self, store):
        twice(store, Beat("worker", "mail", "about"))
        twice(store, Beat("worker", "", ""))


class TestRing:
    def test_a_bell_holds_one_token_at_most(self, store):
        store.ring(NOW, "mail")
        store.ring(NOW, "mail")
        assert bells(store) == {"mail"}
        twice(store, Ring("mail"))

    def test_a_job_rings_for_each_subscription_that_serves_its_queue(self, store):
        for subscription in ("mail", "mail,file", "*", "ma*", "*,!mail", "file", "!m*,*"):
            store.beat(NOW, "worker", subscription, "")
        enqueue(store, "a")
        assert bells(store) == {"mail", "mail,file", "*", "ma*"}

    def test_a_queue_that_is_ready_already_is_not_rung_for_again(self, store):
        store.beat(NOW, "worker", "mail", "")
        enqueue(store, "a")
        take_token(store, "mail")
        enqueue(store, "b")
        assert bells(store) == set(), "whoever took the token finds both jobs, and rings again if one is left"

    def test_requeued_jobs_ring(self, store):
        store.beat(NOW, "worker", "mail", "")
        fail_once(store, "a")
        take_token(store, "mail")
        store.requeue(NOW, "a")
        assert bells(store) == {"mail"}


class TestPauseAndResume:
    def test_nobody_claims_from_a_paused_queue(self, store):
        enqueue(store, "a")
        assert store.pause(NOW, "mail") is True
        before = contents(store)
        assert claim(store, subscription="mail") == claim(store, subscription="*") == NOTHING_CLAIMED
        assert contents(store) == before
        assert [(row.name, row.length, row.paused) for row in store.see(NOW).queues] == [("mail", 1, True)]

    def test_jobs_can_still_come_in_and_wake_nobody(self, store):
        store.beat(NOW, "worker", "mail", "")
        store.pause(NOW, "mail")
        enqueue(store, "a")
        assert bells(store) == set()
        assert claim(store) == NOTHING_CLAIMED

    def test_what_comes_back_to_a_paused_queue_stays_there(self, store):
        enqueue(store, "a")
        claim(store, "w:1")
        store.pause(NOW, "mail")
        store.release(NOW, "w:1")
        assert claim(store, "w:2") == NOTHING_CLAIMED
        assert queue_of(store) == ["a"]

    def test_resuming_wakes_and_serves(self, store):
        store.beat(NOW, "worker", "mail", "")
        enqueue(store, "a")
        take_token(store, "mail")
        store.pause(NOW, "mail")
        assert store.resume(NOW, "mail") is True
        assert bells(store) == {"mail"}
        assert ids(claim(store)) == ["a"]

    def test_resuming_an_empty_queue_wakes_nobody(self, store):
        store.beat(NOW, "worker", "mail", "")
        store.pause(NOW, "mail")
        store.resume(NOW, "mail")
        assert bells(store) == set()
        assert "ready" not in contents(store)

    def test_twice_equals_once(self, store):
        enqueue(store, "a")
        assert twice(store, Pause("mail")) == (True, False)
        assert twice(store, Resume("mail")) == (True, False)

    def test_a_queue_that_was_not_paused_cannot_be_resumed(self, store):
        enqueue(store, "a")
        before = contents(store)
        assert store.resume(NOW, "mail") is False
        assert contents(store) == before


class TestSee:
    def test_how_much_is_where(self, store):
        fail_once(store, "failed")
        enqueue(store, "overdue", "leased", "queued 1", "queued 2")
        claim(store, "w:8", now=at(1))
        claim(store, "w:9", now=at(1.5))
        enqueue(store, "other", queue="file")
        store.delay(NOW, "mail", "soon", "", at(2))
        store.delay(NOW, "mail", "later", "", at(99))
        store.beat(at(1), "worker", "mail", "about")
        seen = store.see(at(11))
        assert seen.now == START + 11
        assert seen.queues == (("file", 1, "other", False), ("mail", 2, "queued 1", False))
        assert (seen.leased, seen.claims_overdue, seen.failed) == (2, 1, 1)
        assert (seen.delayed, seen.next_due, seen.delayed_overdue) == (2, START + 2, 1)
        assert seen.workers == (("worker", 10.0, "about"),)
        assert seen.stats == {"fail": 1}

    def test_an_empty_store_is_seen_too(self, store):
        seen = store.see(NOW)
        assert seen == (START, (), 0, 0, 0, None, 0, 0, (), {})

    def test_every_arrow_is_counted_once(self, store):
        enqueue(store, "a", "b", "c")
        claim(store, "w:1", limit=3)
        store.complete(NOW, "w:1", finished("a"))
        store.retry(NOW, "w:1", "b", 0, "{}")
        store.release(NOW, "w:1")
        store.promote(NOW, 9)
        claim(store, "w:2", limit=1)
        store.reap(at(LEASE), 9)
        store.cancel(NOW, "b")
        assert store.see(NOW).stats == {"complete": 1, "retry": 1, "release": 1, "promote": 1, "reap": 1, "cancel": 1}


class TestPage:
    def test_a_queue_from_its_head(self, store):
        enqueue(store, *"abcde")
        assert store.page(NOW, "queue:mail", 1, 3) == [("b", None), ("c", None), ("d", None)]
        assert store.page(NOW, "queue:mail", 4, 3) == [("e", None)]
        assert store.page(NOW, "queue:unknown", 0, 3) == []

    @pytest.mark.parametrize("where", ["delayed", "failed"])
    def test_what_has_a_time_by_its_time(self, store, where):
        for n, id in enumerate("abc"):
            if where == "delayed":
                store.delay(NOW, "mail", id, "", at(n))
            else:
                fail_late(store, id, at(n))
        assert store.page(NOW, where, 0, 2) == [("a", START), ("b", START + 1)]
        assert store.page(NOW, where, 2, 2) == [("c", START + 2)]
        assert store.page(NOW, where, 0, 2, newest_first=True) == [("c", START + 2), ("b", START + 1)]

    def test_a_page_of_nothing_is_empty(self, store):
        enqueue(store, "a", "b")
        store.delay(NOW, "mail", "c", "", at(5))
        assert store.page(NOW, "queue:mail", 0, 0) == store.page(NOW, "delayed", 0, 0) == []


class TestTrip:
    def test_arrows_are_drawn_in_turn_and_each_has_its_answer(self, store):
        enqueue(store, "a", "b")
        claim(store, "w:1")
        answers = store.trip([Complete("w:1", finished("a")), Claim("w:2", "*", 1, LEASE), Renew("w:1", LEASE)], NOW)
        assert (answers[0], ids(answers[1]), answers[2]) == ([True], ["b"], False)

    def test_no_arrows_no_answers(self, store):
        assert store.trip([], NOW) == []


# What somebody else wrote.


class TestHostileContents:
    """Whoever can write to the server can do harm; what they wrote must stop nothing else, and be set aside."""

    @pytest.mark.parametrize("record", ["", "no newline", "\nno queue", "!strange\n", "\udcff\udcfe\x00", "!"])
    def test_a_record_that_is_no_record_comes_to_the_worker_as_it_is(self, server_store, record):
        store = server_store
        raw(store, "SET", "{}job:hostile", record.encode("utf-8", "surrogateescape"))
        raw(store, "RPUSH", "{}queue:mail", "hostile")
        enqueue(store, "good")
        assert [(job.id, job.record) for job in claim(store, limit=9).jobs] == [
            ("hostile", record),
            ("good", "mail\nbody of good"),
        ]
        assert store.fail(NOW, "worker:1", "hostile", "{}") is True
        assert store.look(NOW, "hostile").record == record

    def test_a_record_of_a_wrong_type_goes_to_failed_and_can_be_discarded(self, server_store):
        store = server_store
        raw(store, "RPUSH", "{}job:hostile", "not a string")
        raw(store, "RPUSH", "{}queue:mail", "hostile")
        enqueue(store, "good")
        assert [(job.id, job.record) for job in claim(store, limit=9).jobs] == [
            ("hostile", ""),
            ("good", "mail\nbody of good"),
        ]
        assert [job.record for job in claim(store, limit=9).jobs] == ["", "mail\nbody of good"]
        assert store.look(NOW, "hostile").state == "leased"
        assert store.complete(NOW, "other:1", finished("hostile")) == [False]
        store.fail(NOW, "worker:1", "hostile", "{}")
        assert store.requeue(NOW, "hostile") is None
        assert store.discard(NOW, "hostile") is True
        assert state(store, "hostile") == "gone"

    def test_a_record_that_vanished_is_no_job_any_more(self, server_store):
        store = server_store
        enqueue(store, "hostile", "good")
        raw(store, "DEL", "{}job:hostile")
        assert ids(claim(store, limit=9)) == ["good"]

    def test_a_record_that_vanished_while_leased_is_not_brought_back_by_the_reaper(self, server_store):
        store = server_store
        enqueue(store, "hostile", "good")
        claim(store, limit=2)
        raw(store, "DEL", "{}job:hostile")
        assert store.reap(at(LEASE), 9).back == ("good",)
        assert not {"leased", "leases"} & set(contents(store))

    def test_an_id_pushed_twice_is_taken_once(self, server_store):
        store = server_store
        enqueue(store, "a", "b")
        raw(store, "RPUSH", "{}queue:mail", "a")
        assert ids(claim(store, "w:1", limit=9)) == ["a", "b"]
        assert queue_of(store) == []

    def test_an_id_pushed_twice_is_not_taken_while_another_holds_it(self, server_store):
        store = server_store
        enqueue(store, "a", "b")
        raw(store, "RPUSH", "{}queue:mail", "a")
        assert [ids(claim(store, f"w:{n}")) for n in range(3)] == [["a"], ["b"], []]

    def test_an_id_in_the_queue_that_is_done_delayed_or_failed_is_skipped(self, server_store):
        store = server_store
        finish(store, "done")
        fail_once(store, "failed")
        store.delay(NOW, "mail", "delayed", "", at(5))
        raw(store, "RPUSH", "{}queue:mail", "done", "failed", "delayed", "never was")
        enqueue(store, "good")
        raw(store, "ZADD", "{}ready", "1", "mail")
        assert ids(claim(store, "w:9", limit=9)) == ["good"]
        assert [state(store, id) for id in ("done", "failed", "delayed")] == ["done", "failed", "delayed"]

    def test_a_delayed_job_whose_record_names_no_queue_is_failed_not_lost(self, server_store):
        store = server_store
        raw(store, "SET", "{}job:hostile", "no queue line")
        raw(store, "ZADD", "{}delayed", "1", "hostile")
        store.watch(NOW, "hostile", "me")
        store.delay(NOW, "mail", "good", "", at(1))
        assert store.promote(at(1), 9) == Promoted(1, None)
        found = store.look(NOW, "hostile")
        assert (found.state, found.record) == ("failed", "no queue line")
        assert "Unreadable" in found.failure
        assert store.requeue(NOW, "hostile") is None
        assert contents(store)["answer:me"] == ["1"]

    def test_a_delayed_id_without_a_record_is_dropped(self, server_store):
        store = server_store
        raw(store, "ZADD", "{}delayed", "1", "nothing")
        assert store.promote(NOW, 9) == Promoted(0, None)
        assert "delayed" not in contents(store)

    def test_a_ready_queue_that_is_empty_is_put_right(self, server_store):
        store = server_store
        raw(store, "ZADD", "{}ready", "1", "empty")
        assert claim(store) == NOTHING_CLAIMED
        assert "ready" not in contents(store)

    def test_binary_ids_and_bodies_survive_the_round_trip(self, server_store):
        store = server_store
        body = bytes(range(256)).decode("utf-8", "surrogateescape")
        store.enqueue(NOW, "mail", [("a", body)])
        assert claim(store).jobs[0].record == f"mail\n{body}"


# Bells, for real.


class TestListen:
    """The only tests here that wait: for a bell, a fraction of a second at most."""

    def test_a_token_that_is_there_already_is_heard_at_once(self, bell_store):
        bell_store.ring(NOW, "mail")
        ear = bell_store.listen("mail", 5)
        assert heard(ear)
        assert bells(bell_store) == set()

    def test_a_bell_rung_while_waiting_is_heard(self, bell_store):
        ear = bell_store.listen("mail", 5)
        thread = threading.Thread(target=lambda: bell_store.ring(NOW, "mail"))
        thread.start()
        assert heard(ear)
        thread.join()
        assert bells(bell_store) == set()

    def test_an_enqueue_is_heard(self, bell_store):
        bell_store.beat(NOW, "worker", "mail,*", "")
        ear = bell_store.listen("mail,*", 5)
        enqueue(bell_store, "a")
        assert heard(ear)
        assert ids(claim(bell_store, subscription="mail,*")) == ["a"]

    def test_a_result_is_heard_by_whoever_watches(self, bell_store):
        enqueue(bell_store, "a")
        claim(bell_store, "w:1")
        bell_store.watch(NOW, "a", "me")
        ear = bell_store.listen("answer:me", 5)
        bell_store.complete(NOW, "w:1", finished("a"))
        assert heard(ear)
        assert "answer:me" not in contents(bell_store)

    def test_one_token_is_heard_by_one_listener(self, bell_store):
        first = bell_store.listen("mail", 5)
        settle(bell_store)
        second = bell_store.listen("mail", 5)
        settle(bell_store)
        bell_store.ring(NOW, "mail")
        assert heard(first)
        assert not is_readable(second, 0.05)
        second.leave()

    def test_after_its_time_a_server_says_that_nothing_came(self, real_store):
        ear = real_store.listen("mail", 0.05)
        assert is_readable(ear, 5)
        assert ear.hear() is False

    def test_nothing_is_heard_of_another_bell(self, bell_store):
        ear = bell_store.listen("mail", 5)
        bell_store.ring(NOW, "file")
        assert not is_readable(ear, 0.05)
        ear.leave()
        assert "file" in bells(bell_store)

    def test_whoever_leaves_gives_back_a_token_taken_meanwhile(self, bell_store):
        bell_store.ring(NOW, "mail")
        ear = bell_store.listen("mail", 5)
        assert is_readable(ear, 5)
        ear.leave()
        assert bells(bell_store) == {"mail"}

    def test_who_has_left_takes_no_later_token(self, bell_store):
        ear = bell_store.listen("mail", 5)
        settle(bell_store)
        ear.leave()
        for key in list(bells(bell_store)):
            take_token(bell_store, key)
        bell_store.ring(NOW, "mail")
        settle(bell_store)
        assert bells(bell_store) == {"mail"}


# Helpers of this file.


def take_token(store: Store, bell: str) -> None:
    """What a worker does that hears its bell."""
    if hasattr(store, "server"):
        assert raw(store, "LPOP", "{}bell:" + bell) == "1"
    else:
        assert store.attend(bell, lambda: None)


def finish(store: Store, *names: str, name: str = "w:1", lifetime: int = 600) -> None:
    enqueue(store, *names)
    assert ids(claim(store, name, limit=len(names))) == list(names)
    store.complete(NOW, name, finished(*names, lifetime=lifetime))


def fail_late(store: Store, id: str, when: str) -> None:
    enqueue(store, id)
    claim(store, f"late-{id}:1", "mail")
    assert store.fail(when, f"late-{id}:1", id, "{}")


def is_readable(ear: Any, seconds: float) -> bool:
    return bool(select.select([ear.fileno()], [], [], seconds)[0])


def heard(ear: Any) -> bool:
    return is_readable(ear, 10) and ear.hear()


def settle(store: Any) -> None:
    """Until the server has seen whoever listens there."""
    if hasattr(store, "server"):
        before = blocked_clients(store)
        until(lambda: blocked_clients(store) == before)


def blocked_clients(store: Any) -> int:
    info = store.server.call_one("INFO", "clients")
    return int(next(line for line in info.splitlines() if line.startswith("blocked_clients:")).partition(":")[2])
