"""`python -m simulate`: the experiments at the command line.

The one place of this package that looks at the real clock (for the progress bar). What each verb does stands in
`commands/`.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from simulate.benches.server import BenchError
from simulate.chaos.server import NoServer
from simulate.commands import bench, calibrate, chaos, compare, explore, guarantees, live, plan, record, sweep, theory
from simulate.commands import run as running
from simulate.commands.options import FAILED, FINE, INTERRUPTED, USAGE, UsageError
from simulate.designs.own import DesignError
from simulate.live.calibrate import CostsUnusable
from simulate.live.record import RecordError
from simulate.traces import TraceError

VERBS = (compare, sweep, plan, theory, running, calibrate, live, record, bench, chaos, explore, guarantees)


def parser() -> argparse.ArgumentParser:
    """The command line: each verb's part knows what runs it."""
    top = argparse.ArgumentParser(prog="python -m simulate", description="The experiments.")
    names = "|".join(verb.__name__.rpartition(".")[2] for verb in VERBS)
    verbs = top.add_subparsers(dest="verb", required=True, metavar=names)
    for verb in VERBS:
        verb.add(verbs)
    return top


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
