"""What happens, told as it happens: `events.emit("failed", job=…)`.

An event's name is its arrow's name. Whoever wants to know subscribes a callable; the command line subscribes a
logger. A listener that raises is reported and passed over: telling a story must never change it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

Listener = Callable[[str, dict[str, object]], None]

_log = logging.getLogger("minique")

# Everything else is told at INFO.
_LEVELS = {
    "failed": logging.ERROR,
    "lease_lost": logging.WARNING,
    "unreachable": logging.ERROR,
    "reaped": logging.WARNING,
    "retry": logging.WARNING,
    "worker_died": logging.WARNING,
    "scheduler_died": logging.WARNING,
    "cannot_start": logging.ERROR,
    "not_given_back": logging.WARNING,
    "signal_refused": logging.WARNING,
    "threads_before_fork": logging.WARNING,
    "claimed": logging.DEBUG,
    "completed": logging.DEBUG,
}


class Events:
    def __init__(self, *listeners: Listener, each_job: bool = True) -> None:
        self._listeners = list(listeners)
        self.each_job = each_job and bool(listeners)
        """Whether anybody wants to hear of jobs that just run, so that a busy worker need not describe each."""

    def subscribe(self, listener: Listener) -> None:
        self._listeners.append(listener)
        self.each_job = True

    def emit(self, name: str, **fields: object) -> None:
        for listener in self._listeners:
            try:
                listener(name, fields)
            except Exception:
                _log.exception("a listener failed on the event %r", name)


def log_listener(name: str, fields: dict[str, object]) -> None:
    """Write each event as one line: `failed job=… error=…`; formatters find its parts in the record."""
    level = _LEVELS.get(name, logging.INFO)
    if _log.isEnabledFor(level):
        # A traceback is many lines: one of `logs.py` shows it, others leave it out.
        words = [f"{key}={written(value)}" for key, value in fields.items() if key != "traceback"]
        _log.log(level, "%s", " ".join([name, *words]), extra={"event": name, "fields": fields})


def written(value: object) -> str:
    """A value as it stands in a line of text; whatever a job put into it, it is one value on one line."""
    text = escape(str(value).replace("\\", "\\\\").replace('"', '\\"'))
    return text if text and not set(text) & set(' "') else f'"{text}"'


def escape(text: str) -> str:
    """Text whose every character can be shown; others become \\x1b and the like."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text
    )
