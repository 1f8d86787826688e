"""`python -m simulate bench simulator` measures, prints and leaves whole files or none. No time is judged here."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from simulate import cli
from simulate.benches import simulator
from tests.servers import until

QUICK = ["bench", "simulator", "--jobs", "400", "--million", "600"]
WORDS = ("8 workers", "1,000 workers", "a log", "many jobs", "in-line", "faithful", "second engine", "Where it goes")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text("arrived,service\n" + "".join(f"{job * 10},{5000 + job}\n" for job in range(50)))
    return path


def test_it_prints_what_it_measured_and_writes_it(
    tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*QUICK, "--trace", str(log), "--output", str(tmp_path / "out")]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for word in WORDS:
        assert word in printed
    [file] = (tmp_path / "out").iterdir()
    found = json.loads(file.read_text())
    by_name = {one["part"]["name"]: one for one in found["parts"]}
    assert by_name["a log"]["jobs"] == 50
    assert by_name["many jobs"]["jobs"] == 600
    for one in found["parts"]:
        assert one["per_second"] > 0
        assert one["megabytes"] > 10
    where = by_name["where it goes"]["where"]
    assert {"minique/worker.py", "minique/memory_store.py", "simulate/virtual_time.py"} < set(where)
    assert sum(where.values()) == pytest.approx(1)


def anybody_in(group: int) -> bool:
    """Whether a process of the group is left, even one that has ended and was not yet collected."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_interrupted_it_leaves_neither_files_nor_processes(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "simulate", "bench", "simulator", "--output", str(tmp_path / "out")]
    child = subprocess.Popen(words, cwd=Path(__file__).parents[2], start_new_session=True, stderr=subprocess.PIPE)
    try:
        while not (tmp_path / "out").exists():
            assert child.poll() is None
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=60)
        assert child.returncode == 130
        assert list((tmp_path / "out").iterdir()) == []
        until(lambda: not anybody_in(child.pid))
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)


def test_a_log_that_cannot_be_read_is_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*QUICK, "--trace", str(tmp_path / "absent.csv"), "--output", str(tmp_path / "out")]) == 2
    assert "absent.csv: cannot be read" in capsys.readouterr().err


def test_a_part_that_dies_is_told() -> None:
    part = simulator.Part("broken", "no such design", 1, 1)
    with pytest.raises(simulator.BenchError, match="'broken' ended before its time"):
        simulator.measure_all([part], lambda done: None)


def test_a_python_that_was_built_without_optimisations_is_named() -> None:
    assert simulator.how_built("'--enable-shared'") == " (built without --enable-optimizations)"
    assert simulator.how_built("'--enable-optimizations' '--with-lto'") == simulator.how_built(None) == ""
