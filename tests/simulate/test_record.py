"""A record says of each job when it came and how long it took, to the log's millisecond, and replays as a trace."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import numpy as np
import pytest

from minique.connect import connect
from minique.ids import made_at, make_id
from simulate import cli, traces
from simulate.live import jobs as live_jobs
from simulate.live import record
from simulate.live import runs as live
from simulate.workload import Load, poisson_arrivals, stream
from tests.processes import PATIENCE_SECONDS, REPOSITORY
from tests.servers import RealServer, find_valkey, required, until

MILLISECOND = 0.001
EPOCH = 1_800_000_000.0


def line(at: float, event: str, id: str, worker: str = "w", **more: object) -> str:
    moment = datetime.fromtimestamp(EPOCH + at, UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": moment, "level": "debug", "event": event, "job": id, "worker": worker, **more}) + "\n"


def job(number: int, at: float) -> str:
    return make_id(EPOCH + at, Random(number))


def taken(*lines: str) -> list[dict[str, object]]:
    recorder = record.Recorder(since=EPOCH)
    for one in lines:
        recorder.take(one)
    return recorder.rows()


@pytest.mark.parametrize("mode", ["fork", "inline"])
def test_a_live_run_that_was_recorded_is_replayed_with_its_arrivals_and_its_work(tmp_path: Path, mode: str) -> None:
    jobs = 60
    work = 0.02 + 0.02 * stream(3, "work").random(jobs)
    load = Load("test", "test", live.LEAD_SECONDS + poisson_arrivals(40, jobs, stream(3, "arrivals")), work)
    server = RealServer("valkey", required(find_valkey))
    try:
        words = [*live.worker_words(server.url, "recorded", mode), "--verbose", "--log", "json"]
        with live.crew(server.url, "recorded", words, 2, tmp_path) as there:
            played = there.play(load, "sleep")
    finally:
        server.stop()
    logs = [str(path) for path in sorted(tmp_path.glob("stderr-*"))]
    assert len(logs) == 2
    file = tmp_path / "load.jsonl"
    assert cli.main(["record", *(word for log in logs for word in ("--log", log)), "--output", str(file)]) == 0

    rows = {row["job"]: row for row in map(json.loads, file.read_text().splitlines())}
    ours = [rows[id] for id in played.ids]
    assert {row["outcome"] for row in ours} == {"done"}
    assert {(row["queue"], row["attempts"]) for row in ours} == {("live", 1)}
    # When it came: to the millisecond of its id, which is made while the producer hands it in.
    zero = made_at(played.ids[0]) - played.woke[0]  # type: ignore[operator]
    came = np.array([row["arrived"] for row in ours]) - zero
    assert (came >= played.woke - 2 * MILLISECOND).all()
    assert (came <= played.sent + 2 * MILLISECOND).all()
    # How long it took: its work and what belongs to it, never less, and not the wait before.
    service = np.array([row["service"] for row in ours])
    real = played.ended - played.began
    assert (service >= real - 2 * MILLISECOND).all()
    assert np.median(service - real) < 0.02

    replayed = traces.read(file)
    assert replayed.jobs == len(rows)
    assert replayed.queues == ("live",) * len(rows)
    words = ["compare", "--trace", str(file), "--designs", "minique", "--output", str(tmp_path / "results")]
    assert cli.main(words) == 0


def test_it_watches_what_is_added_and_compares_with_the_servers_count(tmp_path: Path) -> None:
    server = RealServer("valkey", required(find_valkey))
    try:
        words = [*live.worker_words(server.url, "default", "inline"), "--verbose", "--log", "json"]
        with live.crew(server.url, "default", words, 1, tmp_path), connect(server.url) as mq:
            file, log = tmp_path / "load.jsonl", tmp_path / "stderr-0"
            watching = subprocess.Popen(
                [
                    *(sys.executable, "-m", "simulate", "record", "--url", server.url, "--log", str(log)),
                    *("--seconds", "4", "--output", str(file)),
                ],
                cwd=REPOSITORY,
                stdout=subprocess.PIPE,
                text=True,
            )
            ended: list[str] = []

            def is_over() -> bool:
                # The watcher starts when it starts: jobs come all the time.
                ended.append(mq.enqueue(live_jobs.live, len(ended), 0.001).id)
                return watching.poll() is not None

            try:
                until(is_over, PATIENCE_SECONDS)
            finally:
                watching.kill()
                output, _ = watching.communicate()
    finally:
        server.stop()
    assert watching.returncode == 0
    assert "the server counted" in output
    rows = [json.loads(one) for one in file.read_text().splitlines()]
    # None of the first jobs, which came before it watched; and all in between.
    places = [ended.index(row["job"]) for row in rows]
    assert places == list(range(places[0], places[0] + len(rows)))


def test_waiting_is_not_work_and_one_job_follows_the_other() -> None:
    first, second = job(1, 0.0), job(2, 0.1)
    rows = taken(
        line(0.5, "claimed", first, queue="mail"),
        line(1.5, "completed", first),
        line(1.5, "claimed", second, queue="mail"),
        line(1.75, "completed", second),
    )
    assert [row["service"] for row in rows] == [1.0, 0.25]
    assert [row["waited"] for row in rows] == [0.5, 1.4]
    assert [row["arrived"] for row in rows] == [EPOCH, EPOCH + 0.1]


def test_jobs_that_were_claimed_together_share_their_time() -> None:
    ids = [job(n, 0.0) for n in range(4)]
    lines = [line(1.0, "claimed", id) for id in ids] + [line(1.008, "completed", id) for id in ids]
    assert [row["service"] for row in taken(*lines)] == [0.002] * 4


def test_a_second_try_on_another_worker_is_one_job_with_the_work_of_both() -> None:
    id = job(1, 0.0)
    rows = taken(
        line(1.0, "claimed", id, "a"),
        line(1.5, "retry", id, "a"),
        line(9.0, "claimed", id, "b"),
        line(9.25, "failed", id, "b"),
    )
    assert [(row["service"], row["attempts"], row["outcome"]) for row in rows] == [(0.75, 2, "failed")]


def test_what_has_not_ended_is_said_not_to_be_known(tmp_path: Path) -> None:
    done, runs = job(1, 0.0), job(2, 0.5)
    recorder = record.Recorder(since=EPOCH)
    for one in (line(0.1, "claimed", done), line(0.2, "completed", done), line(0.6, "claimed", runs)):
        recorder.take(one)
    assert recorder.outcomes() == {"done": 1, "unfinished": 1}
    (tmp_path / "load.jsonl").write_text(recorder.text())
    load = traces.read(tmp_path / "load.jsonl")
    assert load.jobs == 1
    assert "1 jobs of unknown run time left out" in load.words


def test_what_was_made_before_or_by_somebody_else_is_left_out_and_counted() -> None:
    recorder = record.Recorder(since=EPOCH)
    recorder.take(line(0.1, "claimed", job(1, -60.0)))
    recorder.take(line(0.2, "completed", job(1, -60.0)))
    recorder.take(line(0.3, "claimed", "x" * 7))
    assert recorder.rows() == []
    assert (len(recorder.made_before), recorder.nameless) == (1, 1)


@pytest.mark.parametrize("text", ["", "Traceback", "{", "[]", "3", '{"time": 3, "event": []}', "[" * 100_000, "{}"])
def test_a_log_may_hold_anything_else(text: str) -> None:
    recorder = record.Recorder()
    recorder.take(text)
    assert (recorder.others, recorder.rows()) == (1, [])


def test_a_line_that_is_not_whole_yet_is_waited_for(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("")
    before = datetime.now(UTC).timestamp() + 1
    id = make_id(before, Random(1))
    whole = line(before + 1 - EPOCH, "claimed", id) + line(before + 2 - EPOCH, "completed", id)
    parts = [whole[:90], whole[90:]]

    def grow(passed: float) -> None:
        if parts:
            with log.open("a") as file:
                file.write(parts.pop(0))

    found = record.record([log], 0.5, grow)
    assert [row["outcome"] for row in found.rows()] == ["done"]


@pytest.mark.parametrize(
    ("words", "code", "because"),
    [
        (["--log", "none.log"], cli.USAGE, "none.log: cannot be read"),
        (["--log", "empty.log"], cli.FAILED, "minique worker --verbose --log json"),
        (["--log", "empty.log", "--output", "load.csv"], cli.USAGE, "ends in .jsonl"),
        (["--log", "empty.log", "--url", "redis://127.0.0.1:1"], cli.USAGE, "say for how long with --seconds"),
        (["--log", "empty.log", "--url", "redis://127.0.0.1:1", "--seconds", "1"], cli.FAILED, "--url: "),
    ],
)
def test_what_cannot_be_recorded_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], code: int,
    because: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.log").write_text("")
    assert cli.main(["record", *words]) == code
    assert because in capsys.readouterr().err
    assert not (tmp_path / "load.jsonl").exists()


def test_an_interruption_leaves_no_half_record(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("")
    words = [
        sys.executable,
        "-m",
        "simulate",
        "record",
        "--log",
        "log",
        "--seconds",
        "60",
        "--output",
        "new/load.jsonl",
    ]
    run = subprocess.Popen(words, cwd=tmp_path, env={"PYTHONPATH": str(REPOSITORY)}, stderr=subprocess.PIPE, text=True)
    until((tmp_path / "new").exists, PATIENCE_SECONDS)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=PATIENCE_SECONDS)
    assert (run.returncode, list((tmp_path / "new").iterdir())) == (cli.INTERRUPTED, []), errors
