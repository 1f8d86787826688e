"""`python -m simulate explore` at the command line: its options, what it does, and what it prints."""

from __future__ import annotations

import argparse
import gc
import resource
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from minique import status
from minique.errors import MiniqueError
from minique.wire import Server
from naive_daemon.database import DatabaseUnusable
from simulate.explore.actors import KINDS
from simulate.explore.contents import Draw, LuaServer, MemoryServer, NoSuchText
from simulate.explore.ladder import replay as ladder
from simulate.explore.ladder.rungs import LEFT_OUT
from simulate.explore.ladder.scope import Scope as LadderScope
from simulate.explore.mutants import HARMLESS, LUA_HARMLESS, LUA_MUTANTS, MUTANTS, Mutant
from simulate.explore.replay import Replayed, replay
from simulate.explore.rules import RULES
from simulate.explore.search import MANY, Progress, Result, Scope, Search
from simulate.explore.story import NoStory, Story, Told
from simulate.explore.subject import FILES, Change, Subject, changed
from simulate.explore.telling import Failure
from simulate.explore.walk import Walked, Walker, choices, shrunk
from simulate.history import Report

DEFAULT_LIMIT_STATES = 5_000_000
DEFAULT_MEMORY_MB = 6000
NAMESPACE = "explored"

Watching = Callable[[], AbstractContextManager[Progress]]
"""Shows progress while it is entered."""


CATALOGUE = (*MUTANTS, *LUA_MUTANTS, *HARMLESS, *LUA_HARMLESS)


class Wrong(Exception):
    """What was asked for cannot be done; the message says why and what to do."""


def add_options(parser: argparse.ArgumentParser, positive: Callable[[Any], Callable[[str], Any]]) -> None:
    """The options of the verb; `positive` reads a number above zero."""
    scope = parser.add_argument_group("the scope")
    scope.add_argument("--design", choices=("minique",), default="minique", help="default: %(default)s")
    scope.add_argument("--workers", type=_up_to(4, 1), default=2, metavar="N", help="default: %(default)s")
    scope.add_argument(
        "--jobs",
        type=_jobs,
        default=("plain", "plain"),
        metavar="N|KIND,KIND",
        help=f"how many, or of which kinds, of {', '.join(KINDS)} (default: 2)",
    )
    for name, words, value in (
        ("crashes", "processes that are killed", 1),
        ("errors", "connections that are lost, before or after arrows were applied, also while sending again", 0),
        ("expiries", "times at which a lease runs out, or somebody is late", 1),
        ("pauses", "times at which somebody stands still in the middle of a tick, longer than a lease", 0),
        ("stops", "workers that are told to stop, and replaced by others", 0),
        ("acts", "what a person does: cancel, requeue or discard a job", 0),
        ("slots", "of a recurring entry, that are fired", 0),
    ):
        scope.add_argument(
            f"--{name}", type=_up_to(MANY), default=value, metavar="N", help=f"{words} (default: {value})"
        )
    scope.add_argument(
        "--schedulers", type=_up_to(3), default=0, metavar="N", help="default: one if a job is ever delayed"
    )
    scope.add_argument("--no-reaper", action="store_true", help="workers reap, and nobody else")
    scope.add_argument("--batch", type=_up_to(5), default=0, metavar="N", help="jobs in-line, claimed N at a time")
    scope.add_argument(
        "--ahead",
        type=_up_to(5, 1),
        default=1,
        metavar="N",
        help="children forked ahead, and short jobs claimed together",
    )
    scope.add_argument(
        "--every-arrow", action="store_true", help="also those that change nothing are steps of their own"
    )
    what = parser.add_argument_group("what is explored")
    what.add_argument(
        "--backend",
        choices=("memory", "lua"),
        default="memory",
        help="MemoryStore, or the scripts on a server in this process (slower; default: %(default)s)",
    )
    what.add_argument(
        "--break",
        dest="changes",
        type=change,
        action="append",
        default=[],
        metavar="FILE:'OLD'=>'NEW'",
        help=f"replace a piece of text that stands once in a script, or in {', '.join(FILES)}; may be given again",
    )
    what.add_argument("--mutant", metavar="NAME", help="one of the catalogue's, in its own scope")
    what.add_argument("--mutants", action="store_true", help="all of the catalogue, and the score")
    bounds = parser.add_argument_group("bounds")
    bounds.add_argument(
        "--limit", type=positive(int), default=DEFAULT_LIMIT_STATES, metavar="N", help="states (default: %(default)s)"
    )
    bounds.add_argument(
        "--memory", type=positive(int), default=DEFAULT_MEMORY_MB, metavar="MB", help="default: %(default)s"
    )
    bounds.add_argument(
        "--walks",
        type=positive(int),
        default=0,
        metavar="N",
        help="for a scope that is too large: instead of all that can happen, so many random walks through it",
    )
    bounds.add_argument("--seed", type=int, default=1, metavar="N", help="of the first walk (default: %(default)s)")
    story = parser.add_argument_group("a story")
    story.add_argument("--replay", type=Path, metavar="STORY.json", help="step by step, on --server")
    story.add_argument(
        "--server",
        metavar="URL",
        help=f"with --replay: redis:// or unix://, where what is in the namespace {NAMESPACE!r} is thrown away; or a "
        "new file, for a story of a design with a table",
    )


def _up_to(most: int, least: int = 0) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return parse


def _jobs(text: str) -> tuple[str, ...]:
    kinds = ("plain",) * int(text) if text.isdecimal() else tuple(part.strip() for part in text.split(","))
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise argparse.ArgumentTypeError(f"there are no jobs that are {unknown[0]!r}; known: {', '.join(KINDS)}")
    if not 1 <= len(kinds) <= 5:
        raise argparse.ArgumentTypeError(f"{len(kinds)} jobs; 1 to 5 can be explored")
    return kinds


def change(text: str) -> Change:
    """A change as it is written at the command line: complete.lua:'old text'=>'new text'."""
    file, colon, rest = text.partition(":")
    old, arrow, new = rest.partition("=>")
    if not colon or not arrow or not old:
        raise argparse.ArgumentTypeError(f"{text!r} is not FILE:'OLD'=>'NEW'")
    return Change(file.strip(), *(_unquoted(part) for part in (old, new)))


def _unquoted(text: str) -> str:
    text = text.strip()
    inner = text[1:-1] if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"" else text
    return inner.replace("\\n", "\n")


class Searched(NamedTuple):
    scope: Scope
    changes: tuple[Change, ...]
    result: Result
    seconds: float


def drawing(subject: Subject, backend: str) -> Draw:
    """Arrows on a server of that kind. Raises Wrong when it is not installed."""
    if backend == "memory":
        return MemoryServer(subject.store).draw
    try:
        from simulate.explore.in_process import lua_server
    except ImportError as error:
        raise Wrong(f"--backend lua needs a package that is not here: pip install 'fakeredis[lua]' ({error})") from None
    return lua_server(subject.lua).draw


def _subject(changes: Sequence[Change], backend: str) -> Subject:
    """Raises Wrong for changes that do not fit, or that the backend does not run."""
    try:
        subject = changed(changes)
    except (NoSuchText, SyntaxError) as error:
        raise Wrong(f"--break: {error}") from None
    if subject.lua and backend == "memory":
        raise Wrong(f"--break: {subject.lua[0].file} is a script: add --backend lua, or change memory_store.py")
    return subject


def explore(
    scope: Scope,
    changes: Sequence[Change],
    clock: Callable[[], float],
    backend: str = "memory",
    limit: int = DEFAULT_LIMIT_STATES,
    progress: Progress | None = None,
    every_arrow: bool = False,
) -> Searched:
    """One search. Raises Wrong for changes that do not fit, or that the backend does not run."""
    subject = _subject(changes, backend)
    try:
        draw = drawing(subject, backend)
    except NoSuchText as error:
        raise Wrong(f"--break: {error}") from None
    began = clock()
    was_enabled = gc.isenabled()
    gc.disable()  # nothing here is a cycle, and looking through millions of tuples takes longer than the search
    try:
        result = Search(scope, subject, draw, every_arrow).run(limit, progress)
    finally:
        if was_enabled:
            gc.enable()
    return Searched(scope, tuple(changes), result, clock() - began)


def run(
    options: argparse.Namespace,
    clock: Callable[[], float],
    console: Console,
    watching: Watching,
    save: Callable[..., Any],
) -> bool:
    """Do what the options ask for; whether all is well. Raises Wrong."""
    if options.replay is not None or options.server is not None:
        return _replay(options, console)
    if options.mutants:
        with watching() as progress:
            scores = [score(mutant, clock, progress) for mutant in CATALOGUE]
        return _print_scores(console, scores)
    scope = Scope(
        options.workers,
        options.jobs,
        options.crashes,
        options.errors,
        options.expiries,
        options.pauses,
        schedulers=options.schedulers,
        reaper=not options.no_reaper,
        batch=options.batch,
        ahead=options.ahead,
        stops=options.stops,
        acts=options.acts,
        slots=options.slots,
    )
    changes, backend = tuple(options.changes), options.backend
    if options.mutant is not None:
        found = [mutant for mutant in CATALOGUE if mutant.name == options.mutant]
        if not found:
            names = "\n  ".join(mutant.name for mutant in CATALOGUE)
            raise Wrong(f"--mutant: there is none called {options.mutant!r}; known:\n  {names}")
        scope, changes = found[0].scope, (*found[0].changes, *changes)
        backend = backend_of(found[0])
    if options.walks:
        with watching() as progress:
            walked = walk(scope, changes, backend, options.walks, options.seed, _bounded(progress, options.memory))
        return _print_walks(console, scope, changes, walked, save)
    with watching() as progress:
        searched = explore(
            scope, changes, clock, backend, options.limit, _bounded(progress, options.memory),
            options.every_arrow,
        )  # fmt: skip
    _print(console, searched)
    failure = searched.result.failure
    if failure is None:
        return True
    story = Story.of(failure, scope, changes)
    console.print(story.timeline(), markup=False, highlight=False, soft_wrap=True)
    save(story)
    return False


# Random walks.


class Walks(NamedTuple):
    walks: int
    steps: int
    failure: Failure | None
    report: Report | None
    """What the checker of histories says of the last walk."""
    why_not: str


def walk(
    scope: Scope, changes: Sequence[Change], backend: str, walks: int, seed: int, progress: Progress | None = None
) -> Walks:
    """Random walks until one fails, which is told as shortly as leaving out steps can make it."""
    subject = _subject(changes, backend)
    walker = Walker(scope, subject, drawing(subject, backend))
    steps = 0
    for number in range(walks):
        rate, some = choices(Random(seed + number))
        walked = walker.walk(rate, some)
        steps += walked.steps
        if walked.failure is not None:
            rule = walked.failure.rule
            fewer = shrunk(lambda left: _rule_of(walker.walk(rate, left)) == rule, some)  # noqa: B023
            return Walks(number + 1, steps, walker.walk(rate, fewer).failure, None, "")
        if walked.report is not None and walked.report.broken:
            return Walks(number + 1, steps, None, walked.report, "")
        if progress is not None and (why := progress(walker.seen, steps, walks - number, walked.steps)):
            return Walks(number + 1, steps, None, walked.report, why)
    return Walks(walks, steps, None, None, "")


def _rule_of(walked: Walked) -> str:
    return walked.failure.rule if walked.failure else ""


def _print_walks(
    console: Console, scope: Scope, changes: Sequence[Change], walked: Walks, save: Callable[..., Any]
) -> bool:
    console.print(f"[bold]Walked[/]: {_in_words(scope)}", soft_wrap=True)
    console.print(f"{walked.walks:,} random walks, {walked.steps:,} steps. {walked.why_not}".rstrip(), soft_wrap=True)
    if walked.failure is not None:
        console.print(f"[bold red]Fails[/]: {escape(RULES[walked.failure.rule])}", soft_wrap=True)
        story = Story.of(walked.failure, scope, changes)
        console.print(story.timeline(), markup=False, highlight=False, soft_wrap=True)
        save(story)
        return False
    if walked.report is not None and walked.report.broken:
        for verdict in walked.report.broken:
            console.print(f"[bold red]Fails[/]: {escape(str(verdict))}", soft_wrap=True)
        return False
    console.print("[bold green]Nothing failed[/] on these walks; that says nothing of others.", soft_wrap=True)
    return True


def _bounded(progress: Progress, megabytes: int) -> Progress:
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024

    def told(states: int, transitions: int, left: int, depth: int) -> str:
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit > megabytes:
            return f"it was ended at {states:,} states, for it took more than {megabytes:,} MB"
        return progress(states, transitions, left, depth)

    return told


def _in_words(scope: Scope) -> str:
    parts = [_many(scope.workers, "worker", "workers"), f"jobs {', '.join(scope.jobs)}", "a producer"]
    parts += ["a reaper"] if scope.reaper else []
    kinds = {"crashes": "crash", "errors": "error", "expiries": "expiry", "pauses": "pause", "stops": "stop"}
    for many, one in (kinds | {"acts": "act", "slots": "slot"}).items():
        parts += [_many(getattr(scope, many), one, many)] if getattr(scope, many) else []
    return "; ".join(parts)


def _many(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _print(console: Console, searched: Searched) -> None:
    result = searched.result
    table = Table(title=f"Explored: {_in_words(searched.scope)}", title_justify="left", title_style="bold")
    for name in ("states", "transitions", "per second", "seconds", "server contents", "longest story"):
        table.add_column(name, justify="right")
    rate = result.transitions / searched.seconds if searched.seconds > 0 else 0.0
    table.add_row(
        f"{result.states:,}", f"{result.transitions:,}", f"{rate:,.0f}", f"{searched.seconds:.2f}",
        f"{result.contents:,}", f"{result.deepest}",
    )  # fmt: skip
    console.print(table)
    for one in searched.changes:
        console.print(f"[bold]Changed[/]: {escape(status.escape(str(one)))}", soft_wrap=True)
    if result.failure is not None:
        console.print(f"[bold red]Fails[/]: {escape(RULES[result.failure.rule])}", soft_wrap=True)
    elif result.is_whole:
        console.print("[bold green]Holds[/]: all of the scope was searched, and from each state everything drains.")
    else:
        console.print(f"[bold yellow]Not all of it[/]: {result.why_not}. Nothing failed as far as it was searched.")


# The catalogue.


class Score(NamedTuple):
    mutant: Mutant
    is_harmless: bool
    result: Result
    seconds: float

    @property
    def is_right(self) -> bool:
        return self.result.is_whole and (self.result.failure is None) == self.is_harmless


def backend_of(mutant: Mutant) -> str:
    return "lua" if any(one.file.endswith(".lua") for one in mutant.changes) else "memory"


def score(mutant: Mutant, clock: Callable[[], float], progress: Progress | None = None) -> Score:
    """Whether the explorer finds it; or is silent on it, if it does no harm."""
    searched = explore(mutant.scope, mutant.changes, clock, backend_of(mutant), progress=progress)
    return Score(mutant, mutant in HARMLESS or mutant in LUA_HARMLESS, searched.result, searched.seconds)


def _print_scores(console: Console, scores: Sequence[Score]) -> bool:
    table = Table(title="Faults put into the code, and changes that do no harm", title_justify="left")
    for name in ("change", "what it breaks", "found by the rule", "steps", "seconds"):
        table.add_column(name, justify="right" if name in ("steps", "seconds") else "left")
    for one in scores:
        failure = one.result.failure
        found = escape(failure.rule) if failure else "silent" if one.is_harmless else "[red]not found[/]"
        if failure and one.is_harmless:
            found = f"[red]cries wolf: {found}[/]"
        table.add_row(
            escape(one.mutant.name), escape(one.mutant.breaks) or "nothing", found,
            str(len(failure.steps)) if failure else "", f"{one.seconds:.2f}",
        )  # fmt: skip
    console.print(table)
    faults = [one for one in scores if not one.is_harmless]
    harmless = [one for one in scores if one.is_harmless]
    console.print(
        f"{sum(one.is_right for one in faults)} of {len(faults)} faults found; "
        f"silent on {sum(one.is_right for one in harmless)} of {len(harmless)} harmless changes."
    )
    return all(one.is_right for one in scores)


# A real server.


def _replay(options: argparse.Namespace, console: Console) -> bool:
    if options.replay is None or options.server is None:
        raise Wrong("--replay STORY.json and --server URL belong together")
    try:
        story = Story.from_json(options.replay.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise Wrong(f"{options.replay} cannot be read: {error}") from None
    except NoStory as error:
        raise Wrong(f"{options.replay}: {error}") from None

    def show(n: int, step: Told) -> None:
        mark = "✗" if step.is_fault else " "
        console.print(f"{n:3} {mark} {step.who:12} {step.words}", markup=False, highlight=False, soft_wrap=True)

    if isinstance(story.scope, LadderScope) and ladder.is_on_table(story):
        return _replay_on_file(options, story, show, console)
    server = Server(options.server)
    try:
        done: Replayed | ladder.Replayed
        scripts = LuaServer(server, changed(story.changes).lua, NAMESPACE)
        if isinstance(story.scope, Scope):
            done = replay(story, scripts, show)
        else:
            is_ours = story.design == "minique"
            done = ladder.replay(
                story, ladder.RealArrows(scripts) if is_ours else ladder.RealLists(server, LEFT_OUT), show
            )
    except (NoStory, NoSuchText) as error:
        raise Wrong(f"{options.replay}: {error}") from None
    except MiniqueError as error:
        raise Wrong(f"--server: {error}") from None
    finally:
        server.close()
    return _compared(console, done, str(server))


def _replay_on_file(
    options: argparse.Namespace, story: Story, show: Callable[[int, Told], None], console: Console
) -> bool:
    if "://" in options.server:
        raise Wrong(f"{story.design} keeps its jobs in a SQLite file: name one that is not there yet, as --server FILE")
    try:
        rows = ladder.RealRows(Path(options.server))
    except (NoStory, DatabaseUnusable) as error:
        raise Wrong(f"--server: {error}") from None
    try:
        return _compared(console, ladder.replay(story, rows, show), options.server)
    except NoStory as error:
        raise Wrong(f"{options.replay}: {error}") from None
    finally:
        rows.database.close()


def _compared(console: Console, done: Replayed | ladder.Replayed, where: str) -> bool:
    colour = "green" if done.is_same else "red"
    console.print(
        f"[bold {colour}]{'The same end' if done.is_same else 'Another end'}[/] on {escape(where)} after "
        f"{done.steps} steps: {escape(done.why)}",
        soft_wrap=True,
    )
    return done.is_same
