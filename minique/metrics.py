"""What monitoring asks of a running system, in the words that Prometheus reads.

    print(as_prometheus(connect()))

Gauges are as of the moment; counters are kept on the server since the namespace began. So any process may be asked, and
one is enough.
"""

from __future__ import annotations

from collections import Counter

from minique import status
from minique.client import Client

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""What a web server says of it."""


def as_prometheus(client: Client) -> str:
    """All metrics of the client's namespace as text. Raises ServerError; then a scrape should fail, too."""
    found = status.info(client)
    heard = Counter(str(one.get("kind")) for one in found["workers"] if one["silent_seconds"] < status.SILENCE_SECONDS)
    queues = {row["queue"]: row for row in found["queues"]}
    return "".join(
        (
            _gauges("jobs", "Jobs that are not done.", "state", {state: found[state] for state in _STATES}),
            _gauges("queue_jobs", "Jobs that are queued.", "queue", {q: row["length"] for q, row in queues.items()}),
            _gauges(
                "queue_next_age_seconds", "How long its next job has waited; 0 without one.", "queue",
                {name: row["next_age_seconds"] or 0 for name, row in queues.items()},
            ),
            _gauges("queue_paused", "1 while paused.", "queue", {q: int(row["paused"]) for q, row in queues.items()}),
            _gauges("delayed_overdue", "Delayed jobs that are due.", "", {"": found["delayed_overdue"]}),
            _gauges("claims_overdue", "Claims of run-out leases, not reaped.", "", {"": found["claims_overdue"]}),
            _gauges("heard", "Processes heard of lately.", "kind", {kind: heard[kind] for kind in _KINDS}),
            _metric("arrows_total", "counter", "What became of jobs, so far.", "arrow", found["since_the_beginning"]),
        )
    )  # fmt: skip


_STATES = ("queued", "delayed", "leased", "failed")
_KINDS = ("worker", "scheduler")


def _gauges(name: str, help: str, label: str, values: dict[str, float]) -> str:
    return _metric(name, "gauge", help, label, values)


def _metric(name: str, kind: str, help: str, label: str, values: dict[str, float]) -> str:
    lines = [f"# HELP minique_{name} {help}", f"# TYPE minique_{name} {kind}"]
    for text, value in values.items():
        lines.append(f"minique_{name}" + (f'{{{label}="{_escaped(text)}"}}' if label else "") + f" {value}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    # What others wrote may not even be text; a line break would be a metric of theirs.
    text = text.encode("utf-8", "backslashreplace").decode()
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
