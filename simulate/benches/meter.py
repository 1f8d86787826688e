"""What something cost: time, processor time on both sides, and what went to the server and back.

The server counts by itself. What it calls a read is a round trip, as long as a request fits into its buffer of 16 kB;
commands that a script calls are counted like those that a client sends.
"""

from __future__ import annotations

import os
import resource
from typing import NamedTuple

from minique.clock import SystemClock
from minique.wire import Server

_clock = SystemClock()

Figures = dict[str, float]


class Reading(NamedTuple):
    elapsed: float
    client: float
    """Seconds of processor time of this process and of its children that have ended."""
    server: float
    trips: int
    commands: int
    bytes: int
    own_bytes: int
    """Of the reply to this question, which the server counts after it has answered it."""


def read(server: Server) -> Reading:
    text = str(server.call_one("INFO"))
    told = as_dict(text)
    return Reading(
        _clock.elapsed(),
        _processor_seconds(),
        float(told["used_cpu_user"]) + float(told["used_cpu_sys"]),
        int(told["total_reads_processed"]),
        int(told["total_commands_processed"]),
        int(told["total_net_input_bytes"]) + int(told["total_net_output_bytes"]),
        len(text.encode()),
    )


def between(before: Reading, after: Reading, jobs: int) -> Figures:
    """What these jobs cost, without what it cost to ask."""
    return {
        "jobs": jobs,
        "seconds": after.elapsed - before.elapsed,
        "began": before.elapsed,
        "ended": after.elapsed,
        "client": after.client - before.client,
        "server": after.server - before.server,
        "trips": after.trips - before.trips - 1,
        "commands": after.commands - before.commands - 1,
        "bytes": after.bytes - before.bytes - before.own_bytes,
    }


def as_dict(info: str) -> dict[str, str]:
    """A reply to INFO."""
    return dict(line.split(":", 1) for line in info.splitlines() if ":" in line)


def pin(cores: list[int], pid: int = 0) -> None:
    """Keep a process, by default this one, on these cores, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, cores)


def cores() -> list[int]:
    """Those that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
