"""What a job is: a class with `perform`, or a decorated function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from datetime import datetime
from functools import partial, update_wrapper
from typing import TYPE_CHECKING, Any, ClassVar, Generic, ParamSpec, Protocol, TypeVar, overload

from minique.backoff import Backoff
from minique.errors import UsageError
from minique.job_class import RESULT_LIFETIME_SECONDS, JobClass, Unique, source_file_of
from minique.perform import RunningJob
from minique.registry import Registry, default_registry
from minique.when import Span, When

if TYPE_CHECKING:
    from minique.client import Client, Handle

P = ParamSpec("P")
R = TypeVar("R")


class Job:
    """Work to be done later, as a class with `perform`.

        class Archive(Job):
            queue, retries, timeout = "archives", 3, 30
            def perform(self, repo_id: int, branch: str = "main") -> str: ...

    A new object is made for each run: keep intermediate results on self. Defining the class registers it.
    Override `before_perform`, `after_perform`, `on_failure` and `before_enqueue` to have something done around it.
    """

    queue: ClassVar[str] = "default"
    retries: ClassVar[int] = 3
    timeout: ClassVar[float | None] = None
    backoff: ClassVar[Backoff] = Backoff()
    result_lifetime: ClassVar[int] = RESULT_LIFETIME_SECONDS
    expires_in: ClassVar[Span | None] = None
    unique: ClassVar[Unique] = False
    name: ClassVar[str] = ""
    registry: ClassVar[Registry] = default_registry
    job_class: ClassVar[JobClass]

    id: str
    attempt: int
    planned_at: datetime | None
    """The slot of a recurring job: the time for which it was planned, in UTC."""
    running: RunningJob
    """All that a running job may ask and say; the methods below say it for short."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        perform = getattr(cls, "perform", None)
        if perform is None or inspect.isabstract(cls):
            return  # a base for other job classes
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
            expires_in=cls.expires_in,
            unique=cls.unique,
            hooks=cls.registry.hooks,
            before_enqueue=None if cls.before_enqueue is Job.before_enqueue else cls.before_enqueue,
            source_file=source_file_of(cls),
            qualified_name=cls.__qualname__,
        )
        cls.registry.add(cls.job_class)

    def lease_left(self) -> float:
        """Seconds for which this attempt is still this worker's; see `RunningJob.lease_left`."""
        return self.running.lease_left()

    def follow_up(self, kind: Enqueueable, /, *args: Any, **kwargs: Any) -> str:
        """Enqueue another job when this one completes, or not at all; see `RunningJob.follow_up`."""
        return self.running.follow_up(kind, *args, **kwargs)

    def before_perform(self) -> None:
        """Called before each attempt; what it raises is the attempt's failure."""

    def after_perform(self, result: Any) -> None:
        """Called with what perform returned; what it raises is the attempt's failure."""

    def on_failure(self, error: BaseException) -> None:
        """Called with what an attempt raised, where it ran; not when its process was killed."""

    @staticmethod
    def before_enqueue(*args: Any, **kwargs: Any) -> None:
        """Called in the producer with the job's arguments; what it raises reaches whoever enqueues."""

    @classmethod
    def using(cls, **changes: Any) -> JobClass:
        """This job class with other options for single jobs: `mq.enqueue(Archive.using(queue="low"), 1)`."""
        return cls.job_class.using(**changes)

    @classmethod
    def enqueue(cls, /, *args: Any, **kwargs: Any) -> Handle[Any]:
        """Enqueue by the default client; see `Client.enqueue`."""
        return _client().enqueue(cls, *args, **kwargs)


def _perform(cls: type[Job], running: RunningJob, /, *args: Any, **kwargs: Any) -> Any:
    one = running.job = cls()
    one.running = running
    one.id, one.attempt, one.planned_at = running.id, running.attempt, running.planned_at
    one.before_perform()
    return one.perform(*args, **kwargs)  # type: ignore[attr-defined]


class JobFunction(Generic[P, R]):
    """A function that can be called as before, or enqueued."""

    def __init__(self, function: Callable[P, R], job_class: JobClass) -> None:
        update_wrapper(self, function)
        self.function, self.job_class = function, job_class

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __reduce__(self) -> str:
        return str(self.job_class.qualified_name)  # pickled by its name, as functions are

    def __repr__(self) -> str:
        return f"<job {self.job_class.name}{self.job_class.signature}>"

    def using(self, **changes: Any) -> JobClass:
        """This job class with other options for single jobs."""
        return self.job_class.using(**changes)

    def enqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """Enqueue by the default client; see `Client.enqueue`."""
        return _client().enqueue(self, *args, **kwargs)

    def enqueue_in(self, delay: Span, /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        return _client().enqueue_in(delay, self, *args, **kwargs)

    def enqueue_at(self, when: When, /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        return _client().enqueue_at(when, self, *args, **kwargs)


class _AsyncJobFunction(JobFunction[P, R]):
    """For type checkers: calling it makes a coroutine, and the job's result is what that returns."""

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...  # type: ignore[override, empty-body]


class Decorator(Protocol):
    """What `@job(…)` is: `send(7)` keeps its types, and so does `mq.enqueue(send, 7).result()`."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> _AsyncJobFunction[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> JobFunction[P, R]: ...


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
    expires_in: Span | None = None,
    unique: Unique = False,
    registry: Registry = default_registry,
) -> Decorator:
    """Make a function into a job class: `@job(queue="mail")`. The decorated function still just calls.

    timeout, result_lifetime and expires_in are in seconds; what each option means stands at `JobClass`. Raises
    UsageError for options that make no sense, and for a function without a name of its own (a lambda) or one that
    another function has taken.
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
            expires_in=expires_in,
            unique=unique,
            hooks=registry.hooks,
            source_file=source_file_of(function),
            qualified_name=getattr(function, "__qualname__", its_name),
        )
        registry.add(job_class)
        return JobFunction(function, job_class)

    return decorate  # type: ignore[return-value]


def _call(function: Callable[..., Any], running: RunningJob, /, *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


Enqueueable = type[Job] | JobFunction[..., Any] | JobClass


# The default client is filled in by the package, which stands above this module.
default_client: Callable[[], Client] | None = None


def _client() -> Client:
    if default_client is None:
        raise UsageError("there is no default client: import minique, or use connect().enqueue(…)")
    return default_client()
