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
`now_seconds` is the same as a number. `uses` puts other files (functions, no effects of their own) before the script,
or in the place of its line `-- (what it uses)`: what stands above has neither them nor the time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from minique.keys import LIMITS, SUFFIXES

Value = str | int | float
Command = tuple[Value, ...]

UNPACK_LIMIT = 7000
"""Lua's stack holds about 8,000 values."""

_WHAT_IT_USES = "-- (what it uses)\n"
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
    keys, limits, args, uses = (_declared(word, text) for word in ("keys", "limits", "args", "uses"))
    above, _, below = _without_header(text).rpartition(_WHAT_IT_USES)
    included = [_read(used) for used in uses]
    lent_keys = [key for key in _declared("keys", *included) if key not in keys]
    lent_limits = [limit for limit in _declared("limits", *included) if limit not in limits]
    lines = [*_names(keys, limits), *_arguments(args), above, *_names(lent_keys, lent_limits)]
    lines += [_NOW] * ("now" in args) + [_without_header(one) for one in included] + [below]
    source = "\n".join(lines)
    sha = hashlib.sha1(source.encode()).hexdigest()  # the server's own name for a script, no secret
    key_names = tuple(keys + lent_keys)
    return Script(name, header[name], key_names, tuple(args), header.get("returns", ""), source, sha, "now" in args)


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


def _declared(word: str, *texts: str) -> list[str]:
    """What the headers of these texts say behind a word, each once."""
    return list(dict.fromkeys(" ".join(_header(text).get(word, "") for text in texts).split()))


def _without_header(text: str) -> str:
    lines = text.splitlines()
    while lines and _HEADER_LINE.fullmatch(lines[0]):
        lines.pop(0)
    return "\n".join(lines)


def _names(keys: Sequence[str], limits: Sequence[str]) -> Iterator[str]:
    for limit in limits:
        yield f"local {limit} = {LIMITS[limit]}"
    if keys:
        yield "local " + ", ".join(keys) + " = " + ", ".join(f"KEYS[1] .. '{SUFFIXES[key]}'" for key in keys)


def _arguments(args: Sequence[str]) -> Iterator[str]:
    for position, arg in enumerate(args, start=1):
        if arg.endswith("..."):
            rest = arg[:-3]
            # All in one step where that fits onto Lua's stack: a third of the time of the loop.
            yield f"local {rest} = {{}}; if #ARGV < {UNPACK_LIMIT} then {rest} = {{unpack(ARGV, {position})}}"
            yield f"else for i = {position}, #ARGV do {rest}[i - {position - 1}] = ARGV[i] end end"
        else:
            yield f"local {arg} = ARGV[{position}]"
