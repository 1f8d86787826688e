"""What an application wants called around its jobs: `@hooks.before_perform`, one decorator for each occasion.

    from minique import hooks

    @hooks.after_fork_in_child
    def reconnect() -> None:
        database.close()                 # a connection must not be shared with the parent

Hooks are called in the order in which they were added. They belong to a registry, like the job classes beside them;
`minique.hooks` are those of the default one. A job class may have hooks of its own as methods: see `Job`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from minique.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])


class Hooks:
    """Functions to call, a list for each occasion."""

    def __init__(self) -> None:
        self.of_before_enqueue: list[Callable[..., Any]] = []
        self.of_before_perform: list[Callable[..., Any]] = []
        self.of_after_perform: list[Callable[..., Any]] = []
        self.of_on_failure: list[Callable[..., Any]] = []
        self.of_before_fork: list[Callable[[], Any]] = []
        self.of_after_fork_in_child: list[Callable[[], Any]] = []

    def before_enqueue(self, function: F) -> F:
        """`function(job_class, args, kwargs)`, in the producer. What it raises reaches whoever enqueues; nothing is
        stored then."""
        self.of_before_enqueue.append(_plain(function))
        return function

    def before_perform(self, function: F) -> F:
        """`function(running)`, where the job runs. What it raises is the attempt's failure; the job is not run."""
        self.of_before_perform.append(function)
        return function

    def after_perform(self, function: F) -> F:
        """`function(running, result)`, after perform has returned. What it raises is the attempt's failure."""
        self.of_after_perform.append(function)
        return function

    def on_failure(self, function: F) -> F:
        """`function(running, error)`, where the job ran, for whatever perform or a hook raised; `Retry` too.

        Not for an attempt whose process was killed: nobody is left to call it. What it raises is written to stderr.
        """
        self.of_on_failure.append(function)
        return function

    def before_fork(self, function: F) -> F:
        """`function()`, in the worker, before each fork. What it raises ends the worker."""
        self.of_before_fork.append(_plain(function))
        return function

    def after_fork_in_child(self, function: F) -> F:
        """`function()`, in each child, before its first job. What it raises ends the worker; no job is charged a try.

        The place to close and renew what must not be shared, such as connections to databases.
        """
        self.of_after_fork_in_child.append(_plain(function))
        return function


def _plain(function: F) -> F:
    if inspect.iscoroutinefunction(function):
        raise UsageError(f"{function.__qualname__}: nothing would await this hook; write it with def, not async def")
    return function
