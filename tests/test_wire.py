"""Round trips that go wrong: replies that are lost, servers that restart or are not there, forks."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from minique import lua, wire
from minique.errors import LayoutMismatch, ServerError, Unreachable, UsageError
from minique.keys import LAYOUT
from minique.redis_store import RedisStore
from minique.store import Claim, Enqueue
from minique.wire import Server, checked, is_missing_script, without_password
from tests.arrows import LEASE, NOW, bells, claim, enqueue, ids, queue_of
from tests.proxy import Proxy


@pytest.fixture
def proxy(valkey) -> Iterator[Proxy]:
    proxy = Proxy(valkey.socket)
    yield proxy
    proxy.close()


@pytest.fixture
def server(valkey) -> Iterator[Server]:
    server = Server(valkey.url)
    yield server
    server.call_one("FLUSHALL")
    server.close()


@pytest.fixture
def far_server(proxy, server) -> Iterator[Server]:
    """Reached by way of the proxy, and connected already."""
    far = Server(proxy.url)
    assert far.call_one("PING") == "PONG"
    yield far
    far.close()


# Lost replies.


def test_a_command_whose_reply_was_lost_is_sent_once_more(proxy, far_server, server):
    proxy.cut(b"INCR", times=1)
    assert far_server.call_one("INCR", "n") == 2
    assert server.call_one("GET", "n") == "2"
    assert len(proxy.seen) == 2


def test_and_never_a_third_time(proxy, far_server, server):
    proxy.cut(b"INCR", times=2)
    with pytest.raises(Unreachable):
        far_server.call_one("INCR", "n")
    assert server.call_one("GET", "n") == "2"
    assert far_server.call_one("INCR", "n") == 3, "the next call begins anew"


def test_a_lost_reply_costs_no_job_and_makes_none(proxy, far_server):
    store = RedisStore(far_server, "lost")
    store.see(NOW)
    proxy.cut(b"EVALSHA", times=1)
    assert enqueue(store, "a", "b", "c") == [False] * 3, "they were stored the first time"
    assert queue_of(store) == ["a", "b", "c"]
    proxy.cut(b"EVALSHA", times=1)
    assert ids(claim(store, "w:1", limit=2)) == ["a", "b"]
    assert queue_of(store) == ["c"]


def test_a_connection_that_the_server_closed_is_replaced_in_silence(proxy, far_server):
    proxy.hang_up()
    assert far_server.call_one("PING") == "PONG"
    assert proxy.connections == 2


def test_a_bell_whose_server_goes_away_says_so(proxy, far_server):
    ear = RedisStore(far_server, "bell").listen("mail", 5)
    proxy.hang_up()
    with pytest.raises(Unreachable):
        ear.hear()
    assert far_server.call_one("PING") == "PONG"


# Replies that are errors.


def test_an_error_stands_in_the_place_of_its_reply_and_the_others_are_kept(server):
    server.call_one("SET", "text", "x")
    one, error, two = server.call([("PING",), ("LPUSH", "text", "x"), ("ECHO", "two")])
    assert (one, two) == ("PONG", "two")
    with pytest.raises(ServerError, match="WRONGTYPE"):
        checked(error)
    assert server.call_one("PING") == "PONG", "the connection is still in step"


def test_a_server_that_cannot_serve_for_the_moment_counts_as_unreachable(server):
    server.call_one("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(Unreachable, match=r"cannot serve for the moment: .*maxmemory"):
            server.call_one("SET", "a", "b")
    finally:
        server.call_one("CONFIG", "SET", "maxmemory", "0")


def test_a_missing_script_is_told_from_other_errors(server):
    missing, other = server.call([("EVALSHA", "0" * 40, 0), ("NO", "SUCH", "COMMAND")])
    assert is_missing_script(missing)
    assert not is_missing_script(other)


def test_after_a_restart_scripts_are_loaded_again(server):
    store = RedisStore(server, "restart")
    enqueue(store, "a")
    server.call_one("SCRIPT", "FLUSH")
    assert ids(claim(store)) == ["a"]
    server.call_one("SCRIPT", "FLUSH")
    answers = store.trip([Enqueue("mail", [("b", "")]), Claim("w:2", "mail", 9, LEASE)], NOW)
    assert answers[0] == [True]
    assert ids(answers[1]) == ["b"]


def test_arrows_before_a_missing_script_keep_their_answers(server):
    store = RedisStore(server, "half")
    enqueue(store, "a")
    server.call_one("SCRIPT", "FLUSH")
    server.call_one("SCRIPT", "LOAD", lua.load("enqueue").source)
    answers = store.trip([Enqueue("mail", [("b", "")]), Claim("w:1", "mail", 9, LEASE)], NOW)
    assert (answers[0], ids(answers[1])) == ([True], ["a", "b"])


def test_a_store_of_another_layout_is_left_alone(server):
    server.call_one("SET", "mq:{old}:layout", "0")
    with pytest.raises(LayoutMismatch, match=rf"'old'.*'0'.*'{LAYOUT}'"):
        RedisStore(server, "old").see(NOW)
    assert server.call_one("KEYS", "*") == ["mq:{old}:layout"]


# Servers that are not there.


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_an_unreachable_server_is_named_without_its_password():
    port = closed_port()
    server = Server(f"redis://user:secret@127.0.0.1:{port}/0")
    for attempt in (lambda: server.call_one("PING"), lambda: RedisStore(server).listen("mail", 1)):
        with pytest.raises(Unreachable, match=rf"redis://user:\*\*\*@127.0.0.1:{port}/0") as caught:
            attempt()
        assert "secret" not in str(caught.value)


def test_a_database_that_is_not_there_is_an_answer(valkey):
    far = Server(f"{valkey.url}?db=99")
    with pytest.raises(ServerError, match=r"refused: .*DB index is out of range") as caught:
        far.call_one("PING")
    assert not isinstance(caught.value, Unreachable), "trying again does not help"


def test_what_answers_in_another_protocol_is_unreachable_and_named():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        url = f"redis://127.0.0.1:{port}/1"

        def answer() -> None:
            for _ in range(2):
                accepted, _ = listener.accept()
                with accepted:
                    accepted.recv(4096)
                    accepted.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        for attempt in (lambda: Server(url).call_one("PING"), lambda: RedisStore(Server(url)).listen("mail", 1)):
            with pytest.raises(Unreachable, match=f"what answers at redis://127.0.0.1:{port}/1 is no Redis or Valkey"):
                attempt()
        thread.join(timeout=10)


def test_a_wrong_password_is_not_called_a_server_that_gives_no_answer(server, valkey):
    server.call_one("ACL", "SETUSER", "shop", "on", ">right", "~*", "+@all")
    with pytest.raises(Unreachable, match=r"lets nobody in by this user and password: ") as caught:
        Server(valkey.url.replace("unix://", "unix://shop:wrong@")).call_one("PING")
    server.call_one("ACL", "DELUSER", "shop")
    assert "wrong" not in str(caught.value).partition(":***@")[0]


def test_a_socket_that_is_not_there_is_unreachable(tmp_path):
    with pytest.raises(Unreachable, match="nothing-here"):
        Server(f"unix://{tmp_path}/nothing-here").call_one("PING")


@pytest.mark.parametrize("url", ["http://host", "host:6379", "redis//host", "redis://host:port"])
def test_an_address_of_another_kind_is_refused(url):
    with pytest.raises(UsageError, match="is not understood"):
        Server(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://user:pass@host", "redis://user:***@host"),
        ("redis://:pass@host/1", "redis://:***@host/1"),
        ("rediss://user@host", "rediss://user@host"),
        ("redis://user:p@ss:w@host", "redis://user:***@host"),
        ("unix:///tmp/a?password=pass&db=1", "unix:///tmp/a?password=***&db=1"),
        ("redis://host?db=1&password=pass", "redis://host?db=1&password=***"),
        ("redis://host?ssl_password=pass", "redis://host?ssl_password=***"),
    ],
)
def test_a_password_is_never_shown(url, shown):
    assert without_password(url) == shown


# Bells.


def test_whoever_leaves_a_bell_takes_no_token_with_it(server):
    store = RedisStore(server, "leave")
    assert not store.listen("mail", 5).leave()
    assert bells(store) == set()
    ear = store.listen("mail", 5)
    store.ring("", "mail")  # taken by the one who waits, who leaves without having heard it
    assert ear.leave()
    assert bells(store) == {"mail"}


def test_whoever_leaves_a_bell_keeps_the_connection(server):
    store = RedisStore(server, "leave")
    store.see("")
    before = server.call_one("CLIENT", "LIST").count("\n")
    for _ in range(20):
        store.listen("mail", 5).leave()
    assert server.call_one("CLIENT", "LIST").count("\n") <= before + 2


def test_whoever_leaves_a_bell_of_a_dead_server_says_so(server):
    store = RedisStore(server, "leave")
    ear = store.listen("mail", 5)
    ear._connection._get_socket().shutdown(2)
    assert ear.leave()  # perhaps: a token too many does no harm
    assert bells(store) == {"mail"}


def test_an_answer_that_nobody_waits_for_is_not_rung(server):
    store = RedisStore(server, "leave")
    store.listen("answer:me", 5).leave()
    assert bells(store) == set()
    assert server.call_one("KEYS", "*answer*") == []


# Text that is no text.


@pytest.mark.parametrize("packs_itself", [True, False])
def test_what_others_wrote_comes_back_as_it_was(server, packs_itself, monkeypatch):
    if not packs_itself:  # as without hiredis
        monkeypatch.setattr(wire, "_pack", None)
    assert packs_itself == (wire._pack is not None)
    wild = bytes(range(256)).decode("utf-8", "surrogateescape")
    server.call_one("SET", "wild", wild)
    assert server.call_one("GET", "wild") == wild
    assert server.call_one("STRLEN", "wild") == 256


# Forks.


def test_a_child_has_connections_of_its_own(server):
    mine = server.call_one("CLIENT", "ID")
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, str(server.call_one("CLIENT", "ID")).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        childs = int(pipe.read())
    assert os.waitpid(pid, 0)[1] == 0
    assert childs != mine
    # And it has not ended its parent's when it left.
    assert server.call_one("CLIENT", "ID") == mine
