"""The referee: each verdict with a story written by hand, and no change of a clean history escapes it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulate.history import (
    EVERYTHING,
    SERVER,
    Answered,
    Ended,
    Event,
    Fault,
    Found,
    Planned,
    Promises,
    Sent,
    Started,
    check,
    from_line,
    to_line,
)


def enqueued(job: str, at: float, queue: str = "mail", **more: object) -> list[Event]:
    return [Sent(at, job, queue, **more), Answered(at + 0.01, job)]  # type: ignore[arg-type]


def ran(job: str, at: float, worker: str = "w1", how: str = "finished", seconds: float = 0.02) -> list[Event]:
    return [Started(at, job, worker), Ended(at + seconds, job, worker, how)]


def done(*jobs: str, at: float = 99.0) -> list[Event]:
    return [Found(at, job, "done") for job in jobs]


def kill(at: float, target: str, seconds: float = 0.0, forgets: bool = False) -> Fault:
    return Fault(at, "kill", target, at + seconds, forgets)


def verdicts(events: Sequence[Event], promises: Promises | None = None) -> list[tuple[str, str, bool]]:
    """What, which job, and whether it is excused."""
    return [(one.what, one.job, bool(one.excuse)) for one in check(events, promises).verdicts]


class TestCleanHistories:
    def test_sent_acknowledged_run_once_and_done(self) -> None:
        report = check([*enqueued("a", 1), *ran("a", 2), *done("a")])
        assert report.verdicts == []
        assert (report.counts["acknowledged"], report.counts["done"]) == (1, 1)

    def test_a_retry_is_no_repeat(self) -> None:
        assert verdicts([*enqueued("a", 1), *ran("a", 2, how="raised"), *ran("a", 2.1), *done("a")]) == []

    def test_a_poison_job_ends_as_failed(self) -> None:
        runs = [event for at in (2, 3, 4) for event in ran("a", at, how="died")]
        assert verdicts([*enqueued("a", 1, poison=True), *runs, Found(9, "a", "failed")]) == []

    def test_no_answer_leaves_it_open_whether_the_job_is_stored(self) -> None:
        unknown: list[Event] = [Sent(1, "a"), Answered(2, "a", stored=False)]
        assert verdicts([*unknown, Found(9, "a", "gone")]) == []
        assert verdicts([*unknown, *ran("a", 3), *done("a")]) == []

    def test_and_it_may_be_sent_again(self) -> None:
        assert verdicts([Sent(1, "a"), Answered(2, "a", False), *enqueued("a", 3), *ran("a", 2.5), *done("a")]) == []

    def test_a_producer_that_was_killed_noted_no_answer(self) -> None:
        assert verdicts([Sent(1, "a"), kill(1.001, "producer"), Found(9, "a", "gone")]) == []

    def test_a_planned_slot_needs_no_producer(self) -> None:
        report = check([Planned(5, "a"), *ran("a", 5.25), *done("a")])
        assert (report.verdicts, report.lateness) == ([], [0.25])


class TestLost:
    def test_acknowledged_and_gone(self) -> None:
        assert verdicts([*enqueued("a", 1), Found(9, "a", "gone")]) == [("lost", "a", False)]

    @pytest.mark.parametrize("state", ["queued", "leased", "delayed"])
    def test_acknowledged_and_ended_nowhere(self, state: str) -> None:
        assert verdicts([*enqueued("a", 1), Found(9, "a", state)]) == [("lost", "a", False)]

    def test_its_only_worker_killed_is_no_excuse(self) -> None:
        story = [*enqueued("a", 1), Started(2, "a", "w1"), kill(2.5, "w1"), Found(9, "a", "gone")]
        assert verdicts(story) == [("lost", "a", False)]

    def test_nobody_asked(self) -> None:
        assert verdicts(enqueued("a", 1)) == [("lost", "a", False)]

    def test_a_slot_that_was_never_fired(self) -> None:
        assert verdicts([Planned(5, "a"), Found(9, "a", "gone")]) == [("lost", "a", False)]

    def test_a_server_may_forget_that_it_was_fired(self) -> None:
        slot: list[Event] = [Planned(5, "a"), Found(99, "a", "gone")]
        assert verdicts([*slot, kill(6, SERVER, forgets=True)]) == [("lost", "a", True)]
        assert verdicts([*slot, kill(6, SERVER)]) == [("lost", "a", False)]
        assert verdicts([*slot, kill(4, SERVER, forgets=True)]) == [("lost", "a", False)]
        assert verdicts([*slot, kill(70, SERVER, forgets=True)]) == [("lost", "a", False)]

    def test_a_server_that_keeps_what_it_acknowledged_excuses_nothing(self) -> None:
        story = [*enqueued("a", 1), kill(1.5, SERVER, 0.5), Found(9, "a", "gone")]
        assert verdicts(story) == [("lost", "a", False)]

    def test_one_that_forgets_excuses_what_it_acknowledged_shortly_before(self) -> None:
        report = check([*enqueued("a", 1), kill(1.51, SERVER, 0.5, forgets=True), Found(9, "a", "gone")])
        assert [(one.what, bool(one.excuse)) for one in report.verdicts] == [("lost", True)]
        assert report.broken == []
        assert report.forgotten_seconds == [pytest.approx(0.5)]

    @pytest.mark.parametrize("killed_at", [0.5, 8.0])
    def test_and_nothing_else(self, killed_at: float) -> None:
        story = [*enqueued("a", 1), kill(killed_at, SERVER, 0.2, forgets=True), Found(9, "a", "gone")]
        assert verdicts(story) == [("lost", "a", False)]


class TestRunTwice:
    def twice(self, *faults: Fault, gap: float = 2.5, second: str = "w2") -> list[tuple[str, str, bool]]:
        return verdicts([*enqueued("a", 1), *ran("a", 2), *ran("a", 2 + gap, second), *faults, *done("a")])

    def test_without_a_fault(self) -> None:
        assert self.twice() == [("run twice", "a", False)]

    def test_its_worker_was_killed(self) -> None:
        assert self.twice(kill(2.01, "w1")) == [("run twice", "a", True)]

    def test_its_child_may_note_its_start_just_after_the_kill(self) -> None:
        assert self.twice(kill(1.99, "w1")) == [("run twice", "a", True)]

    @pytest.mark.parametrize("target", ["w3", "scheduler", "producer", "w2"])
    def test_another_program_was_killed(self, target: str) -> None:
        assert self.twice(kill(2.01, target)) == [("run twice", "a", False)]

    @pytest.mark.parametrize("at", [1.5, 5.0])
    def test_its_worker_was_killed_at_another_time(self, at: float) -> None:
        assert self.twice(kill(at, "w1")) == [("run twice", "a", False)]

    def test_its_worker_was_killed_but_no_lease_can_have_run_out(self) -> None:
        assert self.twice(kill(2.01, "w1"), gap=0.5) == [("run twice", "a", False)]
        story = [*enqueued("a", 1), *ran("a", 2), *ran("a", 2.5, "w2"), kill(2.01, "w1"), *done("a")]
        assert verdicts(story, Promises(least_lease=0.0)) == [("run twice", "a", True)]

    def test_its_worker_slept(self) -> None:
        assert self.twice(Fault(1.9, "stop", "w1", 5.0)) == [("run twice", "a", True)]

    def test_a_sleeper_wakes_up_and_begins_what_another_does(self) -> None:
        assert self.twice(Fault(0.5, "stop", "w2", 2.1), gap=0.1) == [("run twice", "a", True)]

    @pytest.mark.parametrize("kind", ["cut", "delay"])
    def test_a_lost_reply_alone_explains_it_only_after_a_lease(self, kind: str) -> None:
        lost = Fault(2.005, kind, "w1", 2.01)
        assert self.twice(lost) == [("run twice", "a", True)]
        assert self.twice(lost, gap=0.5) == [("run twice", "a", False)]

    def test_the_server_was_down_for_longer_than_a_lease(self) -> None:
        assert self.twice(kill(2.01, SERVER, 2.0)) == [("run twice", "a", True)]

    def test_the_server_forgot_that_it_was_done(self) -> None:
        assert self.twice(kill(2.01, SERVER, 0.1, forgets=True), gap=0.3) == [("run twice", "a", True)]

    def test_the_machine_stood_still(self) -> None:
        assert self.twice(Fault(2.01, "stall", EVERYTHING, 4.4)) == [("run twice", "a", True)]

    def test_each_repeat_needs_an_excuse_of_its_own(self) -> None:
        runs = [*ran("a", 2, "w1"), *ran("a", 5, "w2"), *ran("a", 8, "w3")]
        story = [*enqueued("a", 1), *runs, kill(2.01, "w1"), *done("a")]
        assert verdicts(story) == [("run twice", "a", False), ("run twice", "a", True)]


class TestOutOfOrder:
    def test_the_later_one_first(self) -> None:
        story = [*enqueued("a", 1), *enqueued("b", 1.1), *ran("b", 2), *ran("a", 3), *done("a", "b")]
        assert verdicts(story) == [("out of order", "a", False)]

    def test_it_is_found_however_many_stand_between(self) -> None:
        jobs = [f"j{n}" for n in range(20)]
        story = [event for n, job in enumerate(jobs) for event in enqueued(job, 1 + n / 10)]
        order = [*jobs[1:], jobs[0]]
        story += [event for n, job in enumerate(order) for event in ran(job, 10 + n)]
        assert ("out of order", "j0", False) in verdicts([*story, *done(*jobs)])

    @pytest.mark.parametrize(
        "story",
        [
            [*enqueued("a", 1, "other"), *enqueued("b", 1.1), *ran("b", 2), *ran("a", 3)],
            [*enqueued("a", 1), *enqueued("b", 1.1), *ran("b", 2), *ran("a", 3, "w2")],
            [*enqueued("a", 1), *enqueued("b", 1.005), *ran("b", 2), *ran("a", 3)],
            [*enqueued("a", 1, due=2.5), *enqueued("b", 1.1), *ran("b", 2), *ran("a", 3)],
            [*enqueued("a", 1), *enqueued("b", 1.1), *ran("b", 2), *ran("a", 3), Fault(1.5, "cut", "w1", 1.5)],
        ],
        ids=["another queue", "another worker", "sent at the same time", "delayed", "a fault between"],
    )
    def test_what_is_not(self, story: list[Event]) -> None:
        assert verdicts([*story, *done("a", "b")]) == []

    def test_only_in_queues_that_promise_it(self) -> None:
        story = [*enqueued("a", 1), *enqueued("b", 1.1), *ran("b", 2), *ran("a", 3), *done("a", "b")]
        assert verdicts(story, Promises(ordered_queues=frozenset(["strict"]))) == []


class TestEarlyAndLate:
    def test_before_its_time(self) -> None:
        story = [*enqueued("a", 1, due=3.0), *ran("a", 2.9), *done("a")]
        assert verdicts(story) == [("early", "a", False)]

    def test_a_slot_before_its_time(self) -> None:
        assert verdicts([Planned(5, "a"), *ran("a", 4.9), *done("a")]) == [("early", "a", False)]

    def test_long_after_it(self) -> None:
        story = [*enqueued("a", 1, due=3.0), *ran("a", 9), *done("a")]
        assert verdicts(story, Promises(late_bound=5.0)) == [("late", "a", False)]
        assert verdicts(story, Promises(late_bound=7.0)) == []


class TestUnexpected:
    @pytest.mark.parametrize(
        ("story", "why"),
        [
            ([*ran("a", 2), *done("a")], "nobody had sent it"),
            ([*done("a")], "nobody had sent it"),
            ([*enqueued("a", 1), *done("a")], "never run to its end"),
            ([*enqueued("a", 1), Started(2, "a", "w1"), *done("a")], "never run to its end"),
            ([*enqueued("a", 1), *ran("a", 2), Found(9, "a", "gone")], "the server knows nothing of it"),
            ([*enqueued("a", 1), *ran("a", 2), Found(9, "a", "failed")], "nothing in it fails"),
            ([*enqueued("a", 1), *ran("a", 0.5), *done("a")], "before it was sent"),
            ([Sent(1, "a"), *ran("a", 2), *done("a")], "no answer was noted"),
            ([*enqueued("a", 1), *enqueued("a", 2), *ran("a", 3), *done("a")], "no answer was missing"),
            ([*enqueued("a", 1), *ran("a", 2), Ended(3, "a", "w1"), *done("a")], "had not started it"),
        ],
    )
    def test_what_no_history_can_contain(self, story: list[Event], why: str) -> None:
        found = check(story).broken
        assert {one.what for one in found} & {"unexpected", "set aside"}
        assert any(why in one.why for one in found)

    def test_an_innocent_job_may_fail_after_as_many_deaths_as_are_allowed_and_no_fewer(self) -> None:
        runs: list[Event] = [Started(at, "a", "w") for at in (2, 5, 8)]
        faults = [kill(at + 0.5, "w") for at in (2, 5, 8)]
        story = [*enqueued("a", 1), *runs, *faults]
        assert check([*story, Found(20, "a", "failed", deaths=3)]).broken == []
        assert [one.what for one in check([*story, Found(20, "a", "failed", deaths=2)]).broken] == ["set aside"]
        few = [*enqueued("a", 1), *runs, faults[0], Found(20, "a", "failed", deaths=3)]
        assert "set aside" in {one.what for one in check(few).broken}


class TestRecovery:
    def test_it_is_counted_from_the_kill(self) -> None:
        story = [*enqueued("a", 1), Started(2, "a", "w1"), kill(2.5, "w1"), *ran("a", 5, "w2"), *done("a")]
        (found,) = check(story).recoveries
        assert (found.job, found.killed_at) == ("a", 2.5)
        assert (found.restarted_seconds, found.seconds) == (pytest.approx(2.5), pytest.approx(2.52))

    def test_and_only_for_jobs_that_were_in_its_hands(self) -> None:
        assert check([*enqueued("a", 1), *ran("a", 2), kill(2.5, "w1"), *done("a")]).recoveries == []


def test_a_verdict_tells_the_jobs_own_story_and_what_touched_it() -> None:
    story = [*enqueued("a", 1), *ran("a", 2), *ran("a", 2.5, "w2"), kill(2.2, "w1"), kill(2.2, "w9"), *done("a")]
    text = str(check([*story, *enqueued("b", 1), *ran("b", 3), *done("b")]).broken[0])
    for expected in ("run twice: a", "acknowledged", "started in w1", "kill of w1", "started in w2", "found done"):
        assert expected in text
    assert "w9" not in text


@given(st.permutations([*enqueued("a", 1), *ran("a", 2), *ran("a", 5, "w2"), kill(2.01, "w1"), *done("a")]))
def test_the_order_of_the_lines_does_not_matter(events: list[Event]) -> None:
    assert verdicts(events) == [("run twice", "a", True)]


# No change escapes.


def clean(rng: Random) -> tuple[list[Event], list[tuple[str, str]]]:
    """A history without a flaw, and pairs of jobs that had to be run in this order."""
    events: list[Event] = []
    lanes: dict[tuple[str, str], list[str]] = {}
    at = 1.0
    for number in range(rng.randint(2, 12)):
        job, worker = f"job{number}", rng.choice(("w1", "w2"))
        kind = rng.choice(("plain", "plain", "delayed", "retried", "poison", "slot"))
        queue = f"queue of {worker}"
        if kind == "slot":
            events.append(Planned(at, job))
        else:
            due = at + 0.1 if kind == "delayed" else None
            events += [Sent(at, job, queue, due, kind == "poison"), Answered(at + 0.01, job)]
        for n in range({"retried": 1, "poison": 3}.get(kind, 0)):
            events += ran(job, at + 0.2 + n / 10, worker, "died" if kind == "poison" else "raised")
        if kind != "poison":
            events += ran(job, at + 0.6, worker)
        if kind == "plain":
            lanes.setdefault((queue, worker), []).append(job)
        events.append(Found(99.0, job, "failed" if kind == "poison" else "done"))
        at += 1.0
    return events, [pair for lane in lanes.values() for pair in itertools.pairwise(lane)]


histories = st.integers(0, 10**9).map(lambda seed: clean(Random(seed)))


class TestNoChangeEscapes:
    @given(histories)
    def test_a_clean_history_is_clean(self, history: tuple[list[Event], object]) -> None:
        assert check(history[0]).verdicts == []

    @given(histories, st.data())
    def test_an_event_that_is_missing(self, history: tuple[list[Event], object], data: st.DataObject) -> None:
        events = history[0]
        del events[data.draw(st.integers(0, len(events) - 1))]
        assert check(events).broken

    @given(histories, st.data())
    def test_an_event_that_is_there_twice(self, history: tuple[list[Event], object], data: st.DataObject) -> None:
        events = history[0]
        events.append(data.draw(st.sampled_from(events)))
        assert check(events).broken

    @given(histories, st.data())
    def test_two_jobs_that_changed_places(
        self, history: tuple[list[Event], list[tuple[str, str]]], data: st.DataObject
    ) -> None:
        events, pairs = history
        if not pairs:
            return
        one, other = data.draw(st.sampled_from(pairs))
        swapped = {one: other, other: one}
        changed = [
            event._replace(job=swapped.get(event.job, event.job)) if isinstance(event, Started | Ended) else event
            for event in events
        ]
        assert {"out of order"} <= {verdict.what for verdict in check(changed).broken} or "before it was sent" in str(
            check(changed).broken
        )

    @given(histories, st.data())
    def test_an_end_before_its_start(self, history: tuple[list[Event], object], data: st.DataObject) -> None:
        events = history[0]
        place = data.draw(st.sampled_from([n for n, event in enumerate(events) if isinstance(event, Ended)]))
        events[place] = events[place]._replace(at=events[place].at - 0.05)
        assert check(events).broken


class TestLines:
    @given(histories)
    def test_a_history_can_be_written_and_read(self, history: tuple[list[Event], object]) -> None:
        events = [*history[0], Fault(1.25, "kill", "w1", 1.5, True)]
        assert [from_line(to_line(event)) for event in events] == events

    @pytest.mark.parametrize("line", ["", "{}", "[]", "nonsense", '{"event": "sent"}', '{"event": "born", "at": 1}'])
    def test_a_line_that_is_none_is_refused(self, line: str) -> None:
        with pytest.raises(ValueError, match="not an event"):
            from_line(line)
