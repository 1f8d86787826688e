"""The names of jobs: 20 characters that sort by the time at which they were made."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from random import Random

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
_ID = re.compile(f"[{_ALPHABET}]{{20}}")


def make_id(wall_seconds: float, rng: Random) -> str:
    """A job's id: 10 characters of milliseconds, then 10 random ones; ids sort by the time at which they were made."""
    bits = rng.getrandbits(50)
    return (
        f"{_time_text(int(wall_seconds * 1000))}{_PAIRS[bits >> 40]}{_PAIRS[bits >> 30 & 1023]}"
        f"{_PAIRS[bits >> 20 & 1023]}{_PAIRS[bits >> 10 & 1023]}{_PAIRS[bits & 1023]}"
    )


def make_slot_id(entry: str, slot: float) -> str:
    """The id of the job of one slot of a recurring entry: the same on every scheduler, and after every crash."""
    digest = hashlib.sha256(f"{entry}\n{slot!r}".encode()).digest()
    return _as_text((max(0, int(slot * 1000)) << 50) | (int.from_bytes(digest[:8], "big") >> 14))


def _as_text(number: int) -> str:
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(90, -1, -10)])


@lru_cache(1)
def _time_text(milliseconds: int) -> str:
    return _as_text(milliseconds << 50)[:10]


def is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def made_at(id: str) -> float | None:
    """When an id was made, in epoch seconds by its producer's clock; None for text that is no id."""
    if not is_id(id):
        return None
    number = 0
    for character in id[:10]:
        number = number * 32 + _ALPHABET.index(character)
    return number / 1000
