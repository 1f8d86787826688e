"""What happens is told to whoever wants to hear it; telling never changes the story."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minique.events import Events, log_listener


def test_every_listener_hears_every_event_in_order():
    first, second = [], []
    events = Events(lambda name, fields: first.append((name, fields)))
    events.subscribe(lambda name, fields: second.append((name, fields)))
    events.emit("claimed", job="a")
    events.emit("completed", job="a", attempt=1)
    assert first == second == [("claimed", {"job": "a"}), ("completed", {"job": "a", "attempt": 1})]


def test_a_listener_that_raises_is_reported_and_passed_over(caplog):
    heard = []

    def broken(name, fields):
        raise ZeroDivisionError

    events = Events(broken, lambda name, fields: heard.append(name))
    events.emit("failed", job="a")
    assert heard == ["failed"]
    assert "a listener failed on the event 'failed'" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_busy_worker_need_not_describe_each_job_when_nobody_wants_to_hear_of_it():
    assert Events().each_job is False
    assert Events(lambda name, fields: None).each_job is True
    assert Events(lambda name, fields: None, each_job=False).each_job is False
    quiet = Events()
    quiet.subscribe(lambda name, fields: None)
    assert quiet.each_job is True


@pytest.mark.parametrize(
    ("name", "level"),
    [("failed", logging.ERROR), ("unreachable", logging.ERROR), ("lease_lost", logging.WARNING),
     ("reaped", logging.WARNING), ("retry", logging.WARNING), ("promoted", logging.INFO), ("claimed", logging.DEBUG),
     ("completed", logging.DEBUG)],
)  # fmt: skip
def test_what_a_person_must_see_is_louder_than_what_just_runs(caplog, name, level):
    caplog.set_level(logging.DEBUG, "minique")
    log_listener(name, {"job": "a"})
    (line,) = caplog.records
    assert (line.levelno, line.getMessage()) == (level, f"{name} job=a")


def test_values_with_spaces_are_quoted_and_empty_ones_too(caplog):
    caplog.set_level(logging.DEBUG, "minique")
    log_listener("failed", {"error": "no such user", "worker": ""})
    assert caplog.messages == ['failed error="no such user" worker=""']


@given(message=st.text())
def test_one_event_is_one_printable_line_whatever_a_job_put_into_its_message(caplog, message):
    caplog.clear()
    caplog.set_level(logging.DEBUG, "minique")
    log_listener("failed", {"message": message})
    (line,) = caplog.messages
    assert line.isprintable()
