"""Spans and moments as people write them, and as stores take them."""

from __future__ import annotations

from datetime import datetime, timedelta

from minique.call import is_number
from minique.errors import UsageError

Span = timedelta | float
"""A timedelta, or seconds."""
When = datetime | float
"""A datetime with its zone, or epoch seconds."""


def seconds_of(span: Span) -> float:
    """A span in seconds; raises UsageError for what is none."""
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    if not is_number(seconds):
        raise UsageError(f"a delay of {span!r}: pass a timedelta or a number of seconds")
    return seconds


def due_in(delay: Span) -> str:
    """A delay as the store takes it: counted from the server's now."""
    return f"+{max(0.0, seconds_of(delay)):.6f}"


def due_at(when: When) -> str:
    """A time as the store takes it."""
    if isinstance(when, datetime):
        if when.tzinfo is None or when.utcoffset() is None:
            raise UsageError(
                f"{when!r} has no zone, so it could be many moments: pass when.astimezone() for this machine's "
                "zone, or datetime(…, tzinfo=ZoneInfo('Europe/Berlin'))"
            )
        when = when.timestamp()
    if not is_number(when):
        raise UsageError(f"a time of {when!r}: pass a datetime with a zone, or epoch seconds")
    return f"{max(0.0, when):.6f}"
