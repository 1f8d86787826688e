"""One kind of work and its options: what producers bind to and workers run, however it was written (see `job.py`)."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from minique.backoff import Backoff
from minique.call import (
    PAYLOAD_LIMIT_BYTES,
    SCALARS,
    Call,
    Unreadable,
    as_json,
    check_value,
    is_number,
    quick_check,
)
from minique.errors import NotSerialisable, TooLarge, UsageError, WrongArguments
from minique.hooks import Hooks
from minique.subscription import check_queue_name
from minique.when import Span, seconds_of

RESULT_LIFETIME_SECONDS = 600
NONE_LIFETIME_SECONDS = 10
"""How long it is kept that a job is done when it returned None; also the least that anything done is kept."""


Unique = bool | str | Callable[..., str]

# Equal arguments make equal text. What JSON cannot hold is a default that nobody can pass: a word stands for it.
_sorted_json = json.JSONEncoder(sort_keys=True, default=lambda value: "default").encode

UNIQUE_KEY_LIMIT_CHARACTERS = 200


@dataclass(frozen=True)
class JobClass:
    """One kind of work, however it was written: what producers bind to and workers run."""

    name: str
    """The word by which jobs on the server name it."""
    call: Callable[..., Any]
    """Takes the running job first, then the job's own arguments."""
    signature: inspect.Signature
    queue: str = "default"
    retries: int = 3
    timeout: float | None = None
    """Seconds an attempt may take in a child before it is killed; counted as a failure."""
    backoff: Backoff = field(default_factory=Backoff)
    result_lifetime: int = RESULT_LIFETIME_SECONDS
    """Seconds that a result is kept; None, which says nothing, is kept for NONE_LIFETIME_SECONDS."""
    expires_in: Span | None = None
    """How long after it was due it is still worth beginning; an older one is removed by the claim, and counted."""
    unique: Unique = False
    """Of such jobs only one may be queued, delayed or leased. With True: of those with equal arguments; with a text, or
    a function of the arguments that answers one: of those with equal text. Each job class has keys of its own."""
    hooks: Hooks = field(default_factory=Hooks)
    before_enqueue: Callable[..., Any] | None = None
    """A job class's own hook: takes the job's arguments."""
    source_file: str = ""
    qualified_name: str = ""
    options: tuple[tuple[str, int | float | None], ...] = ()
    """What `using` changed for single jobs and workers have to be told."""
    head: str = field(init=False, repr=False, compare=False)
    """How the body of each of its jobs begins, up to the arguments."""

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
        if self.expires_in is not None and seconds_of(self.expires_in) <= 0:
            raise UsageError(f"{where}: expires_in is {self.expires_in!r}; pass more than zero seconds, or None")
        if not (isinstance(self.unique, (bool, str)) or callable(self.unique)):
            raise UsageError(f"{where}: unique is {self.unique!r}; pass True, a text, or a function that answers one")
        object.__setattr__(self, "result_lifetime", int(self.result_lifetime))
        expires = "" if self.expires_in is None else f"+{seconds_of(self.expires_in):.6f}"
        object.__setattr__(self, "_expires", expires)
        object.__setattr__(self, "_fits", quick_check(self.signature))
        object.__setattr__(self, "head", f'{{"job":{as_json(self.name)},"args":')

    @property
    def defined_at(self) -> str:
        return f"{self.qualified_name} in {self.source_file or 'an unknown file'}"

    def using(self, **changes: Any) -> JobClass:
        """The same job class with other options: `using(queue="low", retries=0)`.

        queue, retries, timeout, result_lifetime, expires_in and unique can be changed. Raises UsageError for others.
        """
        for name in changes:
            if name not in _CHANGEABLE:
                raise UsageError(f"{self.name}.using: there is no option {name!r}; there are {', '.join(_CHANGEABLE)}")
        told = {**dict(self.options), **{name: value for name, value in changes.items() if name in _TOLD_TO_WORKERS}}
        return replace(self, **changes, options=tuple(sorted(told.items())))

    def body(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """A call with these arguments as it is stored, after the hooks that are called before.

        Raises WrongArguments when `perform` does not take them, NotSerialisable when JSON cannot hold one of them,
        TooLarge when they are over the limit.
        """
        try:
            self._fits(*args, **kwargs)  # type: ignore[attr-defined]
        except TypeError as error:
            raise WrongArguments(
                f"{self.name} takes {self.signature}, which does not fit: {self._why_misfit(args, kwargs) or error}"
            ) from None
        for hook in self.hooks.of_before_enqueue:
            hook(self, args, kwargs)
        if self.before_enqueue:
            self.before_enqueue(*args, **kwargs)
        try:
            if not all(type(value) in SCALARS for value in args) or kwargs:
                for name, value in self.signature.bind(*args, **kwargs).arguments.items():
                    check_value(value, f"argument {name!r} of {self.name}")
            text = self.head + as_json(args)
            if kwargs:
                text += f',"kwargs":{as_json(kwargs)}'
            if self.options:
                text += f',"options":{as_json(dict(self.options))}'
            text += "}"
            size = len(text) if text.isascii() else len(text.encode())
        except NotSerialisable:
            raise
        except (ValueError, TypeError, RecursionError) as error:
            for name, value in self.signature.bind(*args, **kwargs).arguments.items():
                check_value(value, f"argument {name!r} of {self.name}")
            raise NotSerialisable(f"the arguments of {self.name} cannot be written as JSON: {error}") from None
        if size > PAYLOAD_LIMIT_BYTES:
            raise TooLarge(
                f"the arguments of {self.name} take {size:,} bytes as JSON, and the limit is {PAYLOAD_LIMIT_BYTES:,}: "
                "store them elsewhere and pass where they are"
            )
        if self._expires or self.unique:  # type: ignore[attr-defined]
            return f"@{self._expires} {self._key(args, kwargs)}\n{text}"  # type: ignore[attr-defined]
        return text

    def _key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The unique key of a call, as it stands on the server; empty when it has none."""
        if not self.unique:
            return ""
        if self.unique is True:
            # However the arguments were passed, by place or by name.
            bound = self.signature.bind(*args, **kwargs)
            bound.apply_defaults()
            key: Any = hashlib.sha1(_sorted_json(list(bound.arguments.items())).encode()).hexdigest()  # no secret
        else:
            key = self.unique if isinstance(self.unique, str) else self.unique(*args, **kwargs)
        if not isinstance(key, str) or not key.isprintable() or not 0 < len(key) <= UNIQUE_KEY_LIMIT_CHARACTERS:
            raise UsageError(
                f"{self.name}: its unique key is {key!r}; it must be text of 1 to {UNIQUE_KEY_LIMIT_CHARACTERS} "
                "visible characters"
            )
        return f"{self.name}:{key}"

    def _why_misfit(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """In better words than the call's own; "" where Python 3.13 takes, as a bug, what a call does not."""
        try:
            self.signature.bind(*args, **kwargs)
        except TypeError as error:
            return str(error)
        return ""


def job_class_of(kind: Any) -> JobClass:
    """The job class behind what a producer names. Raises UsageError for anything else."""
    found = kind if isinstance(kind, JobClass) else getattr(kind, "job_class", None)
    if not isinstance(found, JobClass):
        raise UsageError(
            f"{kind!r} is not a job class: pass a subclass of Job that has perform, or a function decorated with @job()"
        )
    return found


_TOLD_TO_WORKERS = ("retries", "timeout", "result_lifetime")
_CHANGEABLE = ("queue", *_TOLD_TO_WORKERS, "expires_in", "unique")


def with_options(job_class: JobClass, call: Call) -> JobClass:
    """The job class as this call wants it. Raises Unreadable when its options make no sense."""
    if not call.options:
        return job_class
    try:
        return job_class.using(**call.options)
    except (UsageError, TypeError) as error:
        raise Unreadable(f"the options in the body are wrong: {error}") from None


def source_file_of(thing: Any) -> str:
    try:
        return inspect.getsourcefile(thing) or ""
    except (TypeError, OSError):  # typed into an interpreter, or made by a program
        return ""
