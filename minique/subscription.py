"""Which queues a worker serves, and in which order: `critical,mail,file_*,*,!low`.

Terms are tried from left to right, so order is priority. A plain name is that queue. `*` is all queues, `file_*` those
with that beginning; queues matched by one such term take turns, least recently served first, so that no alphabet
decides who starves. `!low` and `!tmp_*` are never served, wherever they stand.

`scripts/put.lua` holds the same rule in Lua, for the server; the contract suite compares the two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from minique.errors import BadName, UsageError

QUEUE_NAME_LIMIT = 64
NAME = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9_.:/@+-]{{0,{QUEUE_NAME_LIMIT - 1}}}")
_TERM = re.compile(rf"!?(?:{NAME.pattern}|(?:{NAME.pattern})?\*)")
SUBSCRIPTION_LIMIT = 1024


def check_queue_name(name: str) -> str:
    """Return the name if a queue can have it; raise BadName otherwise."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise BadName(
            f"{name!r} cannot be the name of a queue: use 1 to {QUEUE_NAME_LIMIT} letters, digits and _ . : / @ + -, "
            "beginning with a letter, a digit or _"
        )
    return name


def check_id(id: str) -> str:
    """Return the id of a job; raise UsageError for None and the like, which a session without a job has there."""
    if not isinstance(id, str):
        raise UsageError(f"{id!r} is not the id of a job: pass the text that handle.id is")
    return id


@dataclass(frozen=True)
class Subscription:
    text: str
    terms: tuple[str, ...]
    excluded: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Subscription:
        """Read `critical,mail,*,!low`; spaces around terms are ignored, repeated terms count once.

        Raises BadName for a term that is no name or pattern, and when nothing would be served.
        """
        parts = list(dict.fromkeys(part.strip() for part in text.split(",")))
        for part in parts:
            if not _TERM.fullmatch(part):
                raise BadName(
                    f"{part!r} in the queues {text!r} is not understood: write a name (mail), a beginning (file_*), "
                    "* for all, or ! before either for none of these"
                )
        terms = tuple(part for part in parts if not part.startswith("!"))
        if not terms:
            raise BadName(f"the queues {text!r} only exclude: add what is to be served, for instance *")
        canonical = ",".join(parts)
        if len(canonical) > SUBSCRIPTION_LIMIT:
            raise BadName(f"a list of queues of {len(canonical)} characters; the limit is {SUBSCRIPTION_LIMIT}: use *")
        return cls(canonical, terms, tuple(part[1:] for part in parts if part.startswith("!")))

    def serves(self, queue: str) -> bool:
        return _any_matches(self.terms, queue) and not self.excludes(queue)

    def excludes(self, queue: str) -> bool:
        return bool(self.excluded) and _any_matches(self.excluded, queue)


def _any_matches(terms: tuple[str, ...], queue: str) -> bool:
    for term in terms:  # noqa: SIM110  (any() over a generator takes three times as long, and simulations ask often)
        if queue.startswith(term[:-1]) if term.endswith("*") else queue == term:
            return True
    return False
