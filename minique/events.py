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
    """Write each event as one line: `failed job=… error=…`."""
    level = _LEVELS.get(name, logging.INFO)
    if _log.isEnabledFor(level):
        _log.log(level, "%s", " ".join([name, *(f"{key}={_plain(value)}" for key, value in fields.items())]))


def _plain(value: object) -> str:
    # One event is one line, whatever a job put into its error message.
    text = str(value).encode("unicode_escape").decode("ascii")
    return text if text and " " not in text else f'"{text}"'
