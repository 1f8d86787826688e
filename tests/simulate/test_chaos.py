"""`python -m simulate chaos`: short runs keep every promise, broken code is found out, and nothing is left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

from simulate import cli
from simulate.chaos.conductor import KINDS, plan
from simulate.chaos.server import ChaosServer
from simulate.history import check, from_line
from tests.processes import PATIENCE_SECONDS, REPOSITORY, children, is_alive, needs_proc
from tests.servers import find_valkey, required, until

BOUND_SECONDS = 240


def start(folder: Path, *words: str, path: Sequence[Path] = (REPOSITORY,)) -> subprocess.Popen[str]:
    required(find_valkey)
    (folder / "tmp").mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", "simulate", "chaos", *words],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), "TMPDIR": str(folder / "tmp")},
    )


def finish(run: subprocess.Popen[str], bound_seconds: float = BOUND_SECONDS) -> tuple[int, str]:
    try:
        output, errors = run.communicate(timeout=bound_seconds)
    finally:
        run.kill()
    assert errors == ""
    return run.returncode, output


def found(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((folder / "results" / "chaos.json").read_text())
    return data


def descendants(pid: int) -> list[int]:
    return [one for child in children(pid) for one in (child, *descendants(child))]


class TestEveryPromiseIsKept:
    def test_in_a_short_run_with_a_server_that_syncs_always(self, tmp_path: Path) -> None:
        code, output = finish(start(tmp_path, "--kills", "12", "--every", "0.35", "--seed", "4"))
        assert code == 0, output
        data = found(tmp_path)
        assert data["kept"]
        assert sum(data["kills"].values()) == 12
        assert {"server", "worker"} <= set(data["kills"]), "this seed was to kill these: the run showed too little"
        jobs = data["jobs"]
        assert jobs["acknowledged"] > 50
        assert (jobs["lost"], jobs["lost, excused"]) == (0, 0)
        assert jobs["done"] + jobs["failed"] >= jobs["acknowledged"] + jobs["planned slots"]
        assert jobs["pairs compared for order"] > 0
        words = " ".join(output.split())
        for expected in ("kills in all", "job done", "p99", "Every promise was kept.", "chaos.png"):
            assert expected in words
        assert max(map(len, output.splitlines())) <= 100 + len(str(tmp_path))
        assert (tmp_path / "results" / "chaos.png").read_bytes().startswith(b"\x89PNG")
        assert os.listdir(tmp_path / "tmp") == []
        # The history that it wrote says the same when it is judged again.
        lines = (tmp_path / "results" / "chaos.history.jsonl").read_text().splitlines()
        report = check(map(from_line, lines))
        assert report.counts["acknowledged"] == jobs["acknowledged"]
        assert report.counts["lost"] == 0

    @pytest.mark.soak
    @pytest.mark.parametrize(("mode", "kills"), [("fork", 1000), ("inline", 300)])
    def test_in_a_thousand_kills(self, tmp_path: Path, mode: str, kills: int) -> None:
        code, output = finish(start(tmp_path, "--kills", str(kills), "--mode", mode, "--workers", "4"), 3600)
        assert code == 0, output
        assert sum(found(tmp_path)["kills"].values()) == kills

    @pytest.mark.soak
    @pytest.mark.parametrize("mode", ["fork", "inline"])
    def test_and_under_a_supervisor(self, tmp_path: Path, mode: str) -> None:
        code, output = finish(start(tmp_path, "--kills", "300", "--mode", mode, "--workers", "4", "--supervised"), 3600)
        assert code == 0, output

    @pytest.mark.soak
    def test_and_when_the_power_is_cut_only_the_last_seconds_are_lost(self, tmp_path: Path) -> None:
        words = ("--kills", "300", "--fsync", "everysec", "--power-cuts")
        code, output = finish(start(tmp_path, *words), 3600)
        assert code == 0, output
        assert found(tmp_path)["forgotten"]["bytes_cut"] > 0


class TestItHasTeeth:
    """Against a copy of minique that was broken on purpose."""

    def broken(self, folder: Path, script: str, old: str, new: str) -> Sequence[Path]:
        shutil.copytree(REPOSITORY / "minique", folder / "broken" / "minique")
        path = folder / "broken" / "minique" / "scripts" / f"{script}.lua"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        return (folder / "broken", REPOSITORY)

    def test_jobs_that_are_taken_without_a_lease_are_lost_with_their_worker(self, tmp_path: Path) -> None:
        path = self.broken(tmp_path, "claim", "redis.call('ZADD', LEASES, deadline, claim)", "")
        run = start(tmp_path, "--kills", "10", "--every", "0.2", "--rate", "60", "--patience", "4", path=path)
        code, output = finish(run)
        assert code == 1
        assert found(tmp_path)["jobs"]["lost"] > 0
        assert "still leased when all should have ended" in output
        assert "A promise was broken." in output

    def test_jobs_that_are_given_away_before_their_lease_is_over_run_twice(self, tmp_path: Path) -> None:
        path = self.broken(tmp_path, "reap", "'-inf', now,", "'-inf', '+inf',")
        run = start(tmp_path, "--seconds", "8", "--every", "1000", "--patience", "4", path=path)
        code, output = finish(run)
        assert code == 1
        data = found(tmp_path)
        assert data["jobs"]["run twice"] > 0
        assert data["kills"] == {}
        assert "started again after" in output


@needs_proc
class TestItLeavesNothingBehind:
    def running(self, run: subprocess.Popen[str], folder: Path) -> list[int]:
        """Waits until all programs are there, with jobs in children of workers."""
        until(lambda: any(folder.glob("tmp/*/history.jsonl")) and len(descendants(run.pid)) >= 10, PATIENCE_SECONDS)
        return descendants(run.pid)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_when_it_is_interrupted(self, tmp_path: Path, number: int) -> None:
        run = start(tmp_path)
        started: list[int] = []
        try:
            started = self.running(run, tmp_path)
            run.send_signal(number)
            _, errors = run.communicate(timeout=PATIENCE_SECONDS)
        finally:
            run.kill()
            run.wait()
        assert (run.returncode, errors) == (130, "simulate: interrupted; no file was left half-written\n")
        until(lambda: not any(is_alive(pid) for pid in started))
        assert os.listdir(tmp_path / "tmp") == []
        assert os.listdir(tmp_path / "results") == []

    @pytest.mark.parametrize("words", [(), ("--supervised",)], ids=["plain", "supervised"])
    def test_when_it_is_killed_itself(self, tmp_path: Path, words: Sequence[str]) -> None:
        run = start(tmp_path, *words)
        started: list[int] = []
        try:
            started = self.running(run, tmp_path)
        finally:
            run.kill()
            run.communicate(timeout=PATIENCE_SECONDS)
        until(lambda: not any(is_alive(pid) for pid in started), PATIENCE_SECONDS)
        until(lambda: os.listdir(tmp_path / "tmp") == [], PATIENCE_SECONDS)


class TestThePlan:
    def test_the_same_seed_is_the_same_plan(self) -> None:
        one, same, other = (list(islice(plan(Random(seed), 0.5), 50)) for seed in (1, 1, 2))
        assert one == same != other

    def test_it_knows_every_kind_of_fault(self) -> None:
        assert {act.kind for act in islice(plan(Random(0), 0.5), 300)} == set(KINDS)


class TestAPowerCut:
    """Nothing runs here: a file as a server leaves it."""

    def server(self, folder: Path, data: bytes) -> tuple[ChaosServer, Path]:
        file = folder / "appendonlydir" / "appendonly.aof.1.incr.aof"
        file.parent.mkdir()
        file.write_bytes(data)
        return ChaosServer("unused", folder, "everysec", lambda words: pytest.fail("starts nothing")), file

    @pytest.mark.parametrize("seed", range(20))
    def test_it_takes_nothing_that_is_older_than_a_second(self, tmp_path: Path, seed: int) -> None:
        server, file = self.server(tmp_path, b"")
        for tenth in range(50):
            file.write_bytes(b"x" * tenth)
            server.look(tenth / 10)
        # One byte each tenth: the one that was written when a second had still to pass is kept.
        lost = server.cut_power(4.9, Random(seed))
        assert file.stat().st_size == 49 - lost >= 38

    def test_and_by_chance_all_of_it_or_less(self, tmp_path: Path) -> None:
        server, file = self.server(tmp_path, b"")
        lost = []
        for seed in range(30):
            for tenth in range(50):
                file.write_bytes(b"x" * tenth)
                server.look(seed * 100 + tenth / 10)
            lost.append(server.cut_power(seed * 100 + 4.9, Random(seed)))
        assert min(lost) <= 1
        assert 9 <= max(lost) <= 11


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--power-cuts",), "--power-cuts needs --fsync everysec"),
        (("--server", "/nowhere/valkey-server"), "there is no program '/nowhere/valkey-server'"),
    ],
)
def test_what_makes_no_sense_is_refused(
    words: tuple[str, ...], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["chaos", *words, "--output", str(tmp_path)]) in (1, 2)
    assert says in capsys.readouterr().err
