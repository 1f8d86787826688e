"""`minique …`: read a command line, do what it says, and answer with an exit code.

The programs that run for long are put together in `programs.py`.

Exit codes: 0 fine, 1 a failure at run time, unhealthy or nothing found, 2 usage, import or configuration, 3 server
unreachable.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NoReturn

from minique import __version__, doctor, logs, metrics, programs, status
from minique.client import Client
from minique.clock import SystemClock
from minique.connect import connect
from minique.errors import ChildNotReady, LayoutMismatch, ServerError, Unreachable, UsageError
from minique.events import Events, log_listener
from minique.importing import import_modules
from minique.job import Enqueueable
from minique.listing import DECISIONS_AT_ONCE, Decided
from minique.processes import FORK_JOBS_PER_CHILD, FORKS_AHEAD, SPAWN_JOBS_PER_CHILD
from minique.registry import default_registry
from minique.schedule import Entry
from minique.schedule_file import read_schedule
from minique.store import Record
from minique.subscription import Subscription
from minique.supervisor import HAD_WORK, MISTAKEN, Makers
from minique.tree import Program, become
from minique.worker import BATCH_LIMIT, LEASE_SECONDS, SHUTDOWN_TIMEOUT_SECONDS, Settings

FINE, FAILED, USAGE, UNREACHABLE = 0, 1, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    _have_all_streams()
    typed = sys.argv[1:] if arguments is None else list(arguments)
    parser = _parser()
    options, left = parser.parse_known_args(typed)
    if options.run is _enqueue and all(not word.startswith("-") or _is_number(word) for word in left):
        options.args += left  # values that stand behind an option: enqueue JOB --import MODULE VALUE
    elif left:
        parser.error(f"unrecognized arguments: {' '.join(left)}")
    options.typed = typed
    return _answer(options)


def _have_all_streams() -> None:
    """Where one was closed (`2>&-`), the first file or socket would get its number, and all that is written there."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)  # the lowest that is free: perhaps it is that one already
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115  (it stays open)


def _answer(options: argparse.Namespace) -> int:
    """Do what the options say; turn what may go wrong into a line and an exit code."""
    try:
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except Unreachable as error:
        print(f"minique: {error}", file=sys.stderr)
        return UNREACHABLE
    except (UsageError, LayoutMismatch) as error:
        print(f"minique: {error}", file=sys.stderr)
        return MISTAKEN if getattr(options, "part", "") else USAGE
    except (ServerError, ChildNotReady) as error:
        print(f"minique: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Whoever read our output has seen enough; without this, the interpreter complains on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


# Long-running commands.


def _worker(options: argparse.Namespace) -> int:
    subscription = Subscription.parse(options.queues)
    settings = Settings(subscription, options.lease, options.batch, options.burst)
    _check_mode(options)
    _import_some(options.imports)
    client = _reached(options)
    programs.work(
        client,
        default_registry,
        _events(options),
        options.mode,
        settings,
        options.shutdown_timeout,
        options.name,
        options.imports,
        options.jobs_per_child,
    )
    return FINE


def _check_mode(options: argparse.Namespace) -> None:
    if options.mode == "inline" and options.jobs_per_child:
        raise UsageError(
            "--jobs-per-child N is for children, and --mode inline has none: use --mode fork or spawn, or leave it away"
        )


def _scheduler(options: argparse.Namespace) -> int:
    client = _reached(options)
    events = _events(options)
    if options.schedule:
        _sync(options, client, events)
    programs.keep_time(client, events, options.name)
    return FINE


def _up(options: argparse.Namespace) -> int:
    if options.part:
        return {"worker": _worker, "scheduler": _scheduler, "heir": _heir}[options.part](options)
    if (options.url or "").startswith("memory:"):
        raise UsageError("memory:// is in one process only, and these are several: use a server, or embedded://FOLDER")
    if options.schedule and options.no_scheduler:
        raise UsageError("--schedule FILE is for a scheduler, and --no-scheduler wants none: leave one of them away")
    Settings(Subscription.parse(options.queues), options.lease, options.batch)
    _check_mode(options)
    events = _events(options)
    client = _reached(options)
    # A fork of a process that has threads, or that certain systems' libraries were used in, may hang. Whoever asks for
    # spawned processes has an application like that: it is loaded by the programs then, and never here.
    spawns = options.mode == "spawn"
    if not spawns:
        _import_some(options.imports)
        if options.schedule:
            _sync(options, client, events)
            options.schedule = None
    elif not options.imports:
        raise _no_job_class()

    def make(part: str, name: str, **more: object) -> Program:
        if spawns and part != "heir":
            words = [sys.executable, "-m", "minique", *options.typed, "--part", part, "--name", name]
            return lambda: become(words, dict(os.environ))
        return lambda: _answer(argparse.Namespace(**{**vars(options), "part": part, "name": name, **more}))

    makers = Makers(
        worker=lambda name: make("worker", name),
        scheduler=lambda name: make("scheduler", name),
        heir=lambda dead: make("heir", "", dead=dead),
        name=programs.new_name,
    )
    workers = options.workers or _processors()
    return programs.supervise(client, events, makers, workers, not options.no_scheduler, options.shutdown_timeout)


def _heir(options: argparse.Namespace) -> int:
    events = _events(options)
    try:
        return HAD_WORK if programs.give_back(_client(options), events, options.dead) else FINE
    except ServerError as error:
        events.emit("unreachable", error=error)
        return UNREACHABLE


def _reached(options: argparse.Namespace) -> Client:
    """A client of a server that answers: whoever starts a program is told at once, and plainly, when it does not."""
    client = _client(options)
    if not options.name:  # under a supervisor it waits for the server, as it does later
        client.overview()
    return client


def _sync(options: argparse.Namespace, client: Client, events: Events) -> None:
    synced = client.schedules.sync(_entries_of(options.schedule, options.imports))
    events.emit("schedule_read", file=options.schedule, **synced._asdict())


def _import_some(names: Sequence[str]) -> None:
    import_modules(names)
    if not len(default_registry):
        raise _no_job_class()


def _no_job_class() -> UsageError:
    return UsageError("no job class is known, so nothing could be run: add --import MODULE, the one that defines them")


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# Commands that ask or decide.


def _info(options: argparse.Namespace) -> int:
    found = status.info(_client(options))
    return _show(options, found, status.info_text(found))


def _doctor(options: argparse.Namespace) -> int:
    import_modules(options.imports)
    known = [job_class.name for job_class in default_registry] if options.imports else None
    findings = doctor.examine(_client(options), known)
    healthy = doctor.is_healthy(findings)
    _show(options, {"healthy": healthy, "findings": [one._asdict() for one in findings]}, doctor.text(findings))
    return FINE if healthy else FAILED


def _metrics(options: argparse.Namespace) -> int:
    print(metrics.as_prometheus(_client(options)), end="")
    return FINE


def _queues(options: argparse.Namespace) -> int:
    rows = status.queues(_client(options))
    return _show(options, rows, status.queues_text(rows) or "no queue has held a job yet")


def _delayed(options: argparse.Namespace) -> int:
    rows = [status.describe(id, record) for id, record in _find_delayed(options, _client(options), options.limit)]
    return _show(options, rows, status.jobs_text(rows) or "nothing is delayed")


def _delayed_count(options: argparse.Namespace) -> int:
    count = len(_find_delayed(options, _client(options), None))
    return _show(options, {"delayed": count}, str(count))


def _find_delayed(options: argparse.Namespace, client: Client, limit: int | None) -> list[tuple[str, Record]]:
    return client.list_delayed(limit, options.job_class, options.queue, options.error)


def _delayed_cancel(options: argparse.Namespace) -> int:
    client = _client(options)
    return _each_delayed(options, client, lambda id: client.job(id).cancel(), "cancelled")


def _delayed_run(options: argparse.Namespace) -> int:
    client = _client(options)
    return _each_delayed(options, client, lambda id: client.move(id, 0), "now due")


def _delayed_move(options: argparse.Namespace) -> int:
    client = _client(options)
    if options.at is None and options.seconds is None:
        raise UsageError("say where to: --in SECONDS from now, or --at TIME")
    when = options.seconds if options.at is None else options.at
    return _each_delayed(options, client, lambda id: client.move(id, when), "moved")


def _each_delayed(options: argparse.Namespace, client: Client, deed: Callable[[str], bool], word: str) -> int:
    """Do something to the delayed jobs named by id, or by class and queue, or to all."""
    by_words = options.all or options.job_class or options.queue or options.error
    if bool(options.ids) == bool(by_words):
        raise UsageError("name ids (minique delayed), or --class and --queue and --error, or --all")
    ids = options.ids or [id for id, _ in _find_delayed(options, client, None)]
    done = sum(map(deed, ids))
    print(f"{word} {done} of {len(ids)}")
    return FINE if done == len(ids) else FAILED


def _schedule_list(options: argparse.Namespace) -> int:
    rows = status.schedule(_client(options))
    return _show(options, rows, status.schedule_text(rows) or "no recurring entry is kept")


def _schedule_explain(options: argparse.Namespace) -> int:
    if options.file:
        found = {entry.name: entry for entry in read_schedule(options.file).entries}
    else:
        found = {kept.name: kept.entry for kept in _client(options).schedules.list() if kept.entry}
    if options.entry not in found:
        raise UsageError(f"there is no entry {options.entry!r}; there are: {', '.join(found) or 'none'}")
    entry = found[options.entry]
    firings = entry.explain(SystemClock().wall(), options.count)
    rows = [{"slot": one.local, "note": one.note} for one in firings]
    value = {"entry": entry.name, "fires": entry.in_words(), "next": rows}
    title = f"{entry.name} fires {entry.in_words()}"
    notes = [part for part in (entry.description, f"catch_up {entry.catch_up}, overlap {entry.overlap}") if part]
    return _show(
        options, value, status.escape(title) + "\n" + "\n".join(map(status.escape, notes)) + "\n\n" + status.table(rows)
    )


def _schedule_check(options: argparse.Namespace) -> int:
    entries = _entries_of(options.file, options.imports, is_check=True)
    names = "" if options.imports else " (classes and arguments were not checked: add --import MODULE)"
    print(f"{options.file}: {len(entries)} entries, all right{names}")
    return FINE


def _schedule_run(options: argparse.Namespace) -> int:
    handle = _client(options).schedules.run(options.entry)
    return _show(options, {"id": handle.id}, handle.id)


def _schedule_change(options: argparse.Namespace) -> int:
    schedules = _client(options).schedules
    changed = {"pause": schedules.pause, "resume": schedules.resume, "remove": schedules.remove}[options.deed](
        options.entry
    )
    if options.deed == "remove" and not changed:
        raise UsageError(f"there is no entry {options.entry!r}")
    print(f"{options.deed}d {options.entry}" if changed else f"{options.entry}: nothing to {options.deed}")
    return FINE


def _entries_of(path: str, imports: Sequence[str], is_check: bool = False) -> Sequence[Entry]:
    """The entries of a schedule file, each with a queue."""
    file = read_schedule(path)
    import_modules(imports)
    if imports:
        return file.check_against(default_registry)
    missing = [entry for entry in file.entries if not entry.queue]
    if missing and not is_check:
        first = missing[0]
        raise UsageError(
            f"{path}, line {file.lines[first.name]}: entry {first.name!r} names no queue: add queue:, or give the "
            "module of its job class with --import"
        )
    return file.entries


def _failed_list(options: argparse.Namespace) -> int:
    rows = [status.describe(id, record) for id, record in _find_failed(options, _client(options))]
    nothing = "nothing that has failed is like that" if _says_which(options) else "nothing has failed"
    return _show(options, rows, status.jobs_text(rows) or nothing)


def _find_failed(options: argparse.Namespace, client: Client) -> list[tuple[str, Record]]:
    return client.list_failed(options.limit, options.job_class, options.queue, options.error, options.older_than)


def _says_which(options: argparse.Namespace) -> bool:
    return bool(options.job_class or options.queue or options.error or options.older_than is not None)


def _job(options: argparse.Namespace) -> int:
    client = _client(options)
    row = status.job(client, options.id)
    if row is None:
        print(f"minique: no job {status.escape(options.id)} is known: it never was, or was forgotten", file=sys.stderr)
        return FAILED
    if options.cancel:
        if client.job(options.id).cancel():
            return _show(options, {"id": options.id, "cancelled": True}, f"cancelled {status.escape(options.id)}")
        state = client.job(options.id).state()
        if options.json:
            _show(options, {"id": options.id, "cancelled": False, "state": state}, "")
        print(
            f"minique: job {status.escape(options.id)} is {state}, and only queued or delayed ones can be cancelled",
            file=sys.stderr,
        )
        return FAILED
    return _show(options, row, status.job_text(row))


def _failed_requeue(options: argparse.Namespace) -> int:
    client = _client(options)
    return _decide(options, client, client.requeue_many, "requeued")


def _failed_discard(options: argparse.Namespace) -> int:
    client = _client(options)
    return _decide(options, client, client.discard_many, "discarded")


def _decide(
    options: argparse.Namespace, client: Client, decision: Callable[[Sequence[str]], Decided], word: str
) -> int:
    """Decide about the failed jobs named by id, or by what they are like, or about all; oldest first."""
    by_words = options.all or _says_which(options)
    if bool(options.ids) == by_words or (options.ids and options.limit):
        raise UsageError(
            "name the ids of failed jobs (minique failed list), or say --all, or which ones: --class, --queue, "
            "--error, --older-than"
        )
    if options.ids:
        ids = list(dict.fromkeys(options.ids))
    elif _says_which(options) or options.limit:
        ids = [id for id, _ in _find_failed(options, client)][::-1]
    else:
        ids = client.all_failed()
    counts = {"done": 0, _GONE_BEFORE: 0, _STUCK: 0}
    is_watched = sys.stderr.isatty() and len(ids) > DECISIONS_AT_ONCE
    try:
        for number, (id, answer) in enumerate(decision(ids), 1):
            counts["done" if answer is True else _GONE_BEFORE if answer is False else _STUCK] += 1
            _say_why_not(id, answer, is_named=bool(options.ids))
            if is_watched and number % DECISIONS_AT_ONCE == 0:
                print(f"\r{number} of {len(ids)}", end="", file=sys.stderr, flush=True)
    finally:
        # Also when it ends half-way: what was decided stays decided.
        if is_watched:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        decided = sum(counts.values())
        if decided or not ids:
            said = [f"{word} {counts['done']} of {len(ids)}"]
            said += [f"{counts[what]} {what}" for what in (_GONE_BEFORE, _STUCK) if counts[what]]
            said += [f"{len(ids) - decided} were not reached"] if decided < len(ids) else []
            print("; ".join(said))
    # Of those that were found by what they are like, somebody else may have taken care meanwhile.
    return FINE if counts["done"] + (0 if options.ids else counts[_GONE_BEFORE]) == len(ids) else FAILED


_GONE_BEFORE, _STUCK = "were no longer failed", "could not be"


def _say_why_not(id: str, answer: bool | str | None, is_named: bool) -> None:
    name = status.escape(id)
    if answer is None:
        print(f"minique: {name} names no queue and cannot be requeued: discard it", file=sys.stderr)
    elif isinstance(answer, str):
        holder = status.escape(answer)
        print(f"minique: {name} has a unique key that job {holder} holds by now: discard it, or wait", file=sys.stderr)
    elif not answer and is_named:
        print(f"minique: {name} is not in the failed queue", file=sys.stderr)


def _pause(options: argparse.Namespace) -> int:
    print(f"paused {options.queue}" if _client(options).pause(options.queue) else f"{options.queue} is paused already")
    return FINE


def _resume(options: argparse.Namespace) -> int:
    print(f"resumed {options.queue}" if _client(options).resume(options.queue) else f"{options.queue} was not paused")
    return FINE


def _enqueue(options: argparse.Namespace) -> int:
    import_modules(options.imports)
    kind: Enqueueable = default_registry.get(options.job)
    if options.queue:
        kind = kind.using(queue=options.queue)
    args = [_value(text) for text in options.args]
    kwargs = {}
    for text in options.keywords:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--with {text!r}: write NAME=VALUE")
        kwargs[key] = _value(value)
    client = _client(options)
    if options.seconds is not None:
        handle = client.enqueue_in(options.seconds, kind, *args, **kwargs)
    elif options.at is not None:
        handle = client.enqueue_at(options.at, kind, *args, **kwargs)
    else:
        handle = client.enqueue(kind, *args, **kwargs)
    if not handle.is_new:
        print(f"minique: nothing was stored: job {status.escape(handle.id)} holds the same unique key", file=sys.stderr)
    return _show(options, {"id": handle.id, "is_new": handle.is_new}, handle.id)


def _value(text: str) -> Any:
    """A value given on a command line: JSON where it is that, otherwise text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _is_number(text: str) -> bool:
    return isinstance(_value(text), int | float)


def _show(options: argparse.Namespace, value: Any, text: str) -> int:
    print(json.dumps(value, indent=2) if options.json else text)
    return FINE


# What the commands have in common.


def _client(options: argparse.Namespace) -> Client:
    return connect(options.url, options.namespace)


def _events(options: argparse.Namespace) -> Events:
    level = logging.WARNING if options.quiet else logging.DEBUG if options.verbose else logging.INFO
    logs.set_up(level, options.log)
    # With nobody to tell, a busy worker does not even describe each job.
    return Events(log_listener, each_job=options.verbose)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"minique: {message}\n{self.format_usage()}")


def _parser() -> argparse.ArgumentParser:
    common = _Parser(add_help=False)
    common.add_argument(
        "--url", help="the server; $MINIQUE_REDIS_URL, $REDIS_URL or redis://localhost:6379/0 by default"
    )
    common.add_argument("--namespace", help="keeps applications apart; $MINIQUE_NAMESPACE or 'default'")
    reading = _Parser(add_help=False, parents=[common])
    reading.add_argument("--json", action="store_true", help="print JSON, for programs")
    running = _Parser(add_help=False, parents=[common])
    talk = running.add_mutually_exclusive_group()
    talk.add_argument("--quiet", action="store_true", help="say only what went wrong")
    talk.add_argument("--verbose", action="store_true", help="say each job")
    running.add_argument(
        "--log", type=_log_form, default=os.environ.get("MINIQUE_LOG", ""), metavar="FORM",
        help="text, or json: an object per line; $MINIQUE_LOG or text",
    )  # fmt: skip
    importing = _Parser(add_help=False)
    importing.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="defines job classes; repeatable",
    )

    parser = _Parser(prog="minique", description="Background jobs on Redis or Valkey.")
    parser.add_argument("--version", action="version", version=f"minique {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    def add(name: str, action: Callable[[argparse.Namespace], int], help: str, *parents: _Parser) -> Any:
        made = commands.add_parser(name, help=help, description=help, parents=list(parents))
        made.set_defaults(run=action)
        return made

    working = _Parser(add_help=False)
    working.add_argument("--queues", default="*", help="in order of urgency: critical,mail,file_*,*,!low (default: *)")
    working.add_argument(
        "--mode",
        choices=("fork", "spawn", "inline"),
        default="fork",
        help="jobs run in forked children, in fresh interpreters, or in the worker itself; default: %(default)s",
    )
    working.add_argument(
        "--jobs-per-child", type=_count, metavar="N",
        help=f"then the next child; default: {FORK_JOBS_PER_CHILD} with fork, {SPAWN_JOBS_PER_CHILD} with spawn",
    )  # fmt: skip
    working.add_argument(
        "--lease", type=_seconds, default=LEASE_SECONDS, metavar="SECONDS", help="default: %(default)g"
    )
    working.add_argument(
        "--batch",
        type=_count,
        default=BATCH_LIMIT,
        metavar="N",
        help=f"most short jobs per claim; default: %(default)s in-line, at most {FORKS_AHEAD} with children",
    )
    working.add_argument(
        "--shutdown-timeout", type=_seconds, default=SHUTDOWN_TIMEOUT_SECONDS, metavar="SECONDS",
        help="what a job may still take after TERM or INT; default: %(default)g",
    )  # fmt: skip
    timing = _Parser(add_help=False)
    timing.add_argument("--schedule", metavar="FILE", help="keep the entries of this schedule.yml")
    # Given by a supervisor to what it starts.
    for one in (working, timing):
        one.set_defaults(name="", part="")

    worker = add("worker", _worker, "claim jobs and run them", running, importing, working)
    worker.add_argument("--burst", action="store_true", help="end when nothing is ready")
    add("scheduler", _scheduler, "promote delayed jobs, and fire recurring entries", running, importing, timing)
    up = add("up", _up, "workers and a scheduler: started, watched, started again", running, importing, working, timing)
    up.add_argument("--workers", type=_count, metavar="N", help="default: as many as there are processors")
    up.add_argument("--no-scheduler", action="store_true", help="workers only")
    up.add_argument("--part", choices=("worker", "scheduler"), default="", help=argparse.SUPPRESS)
    up.add_argument("--name", default="", help=argparse.SUPPRESS)
    up.set_defaults(burst=False)
    add("info", _info, "everything at a glance", reading)
    add("doctor", _doctor, "what is wrong, and what to do", reading, importing)
    add("metrics", _metrics, "for monitoring: gauges and counters as Prometheus reads them", common)
    add("queues", _queues, "queues and their lengths", reading)
    _add_delayed(commands, reading, common)
    _add_schedule(commands, reading, common, importing)
    failed = commands.add_parser("failed", help="the failed queue: list, show, requeue, discard")
    deeds = failed.add_subparsers(required=True, metavar="list|show|requeue|discard", parser_class=_Parser)
    which = _choosing()
    which.add_argument(
        "--older-than", type=_seconds, metavar="SECONDS", help="only jobs that failed longer ago than that"
    )
    one = deeds.add_parser("list", parents=[reading, which], help="the latest first")
    one.add_argument("--limit", type=_count, default=100, metavar="N", help="default: %(default)s")
    one.set_defaults(run=_failed_list)
    one = deeds.add_parser("show", parents=[reading], help="one job with its traceback")
    one.add_argument("id", metavar="ID")
    one.set_defaults(run=_job, cancel=False)
    for name, action, help in (
        ("requeue", _failed_requeue, "back to their queues, with all tries"),
        ("discard", _failed_discard, "thrown away"),
    ):
        one = deeds.add_parser(name, parents=[common, which], help=help)
        one.add_argument("ids", nargs="*", metavar="ID")
        one.add_argument("--all", action="store_true", help="every job that is in the failed queue now")
        one.add_argument("--limit", type=_count, metavar="N", help="only the N latest of those; by default all")
        one.set_defaults(run=action)

    job = add("job", _job, "one job, whatever its state", reading)
    job.add_argument("id", metavar="ID")
    job.add_argument("--cancel", action="store_true", help="remove it, if it is queued or delayed")

    enqueue = add("enqueue", _enqueue, "enqueue one job and print its id", reading, importing)
    enqueue.add_argument("job", metavar="JOB", help="the name of a job class")
    enqueue.add_argument("args", nargs="*", metavar="VALUE", help="arguments: JSON where it is JSON, otherwise text")
    enqueue.add_argument(
        "--with",
        dest="keywords",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a named argument; repeatable",
    )
    enqueue.add_argument("--queue", help="another queue than the job class has")
    when = enqueue.add_mutually_exclusive_group()
    when.add_argument("--in", dest="seconds", type=_seconds, metavar="SECONDS", help="not now, but then")
    when.add_argument("--at", type=_moment, metavar="TIME", help="not now, but at 2030-01-31T08:00+01:00")

    for name, action, help in (
        ("pause", _pause, "let nobody claim from a queue"),
        ("resume", _resume, "the end of a pause"),
    ):
        add(name, action, help, common).add_argument("queue", metavar="QUEUE")
    return parser


def _choosing() -> _Parser:
    choosing = _Parser(add_help=False)
    choosing.add_argument("--class", dest="job_class", default="", metavar="JOB", help="only jobs of this class")
    choosing.add_argument("--queue", default="", help="only jobs for this queue")
    choosing.add_argument("--error", default="", metavar="NAME", help="only jobs that failed last with this: TimedOut")
    return choosing


def _add_delayed(commands: Any, reading: _Parser, common: _Parser) -> None:
    choosing = _choosing()
    naming = _Parser(add_help=False, parents=[choosing])
    naming.add_argument("ids", nargs="*", metavar="ID")
    naming.add_argument("--all", action="store_true", help="every delayed job")
    delayed = commands.add_parser(
        "delayed", parents=[reading, choosing], help="delayed jobs: list (of itself), count, cancel, move, run"
    )
    delayed.add_argument("--limit", type=_count, default=100, metavar="N", help="default: %(default)s")
    delayed.set_defaults(run=_delayed)
    deeds = delayed.add_subparsers(metavar="list|count|cancel|move|run", parser_class=_Parser)
    one = deeds.add_parser("list", parents=[reading, choosing], help="the next due first")
    one.add_argument("--limit", type=_count, default=100, metavar="N", help="default: %(default)s")
    one.set_defaults(run=_delayed)
    deeds.add_parser("count", parents=[reading, choosing], help="how many").set_defaults(run=_delayed_count)
    deeds.add_parser("cancel", parents=[common, naming], help="remove them").set_defaults(run=_delayed_cancel)
    deeds.add_parser("run", parents=[common, naming], help="make them due now").set_defaults(run=_delayed_run)
    one = deeds.add_parser("move", parents=[common, naming], help="give them another time")
    when = one.add_mutually_exclusive_group()
    when.add_argument("--in", dest="seconds", type=_seconds, metavar="SECONDS", help="from now")
    when.add_argument("--at", type=_moment, metavar="TIME", help="2030-01-31T08:00+01:00")
    one.set_defaults(run=_delayed_move)


def _add_schedule(commands: Any, reading: _Parser, common: _Parser, importing: _Parser) -> None:
    schedule = commands.add_parser(
        "schedule", help="recurring entries: list, explain, run, check, pause, resume, remove"
    )
    deeds = schedule.add_subparsers(
        required=True, metavar="list|explain|run|check|pause|resume|remove", parser_class=_Parser
    )
    deeds.add_parser("list", parents=[reading], help="when they fire next and fired last").set_defaults(
        run=_schedule_list
    )
    one = deeds.add_parser(
        "explain", parents=[reading], help="in words, and the next slots, across the next clock change"
    )
    one.add_argument("entry", metavar="ENTRY")
    one.add_argument("--file", metavar="FILE", help="from this schedule.yml instead of the server")
    one.add_argument("--count", type=_count, default=10, metavar="N", help="default: %(default)s")
    one.set_defaults(run=_schedule_explain)
    one = deeds.add_parser("run", parents=[reading], help="enqueue its job now, beside its slots")
    one.add_argument("entry", metavar="ENTRY")
    one.set_defaults(run=_schedule_run)
    one = deeds.add_parser("check", parents=[importing], help="read a schedule.yml and say all that is wrong with it")
    one.add_argument("file", metavar="FILE")
    one.set_defaults(run=_schedule_check)
    for deed, help in (
        ("pause", "fire no slot until it is resumed"),
        ("resume", "the end of a pause; its slots are given up"),
        ("remove", "forget the entry; jobs that it made stay"),
    ):
        one = deeds.add_parser(deed, parents=[common], help=help)
        one.add_argument("entry", metavar="ENTRY")
        one.set_defaults(run=_schedule_change, deed=deed)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: use seconds, 0 or more")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: use a whole number, 1 or more")
    return int(text)


def _log_form(text: str) -> str:
    if text not in ("", *logs.FORMS):
        raise argparse.ArgumentTypeError(f"{text!r}: use {' or '.join(logs.FORMS)}")
    return text


def _moment(text: str) -> datetime:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: use 2030-01-31T08:00+01:00, or a Z for UTC") from None
    if when.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no zone: add +01:00, or a Z for UTC")
    return when
