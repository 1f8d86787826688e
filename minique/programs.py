"""The programs that run for long: the one place where the real clock, processes and signals are put together."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

from minique import status
from minique.client import Client
from minique.clock import SystemClock
from minique.errors import ServerError
from minique.events import Events
from minique.keeper import Keeper
from minique.loop import Wait, run
from minique.processes import Forks, InLine
from minique.registry import Registry
from minique.scheduler import Scheduler
from minique.worker import Settings, Worker


def work(
    client: Client,
    registry: Registry,
    events: Events,
    mode: str,
    settings: Settings,
    shutdown_timeout_seconds: float,
) -> None:
    """Be a worker until a signal says to stop, or, in a burst, until nothing is ready."""
    name = _new_name()
    queues = settings.subscription.text
    settings = replace(settings, about={**_about("worker"), "queues": queues, "mode": mode})
    processes = InLine() if mode == "inline" else Forks(registry)
    rng = random.SystemRandom()
    worker = Worker(client.store, registry, processes, SystemClock(), rng, events, name, settings)
    wake_up = _on_signals(lambda: worker.stop(shutdown_timeout_seconds), lambda: worker.stop(0))
    events.emit("worker_started", worker=name, queues=queues, mode=mode, pid=os.getpid())
    keeping: _Keeping | None = None
    if processes.in_line:
        without = [job_class.name for job_class in registry if job_class.timeout]
        if without:
            events.emit("timeouts_are_ignored", jobs=",".join(without), because="jobs run in-line, not in a child")
        keeping = _Keeping(worker, events)
    try:
        run(worker, Wait(client.store, worker, wake_up), worker.is_finished, events, rng)
    finally:
        if keeping:
            keeping.stop()
        processes.close()
    _say_goodbye(worker.leave)
    events.emit("worker_stopped", worker=name)


def keep_time(client: Client, events: Events) -> None:
    """Be a scheduler until a signal says to stop."""
    name = _new_name()
    scheduler = Scheduler(client.store, SystemClock(), events, name, _about("scheduler"))
    asked: list[bool] = []
    wake_up = _on_signals(lambda: asked.append(True), lambda: asked.append(True))
    events.emit("scheduler_started", worker=name, pid=os.getpid())
    run(scheduler, Wait(client.store, scheduler, wake_up), lambda: bool(asked), events, random.SystemRandom())
    _say_goodbye(scheduler.leave)
    events.emit("scheduler_stopped", worker=name)


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


def _on_signals(first: Callable[[], None], second: Callable[[], None]) -> int:
    """Have TERM and INT call `first`, then `second`; return a descriptor that can be read after any signal."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    seen: list[int] = []

    def handle(number: int, frame: object) -> None:
        (second if seen else first)()
        seen.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return read


def _leave_at_once(worker: Worker, events: Events) -> NoReturn:
    _say_goodbye(worker.leave)
    events.emit("worker_stopped", worker=worker.name)
    os._exit(0)


def _say_goodbye(leave: Callable[[], None]) -> None:
    try:
        leave()
    except ServerError:
        pass  # it will be missed soon enough


def _new_name() -> str:
    host = re.sub(r"[^A-Za-z0-9-]", "", socket.gethostname().split(".")[0])[:20] or "host"
    return f"{host}.{os.getpid()}.{random.SystemRandom().getrandbits(32):08x}"


def _about(kind: str) -> dict[str, object]:
    """What a program says of itself to people."""
    started = status.moment(SystemClock().wall())
    return {"kind": kind, "host": socket.gethostname(), "pid": os.getpid(), "started": started}
