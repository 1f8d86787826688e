"""`python -m naive_daemon` as its user meets it: real processes on a real file."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from naive_daemon.database import Database

REPOSITORY = Path(__file__).parents[2]
PATIENCE_SECONDS = 30.0

Start = Callable[..., subprocess.Popen[str]]


def until(happened: Callable[[], object]) -> None:
    """Waits for what is to happen, and fails if it does not."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `python -m naive_daemon …` in tmp_path; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def starting(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "naive_daemon", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield starting
    for process in started:
        process.kill()
        process.communicate()


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    output, errors = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, output, errors


def all_done(database: Database) -> bool:
    return all(row["state"] == "done" for row in database.everything())


def test_a_row_added_in_another_shell_is_done_by_the_running_daemon(start: Start, tmp_path: Path) -> None:
    daemon = start("run", "--database", "rows.db", "--every", 0.02)
    assert daemon.stderr is not None
    assert "watching rows.db" in daemon.stderr.readline()
    assert finish(start("add", "--database", "rows.db", "print", "hello", 42))[:2] == (0, "1\n")

    database = Database(tmp_path / "rows.db")
    until(lambda: all_done(database))
    database.close()
    daemon.send_signal(signal.SIGINT)
    code, output, errors = finish(daemon)
    assert (code, output) == (0, "hello 42\n")
    assert "stopped" in errors.splitlines()[-1]


def test_a_daemon_killed_in_the_middle_does_the_row_again(start: Start, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import time\n"
        "def do(row):\n"
        "    with open('diary', 'a') as diary: diary.write(f'{row.id}\\n')\n"
        "    if open('diary').read().count('\\n') == 1: time.sleep(3600)\n"
    )
    database = Database(tmp_path / "rows.db")
    database.add("anything", [], now=0)
    diary = tmp_path / "diary"

    first = start("run", "--database", "rows.db", "--every", 0.02, "--work", "mine:do")
    until(lambda: diary.exists() and diary.read_text())
    first.kill()
    first.wait()
    assert database.everything()[0]["state"] == "waiting"

    start("run", "--database", "rows.db", "--every", 0.02, "--work", "mine:do")
    until(lambda: all_done(database))
    assert diary.read_text() == "1\n1\n"
    database.close()


def test_several_claiming_daemons_do_each_row_once_and_share_the_work(start: Start, tmp_path: Path) -> None:
    rows = 200
    (tmp_path / "mine.py").write_text(
        "import os, time\n"
        "def do(row):\n"
        "    line = f'{row.arguments[0]} {os.getpid()}\\n'.encode()\n"
        "    diary = os.open('diary', os.O_WRONLY | os.O_APPEND | os.O_CREAT)\n"
        "    os.write(diary, line); os.close(diary)\n"
        # The first three rows end when all three have begun: none of the daemons can do two of them.
        "    while row.arguments[0] < 3 and open('diary').read().count('\\n') < 3: time.sleep(0.005)\n"
    )
    database = Database(tmp_path / "rows.db")
    daemons = [start("claim", "--database", "rows.db", "--every", 0.01, "--work", "mine:do") for _ in range(3)]
    for daemon in daemons:  # all are there before there is anything to do
        assert daemon.stderr is not None
        assert "watching" in daemon.stderr.readline()
    for number in range(rows):
        database.add("x", [number], now=0)
    until(lambda: all_done(database))
    database.close()

    diary = [line.split() for line in (tmp_path / "diary").read_text().splitlines()]
    assert sorted(int(number) for number, _ in diary) == list(range(rows))
    assert len({process for _, process in diary}) == 3


def test_a_killed_daemons_claim_goes_to_another_after_the_timeout(start: Start, tmp_path: Path) -> None:
    database = Database(tmp_path / "rows.db")
    database.add("nap", [3600], now=0)
    first = start("claim", "--database", "rows.db", "--every", 0.02, "--timeout", 0.5, "--name", "first")

    def row() -> dict[str, Any]:
        return database.everything()[0]

    until(lambda: row()["claimed_by"] == "first")
    first.kill()
    first.wait()
    claimed_at = row()["claimed_at"]

    start("claim", "--database", "rows.db", "--every", 0.02, "--timeout", 0.5, "--name", "second")
    until(lambda: row()["claimed_by"] == "second")
    assert row()["claimed_at"] - claimed_at >= 0.5
    database.close()


def test_a_failing_row_is_listed_with_its_error(start: Start, tmp_path: Path) -> None:
    database = Database(tmp_path / "rows.db")
    database.add("fail", ["out of paper"], now=0)
    database.add("juggle", [], now=0)
    start("run", "--database", "rows.db", "--every", 0.02)
    until(lambda: {row["state"] for row in database.everything()} == {"error"})
    database.close()
    code, output, _ = finish(start("list", "--database", "rows.db"))
    assert code == 0
    assert "RuntimeError: out of paper" in output
    assert "unknown work 'juggle'; known: print, nap, fail" in output
    as_json = json.loads(finish(start("list", "--database", "rows.db", "--json"))[1])
    assert [row["work"] for row in as_json] == ["fail", "juggle"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "--evry", "1"], "allowed are --database, --every, --help, --work"),
        (["run", "--every", "-1"], "0 or more"),
        (["run", "--every", "soon"], "not a number of seconds"),
        (["run", "--work", "nonsense"], "module:function"),
        (["run", "--work", "no_such_module:do"], "cannot import 'no_such_module'"),
        (["run", "--work", "json:no_such"], "has no 'no_such'"),
        (["add", "--in", "tomorrow", "print"], "not a number of seconds"),
        (["list", "--state", "lost"], "waiting"),
        (["dance"], "run|claim|add|list"),
    ],
)
def test_a_wrong_command_line_is_answered_with_what_is_allowed(start: Start, arguments: list[str], says: str) -> None:
    code, output, errors = finish(start(*arguments))
    assert (code, output) == (2, "")
    assert says in errors
    assert "Traceback" not in errors


def test_an_unusable_file_ends_the_daemon_with_one_clear_line(start: Start, tmp_path: Path) -> None:
    code, output, errors = finish(start("run", "--database", "no/such/folder.db"))
    assert (code, output) == (1, "")
    assert len(errors.splitlines()) == 1
    assert "no/such/folder.db" in errors
    assert "Name a file that can be written" in errors
