"""What `minique worker`, `scheduler` and `up` write to stderr: a line per event, as text or as JSON.

An event of minique and a `logging` call of a job's own code look alike; inside a job, every line carries the job's id:

    2026-11-23 08:00:00,123 WARNING retry job=… queue=mail attempt=1 worker=… error=OSError message="no route" …
    2026-11-23 08:00:00,119 INFO log job=… logger=app message="sending to 3 hosts"

Whoever sets up logging in another way adds `JobFilter()` to the handler, and `%(job)s` to the format.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime

from minique.events import escape, written
from minique.perform import current_job

LINE_LIMIT_BYTES = 4000
"""A system writes so much to a pipe in one piece (Linux 4,096), and what several processes write to one pipe does not
get mixed. What is longer is cut; the whole of a traceback is in `minique failed show ID`."""

FORMS = ("text", "json")

_TOLD = "MINIQUE_LOGGING"
"""The variable by which a worker tells its spawned children how it logs."""

_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "event", "fields"}


def set_up(level: int, form: str = "") -> None:
    """Write log lines to stderr as `text` or `json`.

    Without a form, as text, and only if the application's modules have not set up logging by themselves.
    """
    handler = logging.StreamHandler()
    handler.addFilter(JobFilter())
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(level=level, handlers=[handler], force=bool(form))
    os.environ[_TOLD] = f"{level} {form}"


def set_up_as_told() -> None:
    """In a fresh interpreter: as the program that started it was told to."""
    level, _, form = os.environ.get(_TOLD, "").partition(" ")
    if level.isdecimal():
        set_up(int(level), form)


class JobFilter(logging.Filter):
    """Gives each record a `job`: the id of the job that runs, or an empty text.

    A thread that the job starts knows it when it runs in a copy of the job's context: `contextvars.copy_context()`.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "job"):
            try:
                record.job = current_job().id
            except LookupError:
                record.job = ""
        return True


class TextLines(logging.Formatter):
    """A line of text: time, level, event, then names and values; a traceback indented below."""

    def format(self, record: logging.LogRecord) -> str:
        event, told, trace = _told(self, record)
        values = " ".join(f"{name}={written(value)}" for name, value in told.items())
        head = f"{self.formatTime(record)} {record.levelname} {event} {values}".rstrip()
        # Indented, so that nothing a job says can look like a line of its own.
        lines = [f"    {escape(line)}" for line in trace.splitlines()]
        head = _cut(head, LINE_LIMIT_BYTES // 2 if lines else LINE_LIMIT_BYTES)
        left = LINE_LIMIT_BYTES - _size(head)
        kept: list[str] = []
        for line in (_cut(line, LINE_LIMIT_BYTES // 4) for line in reversed(lines)):  # the end says most
            left -= 1 + _size(line)
            if left < len("\n    …".encode()):
                kept.append("    …")
                break
            kept.append(line)
        return "\n".join([head, *reversed(kept)])


class JsonLines(logging.Formatter):
    """A JSON object on a line, in ASCII: `time`, `level`, `event`, and what else there is to tell."""

    def format(self, record: logging.LogRecord) -> str:
        event, told, trace = _told(self, record)
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        found = {"time": moment, "level": record.levelname.lower(), "event": event, **told}
        if trace:
            found["traceback"] = trace
        line, share = _json(found), LINE_LIMIT_BYTES
        while len(line) > LINE_LIMIT_BYTES and share > 10:
            # Each text its share, so that a long message leaves room for the end of the traceback.
            share = share * 3 // 4
            line = _json({name: _json_cut(value, share, from_end=name == "traceback") for name, value in found.items()})
        return line


def _told(formatter: logging.Formatter, record: logging.LogRecord) -> tuple[str, dict[str, object], str]:
    """What a record tells: the event's name, names and values, and a traceback if there is one."""
    fields = getattr(record, "fields", None)
    if isinstance(fields, Mapping):
        told = {str(name): value for name, value in fields.items() if name != "traceback"}
        return str(getattr(record, "event", "")), told, str(fields.get("traceback", ""))
    job = getattr(record, "job", "")
    extra = {name: value for name, value in vars(record).items() if name not in _OF_EVERY_RECORD | {"job"}}
    told = {**({"job": job} if job else {}), "logger": record.name, "message": _message(record), **extra}
    trace = formatter.formatException(record.exc_info) if record.exc_info else record.exc_text or ""
    return "log", told, "\n".join(part for part in (trace, record.stack_info or "") if part)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:
        # `logging` would write a page to stderr, of which each line looks like one of somebody's own.
        return f"{record.msg} % {record.args!r} ({type(error).__name__}: {error})"


def _json(value: object) -> str:
    try:
        return json.dumps(value, default=str, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        # A log line is never lost for what somebody put into it: not-a-number, keys that are tuples, circles.
        if isinstance(value, dict):
            return json.dumps({str(name): one if isinstance(one, str) else repr(one) for name, one in value.items()})
        return json.dumps(repr(value))


def _json_cut(value: object, limit_bytes: int, from_end: bool) -> object:
    size = len(_json(value))
    if size <= limit_bytes:
        return value
    text = value if isinstance(value, str) else _json(value)
    while size > limit_bytes:
        keep = len(text) * limit_bytes * 9 // (10 * size)
        text = text[len(text) - keep :] if from_end else text[:keep]
        size = len(_json(text)) + len(_json("…"))
    return f"…{text}" if from_end else f"{text}…"


def _size(text: str) -> int:
    return len(text.encode("utf-8", "backslashreplace"))


def _cut(text: str, limit_bytes: int) -> str:
    if _size(text) <= limit_bytes:
        return text
    return text.encode("utf-8", "backslashreplace")[: limit_bytes - 3].decode("utf-8", "ignore") + "…"
