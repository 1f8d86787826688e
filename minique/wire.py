"""One round trip to the server: send some commands, read their replies.

This stands on the client library's connections alone, not on its client class: that one repeats commands whose reply
was lost without a word, and cannot be waited for beside a signal or a child. Here a round trip is sent a second time
exactly once, when the connection turns out to be dead; whoever calls must only send what is harmless to repeat, which
every arrow is.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Sequence
from socket import SocketType
from typing import Any
from urllib.parse import urlsplit
from weakref import ref

import redis
from redis.backoff import NoBackoff
from redis.connection import Connection
from redis.retry import Retry

from minique.errors import ServerError, Unreachable, UsageError
from minique.lua import Command

_pack: Callable[[Any], bytes] | None = None
try:
    from hiredis import pack_command as _pack
except ImportError:
    pass

# Above the longest block on a bell, or waiting quietly would look like a dead server.
SOCKET_TIMEOUT_SECONDS = 5.0
CONNECT_TIMEOUT_SECONDS = 5.0

# Replies that say "not now" rather than "never": the server is loading, a replica, full, or cannot write its disk.
# For some of them the client library has classes, and takes the word away from the text.
_PASSING = (
    redis.exceptions.BusyLoadingError, redis.exceptions.ReadOnlyError, redis.exceptions.OutOfMemoryError,
    redis.exceptions.MasterDownError, redis.exceptions.ClusterDownError, redis.exceptions.TryAgainError,
)  # fmt: skip
_PASSING_WORDS = ("MISCONF", "NOREPLICAS", "BUSY ")


def _is_passing(reply: Any) -> bool:
    return isinstance(reply, redis.RedisError) and (
        isinstance(reply, _PASSING) or str(reply).startswith(_PASSING_WORDS)
    )


class Server:
    """A server that can be called, from any thread and on either side of a fork.

    `url` is redis://, rediss:// or unix://, with its options as query, as the client library reads them.
    """

    def __init__(self, url: str, **options: Any) -> None:
        settings: dict[str, Any] = {
            "protocol": 2,  # reply shapes differ between the two protocols; the scripts were written against this one
            "decode_responses": True,
            "encoding_errors": "surrogateescape",  # what others wrote may not be text, and must come back as it was
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": SOCKET_TIMEOUT_SECONDS,
            "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
        }
        if not url.startswith("unix://"):
            settings["socket_keepalive"] = True
        try:
            parts = urlsplit(url)
            database = "" if parts.scheme == "unix" else parts.path.strip("/")
            (parts.hostname or "").encode("idna")  # fails here for a name that no host can have, and not at each call
            if database and not database.isdecimal():
                # The client library takes number 0 then, and nobody would know where the jobs are.
                raise ValueError(f"{database!r} is not the number of a database")
            self._pool = redis.ConnectionPool.from_url(url, **{**settings, **options})
        except ValueError as error:
            raise UsageError(f"the server's address {without_password(url)!r} is not understood: {error}") from None
        self.url = url
        self._idle: deque[Connection] = deque()

    def __str__(self) -> str:
        return without_password(self.url)

    @property
    def timeout_seconds(self) -> float | None:
        """After so long without an answer the server is taken for lost; None: never."""
        seconds: float | None = self._pool.connection_kwargs.get("socket_timeout")
        return seconds

    def call(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands together and return their replies; an error reply stands in its place as an exception.

        Raises Unreachable when the server gave no answer, or answered that it cannot serve for the moment.
        """
        connection = self.take()
        try:
            try:
                replies = self._exchange(connection, commands)
            except redis.TimeoutError:
                raise
            except (redis.ConnectionError, OSError):
                # Most often a connection that the server closed while it was idle.
                connection.disconnect()
                replies = self._exchange(connection, commands)
        except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.InvalidResponse, OSError) as error:
            connection.disconnect()
            raise self.unreachable(error) from error
        except redis.RedisError as error:
            # While it connected: its database is out of range. What a command is told stands among its replies.
            connection.disconnect()
            raise ServerError(f"the server at {self} refused: {error}") from error
        except BaseException:
            # A reply may still be on its way, and must not be taken for the answer to the next question.
            connection.disconnect()
            raise
        self.give_back(connection)
        for reply in replies:
            if _is_passing(reply):
                raise self.unreachable(reply) from reply
        return replies

    def call_one(self, *command: Any) -> Any:
        """One command; an error reply is raised as ServerError."""
        return checked(self.call([command])[0])

    def take(self) -> Connection:
        """A connection for the caller alone, until it is given back."""
        try:
            return self._idle.pop()
        except IndexError:
            connection: Connection = self._pool.connection_class(**self._pool.connection_kwargs)
            _connections.append(ref(connection, _connections.remove))
            return connection

    def give_back(self, connection: Connection) -> None:
        self._idle.append(connection)

    def unreachable(self, error: BaseException) -> Unreachable:
        if isinstance(error, redis.AuthenticationError):
            return Unreachable(f"the server at {self} lets nobody in by this user and password: {error}")
        if isinstance(error, redis.exceptions.InvalidResponse):
            return Unreachable(f"what answers at {self} is no Redis or Valkey server: {error}")
        if _is_passing(error):
            return Unreachable(f"the server at {self} cannot serve for the moment: {error}")
        return Unreachable(f"no answer from the server at {self}: {error}")

    def close(self) -> None:
        while self._idle:
            self._idle.pop().disconnect()

    def _exchange(self, connection: Connection, commands: Sequence[Command]) -> list[Any]:
        self.send(connection, commands)
        return self.receive(connection, len(commands))

    @staticmethod
    def send(connection: Connection, commands: Sequence[Command]) -> None:
        try:
            # In one step where there is hiredis: the client library's own takes five times as long for one command.
            packed = connection.pack_commands(commands) if _pack is None else [b"".join(map(_pack, commands))]
        except UnicodeEncodeError:
            packed = connection.pack_commands([tuple(map(_as_it_was, command)) for command in commands])
        connection.send_packed_command(packed)

    @staticmethod
    def receive(connection: Connection, number: int) -> list[Any]:
        """So many replies; one that is an error stands in its place as an exception."""
        replies: list[Any] = []
        for _ in range(number):
            try:
                replies.append(connection.read_response())
            except redis.ResponseError as error:
                replies.append(error)
            except redis.exceptions.BusyLoadingError as error:
                replies.append(error)
        return replies


_connections: list[ref[Connection]] = []
"""All that were made here and are in use."""
_close, _detach = os.close, SocketType.detach  # beneath socket.socket


def _close_what_is_the_parents() -> None:
    """In a forked child: what the child wrote there, or held open after the parent's death, would be the parent's word.

    To the server and the parent the connection goes on; here it is one that is not connected, and will be when somebody
    uses it. Asking the client library for that would cost as much as half a fork: whatever a child touches first is
    copied for it.
    """
    for one in _connections:
        connection = one()
        socket = getattr(connection, "_sock", None)
        if connection is not None and socket is not None:
            try:
                descriptor = _detach(socket)
                connection._sock = None
                _close(descriptor)
            except (TypeError, OSError):
                pass  # one without a real socket, such as that of a simulated server, must not keep the others open


if hasattr(os, "register_at_fork"):  # where there are forks
    os.register_at_fork(after_in_child=_close_what_is_the_parents)


class BellEar:
    """A blocking pop that was sent and not yet answered; what `Store.listen` returns for a server.

    Commands that are to come `first` are sent with it, in one write; what the server answers to them is `replies`. A
    command `behind` it is carried out as soon as the pop is over, however it ends; the answer to that is `said`.
    """

    grace_seconds = 5.0  # a server that does not even say that nothing came is taken for lost

    def __init__(
        self, server: Server, key: str, seconds: float, first: Sequence[Command] = (), behind: Command | None = None
    ) -> None:
        self._server = server
        self._key = key
        self._behind = () if behind is None else (behind,)
        self.said: list[Any] = []
        self._connection = server.take()
        try:
            if not self._connection.is_connected:
                self._connection.connect()
            self._number = self._number_of(self._connection)
            pop = ("BLPOP", key, f"{max(seconds, 0.001):.3f}")
            server.send(self._connection, [*first, pop, *self._behind])
            self.replies = server.receive(self._connection, len(first))
        except (redis.RedisError, OSError) as error:
            self._connection.disconnect()
            raise server.unreachable(error) from error

    def fileno(self) -> int:
        return int(self._connection._get_socket().fileno())  # type: ignore[union-attr]

    def is_over(self) -> bool:
        """Whether the answer is here already, and perhaps read from the socket with what came before it; or lost."""
        try:
            return bool(self._connection.can_read(0))
        except (redis.RedisError, OSError):
            return True

    def hear(self) -> bool:
        try:
            reply = self._connection.read_response()
            self.said = self._server.receive(self._connection, len(self._behind))
        except (redis.RedisError, OSError) as error:
            self._connection.disconnect()
            raise self._server.unreachable(error) from error
        self._server.give_back(self._connection)
        return reply is not None

    def leave(self) -> bool:
        """Listen no more; answers whether a token was taken, which the caller then owes somebody."""
        try:
            # Asked to end the wait, the server answers it in any case. Closing the connection would be simpler, but
            # nobody would know whether a token went with it.
            self._server.call([("CLIENT", "UNBLOCK", self._number)])
            return self.hear()
        except Unreachable:
            self._connection.disconnect()
            return True

    @staticmethod
    def _number_of(connection: Connection) -> int:
        """By which name the server knows the connection; asked once in its life."""
        socket, number = getattr(connection, "minique_number", (None, 0))
        if socket is not connection._get_socket():
            connection.send_command("CLIENT", "ID")
            number = int(connection.read_response())
            connection.minique_number = (connection._get_socket(), number)  # type: ignore[attr-defined]
        return number


def checked(reply: Any) -> Any:
    """The reply, unless it is an error: that is raised as ServerError."""
    if isinstance(reply, redis.RedisError):
        raise ServerError(f"the server refused: {reply}") from reply
    return reply


def is_missing_script(reply: Any) -> bool:
    return isinstance(reply, redis.exceptions.NoScriptError)


def without_password(url: str) -> str:
    """The address as it may be shown: redis://user:***@host."""
    url = re.sub(r"(?<=password=)[^&]*", "***", url)  # among the options after the question mark
    head, at, tail = url.rpartition("@")
    if not at:
        return url
    scheme, slashes, credentials = head.partition("://")
    user, colon, _ = credentials.partition(":")
    return f"{scheme}{slashes}{user}{':***' if colon else ''}@{tail}"


def _as_it_was(value: Any) -> Any:
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
