"""Load a script, read its header, call it by the *names* of its arguments.

A script begins with a header:

    -- claim     queued → leased
    -- uses      put
    -- keys      JOB LEASES
    -- limits    FAILED_LIMIT
    -- args      now claim limit ids...
    -- returns   …

From it, this module writes the lines that stand before the script when it is sent: `local JOB, LEASES = …` with the
names and numbers that `keys.py` knows, and `local now, claim, limit = …` from the arguments. A last argument that ends
in `...` is a table of all that follow. The argument `now` is special: sent empty, it becomes the server's own time;
`now_seconds` is the same as a number. `uses` puts other files (functions, no effects of their own) before the script.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from minique.keys import LIMITS, SUFFIXES

Value = str | int | float
Command = tuple[Value, ...]

UNPACK_LIMIT = 7000
"""Lua's stack holds about 8,000 values."""

_HEADER_LINE = re.compile(r"-- (\w+)\s+(.*)")

_NOW = """if now == '' then
  local t = redis.call('TIME')
  now = t[1] .. '.' .. string.format('%06d', t[2])
end
local now_seconds = tonumber(now)
"""


class Script(NamedTuple):
    name: str
    summary: str
    keys: tuple[str, ...]
    args: tuple[str, ...]
    returns: str
    source: str
    sha: str
    takes_now: bool

    def command(self, prefix: str, *args: Value) -> Command:
        """The command that runs this script, given its arguments in the order of its header."""
        return ("EVALSHA", self.sha, 1, prefix, *args)


@cache
def load(name: str) -> Script:
    """Read `scripts/NAME.lua`. Raises KeyError when its header names a key that keys.py does not have."""
    return compose(name, _read(name))


def compose(name: str, text: str) -> Script:
    """Make a Script of a file's text: what `load` does, for tests that try a broken variant."""
    header = _header(text)
    bodies = [_without_header(text)]
    keys, limits = header.get("keys", "").split(), header.get("limits", "").split()
    for used in reversed(header.get("uses", "").split()):
        included = _read(used)
        bodies.insert(0, _without_header(included))
        keys = _header(included).get("keys", "").split() + keys
        limits = _header(included).get("limits", "").split() + limits
    key_names = tuple(dict.fromkeys(keys))
    args = tuple(header.get("args", "").split())
    source = _lines_before(key_names, tuple(dict.fromkeys(limits)), args) + "\n".join(bodies)
    sha = hashlib.sha1(source.encode()).hexdigest()  # the server's own name for a script, no secret
    return Script(name, header[name], key_names, args, header.get("returns", ""), source, sha, "now" in args)


def _read(name: str) -> str:
    return files("minique.scripts").joinpath(f"{name}.lua").read_text(encoding="utf-8")


def _header(text: str) -> dict[str, str]:
    found = {}
    for line in text.splitlines():
        match = _HEADER_LINE.fullmatch(line)
        if match is None:
            break
        found[match[1]] = match[2]
    return found


def _without_header(text: str) -> str:
    lines = text.splitlines()
    while lines and _HEADER_LINE.fullmatch(lines[0]):
        lines.pop(0)
    return "\n".join(lines)


def _lines_before(keys: tuple[str, ...], limits: tuple[str, ...], args: tuple[str, ...]) -> str:
    lines = [f"local {limit} = {LIMITS[limit]}" for limit in limits]
    if keys:
        lines.append("local " + ", ".join(keys) + " = " + ", ".join(f"KEYS[1] .. '{SUFFIXES[key]}'" for key in keys))
    for position, arg in enumerate(args, start=1):
        if arg.endswith("..."):
            rest = arg[:-3]
            # All in one step where that fits onto Lua's stack: a third of the time of the loop.
            lines.append(f"local {rest} = {{}}; if #ARGV < {UNPACK_LIMIT} then {rest} = {{unpack(ARGV, {position})}}")
            lines.append(f"else for i = {position}, #ARGV do {rest}[i - {position - 1}] = ARGV[i] end end")
        else:
            lines.append(f"local {arg} = ARGV[{position}]")
    text = "\n".join(lines) + "\n"
    return text + _NOW if "now" in args else text
