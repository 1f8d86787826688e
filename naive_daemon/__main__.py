"""`python -m naive_daemon`: watch a table and do what is due; add rows from another shell. And, beside it, a timer that
keeps everything in memory.

The one place of this package that looks at the real clock and really sleeps.
"""

import argparse
import importlib
import json
import os
import shlex
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn

from naive_daemon import claiming, daemon, timer
from naive_daemon.database import STATES, Database, DatabaseUnusable, Row

FINE, FAILED, USAGE = 0, 1, 2

# Threads of the timer: work that waits for others most of the time hardly minds a few beside it.
THREADS = 4


def do_print(*arguments: object) -> None:
    """Prints its arguments."""
    print(*arguments, flush=True)


def do_nap(seconds: float) -> None:
    """Sleeps that long."""
    time.sleep(float(seconds))


def do_fail(message: str = "this work fails on purpose") -> None:
    """Raises."""
    raise RuntimeError(message)


WORKS: dict[str, Callable[..., None]] = {"print": do_print, "nap": do_nap, "fail": do_fail}


def built_in_work(row: Row) -> None:
    """Does one of the built-in kinds of work. Raises ValueError when the row names another."""
    if row.work not in WORKS:
        raise ValueError(f"unknown work {row.work!r}; known: {', '.join(WORKS)} (or give your own with --work)")
    WORKS[row.work](*row.arguments)


def load_work(name: str) -> daemon.Work:
    """Finds `module:function`. Raises argparse.ArgumentTypeError saying what is wrong with the name."""
    module_name, colon, function_name = name.partition(":")
    if not (module_name and colon and function_name):
        raise argparse.ArgumentTypeError(f"{name!r} is not of the form module:function, for example myapp.work:do")
    sys.path.insert(0, os.getcwd())  # as `python -m` does: the user's module usually lies here
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except ImportError as problem:
        raise argparse.ArgumentTypeError(f"cannot import {module_name!r}: {problem}") from problem
    except AttributeError:
        raise argparse.ArgumentTypeError(f"module {module_name!r} has no {function_name!r}") from None
    if not callable(function):
        raise argparse.ArgumentTypeError(f"{name!r} cannot be called; name a function that takes the row")
    return function  # type: ignore[no-any-return]  # whatever the user wrote, it is called with a row


def seconds(text: str) -> float:
    """A duration from the command line: a number of seconds, not negative."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds") from None
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} must be a number of seconds, 0 or more")
    return value


def told(work: daemon.Work, name: str = "row") -> daemon.Work:
    """The same work, saying on standard error what becomes of each row, so that one can watch."""

    def doing(row: Row) -> None:
        say(f"{name} {row.id}: {row.work} {row.arguments_text}")
        try:
            work(row)
        except Exception as problem:
            say(f"{name} {row.id}: error, {problem}")
            raise
        say(f"{name} {row.id}: done")

    return doing


def whole_number(text: str) -> int:
    """A number of threads from the command line."""
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def say(line: str) -> None:
    """One line for the person who watches; standard output belongs to the work."""
    print(line, file=sys.stderr, flush=True)


def value(text: str) -> Any:
    """An argument as typed: what reads as JSON is that, all else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def listing(rows: Sequence[dict[str, Any]], now: float) -> str:
    """The rows as a table for people, times relative to now."""
    lines = [f"{'id':>5}  {'state':8} {'due in':>9}  {'claimed by':24} work"]
    for row in rows:
        error = f"   [{row['error']}]" if row["error"] else ""
        lines.append(
            f"{row['id']:>5}  {row['state']:8} {row['due'] - now:>8.1f}s  {row['claimed_by'] or '':24} "
            f"{row['work']} {row['arguments']}{error}"
        )
    return "\n".join(lines)


def parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The command line, and the part of it that belongs to each verb."""
    top = argparse.ArgumentParser(
        prog="python -m naive_daemon", description="Look in a table; do what is due; sleep ten seconds; again."
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="run|claim|add|list|timer")
    run = verbs.add_parser("run", help="the plain loop, one process")
    claim = verbs.add_parser("claim", help="the loop with row claims; start as many as you like")
    add = verbs.add_parser("add", help="put a row into the table")
    show = verbs.add_parser("list", help="show the rows")
    clock = verbs.add_parser(
        "timer",
        help="no table: do what standard input says, when it is due, and forget it on exit",
        description="Reads lines SECONDS WORK [ARGUMENTS], and does each piece of work so many seconds later. All is "
        "kept in memory alone. Ends when the input has ended and everything is done.",
    )
    clock.add_argument(
        "--threads",
        type=whole_number,
        default=THREADS,
        metavar="N",
        help="how much is done at a time (default: %(default)s)",
    )
    every_verb = {"run": run, "claim": claim, "add": add, "list": show}
    for one in every_verb.values():
        one.add_argument(
            "--database",
            metavar="FILE",
            default="naive_daemon.db",
            help="the SQLite file, made if it is not there (default: %(default)s)",
        )
    for one in (run, claim):
        one.add_argument(
            "--every",
            type=seconds,
            default=daemon.EVERY_SECONDS,
            metavar="SECONDS",
            help="how long to sleep between two looks (default: %(default)g)",
        )
        one.add_argument(
            "--work",
            type=load_work,
            default=built_in_work,
            metavar="MODULE:FUNCTION",
            help=f"a function that is given each row (default: the built-in {', '.join(WORKS)})",
        )
    claim.add_argument(
        "--timeout",
        type=seconds,
        default=claiming.TIMEOUT_SECONDS,
        metavar="SECONDS",
        help="after so long somebody else may take a claimed row (default: %(default)g)",
    )
    claim.add_argument(
        "--name",
        default=f"{socket.gethostname()}:{os.getpid()}",
        help="written beside the rows it claims (default: host:process)",
    )
    add.add_argument("what", metavar="WORK", help=f"what to do, for example {', '.join(WORKS)}")
    add.add_argument("arguments", nargs="*", metavar="ARGUMENT", type=value, help="JSON, or plain text")
    add.add_argument("--in", dest="after", type=seconds, default=0.0, metavar="SECONDS", help="due so much later")
    show.add_argument("--state", choices=STATES, help="only these rows")
    show.add_argument("--json", action="store_true", help="for programs")
    return top, {**every_verb, "timer": clock}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb of the command line and returns the exit code: 0 fine, 1 failed at run time, 2 usage."""
    top, verbs = parser()
    options, unknown = top.parse_known_args(arguments)
    if unknown:
        allowed = sorted(flag for action in verbs[options.verb]._actions for flag in action.option_strings)
        verbs[options.verb].error(f"unknown: {' '.join(unknown)}; allowed are {', '.join(allowed)}")
    if options.verb == "timer":
        keep_time(options.threads)
    try:
        database = Database(options.database)
    except DatabaseUnusable as problem:
        say(f"naive_daemon: {problem}")
        return FAILED
    try:
        return act(options, database)
    except sqlite3.Error as problem:
        say(
            f"naive_daemon: the database {options.database!r} failed: {problem}. What was marked done stays done; "
            "see to the file and start again."
        )
        return FAILED
    except BrokenPipeError:
        # Whoever read our output has gone (`list | head`). Python would complain once more while flushing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    finally:
        database.close()


def act(options: argparse.Namespace, database: Database) -> int:
    """Carries out the verb on an open database."""
    if options.verb == "add":
        row_id = database.add(options.what, options.arguments, now=time.time(), after=options.after)
        print(row_id)
        return FINE
    if options.verb == "list":
        rows = [row for row in database.everything() if options.state in (None, row["state"])]
        print(json.dumps(rows, indent=2) if options.json else listing(rows, time.time()))
        return FINE
    # A process started in the background of a script ignores Ctrl-C unless told otherwise.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    how = "" if options.verb == "run" else f" as {options.name}"
    say(f"watching {options.database}{how}, every {options.every:g} s; Ctrl-C stops")
    loop = {"clock": time.time, "sleep": time.sleep, "every": options.every}
    try:
        if options.verb == "run":
            daemon.run(database, told(options.work), **loop)
        claiming.run(database, told(options.work), name=options.name, timeout=options.timeout, **loop)
    except KeyboardInterrupt:
        say("stopped; a row that was being done is not marked and will be done again")
        return FINE


class NothingLeft(Exception):
    """The input has ended, and all of the work."""


def keep_time(threads: int) -> NoReturn:
    """The verb `timer`. Ends the process itself."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    bell, input_ended = timer.Bell(), threading.Event()

    def wait(seconds: float | None) -> None:
        if input_ended.is_set() and not keeper.left:
            raise NothingLeft
        bell.wait(seconds)

    keeper = timer.Timer(
        timer.Threads(threads).start,
        clock=time.monotonic,
        wait=wait,
        wake=bell.ring,
        report=lambda problem: None,  # told has said it
    )

    def read() -> None:
        try:
            take_in(keeper)
        finally:
            input_ended.set()
            bell.ring()

    say(f"reading lines SECONDS WORK [ARGUMENTS], {threads} at a time; Ctrl-C stops")
    threading.Thread(target=read, name="reader", daemon=True).start()
    try:
        keeper.run()
    except NothingLeft:
        say("nothing is left to do")
    except KeyboardInterrupt:
        say(f"stopped; forgotten for ever: {keeper.left - keeper.begun} that waited, {keeper.begun} half done")
    # Not by way of sys.exit: while that takes the interpreter down, a thread that is printing would abort it.
    os._exit(FINE)


def take_in(keeper: timer.Timer) -> None:
    """Gives every line of standard input to the timer; says of a line that cannot be read what is wrong with it."""
    try:
        with open(0, encoding="utf-8", errors="replace", closefd=False) as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    if words := shlex.split(line):
                        after, row = understood(number, words)
                        keeper.call_in(after, partial(told(built_in_work, "line"), row))
                except (argparse.ArgumentTypeError, ValueError) as problem:
                    say(f"line {number}: not understood, {problem}")
    except OSError as problem:
        say(f"naive_daemon: cannot read standard input: {problem}")


def understood(number: int, words: list[str]) -> tuple[float, Row]:
    """The words of a line: in how many seconds, and what. Raises ValueError saying what is wrong."""
    if len(words) < 2:
        raise ValueError("expected SECONDS WORK [ARGUMENTS], for example: 5 print hello")
    after, work, *arguments = words
    if work not in WORKS:
        raise ValueError(f"unknown work {work!r}; known: {', '.join(WORKS)}")
    return seconds(after), Row(number, work, json.dumps([value(argument) for argument in arguments]))


if __name__ == "__main__":
    sys.exit(main())
