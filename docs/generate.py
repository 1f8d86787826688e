"""Fill the generated parts of the documentation: `python -m docs.generate`.

A generated part of a page stands between two comments, and nobody writes there by hand:

    <!-- generated: NAME -->
    …
    <!-- end -->

`PARTS` says what makes each NAME. A NAME may have arguments behind it, separated by spaces. `tests/test_docs.py` fails
when a page is not what this program would write.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import inspect
import re
import sys
import typing
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import minique
from docs.story import Step, play
from minique import cli, keys, lua, store
from minique.memory_store import MemoryStore
from simulate import cli as experiments
from simulate.benches.contenders import ENTRIES

DOCS = Path(__file__).parent
_PART = re.compile(r"(<!-- generated: (?P<words>[^>]+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages() -> list[Path]:
    return sorted(DOCS.rglob("*.md"))


def filled(text: str) -> str:
    """A page's text with its generated parts made anew."""

    def one(match: re.Match[str]) -> str:
        name, *arguments = match["words"].split()
        made = re.sub(r"\n{3,}", "\n\n", PARTS[name](*arguments).strip())
        return f"{match[1]}{made}\n{match[3]}"

    return _PART.sub(one, text)


# The story.


@cache
def _told(road: str) -> dict[str, Step]:
    return play(road, MemoryStore())


_ADVISORY = {key.suffix for key in keys.KEYS if key.advisory}
_ORDER = [key.suffix for key in keys.KEYS]


def story(road: str, step: str) -> str:
    """What one step of a road changed on the server."""
    steps = _told(road)
    names = list(steps)
    before = {} if step == names[0] else steps[names[names.index(step) - 1]].contents
    lines = changes(before, steps[step].contents) or ["  (nothing has changed)"]
    lines += [f"  event: {line}" for line in map(_shortened, steps[step].told)]
    return "\n".join(["```diff", *lines, "```"])


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Keys that came, changed or went, in the order of keys.py; without those that people alone look at."""
    lines = []
    names = [name for name in {**before, **after} if name not in _ADVISORY]
    for name in sorted(names, key=lambda name: (_place(name), name)):
        old, new = before.get(name), after.get(name)
        if name == "subscriptions" and old:
            continue  # its times move with every sign of life
        if old != new:
            lines += [f"- {name:<26} {_value(name, old)}"] if old else []
            lines += [f"+ {name:<26} {_value(name, new)}"] if new else []
    return lines


def _place(name: str) -> int:
    fitting = [key for key in _ORDER if name == key or (key.endswith(":") and name.startswith(key))]
    return _ORDER.index(max(fitting, key=len))


def _value(name: str, value: Any) -> str:
    if isinstance(value, str):
        return _shortened(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_value(name, one)}" for key, one in value.items()) + "}"
    if isinstance(value, (list, set)):
        return "[" + ", ".join(_value(name, one) for one in sorted(value) if one) + "]"
    return f"{value:f}".rstrip("0").rstrip(".")


def _shortened(text: str) -> str:
    text = re.sub(r'"traceback": "(?:[^"\\]|\\.)*"', '"traceback": "…"', text)
    return text.replace("\n", "⏎").replace("⏎}", "}")


# Reference: keys, states, constants.


def table_of_keys() -> str:
    lines = ["| key | type | holds | written by |", "|---|---|---|---|"]
    for key in keys.KEYS:
        name = f"`{key.suffix}{'…' if key.suffix.endswith(':') else ''}`"
        note = " *(advisory)*" if key.advisory else ""
        by = key.written_by if key.written_by.startswith("the ") else key.written_by.replace(" ", ", ")
        lines.append(f"| {name} | {key.type} | {key.holds}{note} | {by} |")
    return "\n".join(lines)


def text_of_keys() -> str:
    return _as_page(keys.__doc__)


def text_of_store() -> str:
    return _as_page((store.__doc__ or "").partition("\n")[2].strip("\n"), keep_first=False)


def _as_page(text: str | None, keep_first: bool = True) -> str:
    """A docstring as Markdown: what is indented becomes a block."""
    assert text
    paragraphs = inspect.cleandoc(text) if keep_first else text
    made: list[str] = []
    block: list[str] = []
    for line in [*paragraphs.splitlines(), ""]:
        is_indented = line.startswith("    ")
        if is_indented or (block and not line and made):
            block.append(line[4:] if is_indented else line)
            continue
        if block:
            made += ["```text", *_without_blank_ends(block), "```", ""]
            block = []
        made.append(line)
    if block:
        made += ["```text", *_without_blank_ends(block), "```"]
    return "\n".join(made)


def _without_blank_ends(lines: list[str]) -> list[str]:
    text = "\n".join(lines).strip("\n")
    return text.splitlines()


ARROWS: dict[str, type] = {
    kind.__name__.lower(): kind
    for kind in typing.get_args(store.Arrow)
    if kind.__doc__ and "→" in kind.__doc__.partition(".")[0]
}
"""The arrows that move jobs, by name."""


def arrow(name: str) -> str:
    """One arrow: what the Store's class and the script's header say of it."""
    kind = ARROWS[name]
    first, _, answers = " ".join((kind.__doc__ or "").split()).partition(". ")
    script = lua.load(name)
    arguments = ", ".join(f"`{field}`" for field in kind._fields)  # type: ignore[attr-defined]
    rows = [
        ("arrow", first.rstrip(".")),
        ("method", f"`Store.{name}`, with {arguments}"),
        ("answer", _capital(answers.removeprefix("Answers ").rstrip("."))),
        ("script", f"`minique/scripts/{name}.lua`: {script.summary}"),
        ("the script returns", script.returns),
        ("contract", f"`tests/test_store_contract.py`, `Test{kind.__name__}`"),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {left} | {right} |" for left, right in rows)])


CONSTANTS = {
    "LEASE_SECONDS": ("minique.worker", "how long a claim's lease is, unless a worker is told otherwise"),
    "RENEW_EVERY_SECONDS": ("minique.worker", "when a lease of that length is renewed"),
    "LEAST_LEASE_SECONDS": ("minique.worker", "no job is started with less lease than this"),
    "SHUTDOWN_TIMEOUT_SECONDS": ("minique.worker", "what a job may still take after TERM or INT"),
    "FIRST_PAUSE_SECONDS": ("minique.supervisor", "before the second restart of what keeps dying; then it doubles"),
    "LONGEST_PAUSE_SECONDS": ("minique.supervisor", "before any later one"),
    "LONGEST_PAUSE_AFTER_WORK_SECONDS": ("minique.supervisor", "before one that had died with jobs in hand"),
    "STEADY_SECONDS": ("minique.supervisor", "who lived this long is started again at once"),
    "KILL_MARGIN_SECONDS": ("minique.supervisor", "who takes longer than its time to stop is killed this much later"),
    "HEIR_MARGIN_SECONDS": ("minique.supervisor", "for giving back what the killed ones held"),
    "BATCH_LIMIT": ("minique.worker", "the most jobs, short ones, that a worker claims at a time"),
    "BATCH_SECONDS": ("minique.worker", "as much expected work is claimed at a time"),
    "FORKS_AHEAD": (
        "minique.processes",
        "so many children are forked in a row while jobs are short, and as many claimed",
    ),
    "REST_SECONDS": ("minique.reaper", "how often a worker looks for leases that ran out"),
    "LONGEST_REST_SECONDS": ("minique.scheduler", "how often a scheduler looks even when nothing rings"),
    "DEATHS_ALLOWED": ("minique.store", "a job that saw this many workers die is failed"),
    "CLAIM_LIMIT": ("minique.store", "the most jobs that one claim may hold"),
    "PAYLOAD_LIMIT_BYTES": ("minique.call", "the longest body"),
    "RESULT_LIMIT_BYTES": ("minique.perform", "the longest result"),
    "RESULT_LIFETIME_SECONDS": ("minique.job_class", "how long a result is kept, unless the job class says otherwise"),
    "NONE_LIFETIME_SECONDS": ("minique.job_class", "how long it is kept that a job is done when it returned None"),
    "MANY_AT_ONCE": ("minique.client", "the most jobs of `enqueue_many` in one round trip"),
    "FAILED_LIMIT": ("minique.keys", "the most failed jobs; beyond it the oldest are dropped and counted"),
    "GONE_LIFETIME_SECONDS": ("minique.keys", "how long a removed job's mark stays"),
    "ANSWER_LIFETIME_SECONDS": ("minique.keys", "how long a token waits for a waiter that never comes"),
    "SILENCE_SECONDS": ("minique.keys", "after so long without a heartbeat a worker leaves the list"),
    "SOCKET_TIMEOUT_SECONDS": ("minique.wire", "a server that is silent for so long is taken for lost"),
    "CONNECT_TIMEOUT_SECONDS": ("minique.wire", "how long connecting may take"),
    "EVERY_SECONDS": ("naive_daemon.daemon", "how long the naive daemon sleeps"),
    "TIMEOUT_SECONDS": ("naive_daemon.claiming", "after so long a claiming daemon's row is free again"),
}
"""Name → where it stands and what it is: the numbers that prose may state, always beside the name."""


def constant(name: str) -> Any:
    module = CONSTANTS[name][0]
    return keys.LIMITS[name] if module == "minique.keys" else getattr(importlib.import_module(module), name)


def plain(name: str) -> str:
    """A constant as it is to be written."""
    value = constant(name)
    if name.endswith("_BYTES"):
        return f"{value // 1024:,} KiB"
    return f"{value:,g} s" if name.endswith("_SECONDS") else f"{value:,}"


def table_of_constants() -> str:
    lines = ["| name | value | in | what it is |", "|---|--:|---|---|"]
    lines += [f"| `{name}` | {plain(name)} | `{module}` | {what} |" for name, (module, what) in CONSTANTS.items()]
    job_class = {field.name: field.default for field in dataclasses.fields(minique.JobClass)}
    lines.append(f"| `retries` | {job_class['retries']} | each job class | how often a failed attempt is repeated |")
    backoff = minique.Backoff()
    lines.append(
        f"| `backoff` | {backoff.first_seconds:g} s, then {backoff.factor:g} times as long with each failure, at most "
        f"{backoff.cap_seconds:,g} s | each job class | the longest wait before the next try; chance decides how long |"
    )
    return "\n".join(lines)


# Reference: the command line.


def command_line() -> str:
    return _reference(cli._parser(), "minique")


def simulate_command_line() -> str:
    return _reference(experiments.parser(), "python -m simulate")


def _reference(parser: argparse.ArgumentParser, program: str) -> str:
    made: list[str] = []
    for names, one in _commands(parser, (program,)):
        made += [f"### `{' '.join(names)}`", "", f"{_capital(one.description or '')}.", ""]
        rows = [action for action in one._actions if not isinstance(action, argparse._SubParsersAction)]
        made += ["| | |", "|---|---|", *(_option(action) for action in rows if action.dest != "help"), ""]
    return "\n".join(made)


def _commands(
    parser: argparse.ArgumentParser, names: tuple[str, ...]
) -> list[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        return [(names, parser)]
    found = []
    for action in below:
        helps = {choice.dest: choice.help for choice in action._choices_actions}
        for name, sub in action.choices.items():
            sub.description = sub.description or helps.get(name)
            found += _commands(sub, (*names, name))
    return found


def _option(action: argparse.Action) -> str:
    value = action.metavar or (" or ".join(map(str, action.choices)) if action.choices else action.dest.upper())
    if not action.option_strings:
        many = " …" if action.nargs == "*" else ""
        return f"| `{value}{many}` | {_help(action)} |"
    words = ", ".join(f"`{word}`" for word in action.option_strings)
    return f"| {words}{'' if action.nargs == 0 else f' `{value}`'} | {_help(action)} |"


def _help(action: argparse.Action) -> str:
    return (action.help or "") % {"default": action.default}


def exit_codes() -> str:
    text = (cli.__doc__ or "").partition("Exit codes: ")[2].strip().rstrip(".")
    rows = [one.strip().partition(" ") for one in " ".join(text.split()).split(", ")]
    lines: list[str] = []
    for code, _, what in rows:
        if code.isdigit():
            lines.append(f"| {code} | {what} |")
        else:
            lines[-1] = f"{lines[-1][:-2]}, {code} {what} |"
    return "\n".join(["| code | when |", "|--:|---|", *lines])


# Reference: Python.


def python_names() -> str:
    made: list[str] = []
    for name in sorted(minique.__all__, key=str.lower):
        thing = getattr(minique, name)
        if inspect.isclass(thing) and issubclass(thing, minique.MiniqueError):
            continue
        made += [f"### `{name}`", "", f"```text\n{_signature(name, thing)}\n```", "", _doc(thing), ""]
        if inspect.isclass(thing) or name == "hooks":
            for member in _members(thing if inspect.isclass(thing) else type(thing)):
                method = inspect.getattr_static(thing, member)
                call = getattr(thing, member)
                kind = "classmethod " if isinstance(method, classmethod) else ""
                made += [f"```text\n{kind}{_signature(f'{name}.{member}', call)}\n```", "", _doc(call), ""]
    return "\n".join(made)


def _members(thing: type) -> list[str]:
    return [
        name
        for kind in thing.__mro__
        if kind.__module__.startswith("minique.")
        for name, member in vars(kind).items()
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, classmethod))
    ]


_MADE_BY_THE_LIBRARY = ("Handle", "JobClass", "JobFunction", "RunningJob", "hooks")


def _signature(name: str, thing: Any) -> str:
    if name in _MADE_BY_THE_LIBRARY:
        return f"class {name}" if inspect.isclass(thing) else f"{name}: {type(thing).__name__}"
    signature = inspect.signature(thing)
    parts = [part for part in map(_plainly, map(str, _with_separators(signature))) if part != "self"]
    if parts[:1] == ["/"]:
        parts.pop(0)
    returns = _plainly(str(signature.replace(parameters=[]))).removeprefix("()")
    returns = "" if inspect.isclass(thing) else returns
    line = f"{name}({', '.join(parts)}){returns}"
    if len(line) <= 110:
        return line
    return "\n".join([f"{name}(", *(f"    {part}," for part in parts), f"){returns}"])


def _with_separators(signature: inspect.Signature) -> list[object]:
    parts: list[object] = []
    parameters = list(signature.parameters.values())
    for position, parameter in enumerate(parameters):
        before = parameters[position - 1].kind if position else None
        if before is parameter.POSITIONAL_ONLY and parameter.kind is not parameter.POSITIONAL_ONLY:
            parts.append("/")
        if parameter.kind is parameter.KEYWORD_ONLY and before not in (
            parameter.KEYWORD_ONLY,
            parameter.VAR_POSITIONAL,
        ):
            parts.append("*")
        parts.append(parameter)
    return parts


def _plainly(text: str) -> str:
    # Annotations are text in the modules, and versions of Python differ in how they show that.
    text = re.sub(r"(: |-> )'([^']*)'", r"\1\2", text)
    return re.sub(r"<minique\.registry\.Registry object at \w+>", "default_registry", text)


def _doc(thing: Any) -> str:
    found = inspect.getdoc(thing) or ""
    if inspect.isclass(thing) and found.startswith(f"{thing.__name__}("):
        return ""  # what dataclasses make up
    return _as_page(found) if found else ""


def tree_of_errors() -> str:
    return _as_page(importlib.import_module("minique.errors").__doc__)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def example(name: str) -> str:
    """A program that stands beside the pages, whole."""
    language = {".py": "python"}.get(Path(name).suffix, Path(name).suffix.removeprefix("."))
    return f"```{language}\n{(DOCS / 'examples' / name).read_text(encoding='utf-8').strip()}\n```"


def guarantees() -> str:
    """The guarantee table, searched anew."""
    from simulate.guarantees import report
    from simulate.guarantees.table import quick_table

    return report.markdown(quick_table())


def table_of_neighbours() -> str:
    """What other libraries do with a job whose worker is killed, as the benches state it."""
    lines = ["| library | in this configuration | a worker is killed |", "|---|---|---|"]
    lines += [f"| {name} | {one.configuration} | {one.risks} |" for name, one in ENTRIES.items()]
    return "\n".join(lines)


PARTS: dict[str, Callable[..., str]] = {
    "guarantees": guarantees,
    "example": example,
    "story": lambda road, *step: story(road, " ".join(step)),
    "keys": table_of_keys,
    "keys-text": text_of_keys,
    "states-text": text_of_store,
    "arrow": arrow,
    "constants": table_of_constants,
    "neighbours": table_of_neighbours,
    "command-line": command_line,
    "simulate-command-line": simulate_command_line,
    "exit-codes": exit_codes,
    "python": python_names,
    "errors": tree_of_errors,
}


def main() -> int:
    for page in pages():
        text = page.read_text(encoding="utf-8")
        made = filled(text)
        if made != text:
            page.write_text(made, encoding="utf-8")
            print(f"written: {page.relative_to(DOCS.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
