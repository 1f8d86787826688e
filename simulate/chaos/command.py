"""`python -m simulate chaos` at the command line: its options, and what it prints."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from simulate.chaos.conductor import LEASE_SECONDS, Settings
from simulate.chaos.report import TOLD_IN_FULL, Judged
from simulate.history import WHATS
from simulate.words import duration

DEFAULTS = Settings()
LEAST_WORKERS = 1


def add_options(parser: argparse.ArgumentParser, positive: Callable[[Any], Callable[[str], Any]]) -> None:
    """The options of the verb; `positive` reads a number above zero."""
    length = parser.add_argument_group("how long (default: a minute)")
    length.add_argument("--kills", type=positive(int), metavar="N", help="until so many programs were killed")
    length.add_argument("--seconds", type=positive(float), metavar="S", help="or for so long, whichever comes first")
    server = parser.add_argument_group("the server")
    server.add_argument(
        "--fsync", choices=("always", "everysec"), default=DEFAULTS.fsync, help="appendfsync (default: %(default)s)"
    )
    server.add_argument(
        "--power-cuts",
        action="store_true",
        help="with everysec: most kills of the server also take what it had not synced to its disk",
    )
    server.add_argument("--server", metavar="PATH", help="redis-server or valkey-server (default: the wheel's Valkey)")
    programs = parser.add_argument_group("the programs")
    programs.add_argument("--mode", choices=("fork", "inline"), default=DEFAULTS.mode, help="default: %(default)s")
    programs.add_argument(
        "--workers", type=positive(int), default=DEFAULTS.workers, metavar="N", help="default: %(default)s"
    )
    programs.add_argument(
        "--rate",
        type=positive(float),
        default=DEFAULTS.rate,
        metavar="R",
        help="sent per second (default: %(default)g)",
    )
    programs.add_argument(
        "--supervised", action="store_true", help="workers and a scheduler under `minique up` (needs /proc)"
    )
    faults = parser.add_argument_group("the faults")
    faults.add_argument(
        "--every",
        type=positive(float),
        default=DEFAULTS.every,
        metavar="S",
        help="mean time between two (default: %(default)g)",
    )
    faults.add_argument(
        "--seed", type=int, default=DEFAULTS.seed, metavar="N", help="of the plan (default: %(default)s)"
    )
    parser.add_argument(
        "--late-bound",
        type=positive(float),
        default=DEFAULTS.late_bound,
        metavar="S",
        help="a delayed job that starts longer after its time breaks a promise (default: %(default)g)",
    )
    parser.add_argument(
        "--patience",
        type=positive(float),
        default=DEFAULTS.patience,
        metavar="S",
        help="after the last fault, give up when no job has ended for so long (default: %(default)g)",
    )
    parser.add_argument("--json", action="store_true", help="print the JSON instead of the tables")


def settings_of(options: argparse.Namespace) -> Settings:
    """Raises ValueError for what makes no sense together."""
    if options.power_cuts and options.fsync == "always":
        raise ValueError(
            "--power-cuts needs --fsync everysec: with `always` nothing is acknowledged before it is synced, so there "
            "is nothing that a power cut could take"
        )
    if options.supervised and not Path("/proc/self/stat").exists():
        raise ValueError("--supervised finds the supervisor's programs in /proc, which this system does not have")
    return Settings(**{name: getattr(options, name) for name in Settings._fields if hasattr(options, name)})


def print_report(console: Console, judged: Judged) -> None:
    """Tables and words."""
    data = judged.data()
    counts, outcome = judged.report.counts, judged.outcome
    settings = outcome.settings
    console.print()
    whole = Table(
        show_header=False,
        min_width=60,
        title=f"Chaos: {outcome.server}, seed {settings.seed}",
        title_justify="left",
        title_style="bold",
    )
    whole.add_column("")
    whole.add_column("", justify="right")

    def row(name: str, value: object, last: bool = False) -> None:
        whole.add_row(name, value if isinstance(value, str) else f"{value:,}", end_section=last)

    for kind in sorted(outcome.kills):
        row(f"kills: {kind}", outcome.kills[kind])
    row("kills in all", sum(outcome.kills.values()))
    for kind, number in sorted(judged.other_faults().items()):
        if number:
            row(
                {
                    "stop": "workers stopped",
                    "cut": "replies lost",
                    "delay": "replies delayed",
                    "poison": "runs of poison jobs",
                }.get(kind, kind),
                number,
            )
    row("stalls of this machine", len(outcome.stalls), last=True)
    for name in ("sent", "acknowledged", "unanswered", "planned slots", "started", "done", "failed"):
        row(f"jobs {name}" if name != "planned slots" else name, counts[name], last=name == "failed")
    for name in WHATS:
        row({"set aside": "set aside as failed"}.get(name, name), counts[name])
        if counts[f"{name}, excused"]:
            row("  excused by a fault", counts[f"{name}, excused"])
    row("old claims refused", outcome.old_claims)
    row("programs that ended by themselves", len(outcome.ended), last=True)
    console.print(whole)

    times = Table(title="Times", title_justify="left", title_style="bold")
    for name in ("", "count", "p50", "p90", "p99", "max"):
        times.add_column(name, justify="right" if name else "left")
    for title, key in (
        ("worker killed → its job started again", "restarted_after_seconds"),
        ("worker killed → its job done", "recovery_seconds"),
        ("server killed → a job finished", "server_recovery_seconds"),
        ("due → started, its queue included", "lateness_seconds"),
    ):
        found = data[key]
        times.add_row(title, f"{found['count']:,}", *(duration(found[name]) for name in ("p50", "p90", "p99", "max")))
    console.print()
    console.print(times)
    console.print(
        f"The lease is {LEASE_SECONDS:g} s. A percentile with fewer than ten values beyond it is not printed (-). In "
        "a rain of faults a job's next worker may be killed, too: the times are to its first good end."
    )
    if settings.fsync == "always":
        console.print(
            "[bold]The server[/] synced before it acknowledged (`always`), and was killed by SIGKILL. That ends its "
            "process, not the machine: whether the disk keeps its word is not shown here."
        )
    else:
        forgotten = data["forgotten"]
        before = forgotten["acknowledged_before_the_end_seconds"]["max"]
        words = f"{forgotten['jobs']:,} acknowledged jobs were lost with it"
        words += f", the oldest acknowledged {duration(before)} before" if forgotten["jobs"] else ""
        how = (
            f"Power cuts were played: {forgotten['bytes_cut']:,} bytes that it had not synced were taken."
            if settings.power_cuts
            else "SIGKILL ends its process, not the machine: what it had written, the system keeps. --power-cuts plays "
            "the other case."
        )
        console.print(f"[bold]The server[/] syncs each second (`everysec`); {words}. {how}")
    console.print()
    for ended in outcome.ended[:TOLD_IN_FULL]:
        console.print(f"[bold]{escape(ended.program)} ended by itself[/] with code {ended.code}:\n{escape(ended.said)}")
    if not outcome.drained:
        console.print("[bold]It did not drain[/]: jobs were left long after the last fault.")
    for verdict in judged.report.broken[:TOLD_IN_FULL]:
        console.print(escape(str(verdict)), soft_wrap=True)
        console.print()
    more = len(judged.report.broken) - TOLD_IN_FULL
    if more > 0:
        console.print(f"… and {more:,} more")
    kept = "[bold]Every promise was kept.[/]" if judged.is_kept else "[bold]A promise was broken.[/]"
    console.print(kept)
