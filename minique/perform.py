"""One job, run here and now; whatever it raises is an outcome."""

from __future__ import annotations

import asyncio
import inspect
import json
import traceback
from collections.abc import Coroutine
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from minique.call import Call, as_json, check_value

if TYPE_CHECKING:
    from minique.job import JobClass

RESULT_LIMIT_BYTES = 512 * 1024
TRACEBACK_LIMIT_CHARACTERS = 32 * 1024


class Context(NamedTuple):
    """What a running job is told of itself."""

    id: str
    queue: str
    attempt: int
    slot: float | None = None
    """The planned time of a recurring job, in epoch seconds; None for others."""

    @property
    def planned_at(self) -> datetime | None:
        """The slot as a time in UTC."""
        return None if self.slot is None else datetime.fromtimestamp(self.slot, UTC)


_current: ContextVar[Context] = ContextVar("the job that runs")


def current_job() -> Context:
    """What the running job is told of itself, for functions, which have no self. Raises LookupError outside."""
    return _current.get()


class Returned(NamedTuple):
    result: str
    """JSON."""


class Raised(NamedTuple):
    error: str
    """The name of the exception's class."""
    message: str
    traceback: str
    may_retry: bool = True


Outcome = Returned | Raised


def run(job_class: JobClass, context: Context, call: Call) -> Outcome:
    """Run a job here and now; whatever it raises is an outcome. `async def perform` gets an event loop of its own."""
    token = _current.set(context)
    try:
        result = job_class.call(context, *call.args, **call.kwargs)
        if inspect.iscoroutine(result):
            result = asyncio.run(cast(Coroutine[Any, Any, Any], result))
    except BaseException as error:
        # Also SystemExit and KeyboardInterrupt: a job that calls exit() has not done its work.
        return Raised(type(error).__name__, _text_of(error), _traceback_of(error))
    finally:
        _current.reset(token)
    if result is None:
        return Returned("null")
    try:
        check_value(result, f"the result of {job_class.name}")
        text = as_json(result)
        size = len(text) if text.isascii() else len(text.encode())
    except (ValueError, TypeError, RecursionError) as error:
        # Running it again would return the same: its work is done, only the answer cannot be kept.
        return Raised("NotSerialisable", str(error), "", may_retry=False)
    if size > RESULT_LIMIT_BYTES:
        message = f"the result of {job_class.name} takes {size:,} bytes as JSON; the limit is {RESULT_LIMIT_BYTES:,}"
        return Raised("TooLarge", message, "", may_retry=False)
    return Returned(text)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)[:TRACEBACK_LIMIT_CHARACTERS]
    except Exception:
        return "(its message could not be read)"


def _traceback_of(error: BaseException) -> str:
    try:
        # The first two frames are this module's; the reader wants their own.
        frames = error.__traceback__
        for _ in range(2):
            frames = frames and frames.tb_next
        text = "".join(traceback.format_exception(type(error), error, frames))
    except Exception:
        text = "(no traceback could be made)"
    return text if len(text) <= TRACEBACK_LIMIT_CHARACTERS else "…" + text[-TRACEBACK_LIMIT_CHARACTERS:]


def read_failure(text: str) -> dict[str, Any]:
    """A stored failure as a dict with at least `error` and `message`, whatever stands there."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        found = {"message": text}
    return {"error": "Unknown", "message": "", **found}
