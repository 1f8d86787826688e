"""Read a schedule file: `schedule.yml`, in the words of resque-scheduler.

    nightly_report:
      cron: "0 8 * * *"          # or every: 30m
      class: Report              # without it, the entry's name
      queue: reports             # without it, the job class's own
      args: [weekly, 7]          # a list; one value is one argument; a mapping is arguments by name
      description: What people are told.
      tz: Europe/Berlin          # UTC without it
      catch_up: last             # none | last | all
      overlap: skip              # allow | skip
      jitter: 30s

Every fault of the file is reported at once, with its line; nothing is returned unless the whole file is right. Only
plain values are read, and only those that every YAML reads alike: `yes`, `12:30`, `010`, `2024-01-01` without quotes
are refused, since they are text to the one and a truth, a number, a date to the other.

Differs from resque-scheduler, and says so where it meets it: `first_in` and its like (a phase that depends on when
a process started is lost at each restart), `rails_env`, `custom_job_class`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minique.errors import UnknownJobClass, UsageError
from minique.registry import Registry
from minique.schedule import BadSchedule, Entry, _near, _short, _zone

FILE_LIMIT_BYTES = 1024 * 1024
VALUE_LIMIT = 50_000
"""Values in a file, aliases followed: a page of aliases can stand for more than any memory."""
DEPTH_LIMIT = 50

_KEYS = ("cron", "every", "class", "queue", "args", "description", "tz", "catch_up", "overlap", "jitter")
_NOT_HERE = {
    "rails_env": "choose the file when you start the scheduler instead",
    "custom_job_class": "give the class of the job as class",
    "persist": "every entry is persisted; leave it out",
    "first_in": "slots of every are counted from the epoch; leave it out",
    "first_at": "slots of every are counted from the epoch; leave it out",
    "first": "slots of every are counted from the epoch; leave it out",
    "timezone": "write tz",
    "zone": "write tz",
    "kwargs": "write args: with a mapping of names to values",
    "job": "write class",
    "paused": "pause an entry on the server, where it stays paused when the file is read again",
}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class ScheduleFile:
    """The entries of a file, in its order, and the line at which each begins."""

    path: str
    entries: tuple[Entry, ...]
    lines: Mapping[str, int]

    def check_against(self, registry: Registry) -> tuple[Entry, ...]:
        """The entries, with their job classes' queues where the file gives none.

        Raises BadSchedule that names every entry whose class is not known or does not take its arguments.
        """
        found, problems = [], []
        for entry in self.entries:
            try:
                job_class = registry.get(entry.job)
                job_class.body(entry.args, dict(entry.kwargs))
                found.append(replace(entry, queue=entry.queue or job_class.queue))
            except UnknownJobClass as error:
                near = _near(entry.job, {one.name: one.name for one in registry})
                what = f"{error}" + (f"; did you mean {near}?" if near else "; import the module that defines it")
                problems.append((self.lines[entry.name], f"entry {entry.name!r}: {what}"))
            except UsageError as error:
                problems.append((self.lines[entry.name], f"entry {entry.name!r}: {error}"))
        _raise_all(self.path, problems)
        return tuple(found)


def read_schedule(path: str | Path) -> ScheduleFile:
    """Read a schedule file. Raises BadSchedule with everything that is wrong with it, UsageError without PyYAML."""
    try:
        with open(path, "rb") as file:
            data = file.read(FILE_LIMIT_BYTES + 1)
    except OSError as error:
        raise BadSchedule(f"{path} cannot be read: {error.strerror or error}") from None
    if len(data) > FILE_LIMIT_BYTES:
        raise BadSchedule(f"{path} is larger than {FILE_LIMIT_BYTES:,} bytes, which no schedule is")
    try:
        text = data.decode()  # PyYAML leaves out a byte order mark
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadSchedule(f"{path}, line {line}: this is not UTF-8; save the file in UTF-8") from None
    return parse_schedule(text, str(path))


def parse_schedule(text: str, path: str = "schedule.yml") -> ScheduleFile:
    """The same from its text; the path is for the messages."""
    if len(text) > FILE_LIMIT_BYTES:
        raise BadSchedule(f"{path} is longer than {FILE_LIMIT_BYTES:,} characters, which no schedule is")
    yaml = _yaml()
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise _syntax(path, text, error) from None
    except RecursionError:
        raise BadSchedule(f"{path}: values are nested too deep; a schedule needs a handful of levels") from None
    except (ValueError, LookupError, ArithmeticError) as error:  # escapes of characters that do not exist
        raise BadSchedule(f"{path} is not YAML: {error}") from None
    reader = _Reader()
    entries = reader.read(root)
    _raise_all(path, reader.problems)
    return ScheduleFile(path, tuple(entry for entry, _ in entries), {entry.name: line for entry, line in entries})


def seconds_of(value: object) -> float:
    """A duration in seconds: a number, or text like `30s`, `5m`, `1h30m`, `2d`. Raises ValueError that says so."""
    remedy = "write seconds (30), or numbers with s, m, h, d, w (30s, 5m, 1h30m, 2d)"
    if isinstance(value, str):
        text = value.replace(" ", "")
        if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", text):
            return float(text)
        if not re.fullmatch(r"([0-9]{1,12}(\.[0-9]{1,6})?[smhdw])+", text):
            wrong = re.search(r"[0-9](ms|[yM])", text)
            hint = " (months and years differ in length: use cron, @monthly or @yearly)" if wrong else ""
            raise ValueError(f"{_short(value)} is no duration; {remedy}{hint}")
        return math.fsum(float(count) * _UNITS[unit] for count, unit in re.findall(r"([0-9.]+)([smhdw])", text))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{_short(value)} is no duration; {remedy}")
    return value


class _TooMuch(Exception):
    """A file that stands for more than can be read; nothing more is looked for."""


class _Reader:
    """Turns PyYAML's nodes, which know their lines, into entries; keeps every problem."""

    def __init__(self) -> None:
        self.problems: list[tuple[int, str]] = []
        self._where = ""
        self._values = 0

    def _wrong(self, line: int, what: str) -> None:
        self.problems.append((line, self._where + what))

    def read(self, root: Any) -> list[tuple[Entry, int]]:
        found: list[tuple[Entry, int]] = []
        if root is None or root.tag == _TAG + "null":
            return found
        if root.id != "mapping":
            self._wrong(_line(root), "a schedule is a mapping of names to entries: write nightly: {cron: …}")
            return found
        try:
            for name, key, node in self._pairs(root, "the file"):
                self._where = f"entry {_short(name)}: "
                entry = self._entry(name, key, node)
                if entry is not None:
                    found.append((entry, _line(key)))
                self._where = ""
        except _TooMuch:
            pass
        return found

    def _entry(self, name: str, key: Any, node: Any) -> Entry | None:
        if node.id != "mapping":
            self._wrong(_line(node), "its value must be a mapping with cron or every")
            return None
        before = len(self.problems)
        options: dict[str, Any] = {"job": name}
        lines: dict[str, int] = {}
        for word, word_node, value in self._pairs(node, "the entry"):
            lines[word] = _line(word_node)
            if word not in _KEYS:
                near = _near(word, {one: one for one in _KEYS})
                hint = _NOT_HERE.get(word) or (f"did you mean {near}?" if near else f"there are {', '.join(_KEYS)}")
                self._wrong(lines[word], f"{_short(word)} is not understood; {hint}")
                continue
            entry_is, self._where = self._where, f"{self._where}{word}: "
            known = len(self.problems)
            plain = self._value(value, 1)
            try:
                if known == len(self.problems):
                    self._put(options, word, plain)
            except ValueError as error:
                self._wrong(lines[word], str(error))
            self._where = entry_is
        if len(self.problems) > before:
            return None
        try:
            return Entry(name=name, source="file", **options)
        except BadSchedule as error:
            for what, about in zip(error.problems, error.about or [""] * len(error.problems), strict=True):
                word = {"job": "class", "kwargs": "args"}.get(about, about.removesuffix("_seconds"))
                word = "cron" if word == "tz" and word not in lines else word  # a zone at the end of cron
                self.problems.append((lines.get(word, _line(key)), what))
            return None

    def _put(self, options: dict[str, Any], word: str, value: Any) -> None:
        """What a word of the file says, as the option of Entry that it stands for. Raises ValueError."""
        if word == "args":
            options.update(_arguments(value))
        elif value is None:
            return
        elif word == "every":
            options["every_seconds"] = seconds = _every(value)
            if not seconds:
                raise ValueError(f"every is {_short(value)}; it can be 1 second to ten years")
        elif word == "jitter":
            options["jitter_seconds"] = seconds_of(value)
        elif word == "cron":
            options["cron"], zone = _cron(value)
            self._put_zone(options, zone)
        elif not isinstance(value, str):
            raise ValueError(f"{_short(value)} must be text: put it in quotes")
        elif word == "tz":
            self._put_zone(options, value)
        else:
            options["job" if word == "class" else word] = value

    def _put_zone(self, options: dict[str, Any], zone: str) -> None:
        if zone and options.setdefault("tz", zone) != zone:
            raise ValueError(f"the zone is {_short(zone)} here and {_short(options['tz'])} above; keep one of them")

    def _pairs(self, node: Any, what: str, depth: int = 0) -> Iterator[tuple[str, Any, Any]]:
        """(key, its node, value's node) of a mapping: `<<` merged in, keys that stand twice reported."""
        if node.tag != _TAG + "map":
            self._wrong(_line(node), f"{_short(node.tag)} is not read: only text, numbers, lists and mappings are")
            return
        own: dict[str, int] = {}
        merged: list[Any] = []
        for key, value in node.value:
            self._count(key)
            text = key.value
            if key.tag == _TAG + "merge":
                merged += value.value if value.id == "sequence" else [value]
            elif key.id != "scalar":
                self._wrong(_line(key), "a key must be text")
            elif key.tag != _TAG + "str" and not (key.tag == _TAG + "int" and text.isdigit() and not _trap(key)):
                self._wrong(_line(key), f"the key {_short(text)} {_trap(key) or 'must be text: put it in quotes'}")
            elif text in own:
                self._wrong(_line(key), f"{_short(text)} stands twice in {what}, first in line {own[text]}; keep one")
            else:
                own[text] = _line(key)
                yield text, key, value
        for one in merged:
            if one.id != "mapping" or depth > DEPTH_LIMIT:
                self._wrong(_line(one), "<< takes an alias of a mapping, one that does not contain itself")
                continue
            for text, key, value in self._pairs(one, what, depth + 1):
                if text not in own:
                    own[text] = _line(key)
                    yield text, key, value

    def _value(self, node: Any, depth: int) -> Any:
        """A node as plain data; what cannot be used is reported, and None."""
        self._count(node)
        if depth > DEPTH_LIMIT:
            self._wrong(_line(node), f"values are nested more than {DEPTH_LIMIT} deep, or contain themselves")
        elif node.id == "sequence" and node.tag == _TAG + "seq":
            return [self._value(one, depth + 1) for one in node.value]
        elif node.id == "mapping":
            return {text: self._value(one, depth + 1) for text, _, one in self._pairs(node, "the mapping", depth)}
        elif node.id != "scalar":
            self._wrong(_line(node), f"{_short(node.tag)} is not read: only text, numbers, lists and mappings are")
        else:
            try:
                return _scalar(node)
            except ValueError as error:
                self._wrong(_line(node), str(error))
        return None

    def _count(self, node: Any) -> None:
        self._values += 1
        if self._values > VALUE_LIMIT:
            self._wrong(_line(node), f"the file stands for more than {VALUE_LIMIT:,} values; use fewer aliases")
            raise _TooMuch


# Plain values, as YAML 1.1 (which PyYAML reads) and YAML 1.2 read them alike.


def _scalar(node: Any) -> Any:
    """A plain value. Raises ValueError, with the remedy, for one that is read in two ways or not at all."""
    text: str = node.value
    kind = node.tag.removeprefix(_TAG)
    trap = _trap(node)
    if trap:
        raise ValueError(f"{_short(text)} {trap}")
    if kind == "str":
        return text
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    try:
        if kind == "int":
            return int(text, 16) if "x" in text else int(text)
        if kind == "float":
            return float(text)
    except ValueError:
        pass
    raise ValueError(
        f"{_short(text)} of the kind {_short(kind)} is not read: only text, numbers, true, false and null are"
    )


def _trap(node: Any) -> str:
    """What is treacherous about a plain value; empty for most."""
    text, kind = node.value, node.tag.removeprefix(_TAG)
    quote = f'put it in quotes, "{text}", for the text' if len(text) < 40 else "put it in quotes for the text"
    if kind == "str" and node.style is None and re.fullmatch(r"[-+]?[0-9][0-9.]*[eE][-+]?[0-9]+|0o[0-7]+", text):
        return f"is text to one YAML and a number to another: write the number out, or {quote}"
    if kind == "bool" and text.lower() not in ("true", "false"):
        return f"is true or false to one YAML and text to another: write true or false, or {quote}"
    if kind in ("int", "float") and ":" in text:
        return f"is a number in base sixty to one YAML and text to another: {quote}"
    if kind == "int" and re.match(r"[-+]?0[0-9_b]", text):
        return f"is octal or binary to one YAML and not to another: write it in tens without a leading 0, or {quote}"
    if kind in ("int", "float") and "_" in text:
        return f"is a number to one YAML and text to another: write it without _, or {quote}"
    if kind == "float" and text.lstrip("+-").lower() in (".inf", ".nan"):
        return f"is no number that JSON can hold: {quote}"
    if kind == "timestamp":
        return f"is a date to one YAML and text to another: {quote}"
    return ""


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1


# Words of an entry.


def _arguments(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, dict):
        return {"kwargs": value}
    return {"args": tuple(value) if isinstance(value, list) else (value,)}


def _every(value: Any) -> float:
    """`every` in resque's forms: a duration, or a list of it and a mapping of options. Raises ValueError."""
    if not isinstance(value, list):
        return seconds_of(value)
    options = value[1:]
    if not value or len(options) > 1 or not all(isinstance(one, dict) for one in options):
        raise ValueError(f'{_short(value)} is not understood; write a duration, or the list ["5m"]')
    for word in options[0] if options else ():
        word = word.lstrip(":")
        if word == "overlap":
            raise ValueError("overlap stands beside every, not in it: write overlap: skip on a line of its own")
        remedy = "give the time with cron" if word.startswith("first") else "leave it out"
        raise ValueError(
            f"{_short(word)} cannot be honoured: the slots of every are multiples of it counted from the epoch, so "
            f"that restarts and deploys do not shift them; {remedy}"
        )
    return seconds_of(value[0])


def _cron(value: Any) -> tuple[str, str]:
    """`cron`, and the zone that rufus-scheduler allows at its end, or nothing. Raises ValueError."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str):
        raise ValueError(f'{_short(value)} must be text in quotes: "0 8 * * *"')
    parts = value.split()
    last = parts[-1] if len(parts) > 1 else ""
    if not re.match(r"[A-Za-z]{2}", last) or re.match(r"(?i)(sun|mon|tue|wed|thu|fri|sat)([-,#/]|$)", last):
        return value, ""
    if len(parts) == 5 and _zone(last) is None:
        return value, ""  # no zone, and where the day of the week should be: Entry says what is wrong
    return " ".join(parts[:-1]), last


# Messages.


def _raise_all(path: str, problems: list[tuple[int, str]]) -> None:
    if problems:
        said = tuple(f"{path}, line {line}: {what}" for line, what in sorted(set(problems)))
        raise BadSchedule("\n".join(said), said)


def _syntax(path: str, text: str, error: Any) -> BadSchedule:
    """What PyYAML could not read, with the remedy for the three mistakes that schedules invite."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return BadSchedule(f"{path} is not YAML: {error}")
    lines = text.splitlines()
    found = lines[mark.line] if mark.line < len(lines) else ""
    what = getattr(error, "problem", None) or "it is not YAML"
    if re.search(r":\s+\*[\s/]", found + " "):
        what += '; a value that begins with * needs quotes: cron: "*/5 * * * *"'
    elif re.search(r":\s+@", found):
        what += '; a value that begins with @ needs quotes: cron: "@daily"'
    elif "\t" in found[: len(found) - len(found.lstrip())]:
        what += "; indent with spaces, not with tabs"
    elif "<%" in text:
        what += "; templates (<% … %>) are not filled in here"
    return BadSchedule(f"{path}, line {mark.line + 1}: {what}")


def _yaml() -> Any:
    try:
        import yaml

        return yaml
    except ImportError:
        raise UsageError("a schedule file needs PyYAML: pip install 'minique-queue[schedule]'") from None
