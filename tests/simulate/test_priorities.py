"""Several queues: theory holds, urgent jobs hardly notice, the last queue starves, and turns keep everybody fed."""

import json
from math import inf

import pytest

from minique.memory_store import MemoryStore
from simulate import theory
from simulate.costs import FREE
from simulate.experiments import priorities
from simulate.intervals import Interval, Refusal
from simulate.plots import priorities_figure
from simulate.scenarios.priorities import THREE, Priorities, QueueLoad, fair_rate, queued_load
from simulate.service_times import ServiceTimes

TWO = (QueueLoad("urgent", 0.4, ServiceTimes("fixed", 0.5)), QueueLoad("mail", 0.6, ServiceTimes("fixed", 2.0)))
SEED = 5


def around(found: Priorities, queue: str) -> list[bool]:
    """Whether twice each interval holds the theory: of so few, one or two miss it once by chance."""
    return [
        abs(one.waiting.value - one.theory) < 2 * one.waiting.half
        for _, one in found.of(queue)
        if isinstance(one.waiting, Interval) and one.theory is not None
    ]


class TestTheory:
    def test_below_saturation_it_is_what_the_two_exact_formulas_say(self) -> None:
        classes = [(0.2, 1.0, 1.0), (0.5, 0.6, 0.0), (0.1, 2.0, 4.0)]
        assert theory.priority_waits(classes, 1) == pytest.approx(theory.mg1_priority_waits(classes))
        alike = [(0.5, 1.0, 1.0), (1.5, 1.0, 1.0), (1.0, 1.0, 1.0)]
        exact = theory.mmc_priority_waits([0.5, 1.5, 1.0], 1.0, 4)
        assert theory.priority_waits(alike, 4) == pytest.approx(exact)

    def test_beyond_it_the_last_starves_and_the_first_waits_for_one_job_in_service_more(self) -> None:
        waits = theory.priority_waits([(0.5, 1.0, 1.0), (0.8, 1.0, 1.0), (9.0, 1.0, 1.0)], 1)
        assert waits == [pytest.approx(1 / (1 - 0.5)), inf, inf]
        assert theory.priority_waits([(0.5, 1.0, 1.0), (0.5, 1.0, 1.0)], 1)[1] == inf

    def test_taking_turns_shares_what_is_left_by_the_small(self) -> None:
        assert fair_rate([(0.1, 1.0, 1.0), (5.0, 1.0, 1.0), (5.0, 1.0, 1.0)], 1) == pytest.approx(0.45)
        assert fair_rate([(0.1, 1.0, 1.0), (0.2, 1.0, 1.0)], 1) == inf


@pytest.fixture(scope="module")
def in_order() -> Priorities:
    return priorities((0.5, 0.8, 1.1), jobs=5000, replications=4, seed=SEED)


def test_each_queue_waits_as_long_as_theory_says(in_order: Priorities) -> None:
    assert in_order.is_exact
    held = [held for queue in THREE for held in around(in_order, queue.name)]
    assert len(held) == 3 + 3 + 2
    assert all(held)


def test_the_last_queue_starves_while_the_first_hardly_notices(in_order: Priorities) -> None:
    [_, at_high, beyond] = in_order.points
    critical, _, low = beyond.queues
    assert isinstance(low.waiting, Refusal)
    assert low.waiting.why.startswith("low starves: its backlog grows by 0.41 jobs a second")
    assert isinstance(low.grows, Interval)
    assert low.grows.value == pytest.approx(low.grows_in_theory, rel=0.3)
    assert isinstance(critical.waiting, Interval)
    assert isinstance(at_high.queues[0].waiting, Interval)
    assert critical.waiting.value < 3 * at_high.queues[0].waiting.value


def test_whatever_the_order_all_wait_the_same_together() -> None:
    by_order, by_turns = (
        priorities((0.7,), serves=s, replications=6, seed=SEED) for s in ("low,default,critical", "*")
    )
    for found in (by_order, by_turns):
        [point] = found.points
        assert isinstance(point.together, Interval)
        assert point.together_in_theory is not None
        assert abs(point.together.value - point.together_in_theory) < 2 * point.together.half
    # The same jobs in another order: far closer to each other than to theory.
    first, second = by_order.points[0].together, by_turns.points[0].together
    assert isinstance(first, Interval)
    assert isinstance(second, Interval)
    assert first.value == pytest.approx(second.value, rel=0.03)


def test_jobs_of_different_length_on_one_worker_wait_as_theory_says() -> None:
    found = priorities((0.6, 1.2), queues=TWO, workers=1, jobs=6000, replications=5, seed=SEED, costs=FREE)
    assert found.is_exact
    assert all(around(found, "urgent"))
    assert all(around(found, "mail"))
    assert len(around(found, "urgent")) == 2


def test_taking_turns_only_the_queue_that_sends_most_starves() -> None:
    [point] = priorities((1.1,), serves="*", jobs=5000, replications=4, seed=SEED).points
    starves = [one.queue for one in point.queues if isinstance(one.waiting, Refusal)]
    assert starves == ["default"]


def test_resque_takes_its_star_by_the_alphabet() -> None:
    queues = (QueueLoad("urgent", 0.5), QueueLoad("mail", 0.5))
    [point] = priorities((0.9,), queues=queues, serves="*", design="resque", replications=3, seed=SEED).points
    urgent, mail = (one.waiting for one in point.queues)
    assert isinstance(urgent, Interval)
    assert isinstance(mail, Interval)
    assert urgent.value > 3 * mail.value


def test_a_worker_of_its_own_feeds_the_last_queue() -> None:
    split = ["critical,default,low"] * 3 + ["low,default,critical"]
    [point] = priorities((1.1,), serves=split, jobs=5000, replications=4, seed=SEED).points
    assert isinstance(point.queues[2].grows, Interval)
    assert point.queues[2].grows.value < 0.3  # 0.41 without


def test_a_store_that_forgets_the_order_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryStore, "_next_queue", _any_ready)
    found = priorities((0.8,), jobs=5000, replications=4, seed=SEED)
    assert not all(held for queue in THREE for held in around(found, queue.name))


def _any_ready(self: MemoryStore, subscription: object, seen: set[str]) -> str | None:
    return next((queue for queue in self._ready if queue not in seen), None)


def test_too_few_jobs_are_refused_and_equal_seeds_give_equal_results() -> None:
    few = priorities((0.95,), jobs=1000, replications=2)
    assert all(isinstance(one.waiting, Refusal) for one in few.points[0].queues if one.queue == "low")
    assert few == priorities((0.95,), jobs=1000, replications=2)
    assert json.dumps(few.to_dict())


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="known: minique, inline, resque"):
        priorities(design="naive")
    with pytest.raises(ValueError, match="names must differ"):
        queued_load((QueueLoad("a", 1.0), QueueLoad("a", 1.0)), 1.0, 10, 0)
    with pytest.raises(ValueError, match="utilisations above 0"):
        priorities((0.0,))


def test_the_figure_has_a_cross_for_what_starves(in_order: Priorities) -> None:
    labels = priorities_figure(in_order).axes[0].get_legend_handles_labels()[1]
    assert "low starves: it waits ever longer" in labels
    assert "theory (Cobham)" in labels


@pytest.mark.filterwarnings("error")
def test_a_figure_of_which_nothing_is_known_is_drawn_all_the_same() -> None:
    pareto = [QueueLoad(name, 0.5, ServiceTimes("pareto")) for name in "ab"]
    few = priorities((0.9,), queues=pareto, workers=1, jobs=300, replications=2)
    assert not any(isinstance(one.waiting, Interval) for point in few.points for one in point.queues)
    low, high = priorities_figure(few).axes[0].get_ylim()
    assert 0 < low < high
