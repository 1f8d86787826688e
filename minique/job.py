"""What a job is: a class with `perform`, or a decorated function, and its options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, ParamSpec, TypeVar

from minique.backoff import Backoff
from minique.call import (
    PAYLOAD_LIMIT_BYTES,
    SCALARS,
    Call,
    Unreadable,
    as_json,
    check_value,
    is_number,
    named_arguments,
    quick_check,
)
from minique.errors import NotSerialisable, TooLarge, UsageError, WrongArguments
from minique.perform import Context
from minique.registry import Registry, default_registry
from minique.subscription import check_queue_name

if TYPE_CHECKING:
    from minique.client import Client, Handle

P = ParamSpec("P")
R = TypeVar("R")

RESULT_LIFETIME_SECONDS = 600
NONE_LIFETIME_SECONDS = 10
"""How long it is kept that a job is done when it returned None; also the least that anything done is kept."""


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
        object.__setattr__(self, "_fits", quick_check(self.signature))
        object.__setattr__(self, "_json_name", as_json(self.name))

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
            if not all(type(value) in SCALARS for value in args) or kwargs:
                for name, value in named_arguments(self.signature, args, kwargs):
                    check_value(value, f"argument {name!r} of {self.name}")
            text = f'{{"job":{self._json_name},"args":{as_json(args)}'  # type: ignore[attr-defined]
            if kwargs:
                text += f',"kwargs":{as_json(kwargs)}'
            if self.options:
                text += f',"options":{as_json(dict(self.options))}'
            text += "}"
            size = len(text) if text.isascii() else len(text.encode())
        except NotSerialisable:
            raise
        except (ValueError, TypeError, RecursionError) as error:
            for name, value in named_arguments(self.signature, args, kwargs):
                check_value(value, f"argument {name!r} of {self.name}")
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


def with_options(job_class: JobClass, call: Call) -> JobClass:
    """The job class as this call wants it. Raises Unreadable when its options make no sense."""
    if not call.options:
        return job_class
    try:
        return job_class.using(**call.options)
    except (UsageError, TypeError) as error:
        raise Unreadable(f"the options in the body are wrong: {error}") from None


def _source_file(thing: Any) -> str:
    try:
        return inspect.getsourcefile(thing) or ""
    except (TypeError, OSError):  # typed into an interpreter, or made by a program
        return ""
