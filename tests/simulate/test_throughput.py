"""`python -m simulate bench throughput` runs and its books balance; and what a job costs in counts, never in time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from minique.wire import Server
from simulate import cli
from simulate.benches import meter, throughput
from simulate.benches.contenders import ENTRIES
from simulate.benches.meter import Figures
from simulate.benches.neighbours import survivals
from simulate.benches.server import BenchError
from simulate.benches.throughput import Play, by_part, play, rows
from tests.processes import REPOSITORY, needs_proc
from tests.servers import RealServer, find_valkey, required

JOBS = 640


@pytest.fixture
def server() -> Iterator[Server]:
    real = RealServer("valkey", required(find_valkey))
    try:
        yield Server(real.url)
    finally:
        real.stop()


def played(server: Server, name: str, **options: object) -> Figures:
    return play([(name, {"url": server.url, **options})])[0]


class TestWhatAJobCosts:
    """Counts of a real server, for a real worker: the same on every machine, however busy."""

    def test_in_line_jobs_share_their_trips_and_their_commands(self, server: Server) -> None:
        found = played(server, "contend", who="minique", ones=0, many=JOBS, drains=True)
        assert found["drain.jobs"] == JOBS
        # A batch grows from 1 to 100, then claim and complete share a trip; the two scripts call some 35 commands.
        assert found["drain.trips"] / JOBS <= 0.03
        assert found["drain.commands"] / JOBS <= 1
        assert found["drain.bytes"] / JOBS <= 120

    def test_forked_jobs_take_one_trip_each(self, server: Server) -> None:
        found = played(server, "contend", who="minique, fork", ones=0, many=40, drains=True)
        assert found["drain.trips"] / 40 <= 1.5
        assert found["drain.commands"] / 40 <= 50

    def test_enqueueing_one_takes_one_trip_and_many_share_one(self, server: Server) -> None:
        found = played(server, "contend", who="minique", ones=50, many=2000, drains=False)
        assert found["one.trips"] == 50
        assert found["one.commands"] / 50 <= 6
        assert found["many.trips"] <= 10  # each of some kilobytes, which the server takes in several reads
        assert found["many.commands"] / 2000 <= 1.1

    def test_a_queued_job_takes_less_than_300_bytes_on_the_server(self, server: Server) -> None:
        found = played(server, "contend", who="minique", ones=0, many=5000, drains=False)
        assert 50 < found["bytes_per_queued"] <= 300

    @needs_proc
    @pytest.mark.parametrize("mode", ["inline", "fork"])
    def test_an_idle_worker_hardly_asks(self, server: Server, mode: str) -> None:
        found = played(server, "idle", seconds=3.0, mode=mode)
        # Once a second it gives a sign of life, reaps and claims, and begins to listen, all in one trip.
        assert 0.3 <= found["trips"] <= 1.3
        assert found["commands"] <= 30

    def test_queues_and_subscriptions_cost_no_trips(self, server: Server) -> None:
        small = {"number": 320, "queued": 0, "delayed": 0, "queues": 1, "subscriptions": 0}
        for more in ({"delayed": 1000}, {"queues": 100}, {"subscriptions": 50}):
            server.call_one("FLUSHALL")
            found = played(server, "grown", **{**small, **more})
            assert found["drain.trips"] / 320 <= 0.1, more

    @needs_proc
    def test_the_counts_see_a_worker_that_takes_one_at_a_time(self, server: Server) -> None:
        # Teeth: the same measurement of a worker without batches.
        script = (
            "from simulate.benches import players\n"
            "from simulate.benches.contenders import ours\n"
            "from functools import partial\n"
            "ours.Settings = partial(ours.Settings, batch_limit=1)\n"
            f"players._say(players.contend({server.url!r}, 'minique', 0, 100, True))\n"
        )
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        said = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=60
        ).stdout
        found = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
        assert found["drain.trips"] / 100 > 0.9


class TestTheMeter:
    def test_it_does_not_count_itself(self, server: Server) -> None:
        before = meter.read(server)
        assert meter.between(before, meter.read(server), 1)["trips"] == 0

    def test_a_trip_is_a_trip_however_many_commands_it_has(self, server: Server) -> None:
        before = meter.read(server)
        server.call([("PING",)] * 10)
        server.call_one("EVAL", "redis.call('PING') return redis.call('PING')", 0)
        found = meter.between(before, meter.read(server), 1)
        assert (found["trips"], found["commands"]) == (2, 13)


def test_it_prints_what_it_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    required(find_valkey)
    monkeypatch.setattr(throughput, "IDLE_SECONDS", 1.0)
    monkeypatch.setattr(throughput, "FORKS", 10)
    assert cli.main(["bench", "throughput", "--jobs", "100", "--rounds", "1", "--output", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "bench-throughput.json").read_text())
    assert {row["part"] for row in result["rows"]} == set(throughput.PARTS)
    assert (tmp_path / "bench-throughput.png").read_bytes().startswith(b"\x89PNG")
    assert set(result["configurations"]) == {"minique", "minique, fork"}
    for row in result["rows"]:
        if row["unit"] == "jobs/s":
            assert all(run > 0 for run in row["runs"])


def test_killed_workers_of_ours_lose_nothing(tmp_path: Path) -> None:
    required(find_valkey)
    for row in survivals((), kills=2, jobs=150):
        assert (row["lost"], row["kills"], row["jobs"]) == (0, 2, 151), row


def test_a_player_that_fails_says_why() -> None:
    with pytest.raises(BenchError, match="no answer from the server"):
        play([("raw_fork", {"url": "unix:///nowhere/socket", "number": 1})])


class TestTheRows:
    def test_the_limit_comes_first_and_the_others_are_measured_by_it(self) -> None:
        def run(jobs: float) -> Figures:
            return {"drain.jobs": jobs, "drain.seconds": 2.0, "drain.client": 0.001 * jobs}

        chosen = [
            Play("ours", lambda server, core: {}, {"drain": "drain"}),
            Play("raw", lambda server, core: {}, {"drain": "drain"}, is_limit=True),
        ]
        found = rows(chosen, [[run(100), run(300), run(200)], [run(400)]])
        assert [(row.name, row.value, row.of_limit) for row in found] == [("raw", 200, None), ("ours", 100, 0.5)]
        assert found[1].client_microseconds == pytest.approx(1000)
        assert found[1].trips is None
        assert [name for name, *_ in by_part(found)] == ["drain"]


def test_each_contender_says_what_it_risks() -> None:
    assert all(entry.configuration and entry.risks for entry in ENTRIES.values())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("bench", "throughput", "--against", "resque"), "'resque' is none of dramatiq, huey, rq, celery, taskiq"),
        (("bench", "throughput", "--jobs", "0"), "'0' is not a whole number above zero"),
        (("bench", "throughput", "--polls", "1"), "--against"),
    ],
)
def test_what_makes_no_sense_is_refused(words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_a_library_that_is_not_here_is_asked_for_by_its_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(throughput, "missing", lambda names: list(names))
    with pytest.raises(SystemExit):
        cli.main(["bench", "throughput", "--against", "huey,rq"])
    assert "huey, rq: not installed here; pip install --editable '.[neighbours]'" in capsys.readouterr().err


def test_all_subjects_at_once_are_no_single_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--json"]) == 2
    assert "name a subject" in capsys.readouterr().err
