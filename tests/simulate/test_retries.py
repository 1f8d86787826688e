"""An outage under each backoff: theory holds, waves are waves, and jitter parts them."""

import json
from random import Random

import numpy as np
import pytest

from minique.backoff import Backoff
from simulate.dependency import Outage
from simulate.experiments import retries
from simulate.intervals import Interval
from simulate.plots import retries_figure
from simulate.scenarios.retries import CALLING, POLICIES, Retries, RetryOutcome, Setting, _held_down, expected_calls

SEED = 4
UNLIMITED = Setting(outage=Outage(30.0, 60.0, queue=CALLING))


@pytest.fixture(scope="module")
def found() -> Retries:
    return retries(("in step", "backoff", "jitter", "as shipped"), replications=3, seed=SEED)


def value(estimate: object) -> float:
    assert isinstance(estimate, Interval)
    return estimate.value


class TestTheory:
    def test_without_jitter_calls_are_counted_on_the_fingers(self) -> None:
        calls = expected_calls(Backoff(jitter=False), 60.0, 0.05)
        # 5, 10 and 20 s after the last: three retries meet a whole outage of a minute, the fourth comes after it.
        assert calls[-1] == 5
        assert calls[0] == 2
        assert calls[int(4.0 / 0.01)] == 2
        assert calls[int(6.0 / 0.01)] == 3

    def test_with_jitter_they_are_what_drawing_gives(self) -> None:
        backoff, rng = Backoff(), Random(1)
        drawn = []
        for _ in range(20_000):
            at, failures = 0.0, 0
            while at < 60.0:
                failures += 1
                at += 0.05 + backoff.delay_seconds(failures, rng)
            drawn.append(failures + 1)
        assert expected_calls(backoff, 60.0, 0.05)[-1] == pytest.approx(np.mean(drawn), rel=0.01)


def test_each_policy_calls_as_often_as_theory_says() -> None:
    for one in retries(("in step", "backoff", "jitter"), setting=UNLIMITED, replications=4, seed=SEED).outcomes:
        assert one.in_theory is not None
        assert isinstance(one.calls_per_job, Interval)
        assert abs(one.calls_per_job.value - one.in_theory) < max(2 * one.calls_per_job.half, 0.02 * one.in_theory)


def test_a_backoff_that_forgets_its_jitter_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = lambda self, failures, rng: self.first_seconds * self.factor ** (failures - 1)  # noqa: E731
    monkeypatch.setattr(Backoff, "delay_seconds", whole)
    [one] = retries(("jitter",), setting=UNLIMITED, replications=3, seed=SEED).outcomes
    assert isinstance(one.calls_per_job, Interval)
    assert one.in_theory is not None
    assert abs(one.calls_per_job.value - one.in_theory) > max(2 * one.calls_per_job.half, 0.02 * one.in_theory)


def test_those_who_failed_together_come_back_together_unless_jitter_parts_them(found: Retries) -> None:
    limit = found.setting.outage.calls_per_second or 0.0
    assert value(found.of("in step").peak) > 2 * limit
    assert value(found.of("backoff").peak) > 1.5 * limit
    assert value(found.of("jitter").peak) < limit


def test_waves_knock_the_dependency_over_again(found: Retries) -> None:
    assert value(found.of("in step").refused_after) > 50
    assert value(found.of("backoff").refused_after) > 50
    assert value(found.of("jitter").refused_after) == 0
    assert value(found.of("jitter").recovered) < value(found.of("backoff").recovered)


def test_enough_tries_lose_nothing_and_three_give_most_up(found: Retries) -> None:
    assert value(found.of("jitter").given_up) == 0
    assert value(found.of("as shipped").given_up) > 0.7  # three delays last 17 s on average, the outage a minute


def test_calls_that_hang_keep_others_waiting_and_jitter_frees_the_workers() -> None:
    hanging = Setting(outage=Outage(30.0, 60.0, fails_after=2.0, queue=CALLING), burst=20, rate=1.0)
    at_once, jitter = retries(("at once", "jitter"), setting=hanging, replications=2, seed=SEED).outcomes
    assert value(at_once.failing) > 0.9
    assert value(at_once.bystanders) > 2 * value(jitter.bystanders)


def test_slow_answers_hold_the_workers_and_a_time_out_makes_them_a_storm() -> None:
    def met(**patience: float) -> RetryOutcome:
        outage = Outage(10.0, 30.0, queue=CALLING, slower=40.0, **patience)
        setting = Setting(outage, burst=40, rate=1.0, after=20.0)
        [found] = retries(("at once",), setting=setting, replications=2, seed=SEED).outcomes
        return found

    patient, hasty = met(), met(times_out=1.0)
    assert value(patient.failing) == 0
    assert value(patient.slow) > 0.5  # 4 s instead of a tenth, for fifty jobs on eight workers
    assert value(patient.calls_per_job) == 1
    assert value(hasty.slow) == 0
    assert value(hasty.failing) > 0.9
    assert value(hasty.calls_per_job) > 4
    assert value(hasty.recovered) > value(patient.recovered)
    assert patient.in_theory is None


def test_the_calls_of_the_figure_are_those_of_the_runs(found: Retries) -> None:
    jitter = found.of("jitter")
    during = (jitter.seconds > 30) & (jitter.seconds < 90)
    assert (jitter.refused[during] == jitter.calls[during]).all()
    assert jitter.refused[~during].sum() == 0
    assert retries_figure(found).axes
    assert json.dumps(found.to_dict())


def test_equal_seeds_give_equal_storms() -> None:
    one, other = (retries(("jitter",), replications=2, seed=9).to_dict() for _ in range(2))
    assert one == other


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="known: at once, in step"):
        retries(("never",))
    with pytest.raises(ValueError, match="of the queue 'mail'"):
        Setting(outage=Outage(1.0, 1.0))
    assert POLICIES["as shipped"].retries == 3


class TestACollapse:
    """Forty calls a second are answered, and each one too many costs half an answer; an outage of five seconds."""

    @staticmethod
    def met(policy: str, **changes: float) -> RetryOutcome:
        asked = {"calls_per_second": 40.0, "collapse": 0.5, "mended_after": 10.0} | changes
        outage = Outage(5.0, 5.0, queue=CALLING, **asked)  # type: ignore[arg-type]
        [found] = retries((policy,), setting=Setting(outage, burst=40, after=5.0), replications=2, seed=SEED).outcomes
        return found

    def test_whoever_retries_at_once_holds_down_what_came_back_long_ago(self) -> None:
        found = self.met("at once")
        assert found.held_down == 1.0
        # Until somebody steps in, and hardly longer.
        assert 10.0 < value(found.recovered) < 15.0

    def test_where_calls_beyond_the_limit_cost_nothing_it_comes_back(self) -> None:
        found = self.met("at once", collapse=0.0)
        assert found.held_down == 0.0
        assert value(found.recovered) < 5.0

    def test_it_is_held_down_if_most_calls_fail_in_most_of_the_seconds(self) -> None:
        outage = Outage(0.0, 5.0, queue=CALLING, calls_per_second=4.0, collapse=1.0, mended_after=4.0)
        calls = np.array([4.0, 5.1, 5.2, 5.3, 6.1, 6.2, 6.3, 7.1, 7.2, 7.3, 9.5])
        failed = [True, *(True, True, False), *(True, True, False), *(True, True, False), True]
        assert _held_down(calls, np.array(failed), outage)
        failed[1] = failed[4] = False  # now most are answered in two of these seconds
        assert not _held_down(calls, np.array(failed), outage)
        assert not _held_down(np.array([]), np.array([], dtype=bool), outage)

    def test_with_jitter_nobody_has_to_step_in(self) -> None:
        assert self.met("jitter").held_down == 0.0

    def test_the_figure_says_so(self) -> None:
        outage = Outage(2.0, 3.0, queue=CALLING, calls_per_second=40.0, collapse=1.0, mended_after=5.0)
        found = retries(("at once", "jitter"), setting=Setting(outage, burst=40, after=5.0), replications=2)
        above, below = retries_figure(found).axes
        assert [text.get_text() for text in above.texts][1].endswith("held down by its callers")
        assert "held down" not in below.texts[1].get_text()
        assert above.get_xlim()[1] > outage.mended
