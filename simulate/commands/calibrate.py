"""`calibrate`: a few seconds to learn what each step costs on this machine."""

import argparse
from typing import TYPE_CHECKING

from simulate import experiments
from simulate.commands.files import prepared
from simulate.commands.options import FINE, Clock, output_options, verb
from simulate.commands.results import keep
from simulate.commands.terminal import ended_by_term, progress_bar
from simulate.live import calibrate

if TYPE_CHECKING:
    from simulate.commands.options import Verbs


def add(verbs: "Verbs") -> None:
    """Its part of the command line."""
    one = verb(verbs, "calibrate", run, help="a few seconds to learn what each step costs on this machine")
    output_options(one, "costs.json goes", "table")


def run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `calibrate`."""
    prepared(options.output)
    with ended_by_term(), progress_bar(calibrate.STEPS, clock, "measuring", "steps") as advance:
        found = calibrate.calibrate(advance)
    text = experiments.as_json(found.to_dict())
    keep(options, "costs", text, lambda out, files: calibrate.report(out, found, files["JSON"]))
    return FINE
