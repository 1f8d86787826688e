"""The child's side of `processes.py`: take tasks from one pipe, run them, write how each ended into another.

A forked child calls `live` itself; `python -m minique.child` is a child in a fresh interpreter.

    parent                                  child
      ── what to import ──────────────▶      a spawned one imports
                ◀── Ready, or Unready ──     a spawned one, and one with hooks
      ── task ────────────────────────▶      notes in the page that it begins, runs the job
                        ◀── outcome ───      … and so on until it has run its share; then it exits

Frames are four bytes of length, then their text. To a child: Python's own marshalling, which both sides share and which
costs least. From a child: JSON, or the result of a job as it stands behind an equals sign. It is read with suspicion: a
job can write into any descriptor of its process.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import inspect
import json
import marshal
import mmap
import os
import signal
import sys
import tempfile
import threading
import traceback
import types
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, NoReturn, Union, get_args, get_origin, get_type_hints

from minique import logs
from minique.call import Call, Unreadable
from minique.clock import SystemClock
from minique.errors import UnknownJobClass, UsageError
from minique.importing import import_modules
from minique.job_class import JobClass, with_options
from minique.perform import RETURNED_NOTHING, SOFTWARE_ERROR, Context, Outcome, Raised, Returned, run
from minique.quick import maker
from minique.registry import Registry, default_registry

FRAME_LIMIT_BYTES = 16 * 1024 * 1024
"""Arguments and results have limits of their own, far below; this one is for many follow-ups, and for rubbish."""

REHEARSALS = 50


class Task(NamedTuple):
    job_class: JobClass
    context: Context
    call: Call


class Page:
    """A few bytes of memory that a parent shares with its children: no message is needed to read them.

    Each value is eight bytes, aligned and in the machine's own order, so that it is read and written at one go.
    """

    _SIZE_BYTES = 16

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = _shared_memory(self._SIZE_BYTES) if descriptor is None else descriptor
        self._memory = mmap.mmap(self.descriptor, self._SIZE_BYTES)
        whole = memoryview(self._memory)
        self.lease_until = whole[:8].cast("d")
        """One value: until when the running job's lease stands, on the elapsed clock, which processes here share."""
        self.begun = whole[8:].cast("Q")
        """One value: the number of the task that a child began last. One that it never began was no attempt."""
        whole.release()
        self._is_open = True

    def lease_is_until(self) -> float:
        return self.lease_until[0]

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self.lease_until.release()
            self.begun.release()
            self._memory.close()
            os.close(self.descriptor)


def _shared_memory(size: int) -> int:
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("minique")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor


# The life of a child.


def live(
    parent: int,
    task_read: int,
    ending_write: int,
    page: Page,
    tasks: int,
    registry: Registry,
    hooks: Sequence[Callable[[], object]],
) -> NoReturn:
    """Call the hooks and say that all is ready, if there are any; run so many tasks, and exit.

    Earlier when the parent closes its end.
    """
    exit_code = SOFTWARE_ERROR
    try:
        _leave_the_parent(parent)
        if not hooks or _is_ready(hooks, ending_write):
            _serve(task_read, ending_write, page, tasks, registry)
            exit_code = 0
    except BaseException:
        # Nothing may climb out of here: above a forked child lies the parent's loop.
        with contextlib.suppress(BaseException):
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
    finally:
        # Without the parent's exit handlers, and without waiting for threads that a job left.
        _exit(exit_code)


def _is_ready(hooks: Sequence[Callable[[], object]], ending_write: int) -> bool:
    try:
        for hook in hooks:
            hook()
    except BaseException as error:
        # Also SystemExit. It is for the parent to tell: this child is one of many that will fare alike.
        text = str(error) if isinstance(error, UsageError) else traceback.format_exc()
        write_frame(ending_write, ["Unready", text])
        return False
    write_frame(ending_write, ["Ready"])
    return True


def _serve(task_read: int, ending_write: int, page: Page, tasks: int, registry: Registry) -> None:
    for _ in range(tasks):
        frame = _next_frame(task_read)
        if frame is None:
            return  # the parent wants no more
        number, name, context, call = marshal.loads(frame)
        read = _call(call)
        page.begun[0] = number
        outcome: Outcome
        try:
            job_class = registry.get(name)
            if read.options:
                job_class = with_options(job_class, read)
        except (UnknownJobClass, Unreadable) as error:
            # The parent knew it; here other modules were imported, or other versions of them.
            outcome = Raised(type(error).__name__, f"{error}. Does the child import the module that defines it?", "")
        else:
            outcome = run(job_class, _context(context), read, page.lease_is_until, _clock)
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                pass  # a job may have closed it, and has done its work all the same
        write_all(ending_write, _NOTHING if outcome is RETURNED_NOTHING else _told(name, outcome))


def _told(name: str, outcome: Outcome) -> bytes:
    """The frame that tells the parent how a job of that name ended."""
    if type(outcome) is Returned and not outcome.follow_ups:
        frame = with_length(_RETURNED + outcome.result.encode())
    else:
        frame = framed([type(outcome).__name__, *outcome])
    if len(frame) > FRAME_LIMIT_BYTES:
        told = f"the result and the follow-ups of {name} take {len(frame):,} bytes: have fewer or smaller follow-ups"
        frame = framed(["Raised", "TooLarge", told, "", False])
    return frame


def _leave_the_parent(parent: int) -> None:
    """Own process group, default signals, and no life after the parent's."""
    try:
        _setpgid(0, 0)
    except OSError:
        pass
    _set_wakeup_fd(-1)
    for number in _SIGNALS:
        _set_signal(number, _SIG_DFL)
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    if _getppid() != parent:
        _exit(0)  # it died before the line above


# What a child does once is cold code, and each page that it touches first is copied for it. So what can be made
# beforehand is made here, functions are not looked up in their modules, and signals are set without the detour through
# enums.
_exit, _setpgid, _getppid, _set_wakeup_fd = os._exit, os.setpgid, os.getppid, signal.set_wakeup_fd
_SIGNALS = tuple(map(int, (
    signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGCONT,
)))  # fmt: skip
_SIG_DFL, _SIGKILL, _SIGTTIN = int(signal.SIG_DFL), int(signal.SIGKILL), int(signal.SIGTTIN)
_set_signal: Callable[[int, int], object] = sys.modules.get("_signal", signal).signal  # beneath signal.signal
_PR_SET_PDEATHSIG = 1
_prctl = ctypes.PyDLL(None).prctl if sys.platform == "linux" else None
_clock = SystemClock()
_call, _context = maker(Call), maker(Context)


def show_stacks_on_ttin(and_call_the_handler: bool = False) -> None:
    """Write where every thread stands to stderr at the signal TTIN, also while one is in a call that never comes back.

    Done in the parent: a forked child inherits it, for which it would pay a twentieth of its whole life otherwise.
    """
    with contextlib.suppress(AttributeError, OSError, ValueError):  # a stderr that is no file
        faulthandler.register(_SIGTTIN, sys.stderr, chain=and_call_the_handler)


def main(arguments: Sequence[str]) -> NoReturn:
    """Be a spawned child. The arguments are numbers: the parent's id, three descriptors, how many tasks to run."""
    parent, task_read, ending_write, memory, tasks = map(int, arguments)
    for descriptor in (task_read, ending_write, memory):
        os.set_inheritable(descriptor, False)  # not for the programs that jobs start

    def get_ready() -> None:
        frame = _next_frame(task_read)
        if frame is None:
            os._exit(0)  # the parent ended meanwhile
        names, path = marshal.loads(frame)
        sys.path[:] = path  # modules are found where the parent found them
        show_stacks_on_ttin()
        import_modules(names)
        logs.set_up_as_told()
        # Nothing was forked; yet this is where applications make their connections, and a child is a child.
        for hook in default_registry.hooks.of_after_fork_in_child:
            hook()

    live(parent, task_read, ending_write, Page(memory), tasks, default_registry, [get_ready])


def rehearse() -> None:
    """Run a job that does nothing, again and again, in the parent.

    Python adapts code to what it does the first times, and so writes to it: what is adapted before a fork is shared.
    """
    page, registry = Page(), Registry()
    registry.add(JobClass("rehearsal", lambda running: None, inspect.Signature()))
    frame = for_child(1, "rehearsal", tuple(Context("", "", 1)), tuple(Call("rehearsal", [], {}, {})))
    read, write = os.pipe()
    try:
        for _ in range(REHEARSALS):
            write_all(write, frame)
            _serve(read, write, page, 1, registry)
            _next_frame(read)
    finally:
        os.close(read)
        os.close(write)
        page.close()
    after_fork = getattr(threading, "_after_fork", None)
    if after_fork and threading.active_count() == 1:
        # Python calls this in each child, and nowhere else. Here it changes nothing; unrehearsed, it is the cause of a
        # sixth of all the pages that are copied for a bare child.
        for _ in range(REHEARSALS):
            after_fork()


# Frames.


_RETURNED = b"="
_FIRST_READ_BYTES = 448
"""Most frames to a child are shorter. Python has room for so little at hand, and touches less for it."""


def for_child(*values: Any) -> bytes:
    """A frame for a child. The values are plain ones, lists, dicts, and tuples without names."""
    return with_length(marshal.dumps(values))


def framed(value: object) -> bytes:
    """A frame for the parent."""
    return with_length(json.dumps(value).encode())


def with_length(text: bytes) -> bytes:
    return len(text).to_bytes(4, "big") + text


_NOTHING = with_length(_RETURNED + RETURNED_NOTHING.result.encode())


def write_frame(descriptor: int, value: object) -> None:
    write_all(descriptor, framed(value))


def write_all(descriptor: int, data: bytes) -> None:
    sent = os.write(descriptor, data)
    while sent < len(data):
        sent += os.write(descriptor, data[sent:])


def _next_frame(descriptor: int) -> bytes | None:
    """Wait for one frame and return its text; None when the other side is gone. It sends no more than one at a time."""
    received: bytes | None = os.read(descriptor, _FIRST_READ_BYTES)
    if received and len(received) < 4:
        received += _exactly(descriptor, 4 - len(received)) or b""
    if not received or len(received) < 4:
        return None
    missing = 4 + int.from_bytes(received[:4], "big") - len(received)
    if missing <= 0:
        return received[4:]
    rest = _exactly(descriptor, missing)
    return None if rest is None else received[4:] + rest


def _exactly(descriptor: int, size: int) -> bytes | None:
    received = bytearray()
    while len(received) < size:
        chunk = os.read(descriptor, min(65536, size - len(received)))
        if not chunk:
            return None
        received += chunk
    return bytes(received)


class Rubbish(ValueError):
    """What was read is no frame that a child would write."""


def take_frame(received: bytearray) -> list[Any] | None:
    """Take the first frame off what was received, once it is whole. Raises Rubbish."""
    if len(received) < 4:
        return None
    length = int.from_bytes(received[:4], "big")
    if length > FRAME_LIMIT_BYTES:
        raise Rubbish
    if len(received) < 4 + length:
        return None
    try:
        text = received[4 : 4 + length].decode()
        found = ["Returned", text[1:]] if text.startswith("=") else json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise Rubbish from None
    if not isinstance(found, list) or not found or not isinstance(found[0], str):
        raise Rubbish
    del received[: 4 + length]
    return found


def _refuse(constant: str) -> NoReturn:
    raise Rubbish(constant)


_OUTCOMES: dict[str, Any] = {kind.__name__: kind for kind in get_args(Outcome)}


def read_outcome(frame: Sequence[Any]) -> Outcome:
    """The outcome that stands in a frame. Raises Rubbish unless it has the fields, and they have the types, of one."""
    kind, *fields = frame
    if kind == "Returned" and len(fields) == 1 and type(fields[0]) is str:
        return Returned(fields[0])  # as most do
    if kind not in _OUTCOMES:
        raise Rubbish
    outcome: Outcome = read_as(_OUTCOMES[kind], fields)
    return outcome


def read_as(kind: Any, value: Any) -> Any:
    """A value that came as JSON, made into what the type says: lists become tuples. Raises Rubbish if it is not that.

    Knows the types that outcomes are made of: plain ones, unions, tuples, lists, dicts, and named tuples of all these.
    """
    if kind is Any:
        return value
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        for one in inner:
            with contextlib.suppress(Rubbish):
                return read_as(one, value)
    elif kind is None or kind is types.NoneType:
        if value is None:
            return None
    elif kind is float:
        if type(value) in (int, float):
            with contextlib.suppress(OverflowError):
                return float(value)
    elif kind in (str, int, bool, dict, list):
        if type(value) is kind:
            return value
    elif origin is dict:
        if type(value) is dict:
            return {read_as(inner[0], name): read_as(inner[1], one) for name, one in value.items()}
    elif type(value) is list:
        if origin is list:
            return [read_as(inner[0], one) for one in value]
        if origin is tuple and inner[1:] == (Ellipsis,):
            return tuple(read_as(inner[0], one) for one in value)
        if origin is tuple and len(inner) == len(value):
            return tuple(read_as(one, part) for one, part in zip(inner, value, strict=True))
        if isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields"):
            hints = _types_of_fields(kind)
            least = len(hints) - len(kind._field_defaults)  # type: ignore[attr-defined]
            if least <= len(value) <= len(hints):
                return kind(*(read_as(hint, part) for hint, part in zip(hints, value, strict=False)))
    raise Rubbish


@cache
def _types_of_fields(kind: Any) -> list[Any]:
    found = get_type_hints(kind)  # which costs more than all the rest of reading an outcome
    return [found[name] for name in kind._fields]


if __name__ == "__main__":
    main(sys.argv[1:])
