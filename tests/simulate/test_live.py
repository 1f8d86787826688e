"""`live` plays a load with real processes and in the simulator, whose books must agree; no time is judged closely."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simulate import cli
from simulate.benches.server import BenchError
from simulate.costs import FREE, Costs
from simulate.intervals import Numbers
from simulate.live import beside
from simulate.live import check as live_check
from simulate.live import jobs as live_jobs
from simulate.live import runs as live
from simulate.live.lessons import ENOUGH, Foretold, Lesson, Seen, foretold, simulated
from simulate.plots import PIXELS_WIDE
from simulate.recursion import first_come_first_served
from simulate.workload import Load
from tests.processes import PATIENCE_SECONDS, children, is_alive, needs_proc
from tests.servers import RealServer, find_valkey, required, until
from tests.simulate.helpers import load_of
from tests.simulate.test_calibrate import good, start

TINY = ("--workers", "2", "--seconds", "1", "--repeat", "1", "--every", "0.1", "--service", "0.02")


def costs_file(folder: Path) -> str:
    file = folder / "costs.json"
    seconds = {name: 0.001 for name in Costs().seconds}  # noqa: C420
    file.write_text(json.dumps({**good(), "costs_seconds": seconds, "sleep_overshoot_seconds": 0.0001}))
    return str(file)


def test_it_plays_really_and_simulated_and_says_both(tmp_path: Path) -> None:
    run = start(tmp_path, "live", *TINY, "--utilisations", "0.3,0.6", "--costs", costs_file(tmp_path))
    output, errors = run.communicate(timeout=240)
    assert (run.returncode, errors) == (0, "")
    words = " ".join(output.split())
    for expected in (
        "minique, fork",
        "minique, in-line",
        "naive daemon",
        "measured",
        "calibrated on here",
        "load before",
    ):
        assert expected in words
    assert max(map(len, output.splitlines())) <= 100
    found = json.loads((tmp_path / "results" / "live.json").read_text())
    assert [pair["design"] for pair in found["pairs"]] == ["minique", "inline", "naive"] * 2
    for pair in found["pairs"]:
        assert pair["effective_utilisation"] == pytest.approx(float(pair["load"]["name"]), rel=0.2)
        for said in (pair["predicted_waiting_seconds"], *pair["measured_waiting_seconds"]):
            assert 0 < said["p50"] <= said["p90"] <= said["p99"]
        for name in live.MEASURES:
            share = pair["predicted_waiting_seconds"][name] / pair["measured_waiting_seconds"][0][name] - 1
            assert pair["predicted_over_measured_minus_one"][name] == pytest.approx(share, rel=1e-6, abs=1e-7)
    rows = (tmp_path / "results" / "live.csv").read_text().splitlines()
    assert len(rows) == 1 + 6 * len(live.MEASURES)
    picture = (tmp_path / "results" / "live.png").read_bytes()
    assert int.from_bytes(picture[16:20]) == PIXELS_WIDE
    assert os.listdir(tmp_path / "tmp") == []


def test_a_trace_is_played_faster_by_scale(tmp_path: Path) -> None:
    trace = tmp_path / "load.jsonl"
    trace.write_text("".join(f'{{"arrived": {n}, "service": 0.5}}\n' for n in range(20)))
    words = ("--trace", str(trace), "--scale", "20", "--limit", "10", "--designs", "inline")
    run = start(tmp_path, "live", *words, "--repeat", "1", "--costs", costs_file(tmp_path))
    _, errors = run.communicate(timeout=120)
    assert (run.returncode, errors) == (0, "")
    [pair] = json.loads((tmp_path / "results" / "live.json").read_text())["pairs"]
    assert pair["load"]["jobs"] == 10
    assert pair["load"]["service_mean_seconds"] == pytest.approx(0.025)


@needs_proc
@pytest.mark.parametrize("design", ["minique", "naive"])
def test_an_interruption_leaves_nothing_behind(tmp_path: Path, design: str) -> None:
    words = ("--designs", design, "--seconds", "60", "--costs", costs_file(tmp_path))
    run = start(tmp_path, "live", *words)
    wanted = 3 if design == "minique" else 2  # the server, and workers or the daemon
    until(lambda: len(children(run.pid)) >= wanted or run.poll() is not None, PATIENCE_SECONDS)
    started = children(run.pid)
    run.send_signal(signal.SIGINT)
    try:
        _, errors = run.communicate(timeout=PATIENCE_SECONDS / 2)
    except subprocess.TimeoutExpired:
        # Python swallows an interrupt that comes while an object is being freed; a person would press the keys again.
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=PATIENCE_SECONDS)
    assert run.returncode == cli.INTERRUPTED, errors
    until(lambda: not any(map(is_alive, started)), PATIENCE_SECONDS)
    assert os.listdir(tmp_path / "tmp") == []
    assert os.listdir(tmp_path / "results") == []


@pytest.mark.parametrize(
    ("words", "because"),
    [
        (["--utilisations", "0.5,1"], "a utilisation of 1 is not between 0 and 1"),
        (["--designs", "minique,cron"], "'cron' cannot be played live; known: minique, inline, naive"),
        (["--designs", ","], "no designs"),
        (["--variance", "-1"], "a variance of -1 is below zero"),
        (["--scale", "3"], "need --trace FILE"),
        (["--seed", "-1"], "--seed must be 0 or more"),
    ],
)
def test_what_cannot_be_played_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], because: str
) -> None:
    assert cli.main(["live", *words, "--output", str(tmp_path)]) == cli.USAGE
    assert because in capsys.readouterr().err


def test_a_load_that_takes_an_hour_is_refused_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "load.csv"
    trace.write_text("arrived,service\n0,1\n3600,1\n")
    assert cli.main(["live", "--trace", str(trace), "--output", str(tmp_path)]) == cli.USAGE
    assert "play it faster with --scale K" in capsys.readouterr().err


def test_waiting_counts_from_the_planned_arrival_and_not_from_when_the_producer_came() -> None:
    times = np.array([1.0]), np.array([1.5]), np.array([1.6]), np.array([2.0]), np.array([3.0])
    assert live.Played(*times, zero=0.0).waiting == [1.0]


def test_a_generated_load_keeps_processes_as_busy_as_was_asked_overhead_included() -> None:
    setting = live.Setting(seconds=60)
    for name in live.DESIGNS:
        load = live.generated(setting, name, 0.9, Costs(), 0.001)
        span_from_zero = load.span - live.LEAD_SECONDS
        each = float(load.service.mean()) + 0.001 + live.overhead(name, Costs())
        processes = 1 if name == "naive" else setting.workers
        assert load.jobs * each / span_from_zero / processes == pytest.approx(0.9)


def test_the_simulated_daemon_looks_when_the_real_one_does() -> None:
    # Free of costs, a job begins at the first look after it has come.
    load = load_of([0.5, 1.0, 2.2], [0, 0, 0])
    phase = live.phase_of(0.3, 0.0, 7)
    waited = live.predict("naive", load, 4, FREE, 0.0, 0.3, 7)
    looks = (load.arrived + waited - phase) / 0.3
    assert looks == pytest.approx(np.round(looks))
    assert (waited <= 0.3).all()


@pytest.mark.parametrize("name", ["minique", "inline"])
def test_at_no_cost_the_simulated_workers_are_first_come_first_served_from_the_first_job_on(name: str) -> None:
    # Real ones are all there when it comes. Work is longer than a batch: each job is claimed alone.
    setting = live.Setting(seconds=10, service=0.05, variance=0.0)
    load = live.generated(setting, name, 0.9, FREE, 0.0)
    waited = live.predict(name, load, setting.workers, FREE, 0.0, setting.every, 0)
    ideal = first_come_first_served(load.arrived, load.service, setting.workers) - load.arrived
    assert waited == pytest.approx(ideal, abs=1e-9)


def test_with_costs_known_afterwards_a_run_that_went_as_simulated_is_simulated_again() -> None:
    setting = live.Setting(seconds=20, workers=1, variance=0.0)
    costs = Costs(in_line=0.002, wake_up=0.003)
    load = live.generated(setting, "inline", 0.7, costs, 0.0)
    waited = live.predict("inline", load, 1, costs, 0.0, 0.5, 0)
    began = load.arrived + waited
    run = live.Played(load.arrived, load.arrived, load.arrived + 1e-4, began, began + load.service, 0.0)
    again = beside.afterwards("inline", load, run, 1, Costs(in_line=0.002, end_in_line=1, wake_up=1), 0.5, 0)
    assert again == pytest.approx(np.tile(waited, beside.DRAWS), abs=5e-4)


def test_what_calibration_saw_is_drawn_where_it_is_known() -> None:
    setting = live.Setting(seconds=20, workers=1)
    load = live.generated(setting, "inline", 0.3, Costs(), 0.0)
    steps = Seen(np.arange(400.0), np.resize([0.002] * 9 + [0.02], 400))
    nothing = Seen(np.zeros(1), np.zeros(1))
    lesson = Lesson(steps, steps, nothing, nothing)
    means = beside.predicted("inline", load, setting, Costs(), 0.0, None)
    drawn = beside.predicted("inline", load, setting, Costs(), 0.0, lesson)
    assert len(drawn) == beside.DRAWS * load.jobs
    # Most found an idle worker, and waited as long as the others, or as was drawn.
    assert np.percentile(means, (20, 60)) == pytest.approx(0.00015 + 0.0005 + 0.0001)
    assert np.percentile(drawn, (20, 60)) == pytest.approx(0.002)
    assert 0.03 < (np.abs(drawn - 0.02) < 1e-9).mean() < 0.1  # of those every tenth is slow


def test_a_job_that_fails_is_an_error_and_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    server = RealServer("valkey", required(find_valkey))
    try:
        monkeypatch.setattr(live, "PATIENCE_SECONDS", 2.0)
        load = load_of([0.1], [0.001])
        with pytest.raises(BenchError, match="came to an end"):
            live.play_minique(server.url, "fails", load, 1, "inline", "no such way", lambda done: None)
    finally:
        server.stop()


def test_work_takes_as_long_as_it_should_asleep_or_busy() -> None:
    for way in live_jobs.WAYS:
        began, ended = live_jobs.run(0.01, way)
        assert ended - began >= 0.01


class TestALesson:
    """What a run teaches, and what is said with it."""

    def run(self, alone: Numbers, between: Numbers) -> tuple[Load, live.Played]:
        """Jobs of 50 ms that come two by two to one worker: the first finds it idle, the second follows. They take 1 ms
        longer than asked."""
        first = 1 + np.arange(len(alone)) * 0.5
        arrived = np.repeat(first, 2)
        begins = first + alone
        began = np.ravel(np.column_stack([begins, begins + 0.051 + between]))
        load = Load("pilot", "", arrived, np.full(len(arrived), 0.05))
        return load, live.Played(arrived, arrived, arrived, began, began + 0.051, 0.0)

    def test_it_has_each_step_that_was_seen(self) -> None:
        alone, between = np.array([0.003, 0.004, 0.009]), np.array([0.002, 0.002, 0.005])
        load, run = self.run(alone, between)
        found = Lesson.of("minique", load, run)
        assert found.alone.took == pytest.approx(alone[1:])  # where the first one's worker was before, nobody knows
        assert found.between.took == pytest.approx(between)
        assert found.between.at == pytest.approx(run.began[1::2])
        assert found.longer.took == pytest.approx(0.001)
        assert found.late.took == pytest.approx(0.0)

    def test_where_too_few_were_seen_those_of_other_runs_help(self) -> None:
        few = Lesson.of("minique", *self.run(np.array([0.003]), np.array([0.002])))
        many = Lesson.of("minique", *self.run(np.full(ENOUGH, 0.004), np.full(ENOUGH, 0.005)))
        assert len(few.completed([many]).between) == ENOUGH + 1
        both = Lesson.of_all([few, many])
        assert both.longer.took.tolist() == [*few.longer.took, *many.longer.took]
        assert both.longer.at.tolist() == [*few.longer.at, *(few.span + many.longer.at)]
        assert many.completed([few]).between.took.tolist() == many.between.took.tolist()

    def test_of_jobs_that_were_claimed_together_no_step_is_seen_but_that_of_the_first(self) -> None:
        load, run = self.run(np.full(40, 0.003), np.resize([0.002, 0.002, 0.002, 0.0001], 40))
        assert Lesson.of("inline", load, run).between.took == pytest.approx(0.002)
        assert Lesson.of("minique", load, run).between.took.min() == pytest.approx(0.0001)  # they are never that quick

    def test_a_job_that_another_worker_may_have_held_shows_no_step(self) -> None:
        # The first worker's job is short, so it claims two; the second of them waits until it is given back, though the
        # other worker is free before that.
        arrived = np.array([1.0, 1.0, 1.0, 1.0])
        began, ended = np.array([1.0, 1.0, 1.003, 1.014]), np.array([1.002, 1.005, 1.1, 1.03])
        run = live.Played(arrived, arrived, arrived, began, ended, 0.0, doer=np.array([1, 2, 1, 2]))
        assert run.perhaps_held() == {3}
        between, _ = run.steps()
        assert dict(zip(between.jobs.tolist(), between.took.tolist(), strict=True)) == {2: pytest.approx(0.001)}
        slow = replace(run, began=began - [0.01, 0, 0, 0])  # after a long job it claims one
        assert slow.perhaps_held() == set()

    def test_what_was_slow_together_is_drawn_together(self) -> None:
        # All steps are slow for a second, and quick for the next one.
        slow = np.tile(np.repeat([0.02, 0.002], 2), 100)
        load, run = self.run(slow, slow)
        lesson = Lesson.of("minique", load, run)
        found = simulated("minique", load, 1, lesson, Costs(fork=0.001), 0.5, 3)
        alone, after = found[::2], found[1::2] - found[::2] - 0.051
        assert np.corrcoef(alone[1:], after[1:])[0, 1] > 0.7

    @pytest.mark.parametrize("name", ["minique", "inline"])
    def test_what_it_says_of_the_very_run_that_taught_it_is_what_happened(self, name: str) -> None:
        # given steps of which every tenth takes ten times as long
        random = np.random.default_rng(5)
        alone, between = (random.choice([0.002, 0.02], 400, p=[0.9, 0.1]) for _ in range(2))
        load, run = self.run(alone, between)
        lesson = Lesson.of(name, load, run)
        # when
        said = foretold(name, load, 1, lesson, Costs(fork=0.001), 0.5, 3)
        # then
        real = live.summary(run.waiting)
        assert said["mean"].value == pytest.approx(real["mean"], rel=0.03)
        assert said["p90"].value == pytest.approx(real["p90"], rel=0.03)
        assert all(one.low <= one.value <= one.high for one in said.values())
        # And those that found an idle worker differ as they did: the mean would be 3.8 ms for all.
        one = simulated(name, load, 1, lesson, Costs(fork=0.001), 0.5, 3)[::2]
        assert np.percentile(one, (50, 95)) == pytest.approx([0.002, 0.02], rel=0.05)
        assert simulated(name, load, 1, lesson, Costs(fork=0.001), 0.5, 3)[::2].tolist() == one.tolist()

    def test_after_a_short_job_a_worker_may_still_fork_and_that_is_no_step(self) -> None:
        load, run = self.run(np.full(4, 0.003), np.array([0.002, 0.002, 0.002, 0.03]))
        run.ended[-2] = run.began[-2] + 0.001
        assert Lesson.of("minique", load, run).between.took == pytest.approx(0.002)

    def test_a_producer_that_is_late_makes_waits_longer(self) -> None:
        load, run = self.run(np.full(50, 0.003), np.full(50, 0.004))
        late = replace(run, woke=run.woke + 0.1, sent=run.sent + 0.1, began=run.began + 0.1, ended=run.ended + 0.1)
        said = foretold("minique", load, 1, Lesson.of("minique", load, late), Costs(fork=0.001), 0.5, 3)
        assert {name: one.value for name, one in said.items()} == pytest.approx(live.summary(run.waiting + 0.1))

    def test_nothing_but_the_steps_varies(self) -> None:
        load, run = self.run(np.full(50, 0.003), np.full(50, 0.004))
        said = foretold("minique", load, 1, Lesson.of("minique", load, run), Costs(fork=0.001), 0.5, 3)
        assert {name: one.value for name, one in said.items()} == pytest.approx(live.summary(run.waiting))


class TestCheck:
    def cell(self, measure: str, *ratios: float) -> live_check.Cell:
        said = tuple(Foretold(one, one, one) for one in ratios)
        return live_check.Cell("minique", 0.5, 0.5, live_check.JOBS, measure, said, (1.0,) * len(ratios))

    def test_the_median_of_the_turns_is_judged_by_the_aim_of_its_measure(self) -> None:
        assert self.cell("mean", 1.04, 0.5, 1.04).is_within
        assert not self.cell("mean", 1.06, 1.06, 1.0).is_within
        assert self.cell("p99", 0.91, 0.91, 3.0).is_within
        assert not self.cell("p99", 0.89, 0.5, 1.0).is_within

    def test_equal_runs_are_as_far_apart_as_the_highest_from_the_lowest(self) -> None:
        assert replace(self.cell("mean", 1.0), measured=(0.8, 1.0, 1.3)).spread == pytest.approx(0.5)

    def test_a_percentile_of_too_few_jobs_is_not_judged_and_that_is_said(self) -> None:
        few = [replace(self.cell(measure, 1.0), jobs=999) for measure in ("mean", "p90", "p99")]
        assert [one.verdict for one in few] == ["pass", "pass", "too few jobs"]
        assert not few[-1].is_within
        assert few[-1].too_few == "1,000 needed"

    @pytest.mark.parametrize("name", live.DESIGNS)
    def test_a_load_keeps_processes_as_busy_as_asked_with_the_steps_that_a_scout_saw(self, name: str) -> None:
        steps = Seen(np.arange(3.0), np.array([0.003, 0.004, 0.005]))
        lesson = Lesson(steps, steps, Seen(steps.at, np.full(3, 0.002)), steps)
        costs = live_check.with_overhead(name, Costs(), lesson)
        assert live.overhead(name, costs) == pytest.approx(0.004)
        setting = live.Setting(designs=(name,), jobs=4000, utilisations=(0.6,), repeat=1)
        [one] = live_check.planned(setting, {name: (costs, 0.002)})
        assert live_check.busy_share(one, setting, lesson) == pytest.approx(0.6, rel=0.01)
        nothing = replace(lesson, between=Seen(np.empty(0), np.empty(0)))
        assert live_check.with_overhead(name, Costs(), nothing) == Costs()

    def test_runs_are_long_enough_for_each_percentile_unless_told_otherwise(self) -> None:
        setting = live.Setting(jobs=live_check.JOBS, service=0.02, repeat=2)
        plan = live_check.planned(setting, dict.fromkeys(live.DESIGNS, (Costs(), 0.0)))
        assert {one.load.jobs for one in plan} == {1000}
        assert {pilot.jobs for one in plan for pilots in one.pilots for pilot in pilots} == {250}
        # Each pilot is another load, and the daemon gets through as many jobs as four workers do.
        assert len({tuple(load.arrived) for load in (plan[0].load, *sum(plan[0].pilots, ()))}) == 5
        forked, daemon = (next(one.load for one in plan if one.name == name) for name in ("minique", "naive"))
        assert daemon.service.mean() == pytest.approx(forked.service.mean() / 4)
        assert sum(one.jobs for one in plan) == len(plan) * 2 * 1500
        assert sum(one.work for one in plan) == len(plan) * 2 * 1600  # what is simulated takes a while, too

    def test_it_says_of_each_design_and_load_whether_the_simulator_was_right(self, tmp_path: Path) -> None:
        words = ("--check", "--designs", "inline,naive", "--utilisations", "0.5", "--costs", costs_file(tmp_path))
        run = start(tmp_path, "live", *TINY, *words)
        output, errors = run.communicate(timeout=240)
        assert (run.returncode, errors) == (0, "")
        words = " ".join(output.split())
        assert "of 8 are within the aim" in words
        assert "Too few jobs for 4 percentiles" in words
        assert max(map(len, output.splitlines())) <= 100
        results = tmp_path / "results"
        found = json.loads((results / "live-check.json").read_text())
        assert [cell["measure"] for cell in found["cells"]] == [*live.MEASURES] * 2
        assert all(cell["measured"][0] > 0 and cell["predicted"][0] > 0 for cell in found["cells"])
        assert len((results / "live-check.csv").read_text().splitlines()) == 1 + 8
        picture = (results / "live-check.png").read_bytes()
        assert int.from_bytes(picture[16:20]) == PIXELS_WIDE
