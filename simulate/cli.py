"""`python -m simulate`: the experiments at the command line.

The one place of this package that looks at the real clock (for the progress bar). What each verb does stands in
`commands/`.
"""

import argparse
import os
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from simulate.benches.server import BenchError
from simulate.chaos.server import NoServer
from simulate.commands import (
    bench,
    bursts,
    calibrate,
    chaos,
    compare,
    explore,
    guarantees,
    live,
    overload,
    plan,
    priorities,
    record,
    retries,
    staff,
    startup,
    sweep,
    theory,
    waits,
)
from simulate.commands import run as running
from simulate.commands.options import FAILED, FINE, INTERRUPTED, USAGE, UsageError
from simulate.designs.own import DesignError
from simulate.live.calibrate import CostsUnusable
from simulate.live.record import RecordError
from simulate.traces import TraceError

VERBS = {
    "which design, and how many workers": (compare, sweep, plan, staff),
    "one question each": (priorities, overload, bursts, retries, startup, waits),
    "what is guaranteed": (guarantees, explore, chaos),
    "why believe it: theory, and real processes": (theory, calibrate, live, record, bench),
    "once more": (running,),
}
"""Every verb's part, under what it is good for."""

WIDTH = 100
"""Of the list of verbs."""


def parser() -> argparse.ArgumentParser:
    """The command line: each verb's part knows what runs it."""
    program = "python -m simulate"
    top = argparse.ArgumentParser(
        prog=program,
        usage=f"{program} [-h] VERB ...",
        description="The experiments. Each verb has a --help of its own.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    # The list of verbs is made here, in groups; argparse would give one long one.
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB", prog=program, help=argparse.SUPPRESS)
    said = []
    for group, members in VERBS.items():
        before = len(verbs._choices_actions)
        for verb in members:
            verb.add(verbs)
        said += ["", f"{group}:", *map(_line, verbs._choices_actions[before:])]
    top.epilog = "\n".join(said[1:])
    return top


def _line(verb: argparse.Action) -> str:
    indent = " " * 15
    return textwrap.fill(f"  {verb.dest:<13}{verb.help}", WIDTH, subsequent_indent=indent)


def main(arguments: Sequence[str] | None = None, clock: Callable[[], float] = time.monotonic) -> int:
    """Runs one verb and returns the exit code: 0 fine, 1 failed, 2 usage, 130 interrupted."""
    options, unknown = parser().parse_known_args(arguments)
    if unknown:
        allowed = sorted(flag for action in options.parser._actions for flag in action.option_strings)
        options.parser.error(f"unknown: {' '.join(unknown)}; allowed are {', '.join(allowed)}")
    try:
        return int(options.run(options, clock))
    except (UsageError, TraceError, CostsUnusable, RecordError, DesignError) as problem:
        print(f"simulate: {problem}", file=sys.stderr)
        return USAGE
    except (BenchError, NoServer) as problem:
        print(f"simulate: {problem}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("simulate: interrupted; no file was left half-written", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`). Python would complain once more while flushing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE


def run() -> NoReturn:
    """The program."""
    sys.exit(main())
