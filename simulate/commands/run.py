"""`run`: an experiment from its file, again, to the same bits."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from simulate.commands.experiment import read
from simulate.commands.options import Clock, UsageError, output_options, verb

if TYPE_CHECKING:
    from simulate.commands.options import Verbs


def add(verbs: "Verbs") -> None:
    """Its part of the command line."""
    one = verb(verbs, "run", run, help="an experiment from its TOML file, again, to the same bits")
    one.add_argument("file", type=Path, metavar="FILE", help="as --save-experiment writes it, or written by hand")
    output_options(one, "the results go")
    one.add_argument(
        "--html", action="store_true", help="also one page with everything in it, which needs no other file"
    )
    one.set_defaults(verbs=verbs.choices)


def run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `run`: as the file's own verb, with its exit code."""
    asked = read(options.file, options.verbs)
    for name in ("output", "json", "html"):
        setattr(asked, name, getattr(options, name))
    try:
        return int(asked.run(asked, clock))
    except UsageError as problem:
        raise UsageError(f"{options.file}: {problem}") from None
