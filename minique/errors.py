"""Every exception that minique raises.

    MiniqueError
    ├── UsageError                 a programmer's mistake; the message says what to write instead
    │   ├── WrongArguments         the arguments do not fit `perform`
    │   ├── NotSerialisable        JSON cannot hold an argument or a result
    │   ├── TooLarge               a payload or a result is over its limit
    │   ├── BadName                a queue, namespace or subscription that cannot be a name
    │   └── UnknownJobClass        a name that no registered job class has
    ├── ServerError                the server did not do what was asked
    │   ├── Unreachable            no answer: it is down, starting, or the network is; trying again may help
    │   └── LayoutMismatch         its keys were written by a release that this one cannot read
    ├── ChildNotReady              no process gets ready to run jobs: a hook or an import fails; no job was started
    └── NoResult                   what `handle.result()` raises
        ├── NotDone                not finished within the time given
        ├── JobFailed              out of tries; carries the traceback
        └── JobGone                cancelled, discarded, or its result was forgotten

Losing a lease, cancelling a job that runs already, promoting what is not due: those are refusals, hence answers.
An exception raised by a job's own code is data: it is stored with the job.
"""

from __future__ import annotations


class MiniqueError(Exception):
    """The root of the tree above."""


class UsageError(MiniqueError): ...


class WrongArguments(UsageError, TypeError): ...


class NotSerialisable(UsageError, TypeError): ...


class TooLarge(UsageError, ValueError): ...


class BadName(UsageError, ValueError): ...


class UnknownJobClass(UsageError, LookupError): ...


class ServerError(MiniqueError): ...


class Unreachable(ServerError, ConnectionError): ...


class LayoutMismatch(ServerError): ...


class ChildNotReady(MiniqueError): ...


class NoResult(MiniqueError): ...


class NotDone(NoResult, TimeoutError): ...


class JobFailed(NoResult):
    """The job is in the failed queue; `traceback` is the text that its last attempt left."""

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback


class JobGone(NoResult, LookupError): ...
