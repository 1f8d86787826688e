"""What every measurement on a real server begins with: a private one, in a temporary folder, gone at the end."""

from __future__ import annotations

import contextlib
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from minique import embedded
from minique.client import Client
from minique.clock import SystemClock
from minique.connect import connect
from minique.loop import sleep_until

PATIENCE_SECONDS = 60.0
LOOK_EVERY_SECONDS = 0.01

REPOSITORY = Path(__file__).parents[2]

Advance = Callable[[int], None]
"""Told how many jobs are done, for a progress bar."""

_clock = SystemClock()


class BenchError(Exception):
    """The books do not balance, or something did not start: nothing that was measured is worth printing."""


class Bench:
    """A server of one's own (append-only file on, flushed each second)."""

    def __init__(self, url: str) -> None:
        self.url = url

    def about(self) -> dict[str, object]:
        """Machine and versions."""
        with connect(self.url, "about") as mq:
            told = info(mq, "server")
        name = "valkey" if "valkey_version" in told else "redis"
        return {
            "server": f"{name} {told[f'{name}_version']}, append-only file flushed each second, unix socket",
            "python": platform.python_version(),
            "redis-py": version("redis"),
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "cpus": os.cpu_count(),
            "load before": [round(one, 2) for one in os.getloadavg()],
        }


@contextlib.contextmanager
def bench() -> Iterator[Bench]:
    """A private server; it, all that was started beside it, and its folder are gone at the end, however that comes."""
    with tempfile.TemporaryDirectory(prefix="minique-bench-") as folder:
        try:
            yield Bench(embedded.start(folder).url)
        finally:
            embedded.stop(folder)


def info(mq: Client, section: str) -> dict[str, str]:
    text = mq.store.server.call_one("INFO", section)  # type: ignore[attr-defined]
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def wait_until(condition: Callable[[], bool], otherwise: str) -> None:
    gives_up = _clock.elapsed() + PATIENCE_SECONDS
    while not condition():
        if _clock.elapsed() > gives_up:
            raise BenchError(otherwise)
        sleep_until(LOOK_EVERY_SECONDS)
