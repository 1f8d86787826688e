"""What is wrong, what it means, and what to do: facts in, findings out.

Each check is a function from facts to findings; it asks nobody. `facts.py` reads the facts. Text that came from the
server or from jobs is escaped when it is shown.

Not seen from here: what the server loses that it acknowledged, whether its disk keeps what it was given, and jobs that
do something else than they should.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from minique.client import Client
from minique.facts import Facts, JobFacts, Sample, ServerFacts, read
from minique.keys import LAYOUT, LIMITS
from minique.status import SILENCE_SECONDS, escape, remarks, shorten

LEVELS = ("unhealthy", "warning", "note", "fine")
"""Unhealthy: jobs can be lost, or do not run. Warning: that may come. Note: worth knowing. Fine: looked at."""

OLDEST_REDIS = (6, 2)  # ZMSCORE, and LPOP with a count
NEARLY_FULL, FULL = 0.8, 0.95
SLOW_TRIP_SECONDS = 0.005
VERY_SLOW_TRIP_SECONDS = 0.050
CLOCKS_DIFFER_SECONDS = 2.0
LEAST_TIMEOUT_SECONDS = 2.0  # twice the longest wait on a bell
UNREAPED_SECONDS = 5.0  # every worker looks each second
OLD_SECONDS = 900.0
LATE_SECONDS = 60.0


class Finding(NamedTuple):
    level: str
    about: str
    """In a word or two."""
    seen: str
    do: str = ""


Findings = Iterator[Finding]


def examine(client: Client, known: Iterable[str] | None = None) -> list[Finding]:
    """All findings, the worst first. `known`: the job classes of the application, to tell unknown ones by.

    Raises Unreachable when there is no server that answers.
    """
    return judge(read(client, None if known is None else frozenset(known)))


def judge(facts: Facts) -> list[Finding]:
    """The findings on these facts, the worst first."""
    found: list[Finding] = []
    if facts.server is None:
        found.append(Finding("note", "server", "memory://: jobs are in this process, and go with it"))
    else:
        found += [one for check in SERVER_CHECKS for one in check(facts.server)]
    found += _libraries(facts)
    if facts.jobs_unread:
        found.append(
            Finding(
                "unhealthy", "jobs", f"could not be looked at: {facts.jobs_unread}", "see the findings on the server"
            )
        )
    elif facts.jobs is not None:
        found += [one for check in JOB_CHECKS for one in check(facts.jobs)]
        found += _classes(facts.jobs, facts.known)
    return sorted(found, key=lambda one: LEVELS.index(one.level))


def is_healthy(findings: Iterable[Finding]) -> bool:
    return all(one.level != "unhealthy" for one in findings)


def text(findings: Sequence[Finding]) -> str:
    """Findings for people."""
    lines = []
    for one in findings:
        lines.append(f"{one.level:<9}  {escape(one.about)}: {escape(one.seen)}")
        if one.do:
            lines.append(f"{'':<9}  → {escape(one.do)}")
    counts = Counter(one.level for one in findings)
    return "\n".join([*lines, "", ", ".join(f"{counts[level]} {level}" for level in LEVELS)])


# The server.


def _kind(server: ServerFacts) -> Findings:
    info = server.info
    speaks = info.get("redis_version", "")
    if not speaks:
        return
    name = f"Redis {speaks}"
    if "valkey_version" in info:
        name = f"Valkey {info['valkey_version']} (as Redis {speaks})"
    if _version(speaks) < OLDEST_REDIS:
        needed = ".".join(map(str, OLDEST_REDIS))
        yield Finding(
            "unhealthy",
            "server",
            f"{name} is older than {needed} and lacks commands that scripts use",
            f"upgrade to Redis {needed} or later, or to any Valkey",
        )
    else:
        yield Finding("fine", "server", name)
    if info.get("redis_mode") == "cluster":
        yield Finding(
            "warning",
            "server",
            "it is one node of a cluster, and redirections are not followed",
            "use a server that stands alone",
        )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def _refused(server: ServerFacts) -> Findings:
    for command in sorted({one.partition(":")[0] for one in server.refused}):
        why = next(one for one in server.refused if one.startswith(command)).partition(": ")[2]
        yield Finding(
            "note",
            "server",
            f"{command} could not be read, and what it would tell is not checked ({shorten(why, 120)})",
            "managed servers often forbid it: look at their console instead",
        )


def _role(server: ServerFacts) -> Findings:
    if server.info.get("role") == "slave":
        of = f"{server.info.get('master_host', '?')}:{server.info.get('master_port', '?')}"
        yield Finding(
            "unhealthy", "server", f"it is a replica of {of} and refuses writes", "give the primary's address"
        )


def _loading(server: ServerFacts) -> Findings:
    if server.info.get("loading") == "1":
        done = server.info.get("loading_loaded_perc", "?")
        yield Finding("unhealthy", "server", f"it is reading its data from disk ({done} %)", "wait; workers do so too")


def _eviction(server: ServerFacts) -> Findings:
    policy = server.config.get("maxmemory-policy") or server.info.get("maxmemory_policy", "")
    evicted = _number(server.info.get("evicted_keys"))
    lost = f"; it has thrown away {evicted:.0f} keys since it started" if evicted else ""
    if policy and policy != "noeviction":
        yield Finding(
            "unhealthy",
            "eviction",
            f"maxmemory-policy is {policy}: when its memory is full, the server may throw jobs away{lost}",
            "CONFIG SET maxmemory-policy noeviction, and the same in its configuration; caches need another server",
        )
    elif lost:
        yield Finding("warning", "eviction", f"maxmemory-policy is noeviction by now{lost}", "some may have been jobs")
    elif policy:
        yield Finding("fine", "eviction", "noeviction: the server throws no job away")


def _memory(server: ServerFacts) -> Findings:
    used = _number(server.info.get("used_memory"))
    limit = _number(server.config.get("maxmemory")) or _number(server.info.get("maxmemory"))
    if used is None:
        return
    if not limit:
        yield Finding(
            "note",
            "memory",
            f"{_bytes(used)} used, without a limit: when the machine is full, the server is killed",
            "set maxmemory below what the machine has; enqueueing is then refused in time, and nothing is lost",
        )
        return
    part = used / limit
    seen = f"{_bytes(used)} of {_bytes(limit)} used ({part:.0%})"
    if part >= NEARLY_FULL:
        means = ": new jobs are refused, or soon will be" if part >= FULL else ""
        yield Finding(
            "unhealthy" if part >= FULL else "warning",
            "memory",
            seen + means,
            "raise maxmemory; see which queue grows: minique queues",
        )
    else:
        yield Finding("fine", "memory", seen)


ON_CRASH = "when the machine fails"


def _persistence(server: ServerFacts) -> Findings:
    aof = server.config.get("appendonly") or {"1": "yes", "0": "no"}.get(server.info.get("aof_enabled", ""))
    advice = "CONFIG SET appendonly yes, and the same in its configuration"
    if aof == "yes":
        fsync = server.config.get("appendfsync")
        means = {
            "always": (
                "fine",
                "every change is on disk before it is acknowledged: nothing acknowledged is lost while "
                "the disk keeps what it was given",
            ),
            "everysec": (
                "fine",
                f"written at once, and to disk each second: {ON_CRASH}, up to about two seconds of "
                "acknowledged work are lost; when only the server ends, nothing is",
            ),
            "no": (
                "warning",
                f"written at once, and to disk when the system likes: {ON_CRASH}, half a minute of "
                "acknowledged work may be lost",
            ),
        }
        level, what = means.get(fsync or "", ("note", "how often it goes to disk cannot be seen from here"))
        do = "CONFIG SET appendfsync everysec" if level == "warning" else ""
        yield Finding(level, "persistence", f"append-only file, {fsync or 'appendfsync unknown'}: {what}", do)
        return
    save = server.config.get("save")
    unsaved = _number(server.info.get("rdb_changes_since_last_save"))
    now = f"; {unsaved:.0f} changes as of now" if unsaved is not None else ""
    if save:
        yield Finding(
            "warning",
            "persistence",
            f"snapshots only (save {save}): when the server crashes, all acknowledged work since the last "
            f"snapshot is lost, and jobs done since then run again{now}",
            advice,
        )
    elif save == "":
        yield Finding("warning", "persistence", "none: when the server ends, every job in it is lost", advice)
    elif aof == "no":
        yield Finding(
            "warning", "persistence", f"no append-only file; whether there are snapshots cannot be seen{now}", advice
        )


def _writing(server: ServerFacts) -> Findings:
    info = server.info
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        stops = (
            server.config.get("stop-writes-on-bgsave-error", "yes") == "yes" and server.config.get("save", "?") != ""
        )
        means = ", and the server refuses every write until one succeeds" if stops else ""
        yield Finding(
            "unhealthy" if stops else "warning",
            "persistence",
            f"the last snapshot failed{means}",
            "look at the server's log; most often its disk is full or its folder not writable",
        )
    if info.get("aof_last_write_status", "ok") != "ok":
        yield Finding(
            "unhealthy",
            "persistence",
            "the last write to the append-only file failed; writes are refused",
            "look at the server's log; most often its disk is full",
        )
    if info.get("aof_last_bgrewrite_status", "ok") != "ok":
        yield Finding(
            "warning",
            "persistence",
            "the append-only file could not be rewritten, and goes on growing",
            "look at the server's log; most often its disk is full",
        )


def _connections(server: ServerFacts) -> Findings:
    clients = _number(server.info.get("connected_clients"))
    limit = _number(server.config.get("maxclients")) or _number(server.info.get("maxclients"))
    if clients is None or not limit:
        return
    part, seen = clients / limit, f"{clients:.0f} of at most {limit:.0f} are connected"
    if part >= NEARLY_FULL:
        yield Finding(
            "unhealthy" if part >= FULL else "warning",
            "clients",
            f"{seen}; later ones are refused",
            "raise maxclients, or end programs that forgot to close",
        )
    else:
        yield Finding("fine", "clients", seen)


def _distance(server: ServerFacts) -> Findings:
    seconds = server.round_trip_seconds
    level = "fine"
    if seconds >= SLOW_TRIP_SECONDS:
        level = "warning" if seconds >= VERY_SLOW_TRIP_SECONDS else "note"
    do = "bring workers and server closer together; a job costs at least one round trip" if level != "fine" else ""
    yield Finding(level, "round trip", f"{seconds * 1000:.2f} ms", do)


def _clocks(server: ServerFacts) -> Findings:
    if any(one.startswith("TIME") for one in server.refused):
        yield Finding("unhealthy", "clock", "the server does not tell the time, which every script asks", "allow TIME")
        return
    ahead = server.clock_ahead_seconds
    seen = f"the server's is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this machine's"
    if abs(ahead) - server.round_trip_seconds >= CLOCKS_DIFFER_SECONDS:
        yield Finding(
            "warning",
            "clock",
            f"{seen}: leases do not mind, but jobs for a certain time run that much "
            f"{'early' if ahead > 0 else 'late'}, and ages are shown wrong",
            "let both follow one time server",
        )
    else:
        yield Finding("fine", "clock", seen)


def _timeouts(server: ServerFacts) -> Findings:
    timeout = server.timeout_seconds
    if timeout is not None and timeout < LEAST_TIMEOUT_SECONDS:
        yield Finding(
            "warning",
            "client",
            f"socket_timeout is {timeout:g} s: whoever waits quietly takes the server for lost",
            f"{LEAST_TIMEOUT_SECONDS:g} or more; without the option it is 5",
        )
    elif timeout is None:
        yield Finding(
            "warning",
            "client",
            "socket_timeout is off: a server that vanishes is waited for without end",
            "leave the option out; it is 5 s then",
        )


def _layout(server: ServerFacts) -> Findings:
    if server.layout is None:
        yield Finding("note", "keys", "nothing was ever stored in this namespace", "is it the one that you mean?")
    elif server.layout != LAYOUT:
        yield Finding(
            "unhealthy",
            "keys",
            f"they have layout {server.layout}, and this release reads {LAYOUT}",
            "use the release that wrote them, or another namespace",
        )
    else:
        yield Finding("fine", "keys", f"layout {server.layout}")


SERVER_CHECKS: tuple[Callable[[ServerFacts], Findings], ...] = (
    _kind, _refused, _role, _loading, _eviction, _memory, _persistence, _writing, _connections, _distance, _clocks,
    _timeouts, _layout,
)  # fmt: skip


def _libraries(facts: Facts) -> Findings:
    if "redis" not in facts.libraries:
        return
    if "hiredis" in facts.libraries:
        yield Finding("fine", "client", f"redis-py {facts.libraries['redis']}, hiredis {facts.libraries['hiredis']}")
    else:
        yield Finding(
            "note",
            "client",
            f"redis-py {facts.libraries['redis']} without hiredis, which is faster",
            "pip install hiredis",
        )


# The jobs.


def _remarked(jobs: JobFacts) -> Findings:
    for remark in remarks(jobs.info):
        yield Finding(remark.level, "jobs", remark.seen, remark.do or "minique worker --import MODULE --queues …")


def _classes(jobs: JobFacts, known: Iterable[str] | None) -> Findings:
    if known is None:
        yield Finding("note", "job classes", "it was not checked whether they are known", "add --import MODULE")
        return
    known = frozenset(known)
    looked_at = 0
    for sample in jobs.samples:
        looked_at += sample.looked_at
        unknown = {name: count for name, count in sample.job_classes.items() if name not in known}
        if unknown:
            yield Finding(
                "warning",
                "job classes",
                f"{_named(sample)}: {_counts(unknown)} of job classes that are unknown here ({_extent(sample)})",
                "import the modules that define them, here and in the workers; those retry such jobs, then fail them",
            )
    entries = [row["entry"] for row in jobs.schedule if row.get("job") and row["job"] not in known]
    if entries:
        yield Finding(
            "warning",
            "job classes",
            f"recurring entries of unknown job classes: {_some(entries)}",
            "import the modules that define them, or minique schedule remove ENTRY",
        )
    yield Finding("fine", "job classes", f"{len(known)} are known here; {looked_at} jobs were looked at")


def _records(jobs: JobFacts) -> Findings:
    for sample in jobs.samples:
        if sample.unreadable:
            do = (
                "minique failed show ID, then discard"
                if sample.where == "failed"
                else "workers will set them aside as failed"
            )
            yield Finding(
                "warning", "records", f"{_named(sample)}: {sample.unreadable} cannot be read ({_extent(sample)})", do
            )
        if sample.misplaced:
            yield Finding(
                "unhealthy",
                "records",
                f"{_named(sample)} lists jobs that are in another state: {_some(sample.misplaced)} ({_extent(sample)})",
                "somebody else wrote to these keys: find out who; minique job ID shows each",
            )
        if sample.gone and sample.where.startswith("queue:"):
            yield Finding(
                "note",
                "records",
                f"{_named(sample)}: {sample.gone} were cancelled; claims pass them over ({_extent(sample)})",
            )
        elif sample.gone:
            yield Finding(
                "warning",
                "records",
                f"{_named(sample)}: {sample.gone} have no record ({_extent(sample)})",
                "somebody removed keys by hand; discard or cancel these ids",
            )
    if jobs.not_ready:
        yield Finding(
            "unhealthy",
            "queues",
            f"have jobs and no claim looks at them: {_some(jobs.not_ready)}",
            "minique pause QUEUE, then minique resume QUEUE puts that right; somebody else wrote to these keys",
        )


def _leases(jobs: JobFacts) -> Findings:
    heard = any(one["silent_seconds"] < SILENCE_SECONDS and one.get("kind") == "worker" for one in jobs.info["workers"])
    count, overdue = jobs.info["claims_overdue"], jobs.most_overdue_seconds
    if count and (overdue is None or overdue >= UNREAPED_SECONDS):
        late = "" if overdue is None else f", the first {_span(overdue)} ago"
        yield Finding(
            "warning" if heard else "unhealthy",
            "leases",
            f"{count} have run out{late}, and nobody reaps",
            "look at the workers' logs" if heard else "start a worker: each one reaps",
        )
    if jobs.leased_without_lease:
        yield Finding(
            "unhealthy",
            "leases",
            f"jobs that nothing will give back: {_pairs(jobs.leased_without_lease)}",
            "somebody removed keys by hand; restore them, or enqueue these jobs again",
        )
    if jobs.leased_without_claim:
        yield Finding(
            "unhealthy",
            "leases",
            f"jobs that their claim does not know: {_pairs(jobs.leased_without_claim)}",
            "somebody removed keys by hand; restore them, or enqueue these jobs again",
        )
    if jobs.leases_without_jobs:
        yield Finding(
            "note", "leases", f"of claims that hold nothing: {_some(jobs.leases_without_jobs)}", "nothing: they run out"
        )
    if jobs.oldest_leased:
        id, seconds, worker = jobs.oldest_leased
        many = jobs.info["leased"]
        part = f" ({jobs.leases_looked_at} were looked at)" if jobs.leases_looked_at < many else ""
        yield Finding(
            "fine",
            "leases",
            f"{many} jobs are leased{part}; the one that was enqueued first, {id}, "
            f"{_span(seconds)} ago, is held by {worker}",
        )


def _waiting(jobs: JobFacts) -> Findings:
    ages = [
        (row["next_age_seconds"], row["queue"])
        for row in jobs.info["queues"]
        if row["length"] and row["next_age_seconds"] is not None
    ]
    if ages:
        seconds, queue = max(ages)
        is_old = seconds >= OLD_SECONDS
        do = "more workers, or urgent jobs in a queue of their own" if is_old else ""
        yield Finding(
            "warning" if is_old else "fine",
            "queues",
            f"the next job of {queue} was enqueued {_span(seconds)} ago, the longest of all queues",
            do,
        )
    late = [row["entry"] for row in jobs.schedule if row.get("overdue_seconds", 0.0) >= LATE_SECONDS]
    if late:
        yield Finding(
            "unhealthy",
            "recurring",
            f"entries whose slot has passed and was not fired: {_some(late)}",
            "minique scheduler",
        )
    unreadable = [row["entry"] for row in jobs.schedule if "unreadable" in row]
    if unreadable:
        yield Finding(
            "warning",
            "recurring",
            f"entries that this release cannot read: {_some(unreadable)}",
            "minique schedule remove ENTRY, or a newer release",
        )


def _workers(jobs: JobFacts) -> Findings:
    workers = jobs.info["workers"]
    silent = [one["worker"] for one in workers if one["silent_seconds"] >= SILENCE_SECONDS]
    if silent:
        yield Finding(
            "warning",
            "workers",
            f"silent for {SILENCE_SECONDS:g} s or more: {_some(silent)}",
            "dead, paused, or cut off; what they held is given back by their leases; they are forgotten in an hour",
        )
    kinds = Counter(str(one.get("kind", "of no kind")) for one in workers if one["silent_seconds"] < SILENCE_SECONDS)
    if kinds:
        yield Finding("fine", "workers", f"heard: {_counts(kinds)}")


def _failed(jobs: JobFacts) -> Findings:
    count, limit = jobs.info["failed"], LIMITS["FAILED_LIMIT"]
    errors = next((sample.errors for sample in jobs.samples if sample.where == "failed"), {})
    why = f", the latest of {_counts(errors)}" if errors else ""
    dropped = jobs.info["since_the_beginning"].get("dropped", 0)
    gone = f"; {dropped} were dropped since the beginning" if dropped else ""
    if count >= limit * NEARLY_FULL:
        yield Finding(
            "unhealthy" if count >= limit else "warning",
            "failed",
            f"{count} of at most {limit}{why}{gone}; the next push out the oldest",
            "minique failed requeue or discard, by --class, --error, --older-than",
        )
    elif count or dropped:
        yield Finding("note", "failed", f"{count} jobs wait for a person{why}{gone}", "minique failed list")


def _weight(jobs: JobFacts) -> Findings:
    if jobs.bytes_per_record is None:
        return
    count = sum(jobs.info[state] for state in ("queued", "delayed", "leased", "failed"))
    yield Finding(
        "fine",
        "memory",
        f"a job's record takes {jobs.bytes_per_record:,.0f} B on the average of "
        f"{jobs.weighed}; {count} jobs, {_bytes(count * jobs.bytes_per_record)}",
    )


JOB_CHECKS: tuple[Callable[[JobFacts], Findings], ...] = (
    _remarked, _records, _leases, _waiting, _workers, _failed, _weight,
)  # fmt: skip


# In words.


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _bytes(count: float) -> str:
    units = iter(("KiB", "MiB", "GiB", "TiB"))
    unit = "B"
    while count >= 1024 and (larger := next(units, "")):
        count, unit = count / 1024, larger
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _some(names: Sequence[str]) -> str:
    rest = f", and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(shorten(name, 60) for name in names[:5]) + rest


def _pairs(pairs: Sequence[tuple[str, str]]) -> str:
    return _some([f"{id} (claim {claim})" for id, claim in pairs])


def _counts(counts: Mapping[str, int]) -> str:
    most = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    rest = f", and {len(most) - 5} more kinds" if len(most) > 5 else ""
    return ", ".join(f"{count} {shorten(name, 60)}" for name, count in most[:5]) + rest


def _named(sample: Sample) -> str:
    kind, colon, name = sample.where.partition(":")
    return f"{kind} {name}" if colon else kind


def _extent(sample: Sample) -> str:
    if sample.looked_at >= sample.length:
        return f"all {sample.length} were looked at"
    return f"the first {sample.looked_at} of {sample.length} were looked at"
