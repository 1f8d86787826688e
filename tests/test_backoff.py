"""How long to wait before the next try."""

from __future__ import annotations

import math
from random import Random
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minique import Backoff

amounts = st.floats(0, 1e9, allow_nan=False)
backoffs = st.builds(Backoff, amounts, st.floats(1, 1e3), amounts, st.booleans())


def test_without_jitter_the_wait_doubles_up_to_its_cap():
    backoff = Backoff(first_seconds=5, factor=2, cap_seconds=60, jitter=False)
    assert [backoff.delay_seconds(n, Random(1)) for n in range(1, 7)] == [5, 10, 20, 40, 60, 60]


def test_jitter_draws_from_the_whole_interval_so_that_jobs_that_failed_together_do_not_return_together():
    rng = Random(1)
    waits = [Backoff(first_seconds=5).delay_seconds(2, rng) for _ in range(2000)]
    assert min(waits) < 0.1
    assert max(waits) > 9.9
    # The standard error of this mean is 10 / √12 / √2000, about 0.065.
    assert mean(waits) == pytest.approx(5, abs=0.3)


@given(backoff=backoffs, failures=st.integers(1, 10**6), seed=st.integers())
def test_a_wait_is_never_negative_nor_beyond_the_cap_however_many_failures(backoff, failures, seed):
    wait = backoff.delay_seconds(failures, Random(seed))
    assert 0 <= wait <= backoff.cap_seconds
    assert math.isfinite(wait)


@given(backoff=backoffs, failures=st.integers(1, 100))
def test_the_same_stream_of_chance_gives_the_same_wait(backoff, failures):
    assert backoff.delay_seconds(failures, Random(3)) == backoff.delay_seconds(failures, Random(3))


def test_a_wait_of_zero_means_at_once():
    assert Backoff(0).delay_seconds(5, Random(1)) == 0


@pytest.mark.parametrize("wrong", [{"first_seconds": -1}, {"cap_seconds": -1}, {"factor": 0.5}])
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValueError, match="must not be negative, and the factor must be 1 or more"):
        Backoff(**wrong)
