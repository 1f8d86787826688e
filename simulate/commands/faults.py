"""What may be asked to go wrong: the options, and the plan that they come to."""

import argparse
from collections.abc import Callable

from simulate import faults
from simulate.commands.options import UsageError, positive
from simulate.dependency import Outage
from simulate.experiments import KILLED_HALFWAY, Faults
from simulate.fault_words import FORMS, parse
from simulate.words import duration
from simulate.workload import Load, stream

PAUSE_SECONDS = 30.0
RESTART_SECONDS = faults.NOTHING.restart_after


def fault_options(one: argparse.ArgumentParser) -> None:
    """The options by which things go wrong."""
    group = one.add_argument_group("the faults", "In the second run of each load; without any, one worker is killed.")
    group.add_argument(
        "--faults",
        type=fault_words,
        metavar="WORDS",
        help=f"all of it in words, separated by commas: {', '.join(form.split(':')[0] for form in FORMS.values())}",
    )
    group.add_argument(
        "--kills", type=positive(int), metavar="N", help="workers killed with a job in hand, at random times"
    )
    group.add_argument(
        "--restart-seconds",
        type=positive(float),
        metavar="S",
        help=f"until a supervisor has started a new one (default: {RESTART_SECONDS:g})",
    )
    group.add_argument(
        "--pauses", type=positive(int), metavar="N", help="workers stopped with a job in hand, at random times"
    )
    group.add_argument(
        "--pause-seconds", type=positive(float), metavar="S", help=f"for so long each (default: {PAUSE_SECONDS:g})"
    )
    group.add_argument(
        "--outage-seconds",
        type=positive(float),
        metavar="S",
        help="what jobs need from elsewhere is down for so long, from half of the arrivals on: they raise meanwhile",
    )


def fault_words(text: str) -> str:
    """Such words from the command line, once they are understood; they stay words, so that they can be written down."""
    try:
        parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def chosen_faults(options: argparse.Namespace) -> Faults:
    """What the options ask to go wrong. Raises UsageError where they do not fit together."""
    if options.faults is not None:
        for name in ("kills", "restart_seconds", "pauses", "pause_seconds", "outage_seconds"):
            if getattr(options, name) is not None:
                raise UsageError(
                    f"--{name.replace('_', '-')} and --faults say the same in two ways; use --faults alone"
                )
        wanted = parse(options.faults)
        return Faults("with faults", wanted.words(), wanted.plan)
    for name, needs in (("restart_seconds", "kills"), ("pause_seconds", "pauses")):
        if getattr(options, name) is not None and getattr(options, needs) is None:
            raise UsageError(f"--{name.replace('_', '-')} needs --{needs} N")
    words: list[str] = []
    restart, pause = options.restart_seconds or RESTART_SECONDS, options.pause_seconds or PAUSE_SECONDS
    if options.kills:
        many = plural(options.kills, "worker is", "workers are")
        words.append(f"{many} killed in the middle of a job, and replaced {duration(restart)} later")
    if options.pauses:
        many = plural(options.pauses, "worker is", "workers are")
        words.append(f"{many} stopped in the middle of a job, for {duration(pause)}")
    if options.outage_seconds:
        words.append(f"what jobs need is down for {duration(options.outage_seconds)}, and they raise meanwhile")
    if not words:
        return KILLED_HALFWAY
    return Faults("with faults", "; ".join(words), planned(options, restart, pause))


def planned(options: argparse.Namespace, restart: float, pause: float) -> Callable[[Load, int], faults.Plan]:
    """The plan for a load and its seed. The same fate for every design: whoever starts a job first from then on."""

    def times(load: Load, seed: int, name: str, count: int | None) -> list[float]:
        return sorted(stream(seed, name).uniform(0, load.span, count or 0).tolist())

    def plan(load: Load, seed: int) -> faults.Plan:
        half = float(load.arrived[load.jobs // 2])
        return faults.Plan(
            kills=tuple(faults.Kill(after=time) for time in times(load, seed, "kills", options.kills)),
            restart_after=restart,
            pauses=tuple(faults.Pause(time, pause) for time in times(load, seed, "pauses", options.pauses)),
            outage=Outage(half, options.outage_seconds) if options.outage_seconds else None,
        )

    return plan


def plural(number: int, one: str, many: str) -> str:
    """The number with the word that fits."""
    return f"{number:,} {one if number == 1 else many}"
