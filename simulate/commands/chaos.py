"""`chaos`: real programs on a real server, killed at random: what is lost?"""

import argparse
from typing import TYPE_CHECKING

from rich.markup import escape

from simulate.chaos import command, conductor
from simulate.chaos.report import chaos_figure, judge
from simulate.commands.files import prepared, save_figure, save_text
from simulate.commands.options import FAILED, FINE, Clock, UsageError, folder_option, positive, verb
from simulate.commands.terminal import console, ended_by_term, progress_bar
from simulate.history import to_line

if TYPE_CHECKING:
    from simulate.commands.options import Verbs


def add(verbs: "Verbs") -> None:
    """Its part of the command line."""
    one = verb(verbs, "chaos", run, help="real programs on a real server, killed at random: what is lost?")
    command.add_options(one, positive)
    folder_option(one, "figure, JSON and history go")


def run(options: argparse.Namespace, clock: Clock) -> int:
    """The verb `chaos`: exit code 1 when a promise was broken."""
    try:
        settings = command.settings_of(options)
    except ValueError as problem:
        raise UsageError(str(problem)) from None
    folder = prepared(options.output)
    total, unit = (settings.kills, "kills") if settings.kills else (settings.seconds or 60.0, "seconds")
    with ended_by_term(), progress_bar(total, clock, "faults", unit) as advance:
        judged = judge(conductor.run(settings, advance))
    text = judged.to_json()
    figure, data, history = (folder / f"chaos.{kind}" for kind in ("png", "json", "history.jsonl"))
    save_figure(figure, chaos_figure(judged))
    save_text(data, text)
    save_text(history, "".join(f"{to_line(event)}\n" for event in judged.outcome.history))
    if options.json:
        print(text, end="")
    else:
        out = console()
        command.print_report(out, judged)
        for name, path in (("Figure", figure), ("JSON", data), ("History", history)):
            out.print(f"{name}: {escape(str(path))}", soft_wrap=True)
    return FINE if judged.is_kept else FAILED
