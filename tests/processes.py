"""Words for tests that start processes: commands, servers that come back, who is alive, whose children they are."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from minique.errors import Unreachable
from minique.wire import Server
from tests.servers import until

REPOSITORY = Path(__file__).parents[1]
PATIENCE_SECONDS = 30.0

needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads /proc, which only Linux has")


def _stat(pid: int) -> tuple[str, int] | None:
    """State and parent of a process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, parent = text.rpartition(")")[2].split()[:2]
    return state, int(parent)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    found = _stat(pid)
    return found is not None and found[0] not in "ZX"


def children(parent: int | None = None) -> list[int]:
    """The children of a process, this one by default; also those that ended and were not waited for."""
    parent = parent or os.getpid()
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    return sorted(pid for pid in pids if (found := _stat(pid)) and found[1] == parent)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class Running:
    """One started command."""

    def __init__(self, arguments: Sequence[str], environment: dict[str, str], folder: Path, log: Path) -> None:
        self._log = log
        with open(log, "w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "minique", *arguments],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.pid = self.process.pid

    def log(self) -> str:
        """What it has written to stderr."""
        return self._log.read_text(errors="backslashreplace")

    def must_run(self) -> bool:
        """Answers True; a command that has ended is not waited for in vain, but says what it said last."""
        assert self.process.poll() is None, f"ended with code {self.process.returncode}:\n{self.log()}"
        return True

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def take_in(self, number: int) -> None:
        """Send a signal, and wait until it has been delivered."""
        self.signal(number)
        until(lambda: not is_alive(self.pid) or not _is_pending(self.pid, number), PATIENCE_SECONDS)

    def finish(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Wait for its end; return its exit code."""
        self.output = self.process.communicate(timeout=seconds)[0]
        return self.process.returncode

    def kill(self) -> None:
        # Its output is not read to the end: a child that wrongly outlives it may hold that open.
        self.process.kill()
        self.process.wait()


class Result(NamedTuple):
    code: int
    output: str
    errors: str

    def json(self) -> Any:
        return json.loads(self.output)


# Second words of `minique delayed`: options of the server stand behind them.
DELAYED_DEEDS = ("list", "count", "cancel", "move", "run")


class Commands:
    """`minique …` as somebody types it, on one server and in one namespace; ends what it started, by its id."""

    def __init__(self, url: str, namespace: str, folder: Path) -> None:
        self.url = url
        self.namespace = namespace
        self.folder = folder
        self._started: list[Running] = []
        self._environment = {key: value for key, value in os.environ.items() if "REDIS" not in key}
        self._environment |= {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "120"}

    def start(self, *words: object, **environment: str) -> Running:
        typed = list(map(str, words))
        place = 2 if typed[0] in ("failed", "schedule") or typed[:2][-1] in DELAYED_DEEDS else 1
        if typed[0] in ("worker", "up", "enqueue"):
            typed += ["--import", "tests.sample_jobs"]
        typed[place:place] = ["--url", self.url, "--namespace", self.namespace]
        return self.type(*typed, **environment)

    def type(self, *typed: str, **environment: str) -> Running:
        """Start exactly this, without the server's address and the jobs' module."""
        log = self.folder / f"log-{len(self._started)}"
        self._started.append(Running(typed, {**self._environment, **environment}, self.folder, log))
        return self._started[-1]

    def run(self, *words: object, **environment: str) -> Result:
        return self._wait(self.start(*words, **environment))

    def run_exactly(self, *typed: str, **environment: str) -> Result:
        return self._wait(self.type(*typed, **environment))

    def stop(self) -> None:
        for running in self._started:
            if running.process.poll() is None:
                running.signal(signal.SIGCONT)
                running.kill()
            if running.process.stdout:
                running.process.stdout.close()

    def _wait(self, running: Running) -> Result:
        code = running.finish()
        return Result(code, running.output, running.log())


def _is_pending(pid: int, number: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    masks = (line.split()[1] for line in text.splitlines() if line.startswith(("SigPnd", "ShdPnd")))
    return any(int(mask, 16) >> (number - 1) & 1 for mask in masks)


class KeepingServer:
    """A server that keeps everything on its disk, and can be stopped and started again."""

    def __init__(self, binary: str, folder: Path) -> None:
        # A unix socket needs a short path.
        self._short = Path(tempfile.mkdtemp(prefix="mq-"))
        self.url = f"unix://{self._short / 'socket'}"
        self._words = [
            binary, "--port", "0", "--unixsocket", str(self._short / "socket"), "--dir", str(folder), "--save", "",
            "--appendonly", "yes", "--appendfsync", "always",
        ]  # fmt: skip
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._answers, PATIENCE_SECONDS)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def refuse(self, times: int) -> None:
        """While it is stopped: hang up on so many callers."""
        path = self._short / "socket"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as line:
            line.bind(str(path))
            line.listen()
            line.settimeout(PATIENCE_SECONDS)
            for _ in range(times):
                line.accept()[0].close()
        path.unlink()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._short, ignore_errors=True)

    def _answers(self) -> bool:
        server = Server(self.url)
        try:
            return bool(server.call_one("PING") == "PONG")
        except Unreachable:
            return False
        finally:
            server.close()
