"""Three real schedulers, killed at random on a real server: each slot is fired once, none early, none is missing."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from minique.call import write_call
from minique.client import Client
from minique.connect import connect
from minique.redis_store import RedisStore
from minique.schedule import Entry
from minique.wire import Server
from tests.conftest import clean_up
from tests.processes import PATIENCE_SECONDS, Commands, is_alive, needs_proc
from tests.servers import RealServer, until

SCHEDULERS = 3
KILLS = 10
DELAYED = 200
SPACING_SECONDS = 0.05

JOBS = """
import os, time
from minique import current_job, job

def tell(path, word, planned):
    line = f"{word} {planned!r} {time.time()!r}\\n".encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, line)
    os.close(descriptor)

@job(queue="mail")
def recurring(path):
    tell(path, "slot", current_job().planned_at.timestamp())

@job(queue="mail")
def delayed(path, due):
    tell(path, "due", due)
"""


@pytest.fixture
def minique(valkey: RealServer, tmp_path: Path) -> Iterator[Commands]:
    (tmp_path / "told_jobs.py").write_text(JOBS)
    commands = Commands(valkey.url, "recurring-live", tmp_path)
    yield commands
    commands.stop()
    store = RedisStore(Server(valkey.url), commands.namespace)
    try:
        clean_up(store)
    finally:
        store.close()


@pytest.fixture
def mq(minique: Commands) -> Iterator[Client]:
    with connect(minique.url, minique.namespace) as client:
        yield client


def told(path: Path, word: str) -> list[tuple[float, float]]:
    """Planned time and when it ran, for each job of that kind."""
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [(float(planned), float(ran)) for kind, planned, ran in lines if kind == word]


def heard(mq: Client) -> set[int]:
    """The processes that have shown a sign of life, dead ones included."""
    return {json.loads(row.about)["pid"] for row in mq.overview().workers}


@needs_proc
def test_killed_schedulers_fire_each_slot_once_and_promote_each_job_once(
    minique: Commands, mq: Client, tmp_path: Path
) -> None:
    rng, path = Random(20), tmp_path / "told"
    address = ("--url", minique.url, "--namespace", minique.namespace)
    worker = minique.type("worker", *address, "--import", "told_jobs", "--mode", "inline")
    living = [minique.start("scheduler") for _ in range(SCHEDULERS)]
    until(lambda: len(mq.overview().workers) == SCHEDULERS + 1, PATIENCE_SECONDS)

    mq.schedules.put(Entry("secondly", "recurring", every_seconds=1.0, queue="mail", args=(str(path),), catch_up="all"))
    kept = mq.schedules.get("secondly")
    assert kept is not None
    began = kept.cursor
    assert began is not None
    dues = [round(began + 0.5 + n * SPACING_SECONDS, 6) for n in range(DELAYED)]
    for due in dues:
        mq.store.delay("", "mail", mq.new_id(), write_call("delayed", (str(path), due), {}), f"{due:.6f}")

    # Which moment is a matter of chance; how many jobs have come by then tells it.
    for after in sorted(rng.sample(range(DELAYED), KILLS)):
        until(lambda after=after: len(told(path, "due")) > after, PATIENCE_SECONDS)  # type: ignore[misc]
        place = rng.randrange(SCHEDULERS)
        living[place].kill()
        living[place] = minique.start("scheduler")
    until(lambda: len(told(path, "due")) >= DELAYED, PATIENCE_SECONDS)
    last = max(planned for planned, _ in told(path, "slot"))
    until(lambda: max(planned for planned, _ in told(path, "slot")) > last, PATIENCE_SECONDS)
    mq.schedules.remove("secondly")
    until(lambda: mq.overview().leased == 0 and all(row.length == 0 for row in mq.overview().queues), PATIENCE_SECONDS)

    slots = told(path, "slot")
    fired = sorted(planned for planned, _ in slots)
    first = int(began) + 1
    assert fired == [float(first + n) for n in range(len(fired))], "each once, none missing"
    assert len(fired) >= DELAYED * SPACING_SECONDS
    assert sorted(planned for planned, _ in told(path, "due")) == dues
    early = [(planned, ran) for planned, ran in slots + told(path, "due") if ran < planned]
    assert early == []
    assert mq.overview().stats["fire"] == len(fired)
    assert mq.overview().stats["promote"] == DELAYED

    # Those that were started last, too, hear signals by now.
    until(lambda: {one.pid for one in living} <= heard(mq), PATIENCE_SECONDS)
    for running in [worker, *living]:
        assert is_alive(running.pid), running.log()
        running.signal(signal.SIGTERM)
    assert [running.finish() for running in [worker, *living]] == [0] * (SCHEDULERS + 1)
