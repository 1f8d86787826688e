"""`record`: the load of running workers, from their logs, for --trace."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from minique.connect import connect
from minique.errors import MiniqueError
from simulate.benches.server import BenchError
from simulate.commands.files import prepared, save_text
from simulate.commands.options import FINE, Clock, UsageError, positive, verb
from simulate.commands.terminal import progress_bar
from simulate.live import record

if TYPE_CHECKING:
    from simulate.commands.options import Verbs


def add(verbs: "Verbs") -> None:
    """Its part of the command line."""
    one = verb(verbs, "record", run, help="the load of running workers, from their logs, for --trace")
    one.add_argument(
        "--log",
        type=Path,
        action="append",
        required=True,
        metavar="FILE",
        help="what a worker started with --verbose --log json wrote; repeatable, one for each",
    )
    one.add_argument(
        "--seconds",
        type=positive(float),
        metavar="S",
        help="watch what is added to the logs for so long (default: read what is in them)",
    )
    one.add_argument("--url", help="of the server: says afterwards how many jobs were not in the logs")
    one.add_argument("--namespace", default="default", help="with --url (default: %(default)s)")
    one.add_argument(
        "--output", type=Path, default=Path("load.jsonl"), metavar="FILE", help="the record (default: %(default)s)"
    )


def run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `record`."""
    if options.url and options.seconds is None:
        raise UsageError("--url compares what ended while it watched; say for how long with --seconds S")
    if options.output.suffix not in (".jsonl", ".ndjson"):
        raise UsageError(
            f"--output: name a file that ends in .jsonl, not {str(options.output)!r}: --trace goes by that"
        )
    prepared(options.output.parent)
    try:
        before = counted(options)
        with progress_bar(options.seconds or 1.0, clock, "watching", "seconds") as advance:
            found = record.record(options.log, options.seconds, advance)
        after = counted(options)
    except MiniqueError as problem:
        raise BenchError(f"--url: {problem}") from None
    if not found.jobs:
        raise BenchError(
            f"no job in {found.lines:,} lines, {found.others:,} of them no event of a worker; workers tell of each job "
            "when they are started with: minique worker --verbose --log json 2>worker.log"
        )
    save_text(options.output, found.text())
    ends = found.outcomes()
    print(f"{len(found.jobs):,} jobs: {', '.join(f'{number:,} {name}' for name, number in sorted(ends.items()))}")
    if found.made_before:
        print(f"left out: {len(found.made_before):,} jobs that were made before the record began, or were delayed")
    if found.nameless:
        print(f"left out: {found.nameless:,} claims of jobs whose ids do not say when they were made")
    if options.url:
        known = ends["done"] + ends["failed"] + ends["dropped"]
        print(f"the server counted {after - before:,} ends meanwhile, the logs {known:,} of jobs made meanwhile")
    print(f"Record: {options.output}")
    return FINE


def counted(options: argparse.Namespace) -> int:
    """How many jobs have ended on the server since its beginning; 0 if none was named."""
    if not options.url:
        return 0
    with connect(options.url, options.namespace) as mq:
        stats = mq.overview().stats
    return sum(stats.get(name, 0) for name in ("complete", "fail", "drop"))
