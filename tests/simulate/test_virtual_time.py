"""The hub: one clock, one heap, ordinary blocking code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulate.virtual_time import TIME, WOKEN, Hub, Killed


def test_actors_sleep_in_virtual_time_and_take_turns_in_its_order() -> None:
    diary = []

    def walk(name: str, *naps: float) -> None:
        for nap in naps:
            hub.sleep(nap)
            diary.append((hub.now, name))

    with Hub() as hub:
        hub.spawn(lambda: walk("slow", 86_400, 1))
        hub.spawn(lambda: walk("quick", 3, 3))
        hub.run()
    assert diary == [(3, "quick"), (6, "quick"), (86_400, "slow"), (86_401, "slow")]


def test_equal_times_are_served_in_the_order_in_which_they_were_asked_for() -> None:
    diary: list[object] = []

    def rest(name: str) -> None:
        hub.sleep(5)
        diary.append(name)

    with Hub() as hub:
        hub.at(5, diary.append, "first")
        for name in "abc":
            hub.spawn(lambda name=name: rest(name))  # type: ignore[misc]
        hub.at(5, diary.append, "second")
        hub.run()
    assert diary == ["first", "second", "a", "b", "c"]


@given(st.lists(st.lists(st.integers(0, 5), max_size=6), min_size=1, max_size=6), st.booleans())
def test_the_short_way_through_sleep_changes_nothing(naps: list[list[int]], crowded: bool) -> None:
    """Each nap list is an actor; the order of their steps is what a sorted list of all naps says."""

    def steps(short_way: bool) -> list[tuple[float, int]]:
        diary: list[tuple[float, int]] = []

        def walk(number: int) -> None:
            for nap in naps[number]:
                # Parking until a time is what sleep does without the short way.
                if short_way:
                    hub.sleep(nap)
                else:
                    hub.park(hub.now + nap)
                diary.append((hub.now, number))

        with Hub() as hub:
            for number in range(len(naps)):
                hub.spawn(lambda number=number: walk(number))  # type: ignore[misc]
            if crowded:
                for time in range(12):
                    hub.at(time, lambda _: None)
            hub.run()
        return diary

    assert steps(short_way=True) == steps(short_way=False)


def test_a_park_ends_when_its_time_comes_or_when_somebody_wakes_it_and_says_which() -> None:
    why = []

    def wait() -> None:
        for until in (10, None, 30, 40):
            why.append((hub.park(until), hub.now))

    with Hub() as hub:
        actor = hub.spawn(wait)
        hub.at(15, lambda _: hub.wake(actor))
        hub.at(20, lambda _: hub.wake(actor, "bell"))
        hub.run()
    # The time of 30 that was overtaken by the bell must not end the next park early.
    assert why == [(TIME, 10), (WOKEN, 15), ("bell", 20), (TIME, 40)]


def test_waking_an_actor_that_does_not_rest_is_refused_and_not_remembered() -> None:
    with Hub() as hub:
        seen = []

        def body() -> None:
            seen.append(hub.wake(actor))
            seen.append(hub.park(7))

        actor = hub.spawn(body)
        hub.run()
        assert hub.wake(actor) is False
    assert seen == [False, TIME]


def test_a_sleep_is_not_cut_short_and_of_two_who_wake_the_first_wins() -> None:
    why: list[object] = []

    def body() -> None:
        hub.sleep(10)
        why.append(hub.now)
        why.append(hub.park())

    with Hub() as hub:
        actor = hub.spawn(body)
        hub.at(5, lambda _: why.append(hub.wake(actor)))
        for reason in ("first", "second"):
            hub.at(20, lambda reason: why.append(hub.wake(actor, reason)), reason)
        hub.run()
    assert why == [False, 10, True, False, "first"]


def test_a_killed_actor_runs_no_finally_and_never_again() -> None:
    diary = []

    def body() -> None:
        try:
            hub.sleep(10)
            diary.append("done")
        finally:
            diary.append("finally")

    hub = Hub()
    actor = hub.spawn(body)
    hub.at(5, lambda _: hub.kill(actor))
    hub.at(6, lambda _: hub.wake(actor))
    hub.run()
    assert diary == []
    hub.close()
    assert diary == ["finally"]  # only when nothing is measured any more


def test_an_actor_that_kills_itself_stops_at_once() -> None:
    diary = []

    def body() -> None:
        diary.append("before")
        hub.kill(actor)
        diary.append("after")

    with Hub() as hub:
        actor = hub.spawn(body)
        hub.run()
        assert diary == ["before"]


def test_closing_unwinds_everybody_even_those_who_would_rest_again() -> None:
    unwound = []

    def body() -> None:
        try:
            hub.park()
        except Killed:
            try:
                hub.sleep(1)
            except Killed:
                unwound.append("twice told")
            raise

    with Hub() as hub:
        hub.spawn(body)
        hub.spawn(hub.park)
        hub.run()
    assert unwound == ["twice told"]


def test_an_error_in_an_actor_comes_out_of_run() -> None:
    def body() -> None:
        hub.sleep(3)
        raise LookupError("broken")

    with Hub() as hub:
        hub.spawn(body)
        with pytest.raises(LookupError, match="broken"):
            hub.run()


def test_run_stops_at_its_limit_and_goes_on_from_there() -> None:
    diary = []

    def body() -> None:
        for _ in range(3):
            hub.sleep(10)
            diary.append(hub.now)

    with Hub() as hub:
        hub.spawn(body)
        hub.run(until=15)
        assert (diary, hub.now) == ([10], 15)
        hub.run()
    assert diary == [10, 20, 30]


def test_stop_holds_even_against_an_actor_that_would_sleep_for_ever() -> None:
    def body() -> None:
        while True:
            hub.sleep(1)
            if hub.now == 1000:
                hub.stop()

    with Hub() as hub:
        hub.spawn(body)
        hub.run()
        assert hub.now == 1000


def test_mistakes_are_told_at_once() -> None:
    with Hub() as hub:
        with pytest.raises(RuntimeError, match="only an actor"):
            hub.sleep(1)
        with pytest.raises(ValueError, match="before the present"):
            hub.at(-1, print)
        with pytest.raises(ValueError, match="before the present"):
            hub.at(float("nan"), print)
        hub.spawn(lambda: hub.sleep(-1))
        with pytest.raises(ValueError, match="before the present"):
            hub.run()
    with Hub() as hub:
        hub.spawn(hub.run)
        with pytest.raises(RuntimeError, match="not inside"):
            hub.run()


def test_a_thousand_actors_can_be_started() -> None:
    ended = []
    with Hub() as hub:
        for number in range(2000):
            hub.spawn(lambda number=number: (hub.sleep(1), ended.append(number)))  # type: ignore[misc]
        hub.run()
    assert ended == list(range(2000))
