"""How many workers: the answer, what one fewer would give, and when there is none."""

import json
from pathlib import Path

import numpy as np
import pytest

from simulate import cli, plan, theory
from simulate.intervals import Interval, Refusal
from simulate.plan import Goal, Point, search
from simulate.plots import plan_figure
from simulate.replications import seeds
from simulate.workload import Load, generate

from .helpers import load_of


def loads(jobs: int = 1500, rate: float = 2.0, count: int = 4) -> list[tuple[int, Load]]:
    return [(seed, generate("poisson", jobs, seed, rate=rate)) for seed in seeds(1, count)]


def test_the_answer_meets_the_target_with_its_whole_interval_and_one_fewer_does_not() -> None:
    found = plan.plan(loads(), "minique", Goal(seconds=2.0))
    assert found.workers is not None
    enough, fewer = found.point(found.workers), found.point(found.workers - 1)
    assert enough is not None
    assert isinstance(enough.waiting, Interval)
    assert enough.waiting.high < 2.0
    if fewer is None:  # fewer than the offered load: never tried
        assert found.workers - 1 <= found.load.offered
    else:
        assert isinstance(fewer.waiting, Interval)
        assert fewer.waiting.high >= 2.0
    assert plan_figure(found).axes
    assert json.loads(json.dumps(found.to_dict()))["workers"] == found.workers


def test_the_search_finds_what_trying_all_of_them_would_find() -> None:
    for offered in (0.3, 5.6, 40.2):
        for needed in (int(offered) + 1, int(offered) + 2, int(offered) + 17):
            tried: list[int] = []

            def at(workers: int, needed: int = needed, tried: list[int] = tried) -> Point:
                tried.append(workers)
                return Point(workers, Interval(5.0 if workers >= needed else 100.0 / workers**2 + 10, 0.5), 0)

            assert search(at, offered, Goal(6.0), 1000) == (needed, None)
            assert len(set(tried)) < 20
            assert needed == 1 or needed - 1 in tried or needed - 1 <= offered


def test_more_growth_and_crashes_take_more_workers() -> None:
    goal = Goal(seconds=1.0)
    few = plan.plan(loads(), "minique", goal).workers
    grown = plan.plan(loads(), "minique", Goal(seconds=1.0, growth=3.0)).workers
    assert few is not None
    assert grown is not None
    assert grown > 2 * few
    crashing = plan.plan(loads(), "minique", Goal(seconds=1.0, crashes_per_hour=60.0)).workers
    assert crashing is not None
    assert crashing >= few


def test_it_agrees_with_erlang() -> None:
    generator = np.random.default_rng(3)
    drawn = [
        (n, load_of(np.cumsum(generator.exponential(0.25, 8000)), generator.exponential(1.0, 8000))) for n in range(6)
    ]
    found = plan.plan(drawn, "blocking", Goal(seconds=1.0, percent=90.0))
    assert found.workers is not None
    # P(waiting > t) = C(m, a) exp(-(m - a) t) for an offered load a on m servers.
    least = next(m for m in range(5, 20) if theory.erlang_c(m, 4.0) * np.exp(-(m - 4.0)) < 0.1)
    assert found.workers in (least, least + 1)  # the margin, and what each step costs


def test_one_process_by_nature_cannot_be_helped_by_more() -> None:
    found = plan.plan(loads(rate=0.1, jobs=600), "naive", Goal(seconds=1.0))
    assert found.workers is None
    assert found.why_none is not None
    assert "twice as many did not help" in found.why_none


def test_too_few_jobs_for_the_percentile_are_refused() -> None:
    found = plan.plan(loads(jobs=100), "minique", Goal(seconds=1.0))
    assert found.workers is None
    assert found.why_none is not None
    assert "100 jobs a run are too few for the 95th percentile" in found.why_none


def test_a_trace_is_cut_into_stretches_or_refused_as_too_short() -> None:
    [one, *_] = loads(jobs=3000)
    found = plan.plan([one], "minique", Goal(seconds=2.0))
    assert found.workers is not None
    short = plan.plan([(0, generate("poisson", 1000, 0, rate=2.0))], "minique", Goal(seconds=2.0))
    assert isinstance(short.points[0].waiting, Refusal)
    assert short.why_none is not None
    assert short.why_none.startswith("cut into 10 stretches")


def test_jobs_that_are_lost_are_no_capacity() -> None:
    found = plan.plan(loads(), "resque", Goal(seconds=60.0, crashes_per_hour=60.0))
    assert found.workers is None
    assert found.why_none is not None
    assert "jobs are lost, and more workers do not cure that" in found.why_none


def test_more_than_the_limit_is_said() -> None:
    found = plan.plan(loads(rate=20.0), "minique", Goal(seconds=1.0), most=10)
    assert found.why_none is not None
    assert "10 is the limit; raise it with --most" in found.why_none


def test_at_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["plan", "--rate", "2", "--load", "poisson", "--jobs", "600", "--output", str(tmp_path)]
    assert cli.main([*common, "--target", "3"]) == 0
    assert "for p95 of the waiting time below 3 s" in capsys.readouterr().out
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "plan.json").read_text())["goal"]["percent"] == 95.0
    assert cli.main([*common, "--target", "3", "--design", "cron"]) == 2
    assert "unknown design 'cron'" in capsys.readouterr().err
    assert cli.main([*common, "--target", "0.0001"]) == 1
    assert "No number of workers" in capsys.readouterr().out
    assert cli.main(["plan", "--target", "3", "--output", str(tmp_path)]) == 2
    assert "Give --rate R (jobs per second) or --trace FILE" in capsys.readouterr().err
    assert cli.main([*common, "--target", "3", "--percentile", "100"]) == 2
    assert "a percentile between 0 and 100" in capsys.readouterr().err
