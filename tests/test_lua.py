"""Scripts say in their headers what they use and answer; the headers and the table of keys are held to the code."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import get_args

import pytest

from minique import lua, redis_store, store
from minique.keys import KEYS, LIMITS, SUFFIXES

_FILES = [path.name for path in files("minique.scripts").iterdir()]
ALL = sorted(name.removesuffix(".lua") for name in _FILES if name.endswith(".lua"))
CALLED = sorted(redis_store.SCRIPTS)
INCLUDES = sorted(set(ALL) - set(CALLED))
# Words in capitals that are not keys or limits: what Redis or Lua itself provides.
NOT_OURS = {"KEYS", "ARGV"}

WRITES = {
    "SET", "DEL", "RPUSH", "LPUSH", "LPOP", "SADD", "SREM", "ZADD", "ZREM", "ZREMRANGEBYSCORE", "HSET", "HDEL",
    "HINCRBY", "EXPIRE", "INCR", "MSET", "LTRIM", "LREM",
}  # fmt: skip
READS = {
    "GET", "MGET", "EXISTS", "LRANGE", "LINDEX", "LLEN", "SMEMBERS", "SISMEMBER", "ZRANGE", "ZRANGEBYSCORE", "ZSCORE",
    "ZMSCORE", "ZCARD", "ZCOUNT", "ZRANK", "HGET", "HMGET", "HGETALL", "HEXISTS", "HLEN", "LPOS", "TIME",
}  # fmt: skip
MOST = "most"


# How a script is put together.


def test_arguments_are_named_and_the_rest_is_a_table():
    source = lua.compose("x", "-- x     a sum\n-- args  a b rest...\n-- returns a table\nreturn {a, b, rest[1]}").source
    assert "local a = ARGV[1]" in source
    assert "local b = ARGV[2]" in source
    assert "for i = 3, #ARGV do rest[i - 2] = ARGV[i] end" in source


def test_keys_are_written_before_the_script_under_the_names_of_the_table():
    source = lua.compose("x", "-- x     reads\n-- keys  JOB READY\nreturn redis.call('GET', JOB .. 'a')").source
    assert source.startswith("local JOB, READY = KEYS[1] .. 'job:', KEYS[1] .. 'ready'\n")


def test_what_is_used_stands_before_its_user_with_its_keys():
    script = lua.compose("x", "-- x     rings\n-- uses  put\n-- keys  STATS\n-- args  s\nring(s)\nreturn 1")
    assert set(script.keys) >= {"BELL", "READY", "STATS"}
    assert script.source.index("local function ring(") < script.source.index("ring(s)\nreturn 1")


def test_a_comment_below_the_header_is_no_header():
    script = lua.compose("x", "-- x     one line\n\n-- args  a\nreturn 1")
    assert script.args == ()


def test_a_key_that_the_table_does_not_have_is_an_error():
    with pytest.raises(KeyError, match="NOWHERE"):
        lua.compose("x", "-- x     wrong\n-- keys  NOWHERE\nreturn 1")


def test_the_name_by_which_a_script_is_called_is_the_servers_own(server_store):
    script = lua.load("enqueue")
    assert server_store.server.call_one("SCRIPT", "LOAD", script.source) == script.sha


def test_an_empty_now_is_the_servers_time_and_a_given_one_is_kept_as_text(server_store):
    script = lua.compose("x", "-- x     the time\n-- args  now\nreturn {now, string.format('%.6f', now_seconds)}")
    server = server_store.server
    server.call_one("SCRIPT", "LOAD", script.source)
    assert server.call_one(*script.command("p:", "1789012345.678901")) == ["1789012345.678901"] * 2
    now, seconds = server.call_one(*script.command("p:", ""))
    assert now == seconds
    assert float(now) > 1.7e9


# Each script.


@pytest.mark.parametrize("name", ALL)
def test_a_header_begins_with_the_scripts_own_name(name):
    header = lua._header(lua._read(name))
    assert next(iter(header)) == name, "the first line says what it does"
    assert header[name]
    known = {name, "uses", "keys", "limits", "args", "returns"}
    assert set(header) <= known
    assert set(header.get("keys", "").split()) <= set(SUFFIXES)
    assert set(header.get("limits", "").split()) <= set(LIMITS)


@pytest.mark.parametrize("name", CALLED)
def test_a_called_script_says_its_arguments_and_its_answer(name):
    script = lua.load(name)
    assert script.returns
    text = without_comments(own_body(name))
    # `now` is read by the lines before the script, and by the functions it uses.
    for arg in set(script.args) - {"now"}:
        assert re.search(rf"\b{arg.removesuffix('...')}\b", text), f"{arg} is never looked at"


@pytest.mark.parametrize("name", INCLUDES)
def test_an_include_has_functions_and_no_effects(name):
    assert {"args", "returns"}.isdisjoint(lua._header(lua._read(name)))
    outside = functions(own_body(name))[1]
    assert outside.strip() == ""


@pytest.mark.parametrize("name", ALL)
def test_keys_and_limits_that_are_used_are_declared_and_the_other_way_round(name):
    header = lua._header(lua._read(name))
    own = set(header.get("keys", "").split()) | set(header.get("limits", "").split())
    lent = {word for used in header.get("uses", "").split() for word in declared(used)}
    used = words_in_capitals(own_body(name))
    assert used <= own | lent, "used and not declared"
    assert own <= used, "declared and not used"


@pytest.mark.parametrize("name", CALLED)
def test_a_script_runs_only_commands_of_which_is_known_whether_they_write(name):
    commands = set(re.findall(r"redis\.p?call\('(\w+)'", lua.load(name).source))
    assert commands <= WRITES | READS, "add the command to one of the two lists above"


def test_every_arrow_has_its_script_and_every_script_its_arrow():
    arrows = {arrow.__name__.lower() for arrow in get_args(store.Arrow)}
    # A page of a list is one command of the server's own.
    assert arrows - {"page"} == set(CALLED)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_the_table_of_keys_names_the_scripts_that_write_each(key):
    writers = {name for name in CALLED if key.name in written_by(name)}
    if key.written_by == MOST:
        assert len(writers) > len(CALLED) / 3
    elif key.name == "LAYOUT":
        assert writers == set()
    else:
        assert set(key.written_by.split()) == writers


def test_the_limit_of_a_claim_is_told_to_scripts_as_to_everybody():
    assert LIMITS["CLAIM_LIMIT"] == store.CLAIM_LIMIT


# How scripts are read here.


def own_body(name: str) -> str:
    return lua._without_header(lua._read(name))


def declared(name: str) -> set[str]:
    header = lua._header(lua._read(name))
    return set(header.get("keys", "").split()) | set(header.get("limits", "").split())


def without_comments(text: str) -> str:
    return re.sub(r"--.*", "", text)


def words_in_capitals(text: str) -> set[str]:
    without_strings = re.sub(r"'[^']*'", "", without_comments(text))
    return set(re.findall(r"\b[A-Z][A-Z_]+\b", without_strings)) - NOT_OURS


def functions(text: str) -> tuple[dict[str, str], str]:
    """The functions at the left margin, by name; and what stands outside of them."""
    text = without_comments(text)
    pattern = re.compile(r"^local function (\w+)\(.*?^end$", re.MULTILINE | re.DOTALL)
    return {match[1]: match[0] for match in pattern.finditer(text)}, pattern.sub("", text)


def written_by(name: str) -> set[str]:
    """The keys that a script may write, itself or through the functions that it calls."""
    bodies = [own_body(used) for used in lua._header(lua._read(name)).get("uses", "").split()] + [own_body(name)]
    known: dict[str, str] = {}
    for body in bodies:
        known |= functions(body)[0]
    reached, to_read, written = set(), [functions(own_body(name))[1]], set()
    while to_read:
        text = to_read.pop()
        for command, key in re.findall(r"redis\.p?call\('?(\w+)'?, ([A-Z_]+)", text):
            # put(…) is told by which command to push.
            if command in WRITES or command == "push":
                written.add(key)
        for called in known.keys() - reached:
            if re.search(rf"\b{called}\(", text):
                reached.add(called)
                to_read.append(known[called])
    return written
