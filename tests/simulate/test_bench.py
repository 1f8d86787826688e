"""`python -m simulate bench` runs, its books balance, it leaves nothing behind. No time is judged here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from simulate import cli
from simulate.benches import modes
from simulate.benches.scheduler import Lateness
from simulate.benches.server import BenchError
from tests.processes import PATIENCE_SECONDS, REPOSITORY, children, is_alive, needs_proc
from tests.servers import find_valkey, required, until

TINY = ("--rate", "60", "--seconds", "1", "--backlog", "2500", "--schedulers", "1,2", "--polls", "0.2")


def start(folder: Path, *words: str, subject: str = "scheduler") -> subprocess.Popen[str]:
    required(find_valkey)
    (folder / "tmp").mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", "simulate", "bench", subject, *words],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(folder / "tmp")},
    )


def test_it_prints_what_it_measured_and_the_books_balance(tmp_path: Path) -> None:
    run = start(tmp_path, *TINY)
    output, errors = run.communicate(timeout=120)
    assert (run.returncode, errors) == (0, "")
    words = " ".join(output.split())
    for expected in ("p99", "minique, delayed", "polling each 0.2 s, recurring", "nothing to do", "valkey", "JSON:"):
        assert expected in words
    assert max(map(len, output.splitlines())) <= 100
    result = json.loads((tmp_path / "results" / "bench-scheduler.json").read_text())
    assert [one["name"] for one in result["driven"]] == ["minique", "polling each 0.2 s"]
    for one in result["driven"]:
        assert one["promoting"]["jobs"] == 60
        assert one["firing"]["jobs"] == result["entries"]
        for late in (one["promoting"], one["firing"]):
            assert 0 <= late["p50"] <= late["p90"] <= late["p99"] <= late["max"]
    assert [(one["schedulers"], one["jobs"]) for one in result["backlogs"]] == [(1, 2500), (2, 2500)]
    for one in result["backlogs"]:
        assert one["per_second"] == pytest.approx(one["jobs"] / one["seconds"], rel=0.01)
    assert os.listdir(tmp_path / "tmp") == []


@needs_proc
def test_each_way_to_run_a_job_is_measured_and_the_books_balance(tmp_path: Path) -> None:
    run = start(tmp_path, "--jobs", "20", "--rounds", "2", subject="modes")
    output, errors = run.communicate(timeout=120)
    assert (run.returncode, errors) == (0, "")
    words = " ".join(output.split())
    for expected in ("hand-over p50", "fork 100", "spawn 1", "in-line", "What each isolates", "os._exit", "JSON:"):
        assert expected in words
    assert max(map(len, output.splitlines())) <= 100
    result = json.loads((tmp_path / "results" / "bench-modes.json").read_text())
    assert [(way["mode"], way["jobs_per_child"], way["median"]["jobs"]) for way in result["ways"]] == [
        ("fork", 1, 3), ("fork", 10, 8), ("fork", 100, 12), ("spawn", 1, 3), ("spawn", 100, 5), ("inline", None, 20),
    ]  # fmt: skip
    for way in result["ways"]:
        assert len(way["runs"]) == 2
        for one in (way["median"], *way["runs"]):
            assert one["per_second"] > 0
            assert 0 <= one["hand_over_p50"] <= one["hand_over_p99"]
            assert 0 < one["worker_pss"] <= one["worker_rss"]
            has_child = way["mode"] != "inline"
            assert (one["child_rss"] is not None) == has_child
    assert os.listdir(tmp_path / "tmp") == []


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_nothing_behind(tmp_path: Path, number: int) -> None:
    run = start(tmp_path, "--seconds", "60")
    started: list[int] = []
    try:
        until(lambda: len(children(run.pid)) >= 2, PATIENCE_SECONDS)  # the server and a scheduler
        started = children(run.pid)
        run.send_signal(number)
        try:
            _, errors = run.communicate(timeout=PATIENCE_SECONDS / 3)
        except subprocess.TimeoutExpired:
            # Python swallows an interrupt that comes while an object is being freed; a person would send it again.
            run.send_signal(number)
            _, errors = run.communicate(timeout=PATIENCE_SECONDS)
    finally:
        run.kill()
        run.wait()
    assert run.returncode == 130
    assert errors.endswith("simulate: interrupted; no file was left half-written\n")
    assert [pid for pid in started if is_alive(pid)] == []
    assert os.listdir(tmp_path / "tmp") == []
    assert os.listdir(tmp_path / "results") == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("bench", "everything"), "scheduler"),
        (("bench", "scheduler", "--rate", "0"), "'0' is not a number above zero"),
        (("bench", "scheduler", "--schedulers", "1,x"), "'x' is not a whole number above zero"),
        (("bench", "scheduler", "--evry", "1"), "--backlog"),
        (("bench", "modes", "--rounds", "0"), "'0' is not a whole number above zero"),
        (("bench", "modes", "--polls", "1"), "--rounds"),
    ],
)
def test_what_makes_no_sense_is_refused(words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_the_page_says_the_same_of_what_is_isolated() -> None:
    page = (REPOSITORY / "docs" / "explanation" / "ways-to-run-a-job.md").read_text()
    rows = [
        f"| {' | '.join(row)} |" for row in (("", *modes.ISOLATES), *((way.name, *way.isolates) for way in modes.WAYS))
    ]
    assert [row for row in rows if row.replace("|  |", "| |") not in page] == []


class TestHandOver:
    def test_it_is_counted_from_the_claim_or_from_the_job_before(self) -> None:
        # given two jobs of one claim, and one of the next
        run = modes._figures({"a": 10.010, "b": 10.030, "c": 11.5}, {"a": 10.0, "b": 10.0, "c": 11.0}, 9.0, [])
        assert (run.jobs, run.start_seconds) == (3, pytest.approx(1.01))
        assert run.hand_over_p50 == pytest.approx(20)
        assert run.per_second == pytest.approx(2 / 1.49)

    def test_a_job_that_began_before_it_was_claimed_is_a_fault_of_the_books(self) -> None:
        with pytest.raises(BenchError, match="before it was claimed"):
            modes._figures({"a": 9.9, "b": 10.1}, {"a": 10.0, "b": 10.0}, 9.0, [])


def test_lateness_is_told_in_milliseconds() -> None:
    assert Lateness.of([n / 1000 for n in range(101)]) == Lateness(101, 50.0, 90.0, 99.0, 100.0)
