"""What a person asks of a running system, as plain values (for --json) and as text.

Nothing here decides anything. Text that comes from jobs or other writers is escaped: a name must not be able to move
the cursor of whoever looks at it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from minique.call import Unreadable, read_call, split_terms
from minique.client import Client
from minique.errors import BadName
from minique.events import escape as escape
from minique.ids import made_at
from minique.perform import read_failure
from minique.recurring import kept_of
from minique.store import Record
from minique.subscription import Subscription

Row = dict[str, Any]

SILENCE_SECONDS = 60.0
"""Whoever has not been heard of for so long is taken to be gone."""


def info(client: Client) -> Row:
    """Everything at a glance; times in seconds."""
    seen = client.overview()
    workers = []
    for worker in seen.workers:
        about = _object(worker.about)
        known = {"worker": worker.name, "silent_seconds": round(worker.silent_seconds, 1)}
        workers.append({**known, **about, **known})  # what it says of itself cannot overwrite what is known
    found: Row = {
        "queued": sum(queue.length for queue in seen.queues),
        "leased": seen.leased,
        "delayed": seen.delayed,
        "failed": seen.failed,
        "delayed_overdue": seen.delayed_overdue,
        "next_due_in_seconds": None if seen.next_due is None else round(seen.next_due - seen.now, 3),
        "claims_overdue": seen.claims_overdue,
        "queues": queues(client),
        "workers": workers,
        "since_the_beginning": dict(sorted(seen.stats.items())),
    }
    found["remarks"] = [str(remark) for remark in remarks(found)]
    return found


class Remark(NamedTuple):
    """What a person would want to be told without having asked."""

    seen: str
    do: str
    level: str
    """note; warning; or unhealthy, for jobs that nobody runs."""

    def __str__(self) -> str:
        return f"{self.seen}: {self.do}" if self.do else self.seen


def remarks(found: Row) -> list[Remark]:
    """Remarks on what `info` found."""
    made = []
    heard = [worker for worker in found["workers"] if worker["silent_seconds"] < SILENCE_SECONDS]
    if found["delayed_overdue"] and "scheduler" not in [worker.get("kind") for worker in heard]:
        seen = f"{found['delayed_overdue']} delayed jobs are overdue and no scheduler is heard"
        made.append(Remark(seen, "minique scheduler", "unhealthy"))
    heard = [worker for worker in heard if worker.get("kind") == "worker"]
    unserved = "queue {queue} has {length} jobs and no worker that is heard serves it"
    if found["queued"] and not heard:
        seen = f"{found['queued']} jobs are queued and no worker is heard"
        made.append(Remark(seen, "minique worker --import MODULE", "unhealthy"))
    else:
        made += [
            Remark(unserved.format(**row), "", "warning")
            for row in found["queues"]
            if row["length"] and not any(_serves(worker, row["queue"]) for worker in heard)
        ]
    made += [
        Remark(f"queue {row['queue']} is paused", f"minique resume {row['queue']}", "note")
        for row in found["queues"]
        if row["paused"]
    ]
    return made


def _serves(worker: Row, queue: str) -> bool:
    try:
        return Subscription.parse(str(worker.get("queues"))).serves(queue)
    except BadName:
        return False  # what a worker says of itself may be anybody's words


def queues(client: Client) -> list[Row]:
    """Each queue: its length, and how long its next job has been there by its producer's clock."""
    seen = client.overview()
    rows = []
    for queue in seen.queues:
        made = made_at(queue.next_id)
        age = None if made is None else round(max(0.0, seen.now - made), 1)
        rows.append({"queue": queue.name, "length": queue.length, "next_age_seconds": age, "paused": queue.paused})
    return rows


def job(client: Client, id: str) -> Row | None:
    """One job; None when nothing is known of it."""
    record = client.job(id).record()
    return None if record.state == "gone" and not record.record else describe(id, record)


def describe(id: str, record: Record) -> Row:
    """A job as a row; keys that do not apply to its state are left out."""
    row: Row = {"id": id, "state": record.state}
    if record.state in ("queued", "delayed", "leased", "failed"):
        row["queue"] = record.queue
        try:
            call = read_call(record.body)
            row |= {"job": call.name, "args": call.args, "kwargs": call.kwargs}
        except Unreadable as error:
            row |= {"job": None, "unreadable": str(error), "record": record.record}
        terms = split_terms(record.body)[0]
        if terms.unique_key:
            row["unique_key"] = terms.unique_key
        if terms.expires is not None:
            row["expires"] = moment(terms.expires)
    if record.state == "done":
        try:
            row["result"] = json.loads(record.body)
        except ValueError:
            row["result"] = record.body  # somebody else wrote it
    if record.state == "gone":
        row["why"] = record.body
    if record.at is not None:
        row[{"delayed": "due", "failed": "failed_at", "done": "done_at"}.get(record.state, "at")] = moment(record.at)
    if record.claim:
        row["claim"] = record.claim
    if record.failures or record.deaths:
        row |= {"failures": record.failures, "deaths": record.deaths}
    if record.died:
        row["died"] = list(record.died)
    if record.failure:
        row["last_failure"] = read_failure(record.failure)
    return row


def local_moment(epoch_seconds: float, zone: str) -> str:
    """A moment as people in a zone write it, with its offset."""
    try:
        return datetime.fromtimestamp(epoch_seconds, ZoneInfo(zone)).isoformat(" ", "seconds")
    except (ValueError, OverflowError, ZoneInfoNotFoundError):
        return moment(epoch_seconds)


def moment(epoch_seconds: float) -> str:
    try:
        return datetime.fromtimestamp(epoch_seconds, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError):
        return f"{epoch_seconds} s since 1970"  # further off than the calendar reaches


def schedule(client: Client) -> list[Row]:
    """Recurring entries by name: when they fire next and fired last, in their zones, and how late that was."""
    recurring = client.store.agenda(client.clock.stamp())
    rows = []
    for kept in kept_of(recurring):
        entry = kept.entry
        if entry is None:
            rows.append({"entry": kept.name, "unreadable": kept.definition})
            continue
        row: Row = {"entry": kept.name, "when": entry.in_words(), "job": entry.job, "queue": entry.queue}
        following = None if entry.paused or kept.cursor is None else entry.next_slot(kept.cursor)
        row["next"] = None if following is None else local_moment(following, entry.tz)
        overdue = None if following is None else round(recurring.now - entry.fire_at(following), 3)
        row["overdue_seconds"] = max(0.0, overdue or 0.0)
        fired = bool(kept.last_id) and kept.cursor is not None
        row["last"] = local_moment(kept.cursor, entry.tz) if fired and kept.cursor is not None else None
        late = kept.last_at is not None and kept.cursor is not None
        row["last_late_seconds"] = round(kept.last_at - kept.cursor, 6) if late and fired else None  # type: ignore[operator]
        row |= {"last_job": kept.last_id or None, "paused": entry.paused, "source": entry.source or "program"}
        row |= {"catch_up": entry.catch_up, "overlap": entry.overlap, "description": entry.description}
        rows.append(row)
    return rows


# As text.


def info_text(found: Row) -> str:
    due = found["next_due_in_seconds"]
    delayed = f"{found['delayed']} delayed"
    if due is not None:
        delayed += f" (next {f'in {due:.1f} s' if due > 0 else f'{-due:.1f} s overdue'})"
    parts = [
        f"{found['queued']} queued   {found['leased']} leased   {delayed}   {found['failed']} failed",
        queues_text(found["queues"]) if found["queues"] else "no queue has held a job yet",
        table(
            [
                {
                    "worker": worker["worker"],
                    "kind": worker.get("kind", ""),
                    "queues": worker.get("queues", ""),
                    "heard": f"{worker['silent_seconds']:.0f} s ago",
                    "job": worker.get("job") or "-",
                }
                for worker in found["workers"]
            ]
        )
        if found["workers"]
        else "no worker is heard",
    ]
    if found["since_the_beginning"]:
        counts = ", ".join(f"{escape(name)} {count:,}" for name, count in found["since_the_beginning"].items())
        parts.append(f"since the beginning: {counts}")
    parts += [f"! {escape(remark)}" for remark in found["remarks"]]
    return "\n\n".join(parts)


def schedule_text(rows: Sequence[Row]) -> str:
    return table(
        [
            {
                "entry": row["entry"],
                "fires": row.get("when", "(unreadable)"),
                "next": "paused" if row.get("paused") else _when_next(row),
                "last": row.get("last") or "-",
                "late": "-" if row.get("last_late_seconds") is None else f"{row['last_late_seconds']:.3f} s",
                "job": row.get("job", ""),
                "queue": row.get("queue", ""),
            }
            for row in rows
        ]
    )


def _when_next(row: Row) -> str:
    overdue = row.get("overdue_seconds", 0.0)
    return f"{row.get('next') or '-'}{f' ({overdue:.0f} s overdue)' if overdue >= 1 else ''}"


def queues_text(rows: Sequence[Row]) -> str:
    return table(
        [
            {
                "queue": row["queue"],
                "length": row["length"],
                "next waits": "-" if row["next_age_seconds"] is None else f"{row['next_age_seconds']:.1f} s",
                "": "paused" if row["paused"] else "",
            }
            for row in rows
        ]
    )


def jobs_text(rows: Sequence[Row]) -> str:
    """Jobs one per line, for lists."""
    lines = []
    for row in rows:
        line = {"id": row["id"], "queue": row.get("queue", ""), "job": call_text(row)}
        for key, title in (("due", "due"), ("failed_at", "failed at")):
            if key in row:
                line[title] = row[key]
        if "last_failure" in row:
            failure = row["last_failure"]
            line["last failure"] = shorten(f"{failure['error']}: {failure['message']}", 60)
        lines.append(line)
    return table(lines)


def job_text(row: Row) -> str:
    """One job, all of it."""
    lines = []
    for key, value in row.items():
        if key == "last_failure":
            lines += [f"last failure  {escape(str(value['error']))}: {escape(str(value['message']))}"]
            rest = {name: one for name, one in value.items() if name not in ("error", "message", "traceback")}
            lines += [f"              {escape(name)} {escape(str(one))}" for name, one in rest.items()]
            lines += ["", *(f"    {escape(line)}" for line in str(value.get("traceback", "")).splitlines())]
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            lines.append(f"{key.replace('_', ' '):<12}  {escape(text)}")
    return "\n".join(lines)


def call_text(row: Row) -> str:
    if row.get("job") is None:
        return f"({row.get('unreadable', '')})"[:60]
    args = [json.dumps(value, ensure_ascii=False) for value in row["args"]]
    args += [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in row["kwargs"].items()]
    return shorten(f"{row['job']}({', '.join(args)})", 60)


def table(rows: Sequence[Row]) -> str:
    """Rows with equal keys as aligned columns; numbers to the right."""
    if not rows:
        return ""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[escape(str(row.get(name, ""))) for name in names] for row in rows]
    widths = [max(len(name), *(len(line[i]) for line in cells)) for i, name in enumerate(names)]
    to_right = [all(isinstance(row.get(name), (int, float)) for row in rows) for name in names]

    def line(values: Sequence[str]) -> str:
        padded = (
            value.rjust(width) if right else value.ljust(width)
            for value, width, right in zip(values, widths, to_right, strict=True)
        )
        return "  ".join(padded).rstrip()

    return "\n".join([line(names), *map(line, cells)])


def shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _object(text: str) -> Row:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
