"""A server's address that can be told to lose replies: between client and server, one thread for each connection."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from pathlib import Path


class Proxy:
    """Passes everything on, except that replies to commands with `marker` in them are cut off, as often as told."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lines: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"
        self.marker = b""
        self.cuts = 0
        self.connections = 0
        self.seen: list[bytes] = []
        """Every request with the marker in it that came by."""
        self._threads[0].start()

    def cut(self, marker: bytes, times: int) -> None:
        self.marker, self.cuts = marker, times

    def close(self) -> None:
        # A listener that is merely closed goes on waiting in its thread.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join(timeout=10)
            assert not thread.is_alive()

    def hang_up(self) -> None:
        """End all connections, as a server does that restarts, or is tired of idle clients."""
        for line in self._lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._target))
            self._lines += [client, server]
            self._threads.append(threading.Thread(target=self._pass_on, args=(client, server), daemon=True))
            self._threads[-1].start()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with client, server, contextlib.suppress(OSError):
            while True:
                readable, _, _ = select.select([client, server], [], [])
                if server in readable:
                    reply = server.recv(1 << 20)
                    if not reply:
                        return
                    client.sendall(reply)
                if client in readable:
                    request = client.recv(1 << 20)
                    if not request:
                        return
                    server.sendall(request)
                    if self.marker and self.marker in request:
                        self.seen.append(request)
                        if self.cuts:
                            # The server has done it, and nobody will hear of it.
                            self.cuts -= 1
                            server.recv(1 << 20)
                            return
