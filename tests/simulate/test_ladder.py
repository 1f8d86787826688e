"""The ladder of designs: the fault of each rung is shown, and its cure on the next.

One story is played on all of them: four workers, a job each second, each two seconds long; one process is killed, or
stopped for longer than any lease, in the middle of a job.
"""

import json
import random
from collections.abc import Iterator
from typing import Any

import fakeredis
import numpy as np
import pytest
import redis

from simulate import designs, faults
from simulate.actors import World
from simulate.costs import FREE, Costs
from simulate.designs import backup, blocking, resque, unfenced
from simulate.designs.server import MemoryServer
from simulate.experiments import play
from simulate.faults import Kill, Pause, Plan
from simulate.measures import Measures, measure
from simulate.workload import Load, generate

from .helpers import load_of

ON_A_LIST = ("resque", "blocking", "backup", "unfenced")
PAUSE_SECONDS = 45.0


def story() -> Load:
    return load_of(np.arange(0.0, 300.0), np.full(300, 2.0))


def played(name: str, plan: Plan, load: Load | None = None, workers: int = 4) -> tuple[World, Measures]:
    world, processes = play(designs.find(name), load or story(), workers, Costs(), 0, plan)
    return world, measure(world, processes)


def killed(name: str) -> Measures:
    _, found = played(name, Plan(kills=(Kill(after=100.0),)))
    assert found.killed >= 1  # all threads of a timer die together
    return found


def paused(name: str, seconds: float = PAUSE_SECONDS) -> tuple[World, Measures]:
    world, found = played(name, Plan(pauses=(Pause(after=100.0, seconds=seconds),)))
    assert found.paused == 1
    return world, found


# Each fault, and its cure one rung up.


def test_rung_1_is_parallel_and_does_the_jobs_several_times() -> None:
    _, one = played("naive", faults.NOTHING)
    _, several = played("unclaimed", faults.NOTHING)
    assert (one.finished_twice, one.lost) == (0, 0)
    assert several.finished_twice > 250
    assert several.lost == 0


def test_rung_2_claims_and_does_each_once() -> None:
    _, found = played("claiming", faults.NOTHING)
    assert (found.finished_twice, found.started_again, found.lost) == (0, 0, 0)


def test_rung_3_forgets_all_that_it_had() -> None:
    assert killed("timer").lost > 1


@pytest.mark.parametrize("name", ["resque", "blocking"])
def test_rungs_4_and_5_lose_the_job_in_the_dead_workers_hand(name: str) -> None:
    world, found = played(name, Plan(kills=(Kill(after=100.0),)))
    assert (found.lost, found.started_again, found.recovery_time) == (1, 0, None)
    # It is filed as failed by the worker that was started next: a person may look at it, and nobody runs it.
    [entry] = resque_failed(world)
    [death] = world.deaths
    assert entry["payload"] == {"class": "Job", "args": [death.job]}


def resque_failed(world: World) -> list[dict[str, Any]]:
    design = world._design
    assert isinstance(design, resque.ListDesign)
    return [json.loads(entry) for entry in design.server.lrange("resque:failed", 0, -1)]


@pytest.mark.parametrize("name", ["resque", "blocking"])
def test_and_lose_it_without_a_word_between_the_pop_and_the_note(name: str) -> None:
    # A round trip takes a second here, so that one can be killed in the middle of it.
    load = load_of([10.0], [1.0])
    slow = Costs(round_trip=1.0)
    world = World(load, workers=1, costs=slow, seed=0)
    design = designs.find(name)(world)
    server = design.server

    def strike(_: object) -> None:
        if world.ledger.enqueued[0] > 0 and not server.llen(f"resque:queue:{resque.QUEUE}"):
            world.kill(world.processes[0])
        else:
            world.hub.at(world.hub.now + 0.01, strike)

    world.hub.at(10.0, strike)
    world.run(design)
    assert list(world.ledger.starts) == [0]
    assert server.llen("resque:failed") == server.llen(f"resque:queue:{resque.QUEUE}") == 0


def test_rung_5_has_no_latency_where_rung_4_has_half_a_poll() -> None:
    load = generate("poisson", 3000, 5, erlangs=0.1)
    polled, popped = (played(name, faults.NOTHING, load, workers=1)[1].waiting.p50 for name in ("resque", "blocking"))
    assert polled is not None
    assert popped is not None
    assert polled > 2.0
    assert popped < 0.01


def test_rung_6_loses_nothing_but_strands_the_job_until_the_janitor_comes() -> None:
    found = killed("backup")
    assert (found.lost, found.started_again, found.finished_twice) == (0, 1, 0)
    assert found.recovery_time is not None
    assert backup.JANITOR_SECONDS < found.recovery_time < 2 * backup.JANITOR_SECONDS + 10


def test_rung_6_without_a_janitor_strands_it_for_ever() -> None:
    world = World(story(), workers=4, costs=FREE, plan=Plan(kills=(Kill(after=100.0),)))
    design = backup.Backup(world, janitor_seconds=None)
    world.run(design)
    assert measure(world, 4).lost == 1
    assert design.stranded == [str(world.deaths[0].job)]


def test_rung_6_gives_back_what_a_living_worker_has_when_the_work_is_long() -> None:
    world, found = played("backup", faults.NOTHING, load_of([0.0, 1.0], [3000.0, 1.0]))
    assert found.lost == 0
    assert found.finished_twice == 1
    # Each of its runs is given back before it ends: there is no end to it, until the simulator makes one.
    assert world.ledger.starts[0] > 10


def test_rung_7_gives_it_back_when_the_lease_runs_out() -> None:
    found = killed("unfenced")
    assert (found.lost, found.started_again, found.finished_twice) == (0, 1, 0)
    assert found.recovery_time is not None
    assert found.recovery_time < unfenced.LEASE_SECONDS + 2 * unfenced.REAP_EVERY_SECONDS + 5


def test_rung_7_lets_a_sleeper_write_over_its_successor() -> None:
    world, found = paused("unfenced")
    assert (found.lost, found.started_again, found.finished_twice) == (0, 1, 1)
    [pause] = world.pauses
    design = world._design
    assert isinstance(design, unfenced.Unfenced)
    # The successor had done it long before; what is stored now is the sleeper's.
    assert world.ledger.ended[pause.job] < pause.time + PAUSE_SECONDS < world.ledger.last_end[pause.job]
    assert design.server.get(f"result:{pause.job}") == f"host:{pause.process}"


def test_rung_8_refuses_the_sleeper() -> None:
    world, found = paused("minique")
    assert (found.lost, found.started_again, found.finished_twice) == (0, 1, 0)
    [pause] = world.pauses
    assert world.ledger.last_end[pause.job] < pause.time + PAUSE_SECONDS


@pytest.mark.parametrize("name", ["unfenced", "minique"])
def test_a_pause_shorter_than_the_lease_costs_nothing_but_its_time(name: str) -> None:
    world, found = paused(name, seconds=4.0)
    assert (found.lost, found.started_again, found.finished_twice) == (0, 0, 0)
    [pause] = world.pauses
    assert world.ledger.ended[pause.job] == pytest.approx(pause.time + 4.0 + 1.0)


@pytest.mark.parametrize("name", designs.LADDER)
def test_work_that_was_stopped_is_as_much_work_as_before(name: str) -> None:
    world, found = paused(name)
    assert found.lost == 0
    [pause] = world.pauses
    assert world.ledger.last_end[pause.job] >= pause.time + 1.0


def test_a_timer_stands_still_as_a_whole() -> None:
    world, _ = paused("timer")
    [pause] = world.pauses
    starts = world.ledger.column("first_start")
    assert not ((starts > pause.time) & (starts < pause.time + PAUSE_SECONDS)).any()


@pytest.mark.parametrize("name", ON_A_LIST)
def test_in_peace_each_runs_once(name: str) -> None:
    _, found = played(name, faults.NOTHING, generate("twin", 1000, 2, erlangs=2.8))
    assert (found.lost, found.started_again) == (0, 0)


def test_the_reaper_changes_nothing_while_nobody_dies() -> None:
    ledgers = []
    for upkeep in (False, True):
        world = World(generate("twin", 500, 2, erlangs=2.8), workers=4, costs=Costs())
        world.run(unfenced.Unfenced(world, upkeep=upkeep))
        ledgers.append([list(world.ledger.column(name)) for name in ("first_start", "ended", "starts")])
    assert ledgers[0] == ledgers[1]


@pytest.mark.parametrize("name", ["claiming", "backup", "unfenced", "minique"])
def test_many_kills_and_pauses_lose_nothing_where_nothing_may_be_lost(name: str) -> None:
    load = generate("poisson", 600, 4, erlangs=2.0)
    for seed in range(5):
        kills = faults.random_kills(load, seed, 6, 4).kills
        pauses = tuple(Pause(after=kill.after, seconds=20.0, process=3 - (kill.process or 0)) for kill in kills[::2])
        _, found = played(name, Plan(kills=kills, pauses=pauses), load)
        assert found.lost == 0
        if name == "minique":
            assert found.finished_twice == 0


# The server of rungs 4 to 7 is held against others.


def some_command(rng: random.Random) -> tuple[str, tuple[Any, ...]]:
    lists, value = (rng.choice(["list:a", "list:b"]) for _ in "12"), rng.choice("uvwxyz")
    one, two = lists
    command = rng.choice(
        [
            ("rpush", (one, value, rng.choice("uvw"))), ("lpush", (one, value, rng.choice("uvw"))), ("lpop", (one,)),
            ("lmove", (one, two, rng.choice(["LEFT", "RIGHT"]), rng.choice(["LEFT", "RIGHT"]))),
            ("lrem", (one, rng.choice([1, 2]), value)), ("lrange", (one, 0, rng.choice([-1, 0, 2]))), ("llen", (one,)),
            ("sadd", ("set", value, "u")), ("srem", ("set", value, "u")), ("smembers", ("set",)),
            ("set", ("text", value)), ("get", ("text",)), ("incr", ("count",)),
            ("delete", (rng.choice([one, "set", "text", "count", "scores"]), "scores")),
            ("zadd", ("scores", {value: rng.choice([1.5, 2.0, 3.25]), "u": 2.0})), ("zrem", ("scores", value, "u")),
            ("zscore", ("scores", value)), ("zrangebyscore", ("scores", rng.choice(["-inf", 1.5]), 2.0)),
        ]
    )  # fmt: skip
    return command


@pytest.fixture(params=["fakeredis", "valkey"])
def other(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Another server with the same commands: one in this process, and a real one."""
    if request.param == "fakeredis":
        yield fakeredis.FakeRedis(decode_responses=True)
        return
    real = request.getfixturevalue("valkey")
    with redis.Redis(unix_socket_path=str(real.socket), db=9, decode_responses=True) as client:
        client.flushdb()
        yield client
        client.flushdb()


def test_it_answers_as_another_server_does(other: Any) -> None:
    for seed in range(40):
        rng = random.Random(seed)
        ours = MemoryServer()
        other.flushdb()
        for _ in range(80):
            name, arguments = some_command(rng)
            assert getattr(ours, name)(*arguments) == getattr(other, name)(*arguments), (seed, name, arguments)


@pytest.mark.parametrize("name", ON_A_LIST)
@pytest.mark.parametrize("fault", ["none", "kill", "pause"])
def test_on_fakeredis_each_design_does_the_same_at_the_same_times(name: str, fault: str) -> None:
    load = generate("twin", 300, 2, erlangs=2.8)
    plan = {
        "none": faults.NOTHING,
        "kill": faults.one_kill_halfway(load),
        "pause": faults.one_pause_halfway(load, 30.0),
    }[fault]
    ledgers = []
    for server in (MemoryServer(), fakeredis.FakeRedis(decode_responses=True)):
        world = World(load, workers=4, costs=Costs(), plan=plan)
        world.run(designs.find(name)(world, server=server))  # type: ignore[call-arg]
        # As text: a job that never ended has "nan" there, which equals nothing.
        ledgers.append(str([world.ledger.first_start, world.ledger.last_end, world.ledger.starts]))
    assert ledgers[0] == ledgers[1]


# The loops are real: on a real server, with a real clock, they do what they do in virtual time.


def after_three(done: list[Any]) -> Any:
    def perform(found: Any) -> None:
        done.append(found)
        if len(done) == 3:
            raise KeyboardInterrupt

    return perform


class ChildThatEnds:
    def __init__(self, done: list[Any], payload: str) -> None:
        done.append(payload)
        self.waits = 0
        if len(done) == 3:
            raise KeyboardInterrupt

    def wait(self, seconds: float) -> bool:
        self.waits += 1
        return self.waits > 1  # once it is renewed


@pytest.fixture
def client(valkey: Any) -> Iterator[Any]:
    with redis.Redis(unix_socket_path=str(valkey.socket), db=10, decode_responses=True) as found:
        found.flushdb()
        yield found
        found.flushdb()


def test_rung_4_and_5_run_on_a_real_server(client: Any) -> None:
    common: dict[str, Any] = {"name": "host:1", "is_alive": lambda name: False, "clock": lambda: 0.0}
    for way in ("poll", "block"):
        done: list[Any] = []
        for n in range(3):
            resque.push(client, "q", "Job", n)
        client.sadd("resque:workers", "host:0")
        client.set("resque:worker:host:0", '{"queue":"q","payload":{"class":"Job","args":[99]}}')
        loop: Any = resque.run if way == "poll" else blocking.run
        how: dict[str, Any] = {"queues": ["empty", "q"], "sleep": lambda s: None} if way == "poll" else {"queue": "q"}
        with pytest.raises(KeyboardInterrupt):
            loop(client, after_three(done), **common, **how)
        assert done == [{"class": "Job", "args": [n]} for n in range(3)]
        assert client.llen("resque:failed") == (1 if way == "poll" else 3)  # the dead one's, and our own third job
        assert client.llen("resque:queue:q") == 0


def test_rung_6_runs_on_a_real_server_and_its_janitor_gives_back(client: Any) -> None:
    client.rpush(backup.QUEUE, "a", "b", "c")
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        backup.run(client, after_three(done), name="w", block=1.0)
    assert done == ["a", "b", "c"]
    assert client.lrange("backup:w", 0, -1) == ["c"]
    seen = backup.look(client, {})
    assert client.llen(backup.QUEUE) == 0
    assert backup.look(client, seen) == {"backup:w": ["c"]}
    assert client.lrange(backup.QUEUE, 0, -1) == ["c"]
    assert client.llen("backup:w") == 0


def test_rung_7_runs_on_a_real_server_and_its_reaper_gives_back(client: Any) -> None:
    client.rpush(unfenced.QUEUE, "a", "b", "c", "never leased")
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        unfenced.run(client, lambda payload: ChildThatEnds(done, payload), name="w", clock=lambda: 100.0, block=1.0)
    assert done == ["a", "b", "c"]
    assert client.get("result:b") == "w"
    assert client.zrange(unfenced.LEASES, 0, -1, withscores=True) == [("c", 100.0 + unfenced.LEASE_SECONDS)]
    client.blmove(unfenced.QUEUE, unfenced.TAKEN, 1.0)
    bare = unfenced.reap(client, 105.0, set())
    assert bare == {"never leased"}
    unfenced.reap(client, 111.0, bare)
    assert client.lrange(unfenced.QUEUE, 0, -1) == ["c", "never leased"]
    assert client.llen(unfenced.TAKEN) == client.zcard(unfenced.LEASES) == 0
