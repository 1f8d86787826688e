"""An experiment as a short TOML file: what was asked for, so that it can be asked again, to the same bits.

A file says which verb it is for, and then the verb's own options by their names without dashes. Options that belong
together on the command line (the load, the faults) stand in a table of that name. There is no second list of what may
be asked for: an option is a key, its check is the key's check. Files that an experiment reads are named from the folder
that it stands in; `[files]` keeps what they held.
"""

import argparse
import hashlib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from simulate.commands.chosen import chosen_costs
from simulate.commands.options import UsageError
from simulate.costs import Costs

DESCRIBED_VERBS = (
    "compare",
    "sweep",
    "plan",
    "theory",
    "staff",
    "priorities",
    "overload",
    "bursts",
    "retries",
    "startup",
    "waits",
)
"""Those that give the same bits again."""

NOT_DESCRIBED = ("help", "output", "json", "html", "save_experiment", "live", "live_runs", "live_seconds")
"""Where results go and how they are shown is no part of an experiment, nor what no file can repeat."""

CALLED = {"load": "kind", "faults": "words"}
"""What an option is called that has the name of its table: `--load KIND` is the kind in [load]."""

COSTS, FILES = "costs", "files"
"""Tables that are no groups of options."""


class Key(NamedTuple):
    """One key of a file: an option of the verb."""

    table: str  # empty: above the first table
    name: str
    action: argparse.Action

    @property
    def words(self) -> str:
        """Where it stands, for a message."""
        return f"[{self.table}] {self.name}" if self.table else self.name


def keys(parser: argparse.ArgumentParser) -> Iterator[Key]:
    """What a file for this verb may hold."""
    for group in parser._action_groups:
        is_table = group.title is not None and group.title.startswith("the ")
        table = (group.title or "").removeprefix("the ") if is_table else ""
        for action in group._group_actions:
            if action.option_strings and action.dest not in NOT_DESCRIBED:
                option = action.option_strings[-1].lstrip("-")
                yield Key(table, CALLED.get(table, option) if option == table else option, action)


# Writing.


def described(options: argparse.Namespace, folder: Path | None = None) -> dict[str, Any]:
    """The experiment that the options ask for, whole: also what nobody mentioned and so is as usual.

    Files are named from `folder`; without one by their names alone, so that a result is the same wherever they lie.
    """
    parser: argparse.ArgumentParser = options.parser
    found: dict[str, Any] = {"verb": options.verb}
    tables: dict[str, dict[str, Any]] = {}
    for key in keys(parser):
        value = getattr(options, key.action.dest)
        if key.name == COSTS or value is None or value is False:
            continue
        into = tables.setdefault(key.table, {}) if key.table else found
        into[key.name] = written(value, folder)
    if hasattr(options, COSTS):
        costs = chosen_costs(options)
        tables[COSTS] = {**costs.seconds, "origin": costs.origin}
    tables[FILES] = {
        file_name(path, folder): hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in files_of(options)
    }
    return found | {table: rows for table, rows in tables.items() if rows}


def files_of(options: argparse.Namespace) -> list[str]:
    """The files that the experiment reads: traces, and designs in files of their own."""
    designs = getattr(options, "designs", None) or [getattr(options, "design", "")]
    trace = getattr(options, "trace", None)
    return [*([trace] if trace else []), *(name for name in designs if name.endswith(".py"))]


def written(value: Any, folder: Path | None) -> Any:
    """A value as it stands in a file."""
    if isinstance(value, (list, tuple)):
        return [written(one, folder) for one in value]
    if isinstance(value, str) and is_file_name(value):
        return file_name(value, folder)
    return value


def file_name(path: str, folder: Path | None) -> str:
    """How a file is named from a folder."""
    return Path(path).name if folder is None else os.path.relpath(path, folder)


def is_file_name(text: str) -> bool:
    """Whether a text names a file rather than a design or a kind of load."""
    return os.sep in text or text.endswith((".py", ".csv", ".swf", ".json", ".jsonl", ".ndjson", ".gz"))


def to_toml(experiment: Mapping[str, Any]) -> str:
    """The experiment as a file."""
    plain = {name: value for name, value in experiment.items() if not isinstance(value, Mapping)}
    tables = {name: value for name, value in experiment.items() if isinstance(value, Mapping)}
    lines = ["# Run it again, to the same bits, with: python -m simulate run THIS-FILE"]
    lines += [f"{name} = {toml_value(value)}" for name, value in plain.items()]
    for table, rows in tables.items():
        lines += ["", f"[{table}]", *(f"{toml_key(name)} = {toml_value(value)}" for name, value in rows.items())]
    return "\n".join(lines) + "\n"


def toml_key(name: str) -> str:
    """A key, in quotes where it needs them."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_value(name)


def toml_value(value: Any) -> str:
    """A value as TOML has it: texts and lists as JSON, but for one character that JSON does not escape."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, float):
        return repr(value) if "." in repr(value) or "e" in repr(value) else f"{value!r}.0"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


# Reading.


class File:
    """A file that is read, and where in it things stand."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.text = path.read_text(encoding="utf-8")
            self.content = tomllib.loads(self.text)
        except OSError as problem:
            raise UsageError(f"{path}: cannot be read: {problem.strerror}") from None
        except UnicodeDecodeError as problem:
            raise UsageError(f"{path}: is not text in UTF-8 ({problem.reason} at byte {problem.start})") from None
        except tomllib.TOMLDecodeError as problem:
            raise UsageError(f"{path}: is not TOML: {problem}") from None

    def wrong(self, problem: str, table: str = "", key: str = "") -> UsageError:
        """The error that says what is wrong, and in which line if that can be found."""
        line = self._line(table, key)
        return UsageError(f"{self.path}{f', line {line}' if line else ''}: {problem}")

    def _line(self, table: str, key: str) -> int | None:
        current = ""
        for number, line in enumerate(self.text.splitlines(), 1):
            header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line)
            current = header.group(1).strip("\"'") if header else current
            if key and current == table and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*[.=]""", line):
                return number
            if not key and table and header and current == table:
                return number
        return None


def read(path: Path, parsers: Mapping[str, argparse.ArgumentParser]) -> argparse.Namespace:
    """The options that a file stands for. Raises UsageError with the file, the line and the key for what is wrong."""
    file = File(path)
    content = file.content
    verb = content.pop("verb", None)
    if verb is None:
        raise file.wrong(f'it lacks the key verb; write: verb = "compare" (or {", ".join(DESCRIBED_VERBS[1:])})')
    if verb not in DESCRIBED_VERBS:
        raise file.wrong(f"verb: {verb!r} is none of {', '.join(DESCRIBED_VERBS)}", key="verb")
    parser = parsers[verb]
    known = {(key.table, key.name): key for key in keys(parser)}
    costs = content.pop(COSTS) if isinstance(content.get(COSTS), dict) else None
    sums = content.pop(FILES, {})
    arguments = []
    for table, name, value in leaves(file, content, {key.table for key in known.values()}):
        key = known.get((table, name))
        if key is None:
            raise unknown(file, table, name, known, verb)
        arguments += argument(file, key, value)
    for key in known.values():
        if key.action.required and not any(one.startswith(f"--{option(key)}=") for one in arguments):
            raise file.wrong(f"it lacks {key.words} ({key.action.help}), which {verb} cannot do without")
    options = parser.parse_args(arguments)
    options.verb = verb
    if costs is not None:
        if not hasattr(options, COSTS):
            raise file.wrong(f"{verb} has no costs; leave the table out", COSTS)
        options.costs = costs_in(file, costs)
    check(file, sums)
    return options


def leaves(file: File, content: Mapping[str, Any], tables: set[str]) -> Iterator[tuple[str, str, Any]]:
    """Every key of the file: its table, its name, its value."""
    for name, value in content.items():
        if not isinstance(value, dict):
            yield "", name, value
            continue
        if name not in tables:
            known = ", ".join(f"[{table}]" for table in sorted(tables - {""} | {COSTS, FILES}))
            raise file.wrong(f"there is no table [{name}]; known: {known}", name)
        for inner, one in value.items():
            yield name, inner, one


def unknown(file: File, table: str, name: str, known: Mapping[tuple[str, str], Key], verb: str) -> UsageError:
    """The error for a key that there is not, with the one that was perhaps meant."""
    elsewhere = [key.words for key in known.values() if key.name == name]
    here = [key.name for key in known.values() if key.table == table]
    close = get_close_matches(name, here, 1)
    meant = f"did you mean {close[0]}? " if close else f"it belongs to {elsewhere[0]}; " if elsewhere else ""
    where = f"[{table}] of {verb}" if table else verb
    return file.wrong(f"{where} has no key {name!r}; {meant}known: {', '.join(sorted(here))}", table, name)


def option(key: Key) -> str:
    """The option's name without dashes."""
    return key.action.option_strings[-1].lstrip("-")


def argument(file: File, key: Key, value: Any) -> list[str]:
    """The option and its value as on the command line. Raises UsageError where the value cannot be."""
    action, said = key.action, json.dumps(value, ensure_ascii=False, default=str)

    def wrong(problem: str) -> UsageError:
        return file.wrong(f"{key.words}: {problem}", key.table, key.name)

    if action.nargs == 0:
        if not isinstance(value, bool):
            raise wrong(f"{said} is neither true nor false")
        return [f"--{option(key)}"] if value else []
    kind = kind_of(action)
    is_list, is_number = isinstance(value, list), "number" in kind
    if is_list and kind not in ("names", "numbers"):
        raise wrong(f"{said} is a list, and one is wanted: {kind}")
    for one in value if is_list else [value]:
        fits = isinstance(one, (int, float)) and not isinstance(one, bool) if is_number else isinstance(one, str)
        if not fits:
            without = " (without quotes)" if is_number and isinstance(one, str) else ""
            raise wrong(f"{json.dumps(one, ensure_ascii=False, default=str)} is not {kind}{without}")
    texts = [resolved(one, file) if isinstance(one, str) else repr(one) for one in (value if is_list else [value])]
    text = ",".join(texts)
    if action.choices is not None and text not in action.choices:
        close = get_close_matches(text, list(action.choices), 1)
        meant = f"did you mean {close[0]!r}? " if close else ""
        raise wrong(f"{said} is not known; {meant}known: {', '.join(map(str, action.choices))}")
    if action.type is not None:
        try:
            action.type(text)  # type: ignore[operator]  # argparse also has names for types; nobody uses them here
        except (ValueError, argparse.ArgumentTypeError) as problem:
            raise wrong(str(problem)) from None
    return [f"--{option(key)}={text}"]


def kind_of(action: argparse.Action) -> str:
    """What the option takes, in words."""
    if action.type in (int, float):
        return "a whole number" if action.type is int else "a number"
    return str(getattr(action.type, "kind", "a text"))


def resolved(text: str, file: File) -> str:
    """A file's name from where we stand, if it is one: it is given from the experiment's folder."""
    return os.path.normpath(file.path.parent / text) if is_file_name(text) else text


def costs_in(file: File, table: Mapping[str, Any]) -> Costs:
    """The table [costs]; what it does not name is as assumed."""
    usual = Costs()
    for name, value in table.items():
        if name == "origin" and isinstance(value, str):
            continue
        if name not in usual.seconds:
            known = [*usual.seconds, "origin"]
            close = get_close_matches(name, known, 1)
            meant = f"did you mean {close[0]}? " if close else ""
            raise file.wrong(f"[costs] has no key {name!r}; {meant}known: {', '.join(known)}", COSTS, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
            raise file.wrong(f"[costs] {name}: {value!r} is not a number of seconds, 0 or more", COSTS, name)
    return Costs(**{"origin": f"as {file.path.name} says", **table})


def check(file: File, sums: Any) -> None:
    """Raises UsageError if a file of the experiment does not hold what it held."""
    if not isinstance(sums, dict):
        raise file.wrong("[files] is a table of file names and their SHA-256 sums", key=FILES)
    for name, expected in sums.items():
        path = file.path.parent / name
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as problem:
            raise file.wrong(f"[files] {name}: cannot be read: {problem.strerror}", FILES, name) from None
        if found != expected:
            raise file.wrong(
                f"[files] {name} has changed since the experiment was written down, and so would its result; "
                "restore it, or remove this line to run with it as it is",
                FILES,
                name,
            )
