"""Stands between programs and server, and loses replies: `python -m simulate.chaos.proxy SOCKET LINE LINE …`.

Each line is a port of its own on loopback, so that a fault can be meant for one program. On its standard output it
first says which port each line has, as JSON. Then it takes orders on standard input, one a line, and ends with it:

    LINE before - TARGET    the next request is not passed on; the connection ends
    LINE after - TARGET     the next request is passed on; the connection ends when the server has answered it
    LINE again - TARGET     the same, and then once more, so that a client which sends it a second time hears nothing
    LINE delay 1.5 TARGET   the next reply comes so many seconds late
    LINE none - -           an order that nothing has followed yet is taken back

What it did it notes in the history, as a fault of TARGET.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
from typing import NamedTuple

from simulate.chaos.notes import elapsed, note, now
from simulate.history import Fault

CHUNK = 1 << 18


class Order(NamedTuple):
    how: str
    seconds: float
    target: str


class Pair:
    """A program's connection, and the one to the server that was opened for it."""

    def __init__(self, line: str, client: socket.socket, server: socket.socket) -> None:
        self.line, self.client, self.server = line, client, server
        self.order: Order | None = None
        """What happens to the reply that is awaited."""
        self.since = 0.0
        self.held = b""
        self.release_at: float | None = None


class Proxy:
    def __init__(self, path: str, lines: list[str]) -> None:
        self._path = path
        self._poll = select.poll()
        self._listeners: dict[int, tuple[str, socket.socket]] = {}
        self._pairs: dict[int, Pair] = {}
        self._orders: dict[str, Order] = {}
        self._typed = b""
        for line in lines:
            listener = socket.create_server(("127.0.0.1", 0))
            self._listeners[listener.fileno()] = (line, listener)
            self._poll.register(listener.fileno(), select.POLLIN)
        self._poll.register(0, select.POLLIN)

    def ports(self) -> dict[str, int]:
        return {line: listener.getsockname()[1] for line, listener in self._listeners.values()}

    def run(self) -> None:
        while True:
            for descriptor, _ in self._poll.poll(self._timeout()):
                if descriptor == 0:
                    if not self._hear_orders():
                        return
                elif descriptor in self._listeners:
                    self._accept(*self._listeners[descriptor])
                elif descriptor in self._pairs:  # not closed meanwhile
                    self._pass_on(self._pairs[descriptor], descriptor)
            for pair in {id(pair): pair for pair in self._pairs.values()}.values():
                if pair.release_at is not None and elapsed() >= pair.release_at:
                    self._release(pair)

    def _timeout(self) -> float | None:
        """Milliseconds until a reply is to be released."""
        times = [pair.release_at for pair in self._pairs.values() if pair.release_at is not None]
        return max(0.0, min(times) - elapsed()) * 1000 if times else None

    def _hear_orders(self) -> bool:
        typed = os.read(0, CHUNK)
        self._typed += typed
        *lines, self._typed = self._typed.split(b"\n")
        for text in lines:
            line, how, seconds, target = text.decode().split(" ", 3)
            self._orders.pop(line, None)
            if how != "none":
                self._orders[line] = Order(how, 0.0 if seconds == "-" else float(seconds), target)
        return bool(typed)

    def _accept(self, line: str, listener: socket.socket) -> None:
        client = listener.accept()[0]
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self._path)
        except OSError:
            # As a server does that is not there.
            client.close()
            server.close()
            return
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = Pair(line, client, server)
        for one in (client, server):
            self._pairs[one.fileno()] = pair
            self._poll.register(one.fileno(), select.POLLIN)

    def _pass_on(self, pair: Pair, descriptor: int) -> None:
        is_request = descriptor == pair.client.fileno()
        source, other = (pair.client, pair.server) if is_request else (pair.server, pair.client)
        try:
            data = source.recv(CHUNK)
            if not data:
                self._end(pair)
            elif is_request:
                self._request(pair, data)
            elif pair.order is not None and pair.order.how in ("after", "again"):
                note(Fault(pair.since, "cut", pair.order.target, now()))
                if pair.order.how == "again":
                    self._orders[pair.line] = pair.order._replace(how="after")
                self._end(pair)
            elif pair.order is not None:
                pair.held += data
                pair.release_at = pair.release_at or elapsed() + pair.order.seconds
            else:
                other.sendall(data)
        except OSError:
            self._end(pair)

    def _request(self, pair: Pair, data: bytes) -> None:
        order = self._orders.pop(pair.line, None)
        if order is not None and order.how == "before":
            at = now()
            note(Fault(at, "cut", order.target, at))
            self._end(pair)
            return
        if order is not None:
            pair.order, pair.since = order, now()
        pair.server.sendall(data)

    def _release(self, pair: Pair) -> None:
        assert pair.order is not None
        note(Fault(pair.since, "delay", pair.order.target, now()))
        held, pair.held, pair.order, pair.release_at = pair.held, b"", None, None
        try:
            pair.client.sendall(held)
        except OSError:
            self._end(pair)

    def _end(self, pair: Pair) -> None:
        for one in (pair.client, pair.server):
            if self._pairs.pop(one.fileno(), None) is not None:
                self._poll.unregister(one.fileno())
            with contextlib.suppress(OSError):
                one.close()


def main(path: str, *lines: str) -> None:
    proxy = Proxy(path, list(lines))
    print(json.dumps(proxy.ports()), flush=True)
    proxy.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
