"""The programs that run for long: the one place where the real clock, processes and signals are put together."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import math
import os
import random
import re
import signal
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NoReturn

from minique import status
from minique.child import show_stacks_on_ttin
from minique.client import Client
from minique.clock import SystemClock
from minique.errors import ChildNotReady, ServerError
from minique.events import Events
from minique.keeper import Keeper
from minique.loop import Wait, run
from minique.processes import FORK_JOBS_PER_CHILD, SPAWN_JOBS_PER_CHILD, Forks, InLine, Spawns
from minique.registry import Registry
from minique.scheduler import Scheduler
from minique.store import Reap, Release
from minique.supervisor import HANDLED, STOPPING, Makers, Supervisor
from minique.tree import HELD_BACK, Tree, signal_name
from minique.worker import Settings, Worker


def work(
    client: Client,
    registry: Registry,
    events: Events,
    mode: str,
    settings: Settings,
    shutdown_timeout_seconds: float,
    name: str = "",
    imports: Sequence[str] = (),
    jobs_per_child: int | None = None,
) -> None:
    """Be a worker until a signal says to stop, or, in a burst, until nothing is ready.

    A supervisor gives it a name, so as to know whose leases to give back should it die. Spawned children import what
    is named. Raises ChildNotReady, with everything given back, when jobs cannot be run here.
    """
    name = name or new_name()
    queues = settings.subscription.text
    settings = replace(settings, about={**_about("worker"), "queues": queues, "mode": mode})
    processes = _processes(registry, mode, imports, jobs_per_child)
    rng = random.SystemRandom()
    worker = Worker(client.store, registry, processes, SystemClock(), rng, events, name, settings)

    def kill_job() -> None:
        if processes.in_line:
            refuse(signal.SIGUSR1)
        else:
            worker.kill_job("it was killed by SIGUSR1 to its worker")

    def refuse(number: int) -> None:
        because = "the job runs in the worker itself, and would take it along: TERM stops both"
        events.emit("signal_refused", worker=name, signal=signal_name(number), because=because)

    def pause() -> None:
        worker.pause()
        events.emit("paused", worker=name)

    def resume() -> None:
        if worker.is_paused:  # systemd and others send CONT after each TERM
            worker.resume()
            events.emit("resumed", worker=name)

    def show_stacks() -> None:
        events.emit("stacks_shown", worker=name, pid=os.getpid())
        processes.show_stacks()

    wake_up = _on_signals(
        {
            **_stopping(lambda: worker.stop(shutdown_timeout_seconds), lambda: worker.stop(0)),
            signal.SIGQUIT: lambda: worker.stop(math.inf),
            signal.SIGUSR1: kill_job,
            signal.SIGUSR2: pause,
            signal.SIGCONT: resume,
            signal.SIGTTIN: show_stacks,
        }
    )
    events.emit("worker_started", worker=name, queues=queues, mode=mode, pid=os.getpid())
    keeping: _Keeping | None = None
    if processes.in_line:
        without = [job_class.name for job_class in registry if job_class.timeout]
        if without:
            events.emit("timeouts_are_ignored", jobs=",".join(without), because="jobs run in-line, not in a child")
        keeping = _Keeping(worker, events)
    elif mode == "fork":
        _warn_of_threads(events)
    try:
        if not isinstance(processes, InLine):
            _tidy_memory()
            processes.await_ready()  # before anything is claimed
        run(worker, Wait(client.store, worker, wake_up), worker.is_finished, events, rng)
    except ChildNotReady:
        # No fault of the job in hand: another worker may have it at once, without the loss of a try.
        state = worker.state
        if state.claim:
            with contextlib.suppress(ServerError):  # its lease gives it back
                client.store.trip([*state.arrows(), Release(state.claim)], "")
        _say_goodbye(worker.leave)
        raise
    finally:
        if keeping:
            keeping.stop()
        processes.close()
    _say_goodbye(worker.leave)
    _turn_deaf()
    events.emit("worker_stopped", worker=name)


def _tidy_memory() -> None:
    """Before the first fork, which is the dearer the more memory there is, and the more of it is written to."""
    gc.collect()
    gc.freeze()  # a collection would write into everything, and what is written to is copied after each fork
    give_back_what_is_free = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not on all systems
    if give_back_what_is_free:
        give_back_what_is_free(0)


def _processes(
    registry: Registry, mode: str, imports: Sequence[str], jobs_per_child: int | None
) -> InLine | Forks | Spawns:
    if mode == "inline":
        return InLine()
    if mode == "spawn":
        return Spawns(imports, jobs_per_child or SPAWN_JOBS_PER_CHILD)
    return Forks(registry, jobs_per_child=jobs_per_child or FORK_JOBS_PER_CHILD)


def keep_time(client: Client, events: Events, name: str = "") -> None:
    """Be a scheduler until a signal says to stop."""
    name = name or new_name()
    scheduler = Scheduler(client.store, SystemClock(), events, name, _about("scheduler"))
    asked: list[bool] = []

    def stop() -> None:
        asked.append(True)

    def refuse(number: int) -> None:
        events.emit("signal_refused", worker=name, signal=signal_name(number), because="a scheduler has no job")

    wake_up = _on_signals(
        {
            **_stopping(stop, stop),
            signal.SIGQUIT: stop,
            signal.SIGUSR1: partial(refuse, signal.SIGUSR1),
            signal.SIGUSR2: partial(refuse, signal.SIGUSR2),
            signal.SIGCONT: lambda: None,
            signal.SIGTTIN: lambda: events.emit("stacks_shown", worker=name, pid=os.getpid()),
        }
    )
    events.emit("scheduler_started", worker=name, pid=os.getpid())
    run(scheduler, Wait(client.store, scheduler, wake_up), lambda: bool(asked), events, random.SystemRandom())
    _say_goodbye(scheduler.leave)
    _turn_deaf()
    events.emit("scheduler_stopped", worker=name)


def supervise(
    client: Client, events: Events, makers: Makers, workers: int, with_scheduler: bool, shutdown_timeout_seconds: float
) -> int:
    """Keep workers and a scheduler running until a signal says to stop; answer the exit code."""
    client.close()  # a connection must not be shared with those who are forked from here
    supervisor = Supervisor(Tree(), makers, SystemClock(), events, workers, with_scheduler, shutdown_timeout_seconds)
    wake_up = _on_signals({number: partial(supervisor.ask, number) for number in HANDLED})
    gc.collect()
    gc.freeze()  # what was imported stays shared with those who are forked: no collection writes into it
    events.emit("supervisor_started", pid=os.getpid(), workers=workers, scheduler=with_scheduler)
    _warn_of_threads(events)
    wait = Wait(client.store, supervisor, wake_up)
    run(supervisor, wait, supervisor.is_finished, events, random.SystemRandom())
    _turn_deaf()
    events.emit("supervisor_stopped", pid=os.getpid())
    return supervisor.state.exit_code


def _warn_of_threads(events: Events) -> None:
    names = sorted(thread.name for thread in threading.enumerate() if thread is not threading.main_thread())
    if names:
        because = (
            "a fork has none of them, and may wait for ever for what they hold: "
            "start them in hooks.after_fork_in_child, or run with --mode spawn"
        )
        events.emit("threads_before_fork", threads=",".join(names), because=because)


CLAIMS_AT_ONCE = 20


def give_back(client: Client, events: Events, dead: Sequence[tuple[str, str]]) -> bool:
    """Give back at once what the dead held, who come as pairs of name and how they died; nothing of them may run.

    Answers whether they held anything.
    """
    clock = SystemClock()
    found = False
    for name, why in dead:
        while True:
            reaped = client.store.trip([Reap(CLAIMS_AT_ONCE, worker=name, why=why)], clock.stamp())[0]
            for jobs, to in ((reaped.back, "queued"), (reaped.failed, "failed")):
                for job in jobs:
                    events.emit("reaped", job=job, to=to, worker=name, why=why)
            if not (reaped.back or reaped.failed):
                break
            found = True
        client.store.beat(clock.stamp(), name, "", "")
    return found


class _Keeping:
    """The keeper of an in-line worker, in its thread."""

    def __init__(self, worker: Worker, events: Events) -> None:
        # By the time that a stop's timeout has passed, the job's claim was given back; nothing else ends a job in-line.
        keeper = Keeper(worker)
        keeper.at_stop = lambda: _leave_at_once(worker, events)
        self._ended = threading.Event()

        def wait(seconds: float, bell: str | None) -> None:
            self._ended.wait(seconds)

        self._thread = threading.Thread(
            target=run,
            args=(keeper, wait, self._ended.is_set, events, random.SystemRandom()),
            name="keeper",
            daemon=True,
        )
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()


def _on_signals(meanings: Mapping[int, Callable[[], None]]) -> int:
    """Have each signal call what it means; return a descriptor that can be read after any of them."""
    own = os.getpid()
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def handle(number: int, frame: object) -> None:
        if os.getpid() == own:  # TTIN reaches it in forked children, too
            meanings[number]()

    faulthandler.unregister(signal.SIGTTIN)  # perhaps it was registered before a fork; it would not be once more
    for number in meanings:
        if signal.getsignal(number) is not signal.SIG_IGN or number != signal.SIGHUP:  # nohup wants it ignored
            signal.signal(number, handle)
    show_stacks_on_ttin(and_call_the_handler=True)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)
    return read


def _turn_deaf() -> None:
    """All is done. The interpreter ends without handlers, and a signal that came now would spoil the exit code."""
    for number in HANDLED:
        signal.signal(number, signal.SIG_IGN)


def _stopping(first: Callable[[], None], second: Callable[[], None]) -> dict[int, Callable[[], None]]:
    """TERM, INT and HUP: `first`, then `second`."""
    seen: list[bool] = []

    def stop() -> None:
        # Noted first: the second signal's handler may begin while the first one's is at work.
        seen.append(True)
        (first if len(seen) == 1 else second)()

    return dict.fromkeys(STOPPING, stop)


def _leave_at_once(worker: Worker, events: Events) -> NoReturn:
    _say_goodbye(worker.leave)
    events.emit("worker_stopped", worker=worker.name)
    os._exit(0)


def _say_goodbye(leave: Callable[[], None]) -> None:
    try:
        leave()
    except ServerError:
        pass  # it will be missed soon enough


def new_name(place: int | None = None) -> str:
    """A name that nobody ever had: where, which process, by chance. A supervisor adds the place in its tree."""
    host = re.sub(r"[^A-Za-z0-9-]", "", socket.gethostname().split(".")[0])[:20] or "host"
    who = f"{os.getpid()}" if place is None else f"{os.getpid()}-{place}"
    return f"{host}.{who}.{random.SystemRandom().getrandbits(32):08x}"


def _about(kind: str) -> dict[str, object]:
    """What a program says of itself to people."""
    started = status.moment(SystemClock().wall())
    return {"kind": kind, "host": socket.gethostname(), "pid": os.getpid(), "started": started}
