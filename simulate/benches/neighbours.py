"""What becomes of jobs whose workers are killed: beside the rates, with `bench throughput --kills N`.

One worker of each contender is killed, with all that it forked, and started again, so many times while it works; each
job writes its number into a file as it begins and as it ends. Then everybody gets the same time to find what was left
behind. *Lost* is what had not ended by then: also what is still kept somewhere, and would have come later. *Twice* is
what began more than once, as at-least-once must do with what was running at a kill.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from minique.clock import SystemClock
from minique.loop import sleep_until
from minique.wire import Server
from simulate.benches.contenders import ENTRIES
from simulate.benches.server import REPOSITORY, Advance, BenchError, bench
from simulate.benches.throughput import play

JOBS, WORK_SECONDS = 1000, 0.002
AFTERWARDS_SECONDS = 45.0
"""Since the last job ended, before what is missing counts as lost: more than all leases and timeouts chosen here."""
SETTLE_SECONDS = 12.0
"""After all have ended, since what was running at the last kill may still come again: more than all those timeouts."""
STALLED_SECONDS = 20.0
"""A worker that has run nothing for so long, since all is held by a dead one, is killed all the same."""
LOOK_EVERY_SECONDS = 0.005

_clock = SystemClock()


@dataclass(frozen=True)
class Survival:
    name: str
    jobs: int
    kills: int
    lost: int
    twice: int
    recovered_seconds: float | None
    """From the last kill to the last job's end; None when some are lost."""
    afterwards_seconds: float


def survivals(
    against: Sequence[str],
    kills: int,
    advance: Advance = lambda done: None,
    jobs: int = JOBS,
    afterwards_seconds: float = AFTERWARDS_SECONDS,
) -> list[dict[str, object]]:
    """One row for each contender; `advance` is told how many kills there were. Raises BenchError."""
    found = []
    for turn, name in enumerate(contenders(against)):
        with bench() as here, tempfile.TemporaryDirectory(prefix="minique-kills-") as folder:
            victim = _Victim(name, Server(here.url), Path(folder) / "book", jobs)
            row = victim.killed(kills, partial(_add, advance, turn * kills), afterwards_seconds)
            found.append(asdict(row))
    return found


def _add(advance: Advance, before: int, kills: int) -> None:
    advance(before + kills)


def contenders(against: Sequence[str]) -> list[str]:
    return [name for name, entry in ENTRIES.items() if entry.family in ("minique", *against)]


class _Victim:
    def __init__(self, name: str, server: Server, book: Path, jobs: int) -> None:
        self._name, self._server, self._book, self._jobs = name, server, book, jobs

    def killed(self, kills: int, advance: Advance, afterwards_seconds: float) -> Survival:
        ones = {"url": self._server.url, "who": self._name, "ones": self._jobs, "many": 0, "drains": False}
        play([("contend", ones)])
        expected = set(range(self._jobs + 1))
        last_kill = _clock.elapsed()
        for kill in range(1, kills + 1):
            worker = self._start()
            try:
                self._await_progress(worker, self._jobs * kill // (kills + 1))
            finally:
                _end(worker)
            last_kill = _clock.elapsed()
            advance(kill)
        worker = self._start()
        try:
            seen, changed = 0, _clock.elapsed()
            while set(self._noted("ended")) != expected and _clock.elapsed() < changed + afterwards_seconds:
                if worker.poll() is not None:
                    # RQ's worker, for one, ends itself when it finds out that its predecessor's name is taken.
                    worker = self._start()
                sleep_until(10 * LOOK_EVERY_SECONDS)
                now = sum(self._noted("ended").values())
                if now != seen:
                    seen, changed = now, _clock.elapsed()
            if not expected - set(self._noted("ended")):
                sleep_until(min(SETTLE_SECONDS, afterwards_seconds))
        finally:
            _end(worker)
        lost = len(expected - set(self._noted("ended")))
        twice = sum(times > 1 for times in self._noted("began").values())
        took = None if lost else round(max(0.0, changed - last_kill), 2)
        return Survival(self._name, self._jobs + 1, kills, lost, twice, took, afterwards_seconds)

    def _start(self) -> subprocess.Popen[bytes]:
        options = {"url": self._server.url, "who": self._name, "book": str(self._book), "work_seconds": WORK_SECONDS}
        return subprocess.Popen(
            [sys.executable, "-m", "simulate.benches.players", "serve", json.dumps(options)],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            cwd=REPOSITORY,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _await_progress(self, worker: subprocess.Popen[bytes], enough: int) -> None:
        seen = first = sum(self._noted("began").values())
        gives_up = _clock.elapsed() + STALLED_SECONDS
        # At least one more, so that none is killed before it works.
        while seen < max(enough, first + 1) and worker.poll() is None and _clock.elapsed() < gives_up:
            sleep_until(LOOK_EVERY_SECONDS)
            now = sum(self._noted("began").values())
            if now != seen:
                seen, gives_up = now, _clock.elapsed() + STALLED_SECONDS
        if not seen:
            raise BenchError(f"{self._name}: its worker never began a job")

    def _noted(self, what: str) -> Counter[int]:
        try:
            words = [line.split() for line in self._book.read_text().splitlines()]
        except FileNotFoundError:
            return Counter()
        return Counter(int(number) for kind, number in words if kind == what)


def _end(worker: subprocess.Popen[bytes]) -> None:
    """With all that it forked, whatever groups those made for themselves."""
    for pid in [worker.pid, *_descendants(worker.pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    worker.wait()


def _descendants(parent: int) -> list[int]:
    try:
        found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    except OSError:
        return []  # it has ended, or this system does not say
    return [pid for child in map(int, found) for pid in (child, *_descendants(child))]
