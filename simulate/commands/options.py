"""What several verbs may be asked for: numbers, loads, costs, folders. What it comes to stands in `chosen.py`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from minique.subscription import check_queue_name
from simulate.service_times import KINDS
from simulate.workload import LOADS

DEFAULT_JOBS = 10_000
DEFAULT_WORKERS = 8
DEFAULT_REPLICATIONS = 5

FINE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes."""

Clock = Callable[[], float]
Run = Callable[[argparse.Namespace, Clock], int]
"""Does what the options ask for; returns the exit code."""

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]
    """Where a verb puts its part of the command line."""


class UsageError(Exception):
    """What was asked for cannot be done; the message says why and what to do."""


def verb(verbs: "Verbs", name: str, run: Run, help: str) -> argparse.ArgumentParser:
    """A verb on the command line, and what does it."""
    one = verbs.add_parser(name, help=help)
    one.set_defaults(run=run, parser=one)
    return one


# Numbers.


def positive(convert: Callable[[str], float]) -> Callable[[str], float]:
    """A number above zero from the command line."""

    def parse(text: str) -> float:
        try:
            value = convert(text)
        except ValueError:
            value = float("nan")
        if not 0 < value < float("inf"):
            kind = "a whole number" if convert is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {kind} above zero")
        return value

    parse.kind = "a whole number" if convert is int else "a number"  # type: ignore[attr-defined]
    return parse


def not_negative(text: str) -> float:
    """A number of zero or more from the command line."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of zero or more")
    return value


not_negative.kind = "a number"  # type: ignore[attr-defined]


def whole(text: str) -> int:
    """A whole number of zero or more from the command line."""
    if not text.strip().isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of zero or more")
    return int(text)


whole.kind = "a whole number"  # type: ignore[attr-defined]


def several(convert: Callable[[str], float]) -> Callable[[str], tuple[float, ...]]:
    """Numbers above zero, separated by commas."""
    one = positive(convert)

    def parse(text: str) -> tuple[float, ...]:
        return tuple(one(part) for part in text.split(","))

    parse.kind = "numbers"  # type: ignore[attr-defined]
    return parse


def numbers(text: str) -> tuple[float, ...]:
    """Numbers of zero or more, separated by commas, each once and in order."""
    try:
        found = sorted({float(part) for part in text.split(",")})
    except ValueError:
        found = [float("nan")]
    if not all(0 <= value < float("inf") for value in found):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers, such as 0.5,0.7,0.9")
    return tuple(found)


numbers.kind = "numbers"  # type: ignore[attr-defined]


def names(text: str) -> list[str]:
    """Names, separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


names.kind = "names"  # type: ignore[attr-defined]


def shares(text: str) -> tuple[str, ...]:
    """Queues and their shares of all jobs."""
    found = tuple(names(text))
    queues = [one.partition("=")[0].strip() for one in found]
    for one, queue in zip(found, queues, strict=True):
        try:
            is_good = 0 < float(one.partition("=")[2]) < float("inf")
        except ValueError:
            is_good = False
        if not is_good:
            raise argparse.ArgumentTypeError(f"{one!r} is no queue with its share, such as critical=0.2")
        try:
            check_queue_name(queue)
        except ValueError as problem:
            raise argparse.ArgumentTypeError(str(problem)) from None
    if len(set(queues)) < len(queues) or not found:
        raise argparse.ArgumentTypeError(f"{text!r} names a queue twice, or none")
    return found


shares.kind = "names"  # type: ignore[attr-defined]


# Options that several verbs have.


def trace_options(one: argparse._ActionsContainer) -> None:
    """The options by which a load comes from a log."""
    one.add_argument("--trace", metavar="FILE", help="replay a log: .swf, .csv or .jsonl, each also with .gz")
    one.add_argument("--scale", type=positive(float), metavar="K", help="with --trace: divide all times by K")
    one.add_argument("--limit", type=positive(int), metavar="N", help="with --trace: only its first N jobs")
    one.add_argument("--sort", action="store_true", help="with --trace: put its jobs into the order of arrival")
    one.add_argument("--ignore-columns", action="store_true", help="with --trace: leave out columns that nobody knows")


def generated_options(
    one: argparse._ActionsContainer, usual: str, rate: str, service: str = "as in the Azure code trace of 2023"
) -> None:
    """The options by which a load is generated."""
    one.add_argument(
        "--load",
        choices=tuple(LOADS),
        metavar="KIND",
        help=f"generate one load of this kind: {', '.join(LOADS)} (default: {usual})",
    )
    one.add_argument(
        "--jobs", type=positive(int), metavar="N", help=f"how many jobs to generate (default: {DEFAULT_JOBS:,})"
    )
    one.add_argument("--rate", type=positive(float), metavar="R", help=f"arrivals per second{rate}")
    service_options(one, service)
    one.add_argument(
        "--shares",
        type=shares,
        metavar="Q=X,Q=X",
        help="deal the jobs out to queues, such as critical=0.2,default=0.8 (default: one queue)",
    )


def service_options(one: argparse._ActionsContainer, usual: str) -> None:
    """The options that say how long jobs take; what is usual is a kind, or in words what happens without one."""
    kinds = tuple(kind for kind in KINDS if kind != "sample")
    one.add_argument(
        "--service",
        choices=kinds,
        metavar="KIND",
        default=usual if usual in KINDS else None,
        help=f"how long jobs take: {', '.join(kinds)} (default: {usual})",
    )
    alone = "" if usual in KINDS else "with --service: "
    one.add_argument("--mean", type=positive(float), metavar="S", help=f"{alone}seconds, on average (default: 1)")
    one.add_argument(
        "--variance",
        type=not_negative,
        metavar="X",
        help="with lognormal or hyperexponential ones: of these times, over their squared mean (default: 4)",
    )


def workers_option(one: argparse._ActionsContainer, usual: int, words: str = "processes that do the jobs") -> None:
    """The option that says how many workers there are."""
    one.add_argument(
        "--workers", type=positive(int), default=usual, metavar="N", help=f"{words} (default: %(default)s)"
    )


def goal_options(one: argparse._ActionsContainer, most: int, target: float | None = None) -> None:
    """The options that say how soon jobs must start, and under which circumstances; without a usual target: it must be
    given."""
    one.add_argument(
        "--target",
        type=positive(float),
        required=target is None,
        default=target,
        metavar="S",
        help="seconds of waiting" + ("" if target is None else " (default: %(default)g)"),
    )
    one.add_argument("--percentile", type=positive(float), default=95.0, metavar="P", help="default: %(default)g")
    one.add_argument(
        "--growth", type=positive(float), default=1.0, metavar="G", help="arrivals G times as fast (default: 1)"
    )
    one.add_argument(
        "--crashes-per-hour", type=not_negative, default=0.0, metavar="N", help="workers killed with a job in hand"
    )
    one.add_argument(
        "--most", type=positive(int), default=most, metavar="N", help="try no more workers (default: %(default)s)"
    )


def replications_option(one: argparse._ActionsContainer, usual: int = DEFAULT_REPLICATIONS) -> None:
    """The option that says how often each point is played."""
    one.add_argument(
        "--replications",
        type=positive(int),
        default=usual,
        metavar="N",
        help="runs of each point, with seeds of their own (default: %(default)s)",
    )


def usual_options(one: argparse._ActionsContainer, prints: str = "table", costs: bool = True) -> None:
    """What every experiment has: a seed, a place for its results, ways to keep them, and what steps cost."""
    seed_option(one)
    output_options(one, "figure, JSON and CSV go", prints)
    keeping_options(one)
    if costs:
        costs_option(one)


def seed_option(one: argparse._ActionsContainer) -> None:
    """The option by which everything random is chosen."""
    one.add_argument("--seed", type=int, default=0, metavar="N", help="of everything that is drawn (default: 0)")


def costs_option(one: argparse._ActionsContainer, otherwise: str = "assumed") -> None:
    """The option by which costs come from a file."""
    one.add_argument(
        "--costs",
        type=Path,
        metavar="FILE",
        help=f"costs of this machine, as calibrate wrote them (default: {otherwise})",
    )


def folder_option(one: argparse._ActionsContainer, goes: str) -> None:
    """The option that says where results go."""
    one.add_argument(
        "--output",
        type=Path,
        default=Path("results"),
        metavar="FOLDER",
        help=f"where {goes} (default: %(default)s)",
    )


def output_options(one: argparse._ActionsContainer, goes: str, prints: str = "tables") -> None:
    """The options by which results are kept and printed."""
    folder_option(one, goes)
    one.add_argument("--json", action="store_true", help=f"print the JSON instead of the {prints}")


def keeping_options(one: argparse._ActionsContainer) -> None:
    """The options by which a result becomes a page, and what was asked for a file."""
    one.add_argument(
        "--html", action="store_true", help="also one page with everything in it, which needs no other file"
    )
    one.add_argument(
        "--save-experiment",
        type=Path,
        metavar="FILE",
        help="write down what is played, as TOML: `run FILE` plays it again",
    )
