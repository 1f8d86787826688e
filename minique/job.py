"""What a job is: a class with `perform`, or a decorated function; and how a call of it is written as JSON."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
import math
import re
import traceback
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, ParamSpec, TypeVar, cast

from minique.backoff import Backoff
from minique.errors import NotSerialisable, TooLarge, UsageError, WrongArguments
from minique.registry import Registry, default_registry
from minique.subscription import check_queue_name

if TYPE_CHECKING:
    from minique.client import Client, Handle

P = ParamSpec("P")
R = TypeVar("R")

PAYLOAD_LIMIT_BYTES = 512 * 1024
RESULT_LIMIT_BYTES = 512 * 1024
TRACEBACK_LIMIT_CHARACTERS = 32 * 1024
RESULT_LIFETIME_SECONDS = 600
NONE_LIFETIME_SECONDS = 10
"""How long it is kept that a job is done when it returned None; also the least that anything done is kept."""

_LAST_SLOT = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
_ID = re.compile(f"[{_ALPHABET}]{{20}}")

_dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def make_id(wall_seconds: float, rng: Random) -> str:
    """A job's id: 10 characters of milliseconds, then 10 random ones; ids sort by the time at which they were made."""
    return _as_text((int(wall_seconds * 1000) << 50) | rng.getrandbits(50))


def make_slot_id(entry: str, slot: float) -> str:
    """The id of the job of one slot of a recurring entry: the same on every scheduler, and after every crash."""
    digest = hashlib.sha256(f"{entry}\n{slot!r}".encode()).digest()
    return _as_text((max(0, int(slot * 1000)) << 50) | (int.from_bytes(digest[:8], "big") >> 14))


def _as_text(number: int) -> str:
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(90, -1, -10)])


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


@dataclass(frozen=True)
class JobClass:
    """One kind of work, however it was written: what producers bind to and workers run."""

    name: str
    """The word by which jobs on the server name it."""
    call: Callable[..., Any]
    """Takes a Context first, then the job's own arguments."""
    signature: inspect.Signature
    queue: str = "default"
    retries: int = 3
    timeout: float | None = None
    """Seconds an attempt may take in a child before it is killed; counted as a failure."""
    backoff: Backoff = field(default_factory=Backoff)
    result_lifetime: int = RESULT_LIFETIME_SECONDS
    """Seconds that a result is kept."""
    source_file: str = ""
    qualified_name: str = ""
    options: tuple[tuple[str, int | float | None], ...] = ()
    """What `using` changed for single jobs and workers have to be told."""

    def __post_init__(self) -> None:
        where = f"job class {self.name!r}"
        if not self.name or len(self.name) > 200 or not self.name.isprintable() or " " in self.name:
            raise UsageError(f"{where}: a name is 1 to 200 visible characters without spaces")
        check_queue_name(self.queue)
        if isinstance(self.retries, bool) or not isinstance(self.retries, int) or self.retries < 0:
            raise UsageError(f"{where}: retries is {self.retries!r}; pass a whole number, 0 or more")
        if self.timeout is not None and not (is_number(self.timeout) and self.timeout > 0):
            raise UsageError(f"{where}: timeout is {self.timeout!r}; pass seconds above 0, or None")
        if not isinstance(self.backoff, Backoff):
            raise UsageError(f"{where}: backoff is {self.backoff!r}; pass a minique.Backoff(…)")
        if not is_number(self.result_lifetime) or self.result_lifetime < NONE_LIFETIME_SECONDS:
            raise UsageError(
                f"{where}: result_lifetime is {self.result_lifetime!r}; pass {NONE_LIFETIME_SECONDS} seconds or more"
            )
        object.__setattr__(self, "result_lifetime", int(self.result_lifetime))
        object.__setattr__(self, "_fits", _quick_check(self.signature))
        object.__setattr__(self, "_json_name", _dumps(self.name))

    @property
    def defined_at(self) -> str:
        return f"{self.qualified_name} in {self.source_file or 'an unknown file'}"

    def using(self, **changes: Any) -> JobClass:
        """The same job class with other options: `using(queue="low", retries=0)`.

        queue, retries, timeout and result_lifetime can be changed. Raises UsageError for others.
        """
        allowed = ("queue", "retries", "timeout", "result_lifetime")
        for name in changes:
            if name not in allowed:
                raise UsageError(f"{self.name}.using: there is no option {name!r}; there are {', '.join(allowed)}")
        told = {**dict(self.options), **{name: value for name, value in changes.items() if name != "queue"}}
        return replace(self, **changes, options=tuple(sorted(told.items())))

    def body(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """A call with these arguments as it is stored.

        Raises WrongArguments when `perform` does not take them, NotSerialisable when JSON cannot hold one of them,
        TooLarge when they are over the limit.
        """
        try:
            self._fits(*args, **kwargs)  # type: ignore[attr-defined]
        except TypeError:
            self._explain_misfit(args, kwargs)
        try:
            if not all(type(value) in _SCALARS for value in args) or kwargs:
                for name, value in _named(self.signature, args, kwargs):
                    _check_value(value, f"argument {name!r} of {self.name}")
            text = f'{{"job":{self._json_name},"args":{_dumps(args)}'  # type: ignore[attr-defined]
            if kwargs:
                text += f',"kwargs":{_dumps(kwargs)}'
            if self.options:
                text += f',"options":{_dumps(dict(self.options))}'
            text += "}"
            size = len(text) if text.isascii() else len(text.encode())
        except NotSerialisable:
            raise
        except (ValueError, TypeError, RecursionError) as error:
            for name, value in _named(self.signature, args, kwargs):
                _check_value(value, f"argument {name!r} of {self.name}")
            raise NotSerialisable(f"the arguments of {self.name} cannot be written as JSON: {error}") from None
        if size > PAYLOAD_LIMIT_BYTES:
            raise TooLarge(
                f"the arguments of {self.name} take {size:,} bytes as JSON, and the limit is {PAYLOAD_LIMIT_BYTES:,}: "
                "store them elsewhere and pass where they are"
            )
        return text

    def _explain_misfit(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise WrongArguments(f"{self.name} takes {self.signature}, which does not fit: {error}") from None


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


class Job:
    """Work to be done later, as a class with `perform`.

        class Archive(Job):
            queue, retries, timeout = "archives", 3, 30
            def perform(self, repo_id: int, branch: str = "main") -> str: ...

    A new object is made for each run: keep intermediate results on self. Defining the class registers it.
    """

    queue: ClassVar[str] = "default"
    retries: ClassVar[int] = 3
    timeout: ClassVar[float | None] = None
    backoff: ClassVar[Backoff] = Backoff()
    result_lifetime: ClassVar[int] = RESULT_LIFETIME_SECONDS
    name: ClassVar[str] = ""
    registry: ClassVar[Registry] = default_registry
    job_class: ClassVar[JobClass]

    id: str
    attempt: int
    planned_at: datetime | None
    """The slot of a recurring job: the time for which it was planned, in UTC."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        perform = getattr(cls, "perform", None)
        if perform is None:
            return  # a base for other job classes
        if inspect.isabstract(cls):
            return
        if isinstance(inspect.getattr_static(cls, "perform"), (classmethod, staticmethod)):
            raise UsageError(f"{cls.__qualname__}.perform: write a plain method; each run gets an object of its own")
        parameters = list(inspect.signature(perform).parameters.values())
        if not parameters:
            raise UsageError(f"{cls.__qualname__}.perform takes no self: write def perform(self, …)")
        cls.job_class = JobClass(
            name=cls.__dict__.get("name") or cls.__name__,
            call=partial(_perform, cls),
            signature=inspect.Signature(parameters[1:]),
            queue=cls.queue,
            retries=cls.retries,
            timeout=cls.timeout,
            backoff=cls.backoff,
            result_lifetime=cls.result_lifetime,
            source_file=_source_file(cls),
            qualified_name=cls.__qualname__,
        )
        cls.registry.add(cls.job_class)

    @classmethod
    def using(cls, **changes: Any) -> JobClass:
        """This job class with other options for single jobs: `mq.enqueue(Archive.using(queue="low"), 1)`."""
        return cls.job_class.using(**changes)

    @classmethod
    def enqueue(cls, /, *args: Any, **kwargs: Any) -> Handle[Any]:
        """Enqueue by the default client; see `Client.enqueue`."""
        return _client().enqueue(cls, *args, **kwargs)


def _perform(cls: type[Job], context: Context, /, *args: Any, **kwargs: Any) -> Any:
    one = cls()
    one.id, one.attempt, one.planned_at = context.id, context.attempt, context.planned_at
    return one.perform(*args, **kwargs)  # type: ignore[attr-defined]


class JobFunction(Generic[P, R]):
    """A function that can be called as before, or enqueued."""

    def __init__(self, function: Callable[P, R], job_class: JobClass) -> None:
        self.function = function
        self.job_class = job_class
        self.__name__ = getattr(function, "__name__", job_class.name)
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        self.__wrapped__ = function

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<job {self.job_class.name}{self.job_class.signature}>"

    def using(self, **changes: Any) -> JobClass:
        """This job class with other options for single jobs."""
        return self.job_class.using(**changes)

    def enqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """Enqueue by the default client; see `Client.enqueue`."""
        return _client().enqueue(self, *args, **kwargs)

    def enqueue_in(self, delay: timedelta | float, /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        return _client().enqueue_in(delay, self, *args, **kwargs)

    def enqueue_at(self, when: datetime | float, /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        return _client().enqueue_at(when, self, *args, **kwargs)


def job(
    function: None = None,
    /,
    *,
    name: str = "",
    queue: str = "default",
    retries: int = 3,
    timeout: float | None = None,
    backoff: Backoff | None = None,
    result_lifetime: int = RESULT_LIFETIME_SECONDS,
    registry: Registry = default_registry,
) -> Callable[[Callable[P, R]], JobFunction[P, R]]:
    """Make a function into a job class: `@job(queue="mail")`. The decorated function still just calls.

    timeout and result_lifetime are in seconds. Raises UsageError for options that make no sense, and for a function
    without a name of its own (a lambda) or one that another function has taken.
    """
    if function is not None:
        raise UsageError("write @job() with parentheses; options go inside: @job(queue='mail')")

    def decorate(function: Callable[P, R]) -> JobFunction[P, R]:
        its_name = name or getattr(function, "__name__", "")
        if not its_name or its_name == "<lambda>":
            raise UsageError(f"{function!r} has no name that a worker could find it by: define it with def")
        job_class = JobClass(
            name=its_name,
            call=partial(_call, function),
            signature=inspect.signature(function),
            queue=queue,
            retries=retries,
            timeout=timeout,
            backoff=backoff or Backoff(),
            result_lifetime=result_lifetime,
            source_file=_source_file(function),
            qualified_name=getattr(function, "__qualname__", its_name),
        )
        registry.add(job_class)
        return JobFunction(function, job_class)

    return decorate


def _call(function: Callable[..., Any], context: Context, /, *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


Enqueueable = type[Job] | JobFunction[..., Any] | JobClass


def job_class_of(kind: Enqueueable) -> JobClass:
    """The job class behind what a producer names. Raises UsageError for anything else."""
    found = kind if isinstance(kind, JobClass) else getattr(kind, "job_class", None)
    if not isinstance(found, JobClass):
        raise UsageError(
            f"{kind!r} is not a job class: pass a subclass of Job that has perform, or a function decorated with @job()"
        )
    return found


# The default client is filled in by the package, which stands above this module.
default_client: Callable[[], Client] | None = None


def _client() -> Client:
    if default_client is None:
        raise UsageError("there is no default client: import minique, or use connect().enqueue(…)")
    return default_client()


# A stored call, read back.


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
    try:
        found = json.loads(body)
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
    _check_value(list(args), f"arguments {where}")
    _check_value(dict(kwargs), f"arguments {where}")
    call: dict[str, Any] = {"job": name, "args": list(args)}
    if kwargs:
        call["kwargs"] = dict(kwargs)
    if slot is not None:
        call["slot"] = slot
    text = _dumps(call)
    if len(text.encode()) > PAYLOAD_LIMIT_BYTES:
        raise TooLarge(
            f"the arguments {where} take {len(text):,} characters; the limit is {PAYLOAD_LIMIT_BYTES:,} bytes"
        )
    return text


def with_options(job_class: JobClass, call: Call) -> JobClass:
    """The job class as this call wants it. Raises Unreadable when its options make no sense."""
    if not call.options:
        return job_class
    try:
        return job_class.using(**call.options)
    except (UsageError, TypeError) as error:
        raise Unreadable(f"the options in the body are wrong: {error}") from None


# A call, run.


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
        _check_value(result, f"the result of {job_class.name}")
        text = _dumps(result)
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


# Arguments that JSON can hold.

_SCALARS = frozenset((str, int, bool, type(None)))
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


def _check_value(value: Any, where: str, depth: int = 0) -> None:
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
        raise NotSerialisable(f"{where} is nested more than 200 deep, or contains itself: pass something flatter")
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _check_value(item, f"{where}, item {index}", depth + 1)
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise NotSerialisable(f"{where} has the key {key!r}, and JSON has only text keys: pass str({key!r})")
            _check_value(item, f"{where}, key {key!r}", depth + 1)
        return
    kind = type(value).__name__
    raise NotSerialisable(
        f"{where} is a {kind}, which JSON cannot hold: {_INSTEAD.get(kind, 'pass numbers, text, lists, or its id')}"
    )


def _named(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, Any]]:
    return list(signature.bind(*args, **kwargs).arguments.items())


def _quick_check(signature: inspect.Signature) -> Callable[..., None]:
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


def is_number(value: object) -> bool:
    """Whether this is a number that a float can hold; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False  # an integer beyond all floats


def _source_file(thing: Any) -> str:
    try:
        return inspect.getsourcefile(thing) or ""
    except (TypeError, OSError):  # typed into an interpreter, or made by a program
        return ""
