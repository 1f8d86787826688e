"""An address → a client."""

from __future__ import annotations

import os
import threading

from minique import embedded
from minique.client import Client
from minique.clock import Clock
from minique.errors import UsageError
from minique.memory_store import MemoryStore
from minique.redis_store import RedisStore
from minique.store import Store
from minique.wire import Server, without_password

DEFAULT_URL = "redis://localhost:6379/0"
DEFAULT_NAMESPACE = "default"

# Valkey's own scheme names the same protocol.
_SCHEMES = {"redis": "redis", "rediss": "rediss", "unix": "unix", "valkey": "redis", "valkeys": "rediss"}


def connect(url: str | None = None, namespace: str | None = None, clock: Clock | None = None) -> Client:
    """A client of the server at `url`; nothing is sent before it is first used.

    redis://, rediss://, unix:// (valkey:// and valkeys:// too): that server. memory://: jobs in this process only, for
    tests and notebooks. embedded://FOLDER: a private server with its data in that folder. Without a url,
    $MINIQUE_REDIS_URL, $REDIS_URL, then redis://localhost:6379/0. `namespace` keeps applications on one server apart;
    $MINIQUE_NAMESPACE, then "default".

    Raises UsageError for an address that is not understood, BadName for a namespace that cannot be one.
    """
    return Client(open_store(url, namespace, clock), clock)


def open_store(url: str | None = None, namespace: str | None = None, clock: Clock | None = None) -> Store:
    """The store behind `connect`."""
    url = url or os.environ.get("MINIQUE_REDIS_URL") or os.environ.get("REDIS_URL") or DEFAULT_URL
    namespace = namespace or os.environ.get("MINIQUE_NAMESPACE") or DEFAULT_NAMESPACE
    scheme, slashes, rest = url.partition("://")
    if not slashes:
        scheme = ""
    if scheme == "memory":
        return MemoryStore(clock)
    if scheme == "embedded":
        if not rest:
            raise UsageError(
                "embedded:// needs the folder for its data: embedded://./queue or embedded:///var/lib/queue"
            )
        return RedisStore(embedded.start(rest), namespace)
    if scheme not in _SCHEMES:
        raise UsageError(
            f"the address {without_password(url)!r} is not understood: use redis://HOST:PORT/DB, rediss://, "
            "unix://PATH, memory://, or embedded://FOLDER"
        )
    return RedisStore(Server(f"{_SCHEMES[scheme]}://{rest}"), namespace)


_default: Client | None = None
_lock = threading.Lock()


def default_client() -> Client:
    """The client behind `send_welcome.enqueue(…)`: made by `connect()` from the environment, once."""
    global _default
    with _lock:
        if _default is None:
            _default = connect()
        return _default


def set_default_client(client: Client | None) -> None:
    """Let `send_welcome.enqueue(…)` use this client; None: make one from the environment again."""
    global _default
    with _lock:
        _default = client
