"""What monitoring is told, read back as Prometheus reads it."""

from __future__ import annotations

import re
from random import Random

import pytest

from minique import Registry, job
from minique.client import Client
from minique.clock import ManualClock
from minique.metrics import as_prometheus

SAMPLE = re.compile(r'([a-z_]+)(?:\{([a-z]+)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"\})? (-?[0-9.]+)')


@job(queue="mail", registry=Registry())
def send(user: int) -> None: ...


@pytest.fixture
def mq(one_store):
    return Client(one_store, ManualClock(1_700_000_000.0), Random(1))


def read(text: str) -> dict[str, float]:
    """Each sample by its name and label; every family is announced once, right before its samples."""
    found: dict[str, float] = {}
    announced = ""
    for line in text.splitlines():
        if line.startswith("# HELP "):
            announced = line.split()[2]
            continue
        if line.startswith("# TYPE "):
            assert line.split()[2:] in ([announced, "gauge"], [announced, "counter"])
            assert announced.endswith("_total") == line.endswith("counter")
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample, line
        name, _, value, number = sample.groups()
        assert name == announced
        found[f"{name} {value or ''}".strip()] = float(number)
    assert text.endswith("\n")
    return found


def test_every_state_queue_and_arrow_is_counted(mq):
    for _ in range(3):
        mq.enqueue(send, 1)
    mq.enqueue(send.using(queue="low"), 1)
    mq.enqueue_in(30, send, 1)
    taken = mq.store.claim(mq.clock.stamp(), "worker:1", "low", 1, 10.0).jobs[0]
    mq.store.fail(mq.clock.stamp(), "worker:1", taken.id, "{}")
    mq.store.claim(mq.clock.stamp(), "worker:2", "mail", 1, 10.0)
    mq.store.beat(mq.clock.stamp(), "host.1.a", "*", '{"kind": "worker", "queues": "*"}')
    mq.store.beat(mq.clock.stamp(), "host.2.b", "*", '{"kind": ["nonsense"]}')
    mq.pause("low")
    mq.clock.advance(2.5)
    found = read(as_prometheus(mq))
    assert {key.split()[-1]: count for key, count in found.items() if key.startswith("minique_jobs ")} == {
        "queued": 2, "leased": 1, "delayed": 1, "failed": 1,
    }  # fmt: skip
    assert (found["minique_queue_jobs mail"], found["minique_queue_next_age_seconds mail"]) == (2, 2.5)
    assert (found["minique_queue_jobs low"], found["minique_queue_next_age_seconds low"]) == (0, 0)
    assert (found["minique_queue_paused mail"], found["minique_queue_paused low"]) == (0, 1)
    assert (found["minique_heard worker"], found["minique_heard scheduler"]) == (1, 0)
    assert (found["minique_delayed_overdue"], found["minique_claims_overdue"]) == (0, 0)
    assert found["minique_arrows_total fail"] == 1


def test_who_is_late_is_counted(mq):
    mq.store.beat(mq.clock.stamp(), "host.1.a", "*", '{"kind": "worker"}')
    mq.enqueue(send, 1)
    mq.enqueue_in(30, send, 1)
    mq.store.claim(mq.clock.stamp(), "worker:1", "*", 1, 10.0)
    mq.clock.advance(100)
    found = read(as_prometheus(mq))
    assert (found["minique_delayed_overdue"], found["minique_claims_overdue"]) == (1, 1)
    assert found["minique_heard worker"] == 0, "one that is silent is not counted"


def test_of_nothing_all_is_zero(mq):
    found = read(as_prometheus(mq))
    assert set(found.values()) == {0}
    assert "minique_jobs failed" in found


def test_no_name_can_make_a_sample_of_its_own(mq):
    hostile = 'a"} 1\nminique_jobs{state="queued"} 99 \\'
    mq.store.enqueue(mq.clock.stamp(), hostile, (("id", "{}"),))
    found = read(as_prometheus(mq))
    assert found["minique_jobs queued"] == 1
    (one,) = [key for key in found if key.startswith("minique_queue_jobs ")]
    assert one.endswith(r"a\"} 1\nminique_jobs{state=\"queued\"} 99 \\")
