"""Background jobs on Redis or Valkey: do this later, outside the web request.

from minique import connect, job

@job(queue="mail")
def send_welcome(user_id: int) -> None: ...

connect().enqueue(send_welcome, 7)
"""

from minique import job as _job_module
from minique.backoff import Backoff
from minique.client import Client, Handle
from minique.connect import connect, default_client, set_default_client
from minique.errors import (
    BadName,
    JobFailed,
    JobGone,
    LayoutMismatch,
    MiniqueError,
    NoResult,
    NotDone,
    NotSerialisable,
    ServerError,
    TooLarge,
    UnknownJobClass,
    Unreachable,
    UsageError,
    WrongArguments,
)
from minique.job import Job, JobFunction, job
from minique.job_class import JobClass
from minique.perform import Discard, Retry, RunningJob, current_job
from minique.registry import Registry, default_registry

__version__ = "0.1.0"

hooks = default_registry.hooks
"""What is called around the jobs of the default registry; see `hooks.py`."""

_job_module.default_client = default_client

__all__ = [
    "Backoff",
    "BadName",
    "Client",
    "Discard",
    "Handle",
    "Job",
    "JobClass",
    "JobFailed",
    "JobFunction",
    "JobGone",
    "LayoutMismatch",
    "MiniqueError",
    "NoResult",
    "NotDone",
    "NotSerialisable",
    "Registry",
    "Retry",
    "RunningJob",
    "ServerError",
    "TooLarge",
    "UnknownJobClass",
    "Unreachable",
    "UsageError",
    "WrongArguments",
    "connect",
    "current_job",
    "hooks",
    "job",
    "set_default_client",
]
