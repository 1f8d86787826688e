"""From a claimed job to what is to be run: its record read, its job class found, whatever stands there."""

from __future__ import annotations

from minique.call import Call, Unreadable, read_call, scan_value
from minique.child import Task
from minique.errors import UnknownJobClass
from minique.ids import is_id
from minique.job_class import with_options
from minique.perform import Context, Raised
from minique.quick import maker
from minique.registry import Registry
from minique.store import Leased

_task, _context, _call = maker(Task), maker(Context), maker(Call)


def read_task(job: Leased, registry: Registry) -> Task | Raised:
    """What to run; or, as a failure, why that cannot be known."""
    id, found_in, _, _, record = job
    queue, newline, body = record.partition("\n")
    # Most bodies are `{"job":"NAME","args":[…]}`, and read here in a third of the time that `read_call` takes.
    begin = body.find("[")
    usual = registry.heads.get(body[:begin])
    if usual is not None and queue == found_in and is_id(id):
        try:
            args, end = scan_value(body, begin)
            if body[end:] == "}":
                call = _call((usual.name, args, {}, {}, None))
                return _task((usual, _context((id, queue, job.attempt, None)), call))
        except (StopIteration, ValueError, RecursionError):
            pass  # said below, in words
    try:
        if not newline or queue != found_in or not is_id(id):
            raise Unreadable("the record was not written by minique: it has no first line that names its queue")
        call = read_call(body)
        job_class = with_options(registry.get(call.name), call)
    except Unreadable as error:
        return Raised("Unreadable", f"{error}; the bytes are kept: {job.record[:200]!r}", "", may_retry=False)
    except UnknownJobClass as error:
        # Perhaps a worker with newer code is on its way: this is tried again like any failure.
        return Raised("UnknownJobClass", f"{error}. Does the worker import the module that defines it?", "")
    return Task(job_class, Context(job.id, queue, job.attempt, call.slot), call)
