"""What a forked child must not have of its parent: the connection on which its worker talks with the server."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from minique.wire import Server
from tests.processes import needs_proc

SOCKET = "socket:"


@pytest.fixture
def server(valkey_url: str) -> Iterator[Server]:
    found = Server(valkey_url)
    yield found
    found.close()


def _sockets(pid: int | str = "self") -> set[str]:
    folder = Path(f"/proc/{pid}/fd")
    found = set()
    for name in os.listdir(folder):
        try:
            found.add(os.readlink(folder / name))
        except OSError:
            continue  # the one by which the folder is read
    return {name for name in found if name.startswith(SOCKET)}


@needs_proc
def test_a_forked_child_cannot_write_into_the_connection_of_its_parent(server: Server) -> None:
    before = _sockets()
    server.call_one("PING")
    (mine,) = _sockets() - before
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, " ".join(_sockets()).encode() or b"-")
            signal.pause()  # until it has been looked at
        finally:
            os._exit(0)
    try:
        os.close(write)
        assert mine not in os.read(read, 65536).decode().split()
        assert server.call_one("PING") == "PONG", "the parent goes on with its own"
        assert mine in _sockets()
    finally:
        os.close(read)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_forked_child_has_a_connection_of_its_own(server: Server) -> None:
    number = server.call_one("CLIENT", "ID")
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, str(server.call_one("CLIENT", "ID")).encode())
        finally:
            os._exit(0)
    os.close(write)
    told = os.read(read, 100)
    os.close(read)
    os.waitpid(pid, 0)
    assert told
    assert int(told) != number
    assert server.call_one("CLIENT", "ID") == number
