"""A call of a job as it is stored: written as JSON by producers, read back by workers, whatever stands there."""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from minique.errors import NotSerialisable, TooLarge

PAYLOAD_LIMIT_BYTES = 512 * 1024

_LAST_SLOT = datetime(9999, 1, 1, tzinfo=UTC).timestamp()

_decoder = json.JSONDecoder()
raw_decode = _decoder.raw_decode
scan_value = _decoder.scan_once  # type: ignore[attr-defined]  # the types leave it out
"""The same where text that is no JSON may raise StopIteration, too: half of its time is that difference."""
as_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


class Terms(NamedTuple):
    """What may stand before a body, for the store to read: see `store.Enqueue`."""

    expires: float | None
    """Epoch seconds."""
    unique_key: str


_TERMS = re.compile(r"@(\+?[0-9]*\.?[0-9]*) ([^\n]*)\n")


def split_terms(body: str) -> tuple[Terms, str]:
    """The terms of a body and the call itself."""
    found = _TERMS.match(body)
    if not found:
        return Terms(None, ""), body
    is_time = found[1].strip(".").replace(".", "").isdecimal()
    return Terms(float(found[1]) if is_time else None, found[2]), body[found.end() :]


class Call(NamedTuple):
    name: str
    args: list[Any]
    kwargs: dict[str, Any]
    options: dict[str, Any]
    slot: float | None = None
    """The planned time, in epoch seconds, when a schedule made this call."""


class Unreadable(ValueError):
    """A body that is no call; what it is instead stands in the message."""


def read_call(body: str) -> Call:
    """Read a body. Raises Unreadable, whatever somebody wrote there."""
    text = split_terms(body)[1] if body.startswith("@") else body
    try:
        # What minique wrote has no white space around it, and is read so in half the time.
        found, end = raw_decode(text) if text.startswith("{") else (None, -1)
        if end != len(text):
            found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"the body is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise Unreadable(f"the body is a JSON {type(found).__name__}, not an object")
    name, args, kwargs = found.get("job"), found.get("args", []), found.get("kwargs", {})
    options = found.get("options", {})
    if not isinstance(name, str):
        raise Unreadable('the body has no "job" that is a string')
    if not isinstance(args, list) or not isinstance(kwargs, dict) or not isinstance(options, dict):
        raise Unreadable('in the body, "args" must be a list, "kwargs" and "options" objects')
    slot = found.get("slot")
    if slot is not None and not (is_number(slot) and abs(slot) < _LAST_SLOT):
        raise Unreadable('in the body, "slot" must be epoch seconds')
    return Call(name, args, kwargs, options, slot)


def write_call(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], slot: float | None = None) -> str:
    """A body without the job class at hand, for what a schedule says; raises NotSerialisable or TooLarge."""
    where = f"of {name}"
    check_value(list(args), f"arguments {where}")
    check_value(dict(kwargs), f"arguments {where}")
    call: dict[str, Any] = {"job": name, "args": list(args)}
    if kwargs:
        call["kwargs"] = dict(kwargs)
    if slot is not None:
        call["slot"] = slot
    text = as_json(call)
    if len(text.encode()) > PAYLOAD_LIMIT_BYTES:
        raise TooLarge(
            f"the arguments {where} take {len(text):,} characters; the limit is {PAYLOAD_LIMIT_BYTES:,} bytes"
        )
    return text


# Binding arguments.


def quick_check(signature: inspect.Signature) -> Callable[..., None]:
    """A function that takes what the signature takes and does nothing: binding by a call is 80 times as fast."""
    parts: list[str] = []
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    for position, (name, parameter) in enumerate(signature.parameters.items()):
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.VAR_POSITIONAL not in kinds and "*" not in parts:
            parts.append("*")
        star = (
            "*"
            if parameter.kind is parameter.VAR_POSITIONAL
            else "**"
            if parameter.kind is parameter.VAR_KEYWORD
            else ""
        )
        parts.append(f"{star}{name}" + ("" if parameter.default is parameter.empty else "=None"))
        is_last_positional_only = parameter.kind is parameter.POSITIONAL_ONLY and (
            position + 1 == len(kinds) or kinds[position + 1] is not parameter.POSITIONAL_ONLY
        )
        if is_last_positional_only:
            parts.append("/")
    # Names of parameters are identifiers, by the language; nothing else of the signature goes into this text.
    made: Callable[..., None] = eval(f"lambda {', '.join(parts)}: None")
    return made


# Values that JSON can hold.

SCALARS = frozenset((str, int, bool, type(None)))
_INSTEAD = {
    "datetime": "pass text (when.isoformat()) or seconds (when.timestamp())",
    "date": "pass text (day.isoformat())",
    "timedelta": "pass seconds (delta.total_seconds())",
    "Decimal": "pass text (str(amount))",
    "UUID": "pass text (str(id))",
    "bytes": "pass text (data.decode(), or base64)",
    "set": "pass a list (sorted(values))",
    "frozenset": "pass a list (sorted(values))",
}


def check_value(value: Any, where: str, depth: int = 0) -> None:
    if value is None or isinstance(value, (bool, int)):
        return
    if isinstance(value, str):
        try:
            value.isascii() or value.encode()
        except UnicodeEncodeError:
            raise NotSerialisable(f"{where} has half a surrogate pair, which is no text: mend it first") from None
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NotSerialisable(f"{where} is {value}, which JSON cannot hold: pass None or text")
        return
    if depth > 200:
        # The way to the deepest place is of no use to anybody, and takes up a page.
        where = ", ".join(where.split(", ")[:4]) + ", …"
        raise NotSerialisable(f"{where} is nested more than 200 deep, or contains itself: pass something flatter")
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            check_value(item, f"{where}, item {index}", depth + 1)
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise NotSerialisable(f"{where} has the key {key!r}, and JSON has only text keys: pass str({key!r})")
            check_value(item, f"{where}, key {key!r}", depth + 1)
        return
    kind = type(value).__name__
    raise NotSerialisable(
        f"{where} is a {kind}, which JSON cannot hold: {_INSTEAD.get(kind, 'pass numbers, text, lists, or its id')}"
    )


def is_number(value: object) -> bool:
    """Whether this is a number that a float can hold; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False  # an integer beyond all floats
