"""One job, run here and now; whatever it raises is an outcome, and what it asks and says of itself."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import traceback
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from minique.call import Call, as_json, check_value
from minique.clock import Clock, SystemClock
from minique.errors import TooLarge, UsageError
from minique.ids import make_id
from minique.job_class import JobClass, job_class_of
from minique.store import FollowUp
from minique.when import Span, When, due_at, due_in, seconds_of

if TYPE_CHECKING:
    from minique.job import Enqueueable, Job

RESULT_LIMIT_BYTES = 512 * 1024
TRACEBACK_LIMIT_CHARACTERS = 32 * 1024
FOLLOW_UP_LIMIT = 1000
FOLLOW_UPS_LIMIT_BYTES = 8 * 1024 * 1024
"""Of all the follow-ups of one job: they travel and are stored in one step."""
SOFTWARE_ERROR = 70
"""The exit code of a child that could not even report what went wrong."""

_PACKAGE = __file__.rpartition("perform.py")[0]


class Retry(Exception):
    """Raised by a job that wants to be tried again: after `in_` (a timedelta or seconds), or after the usual backoff.

    It uses up a try like any failure; the last one fails.
    """

    def __init__(self, message: str = "", *, in_: Span | None = None) -> None:
        super().__init__(message or "the job asked to be tried again")
        self.in_seconds = None if in_ is None else max(0.0, seconds_of(in_))


class Discard(Exception):
    """Raised by a job that is not worth doing: it is removed, with the reason, and counted; nobody is asked."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)


class Context(NamedTuple):
    """What travels to wherever a job runs, beside its call."""

    id: str
    queue: str
    attempt: int
    slot: float | None = None
    """The planned time of a recurring job, in epoch seconds; None for others."""


class RunningJob:
    """A job while it runs: what it may ask, and what it may say."""

    follow_ups: tuple[FollowUp, ...] = ()
    """What comes to be when this attempt completes."""
    job: Job | None = None
    """The object that performs; None for a decorated function."""
    attempt: int
    """1 for the first try; each failure and each death of a worker counts one more."""
    job_class: JobClass
    _call: Call
    _follow_ups_bytes = 0

    def __init__(self, context: Context, lease_until: Callable[[], float], clock: Clock) -> None:
        self.id, self.queue, self.attempt, self._slot = context
        self._lease_until = lease_until
        self._clock = clock

    @property
    def name(self) -> str:
        """The name of its job class."""
        return self.job_class.name

    @property
    def args(self) -> tuple[Any, ...]:
        return tuple(self._call.args)

    @property
    def kwargs(self) -> dict[str, Any]:
        return dict(self._call.kwargs)

    @property
    def planned_at(self) -> datetime | None:
        """The slot of a recurring job: the time for which it was planned, in UTC; None for others."""
        return None if self._slot is None else datetime.fromtimestamp(self._slot, UTC)

    def lease_left(self) -> float:
        """Seconds for which the job is still this worker's, by a clock that counts through suspends.

        The worker renews it again and again; when this is 0 or less, the job may be running elsewhere by now, and what
        it still does here will not count.
        """
        return self._lease_until() - self._clock.elapsed()

    def follow_up(self, kind: Enqueueable, /, *args: Any, **kwargs: Any) -> str:
        """Have a job enqueued together with this one's completion, in one step, or not at all; return its id.

        It is dropped when this attempt is retried or fails, and when its unique key is held (that is counted). What
        must be stored at once is enqueued as anywhere: `connect().enqueue(…)`. Raises as `enqueue` does.
        """
        return self._follow("", kind, args, kwargs)

    def follow_up_in(self, delay: Span, kind: Enqueueable, /, *args: Any, **kwargs: Any) -> str:
        """The same for a job that is due after a delay, counted from the completion."""
        return self._follow(due_in(delay), kind, args, kwargs)

    def follow_up_at(self, when: When, kind: Enqueueable, /, *args: Any, **kwargs: Any) -> str:
        """The same for a job that is due at a time."""
        return self._follow(due_at(when), kind, args, kwargs)

    def _follow(self, due: str, kind: Enqueueable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        if len(self.follow_ups) >= FOLLOW_UP_LIMIT:
            raise UsageError(f"more than {FOLLOW_UP_LIMIT} follow-ups of one job: enqueue one that enqueues them")
        job_class = job_class_of(kind)
        body = job_class.body(args, kwargs)
        self._follow_ups_bytes += len(body)
        if self._follow_ups_bytes > FOLLOW_UPS_LIMIT_BYTES:
            raise TooLarge(
                f"the follow-ups of one job take more than {FOLLOW_UPS_LIMIT_BYTES:,} bytes: store what they need "
                "elsewhere and pass where it is"
            )
        id = make_id(self._clock.wall(), _rng)
        self.follow_ups += (FollowUp(id, job_class.queue, body, due),)
        return id


_rng = random.SystemRandom()
_current: ContextVar[RunningJob] = ContextVar("the job that runs")


def current_job() -> RunningJob:
    """The job that runs here, for functions, which have no self. Raises LookupError outside of one."""
    return _current.get()


class Returned(NamedTuple):
    result: str
    """JSON."""
    follow_ups: tuple[FollowUp, ...] = ()


class Dropped(NamedTuple):
    reason: str


class Raised(NamedTuple):
    error: str
    """The name of the exception's class."""
    message: str
    traceback: str
    may_retry: bool = True
    retry_in_seconds: float | None = None
    """What the job asked for; None leaves it to the backoff."""


Outcome = Returned | Dropped | Raised

RETURNED_NOTHING = Returned("null")

_forks = 0
"""How many forks lie between this process and the first; asking the system who one is would take longer than most of
what is done for a job."""


def _note_fork() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):  # where there are forks
    os.register_at_fork(after_in_child=_note_fork)


def _never() -> float:
    return float("inf")


def run(
    job_class: JobClass,
    context: Context,
    call: Call,
    lease_until: Callable[[], float] = _never,
    clock: Clock | None = None,
) -> Outcome:
    """Run a job here and now; whatever it raises is an outcome. `async def perform` gets an event loop of its own.

    `lease_until` answers until when the job is this worker's, on the clock's elapsed seconds.
    """
    running = RunningJob(context, lease_until, clock or SystemClock())
    running.job_class, running._call = job_class, call
    token = _current.set(running)
    forks = _forks
    try:
        try:
            result = _perform(job_class, running, call)
        finally:
            if _forks != forks:
                # A process that the job forked came back here, too. It must not speak for the job, nor be a second
                # worker.
                os._exit(SOFTWARE_ERROR)
    except Discard as error:
        return Dropped(_text_of(error))
    except BaseException as error:
        # Also SystemExit and KeyboardInterrupt: a job that calls exit() has not done its work.
        _tell_of_failure(job_class, running, error)
        retry_in_seconds = error.in_seconds if isinstance(error, Retry) else None
        # Of a job that asked to be tried again, nobody needs to know from which line.
        trace = "" if isinstance(error, Retry) else _traceback_of(error)
        return Raised(type(error).__name__, _text_of(error), trace, True, retry_in_seconds)
    finally:
        _current.reset(token)
    follow_ups = running.follow_ups
    if result is None:
        return Returned("null", follow_ups) if follow_ups else RETURNED_NOTHING
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
    return Returned(text, follow_ups)


def _perform(job_class: JobClass, running: RunningJob, call: Call) -> Any:
    hooks = job_class.hooks
    for hook in hooks.of_before_perform:
        _awaited(hook(running))
    result = _awaited(job_class.call(running, *call.args, **call.kwargs))
    if running.job:
        after: Callable[..., Any] = running.job.after_perform
        _awaited(after(result))
    for hook in hooks.of_after_perform:
        _awaited(hook(running, result))
    return result


def _awaited(result: Any) -> Any:
    if type(result) is CoroutineType:
        return asyncio.run(cast(Coroutine[Any, Any, Any], result))
    return result


def _tell_of_failure(job_class: JobClass, running: RunningJob, error: BaseException) -> None:
    hooks: list[Callable[[BaseException], Any]] = [running.job.on_failure] if running.job else []
    hooks += [partial(one, running) for one in job_class.hooks.of_on_failure]
    for hook in hooks:
        try:
            _awaited(hook(error))
        except BaseException:
            # The failure itself is what is to be told; this one is for whoever reads the worker's output.
            sys.excepthook(*sys.exc_info())


def _text_of(error: BaseException) -> str:
    try:
        return str(error)[:TRACEBACK_LIMIT_CHARACTERS]
    except Exception:
        return "(its message could not be read)"


def _traceback_of(error: BaseException) -> str:
    try:
        # The first frames are this package's; the reader wants their own.
        frames = error.__traceback__
        while frames and frames.tb_next and frames.tb_frame.f_code.co_filename.startswith(_PACKAGE):
            frames = frames.tb_next
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
