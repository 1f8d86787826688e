"""A server in this process on which the real scripts run, for the explorer's second opinion."""

from __future__ import annotations

import fakeredis

from minique.wire import Server
from simulate.explore.contents import Lua, LuaServer


def lua_server(changes: tuple[Lua, ...] = ()) -> LuaServer:
    """The scripts as they ship, or changed, on a server that lives in this process."""
    wire = Server(
        "redis://in-this-process",
        connection_class=fakeredis.FakeRedisConnection,
        server=fakeredis.FakeServer(version=(7,)),
    )
    return LuaServer(wire, changes)
