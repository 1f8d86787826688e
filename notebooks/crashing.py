"""Let a program die before a chosen line, in this process and for real.

In this process a death is an exception that nothing catches, raised in front of the line; for real it is SIGKILL.
"""

from __future__ import annotations

import linecache
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from naive_daemon.database import Database, Row
from notebooks.shop import Bank

REPOSITORY = Path(__file__).parents[1]
CRASH_AT, STATEMENT = "LESSON_CRASH_AT", "LESSON_STATEMENT"  # what the real process is told through its environment


class Crash(BaseException):
    """The program dies here. No Exception, so that no code of its own can catch it."""


class Line(NamedTuple):
    function: str
    text: str


def die_before(number: int | None, function: Callable[[], object], inside: Sequence[Callable[..., Any]]) -> list[Line]:
    """Calls `function`, which dies before it runs the line of that number, or not at all if that is None.

    Counted from zero, as they are run, are the lines of the functions `inside`. Answers with those that were run.
    """
    run: list[Line] = []

    def count(line: Line) -> None:
        if len(run) == number:
            raise Crash
        run.append(line)

    try:
        _traced(function, inside, count)
    except Crash:
        pass
    return run


def _traced(
    function: Callable[[], object], inside: Sequence[Callable[..., Any]], see: Callable[[Line], object]
) -> None:
    names = {(one.__code__.co_filename, one.__code__.co_qualname): one.__name__ for one in inside}

    def enter(frame: FrameType, event: str, _: Any) -> Any:
        code = frame.f_code
        return step if (code.co_filename, code.co_qualname) in names else None

    def step(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            code = frame.f_code
            text = linecache.getline(code.co_filename, frame.f_lineno).strip()
            see(Line(names[code.co_filename, code.co_qualname], text))
        return step

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        function()
    finally:
        sys.settrace(before)


# For real: `python -m naive_daemon run --work notebooks.crashing:charge`, killed and started again.

WHERE = ("before the charge", "after the charge")


def charge(row: Row) -> None:
    """The work of the real daemon: charges, and is killed on the way if it is told so; the row "stop" ends it."""
    if row.work == "stop":
        raise KeyboardInterrupt
    order, cents = row.arguments
    if os.environ.get(CRASH_AT) == WHERE[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    with open(os.environ[STATEMENT], "a") as bank:
        bank.write(f"{order} {cents}\n")
    if os.environ.get(CRASH_AT) == WHERE[1]:
        os.kill(os.getpid(), signal.SIGKILL)


def really_killed(where: str) -> str:
    """Kills the real daemon there, starts it again, and says what the bank says of the order: lost, done or twice."""
    with tempfile.TemporaryDirectory(prefix="mq-") as name:
        folder = Path(name)
        (folder / "bank").touch()
        command = [sys.executable, "-m", "naive_daemon", "run", "--database", str(folder / "rows.db")]
        command += ["--every", "0.01", "--work", f"{__name__}:charge"]
        told = {**os.environ, "PYTHONPATH": str(REPOSITORY), STATEMENT: str(folder / "bank")}
        with closing(Database(folder / "rows.db")) as table:
            table.add("charge", [44, 1999], now=0)
            killed = subprocess.run(command, env={**told, CRASH_AT: where}, capture_output=True, check=False)
            assert killed.returncode == -signal.SIGKILL, killed.stderr
            table.add("stop", [], now=0)
            subprocess.run(command, env=told, capture_output=True, check=True)
        bank = Bank()
        for line in (folder / "bank").read_text().splitlines():
            order, cents = map(int, line.split())
            bank.charge(order, cents)
        return bank.outcome(44)
