"""What lessons share beyond how things look: programs that die, commands that meet, and a look inside Redis."""

from __future__ import annotations

import os

import numpy as np
import pytest

from minique import Registry, job
from minique.client import Client
from minique.clock import ManualClock
from minique.connect import connect
from notebooks import drawing, leaky
from notebooks.crashing import WHERE, die_before, really_killed
from notebooks.interleaving import every_interleaving
from notebooks.peek import ByHand, Names, commands_of, look_into
from notebooks.playing import play, play_for_real
from notebooks.really import a_worker_runs, how_late_for_real, in_a_process
from notebooks.shop import Bank
from notebooks.stage import Stage
from simulate.intervals import Interval
from tests.conftest import clean_up


@job(queue="charges", registry=Registry())
def charge(order: int, cents: int) -> None: ...


class TestDying:
    def test_the_program_dies_before_each_of_its_lines(self):
        found = []

        def program():
            found.append(1)
            try:
                found.append(2)
            except Exception:
                found.append("caught")

        assert [line.text for line in die_before(None, program, [program])] == [
            "found.append(1)", "try:", "found.append(2)",
        ]  # fmt: skip
        assert found == [1, 2]
        for number, left in enumerate(([], [1], [1], [1, 2])):
            found.clear()
            assert len(die_before(number, program, [program])) == number
            assert found == left

    def test_lines_of_other_functions_do_not_count(self):
        def other():
            return 1

        def program():
            return other()

        assert len(die_before(None, program, [program])) == 1
        assert len(die_before(None, program, [program, other])) == 2

    def test_a_real_daemon_really_dies(self):
        assert [really_killed(where) for where in WHERE] == ["done", "twice"]


class TestInterleaving:
    def ways(self, programs, contents="abc"):
        left: list[str] = []

        def ask(command):
            return left.pop(0) if command == "pop" and left else None

        return list(every_interleaving(programs, ask, lambda: left.__init__(contents)))

    def test_all_orders_are_tried_once(self):
        def twice(ask):
            return [ask("pop"), ask("pop")]

        found = self.ways({"A": twice, "B": twice}, "abcd")
        assert [story.order for story in found] == ["AABB", "ABAB", "ABBA", "BAAB", "BABA", "BBAA"]
        assert found[1].results == {"A": ["a", "c"], "B": ["b", "d"]}

    def test_programs_may_ask_more_or_less_as_the_replies_are(self):
        def until_nothing(ask):
            while ask("pop") is not None:
                pass

        def once(ask):
            ask("look")

        found = self.ways({"A": until_nothing, "B": once}, "ab")
        assert sorted(story.order for story in found) == ["AAAB", "AABA", "ABAA", "BAAA"]


class TestPeeking:
    def test_by_hand_it_looks_like_redis_cli(self, valkey, server_store, capsys):
        redis = ByHand(server_store.server)
        redis("RPUSH l 44 '4 5'", "LRANGE l 0 -1", "LPOP none", "SET s hello", "HGET l x", "DEL l s", "LRANGE l 0 -1")
        assert capsys.readouterr().out.splitlines() == [
            "> RPUSH l 44 '4 5'", "(integer) 2",
            "> LRANGE l 0 -1", '1) "44"', '2) "4 5"',
            "> LPOP none", "(nil)",
            "> SET s hello", "OK",
            "> HGET l x", "(error) WRONGTYPE Operation against a key holding the wrong kind of value",
            "> DEL l s", "(integer) 2",
            "> LRANGE l 0 -1", "(empty array)",
        ]  # fmt: skip
        with pytest.raises(RuntimeError, match="NONSENSE"):
            redis.ask("NONSENSE")

    def test_each_shape_is_shown_as_what_it_is(self, real_store):
        redis = ByHand(real_store.server)
        table = redis.steps("RPUSH l b a", "HSET h x 1", "SADD s d c", "ZADD z 2 f 1.5 g", "DEL l h s z")
        assert table.rows[-2][2].splitlines() == [
            "h  (hash)", "  x: 1", "l  (list)", "  0: b", "  1: a", "s  (set)", "  c", "  d",
            "z  (sorted set)", "  g → 1.5", "  f → 2",
        ]  # fmt: skip
        assert table.rows[-1][2] == "(nothing)"

    def test_memory_and_server_look_the_same_and_nothing_in_them_is_new_in_each_run(self, real_store):
        seen = []
        for mq in (Client(real_store), connect("memory://")):
            names = Names()
            mq.enqueue(charge, 44, cents=1999)
            mq.enqueue_in(60, charge, 45, cents=1)
            mq.store.claim("", "ada:1", "*", 1, 10)
            seen.append(look_into(mq, names))
        assert repr(seen[0]) == repr(seen[1])
        assert seen[0]._repr_html_() == seen[1]._repr_html_()
        assert "job-1" in repr(seen[0])
        assert "ada:1 → (a time)" in repr(seen[0])
        clean_up(real_store)

    def test_times_count_from_a_moment_that_is_given(self):
        clock = ManualClock(1_000_000_000.0)
        mq = connect("memory://", clock=clock)
        mq.enqueue_in(60, charge, 45, cents=1)
        assert "→ 60 s" in repr(look_into(mq, Names(zero=clock.now)))

    def test_every_command_of_an_operation_is_seen(self, valkey):
        from minique.redis_store import RedisStore
        from minique.wire import Server

        store = RedisStore(Server(valkey.url), "peeking")
        mq = Client(store)
        mq.enqueue(charge, 44, cents=1999)
        rows = commands_of(mq, lambda: mq.enqueue(charge, 45, cents=1)).rows
        body = '{"job":"charge","args":[45],"kwargs":{"cents":1}}'
        assert rows[0] == ["sent", f'EVALSHA enqueue.lua 1 "" "" charges job-1 charges⏎{body}']
        assert ["  in the script", "RPUSH queue:charges job-1"] in rows
        clean_up(store)
        store.close()


class TestPlaying:
    @staticmethod
    def enqueue(redis, order, cents):
        redis.rpush("charges", order)

    @staticmethod
    def worker(redis, charge):
        while True:
            if found := redis.blpop("charges", timeout=1):
                charge(int(found[1]), 1)

    def test_in_virtual_time_the_lines_of_a_lesson_cost_nothing_but_the_work(self):
        clicks = np.array([0.0, 1.0, 10.0])
        shop = play(self.enqueue, self.worker, clicks, work=np.array([5.0, 1.0, 1.0]))
        assert shop.begun.tolist() == [0, 5, 10]
        assert shop.done.tolist() == [5, 6, 11]
        assert shop.waited.tolist() == [0, 4, 0]
        assert shop.inside(np.array([0.5, 1, 5.5, 6, 20])).tolist() == [1, 2, 1, 0, 0]
        two = play(self.enqueue, self.worker, clicks, work=np.array([5.0, 1.0, 1.0]), workers=2)
        assert two.done.tolist() == [5, 2, 11]

    def test_for_real_each_order_is_done_after_it_came_and_in_turn(self):
        clicks = np.array([0.0, 1.0, 1.0])
        shop = play_for_real(self.enqueue, self.worker, clicks, work=np.full(3, 1.0), speed=20)
        assert (shop.begun >= clicks).all()
        assert (shop.done >= shop.begun + 1).all()
        assert (shop.begun[1:] >= shop.done[:-1]).all()


class TestTheStage:
    def play(self, **fate):
        registry, bank = Registry(), Bank()

        @job(queue="charges", registry=registry)
        def charge(order):
            bank.charge(order, 1)

        stage = Stage(registry, work=6, lease=10, **fate)
        stage.mq.enqueue(charge, 44)
        stage.play(30)
        return stage, bank.outcome(44)

    def test_in_peace_one_worker_does_it_and_renews_meanwhile(self):
        stage, outcome = self.play()
        assert outcome == "done"
        assert stage.lanes["ada"].work == [(0, 6, "ended")]
        assert stage.lanes["ada"].leases == [(0, 6, "ada:1")]
        assert stage.lanes["ada"].renewals == [2.5, 5.0]
        assert stage.lanes["bob"].work == []
        assert [span.what for span in stage.states] == ["leased under ada:1", "done"]

    def test_one_that_is_stopped_makes_room_for_the_other(self):
        stage, outcome = self.play(pauses={"ada": (3, 20)})
        assert outcome == "done"
        assert stage.lanes["ada"].leases == [(0, 12.5, "ada:1")]
        assert stage.asleep("ada", 0, 30) == [(3, 20)]
        assert stage.asleep("bob", 0, 30) == []
        assert stage.when("lease_lost") == 20
        assert drawing.awake(0, 30, [(3, 20)]) == [(0, 3), (20, 30)]

    def test_one_that_is_killed_is_silent(self):
        stage, outcome = self.play(deaths={"ada": 3.0})
        assert outcome == "done"
        assert [told.event for told in stage.told if told.worker == "ada"] == ["claimed"]
        with pytest.raises(LookupError):
            stage.when("completed", "ada")


class TestRealWorkers:
    def test_a_forking_worker_outlives_a_killer_and_an_in_line_one_does_not(self):
        jobs = [(leaky.charge_and_die, (44, 1)), (leaky.charge, (45, 1))]
        assert a_worker_runs("fork", jobs, leaky.__name__) == ("itself", ["failed", "done"], ["order 45: 1 cents"])
        assert a_worker_runs("inline", jobs, leaky.__name__) == ("SIGKILL", ["leased", "queued"], [])

    def test_memory_is_that_of_the_process_that_is_asked_for(self):
        kept = bytearray(50 * leaky.MEGABYTE)
        kept[::4096] = b"x" * len(kept[::4096])
        assert leaky.megabytes_of(os.getpid()) > 50

    def test_functions_run_in_a_process_of_their_own(self):
        def whose():
            return os.getpid()

        assert in_a_process("whose()", whose) != os.getpid()
        with pytest.raises(RuntimeError, match="NameError"):
            in_a_process("nobody()")


def test_a_real_scheduler_is_never_early():
    registry = Registry()

    @job(queue="charges", registry=registry)
    def charge(order, cents): ...

    late = how_late_for_real(charge, jobs=4)
    assert len(late) == 4
    assert min(late) >= 0


class TestTheShop:
    def test_a_bank_takes_what_it_is_told_but_a_key_only_once(self):
        bank = Bank()
        bank.charge(44, 1)
        bank.charge(44, 1)
        bank.charge(45, 1, key="a")
        bank.charge(45, 1, key="a")
        assert [bank.outcome(order) for order in (44, 45, 46)] == ["twice", "done", "lost"]
        assert bank.statement([44]).rows == [["44", "2", "twice"]]


class TestDrawing:
    def test_some_points_with_an_interval_and_some_without_are_a_mistake(self):
        _, axes = drawing.sheet()
        with pytest.raises(ValueError, match="some of these points"):
            drawing.simulated(axes, [1, 2], [1.0, Interval(1.0, 0.5)])
