"""How soon a job is done whose worker is killed: `python -m simulate bench recovery`.

*Recovery time* is from `kill -9` of a worker in the middle of a job to that job done by another attempt, on a private
real server, under a real `minique up`. The second attempt does nothing, so that only the way there is measured: the
supervisor learns of the death, kills what is left, gives the lease back, and a worker takes the job. The lease is an
hour, so nothing but the supervisor gives anything back. Three situations:

- *others are idle*: four workers, and one of them has the one job;
- *all are busy*: four workers with short jobs, more than they can do; it waits for the first that has done one;
- *there is no other*: one worker, and its own successor must do the job. Each kill is the first of its tree, since a
  worker that keeps dying young is started again after a pause.

What is not measured: a network, the application's own time to start (it is imported once, before the fork), and workers
without a supervisor, whose leases must run out first.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minique import embedded
from minique.client import Client
from minique.clock import SystemClock
from minique.connect import connect
from minique.loop import sleep_until
from simulate.benches.recovery_jobs import Victim, work
from simulate.benches.server import REPOSITORY, BenchError

WORKERS = 4
LOAD_SECONDS = 0.05
"""What a job of the load takes, where all are busy."""
BETWEEN_KILLS_SECONDS = 1.0
"""So that most workers that are killed have lived a while, as they have outside of a measurement."""
PATIENCE_SECONDS = 60.0
LOOK_EVERY_SECONDS = 0.002
SITUATIONS = ("others are idle", "all are busy", "there is no other")

_clock = SystemClock()


@dataclass(frozen=True)
class Recovered:
    """Milliseconds from the kill to the job done."""

    situation: str
    mode: str
    kills: int
    p50: float
    p90: float
    p99: float
    max: float

    @classmethod
    def of(cls, situation: str, mode: str, seconds: Sequence[float]) -> Recovered:
        p50, p90, p99 = (round(float(value) * 1e3, 1) for value in np.percentile(seconds, (50.0, 90.0, 99.0)))
        return cls(situation, mode, len(seconds), p50, p90, p99, round(max(seconds) * 1e3, 1))


@dataclass(frozen=True)
class Result:
    recovered: list[Recovered] = field(default_factory=list)
    machine: dict[str, object] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"


def measure(kills: int, situations: Sequence[str] = SITUATIONS, mode: str = "fork") -> Iterator[Recovered]:
    """Measure each situation with so many kills."""
    with tempfile.TemporaryDirectory(prefix="minique-bench-") as folder:
        url = embedded.start(folder).url
        try:
            for number, situation in enumerate(situations):
                bench = _Bench(url, f"recovery-{number}", Path(folder), mode)
                doing: dict[str, Callable[[int], list[float]]] = {
                    "others are idle": bench.others_are_idle,
                    "all are busy": bench.all_are_busy,
                    "there is no other": bench.there_is_no_other,
                }
                yield Recovered.of(situation, mode, doing[situation](kills))
        finally:
            embedded.stop(folder)


class _Bench:
    def __init__(self, url: str, namespace: str, folder: Path, mode: str) -> None:
        self._url, self._namespace, self._folder, self._mode = url, namespace, folder, mode

    def others_are_idle(self, kills: int) -> list[float]:
        with self._tree(WORKERS) as mq:
            return [self._kill(mq, BETWEEN_KILLS_SECONDS) for _ in range(kills)]

    def all_are_busy(self, kills: int) -> list[float]:
        found = []
        with self._tree(WORKERS) as mq:
            for _ in range(kills):
                if sum(queue.length for queue in mq.overview().queues) < 1000:
                    mq.enqueue_many(work, [(LOAD_SECONDS,) for _ in range(1000)])
                found.append(self._kill(mq, BETWEEN_KILLS_SECONDS))
        return found

    def there_is_no_other(self, kills: int) -> list[float]:
        found = []
        for _ in range(kills):
            with self._tree(1) as mq:
                found.append(self._kill(mq, 0.0))
        return found

    def _kill(self, mq: Client, seconds_before: float) -> float:
        sleep_until(seconds_before)
        path = self._folder / "victim"
        path.unlink(missing_ok=True)
        handle = mq.enqueue(Victim, str(path), self._mode == "inline")
        _until(path.exists, "no worker took the job")
        killed_at = _clock.wall()
        os.kill(int(path.read_text()), signal.SIGKILL)
        attempt = handle.result(PATIENCE_SECONDS)
        done_at = handle.record().at
        if attempt != 2 or done_at is None:
            raise BenchError(f"attempt {attempt} did the job, and one worker was killed")
        return done_at - killed_at

    @contextlib.contextmanager
    def _tree(self, workers: int) -> Iterator[Client]:
        words = [
            sys.executable, "-m", "minique", "up", "--workers", str(workers), "--mode", self._mode, "--no-scheduler",
            "--import", "simulate.benches.recovery_jobs", "--queues", "victims,load", "--lease", "3600",
            "--shutdown-timeout", "0", "--url", self._url, "--namespace", self._namespace,
        ]  # fmt: skip
        log = self._folder / "log"
        with log.open("w") as errors, connect(self._url, self._namespace) as mq:
            supervisor = subprocess.Popen(
                words, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, cwd=REPOSITORY, stderr=errors
            )
            try:
                _until(lambda: len(mq.overview().workers) == workers, "the workers did not start")
                yield mq
            except BenchError as error:
                raise BenchError(f"{error}; what they said last:\n{log.read_text()[-2000:]}") from None
            finally:
                supervisor.terminate()
                supervisor.wait()
                mq.store.server.call_one("FLUSHALL")  # type: ignore[attr-defined]


def _until(condition: Callable[[], bool], otherwise: str) -> None:
    gives_up = _clock.elapsed() + PATIENCE_SECONDS
    while not condition():
        if _clock.elapsed() > gives_up:
            raise BenchError(otherwise)
        sleep_until(LOOK_EVERY_SECONDS)


# The verb.


def add_to(subjects: Any, at_least_one: Callable[[str], float]) -> argparse.ArgumentParser:
    """Add `recovery` to the subjects of `bench`."""
    one: argparse.ArgumentParser = subjects.add_parser(
        "recovery", help="from kill -9 of a worker to its job done, under minique up"
    )
    one.add_argument(
        "--kills", type=at_least_one, default=200, metavar="N", help="in each situation (default: %(default)s)"
    )
    one.add_argument("--mode", choices=("fork", "spawn", "inline"), default="fork", help="of the workers")
    one.add_argument(
        "--situation", choices=SITUATIONS, action="append", dest="situations", help="only this one; repeatable"
    )
    one.add_argument("--output", type=Path, default=Path("results"), metavar="FOLDER", help="where the JSON goes")
    one.add_argument("--json", action="store_true", help="print the JSON instead of the table")
    return one


def verb(options: argparse.Namespace) -> int:
    """The verb `bench recovery`."""
    machine: dict[str, object] = {
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    result = Result(machine=machine)
    for one in measure(options.kills, options.situations or SITUATIONS, options.mode):
        result.recovered.append(one)
        if not options.json:
            print(
                f"{one.situation:18} {one.mode:7} {one.kills} kills: p50 {one.p50:g} ms, p90 {one.p90:g} ms, "
                f"p99 {one.p99:g} ms, slowest {one.max:g} ms",
                flush=True,
            )
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "bench-recovery.json").write_text(result.to_json(), encoding="utf-8")
    if options.json:
        print(result.to_json(), end="")
    return 0
