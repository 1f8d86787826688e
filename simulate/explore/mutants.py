"""Faults put into the code that ships, each of which the explorer must find; and changes on which it must be silent.

The catalogue is data. An entry names a piece of text in a file of `minique/` and what stands there instead, says what
that breaks, and names the scope in which it shows: some need a second crash, a lost reply, or a pause.
"""

# The pieces of text stand here as they stand there, however long.
# ruff: noqa: E501

from __future__ import annotations

from typing import NamedTuple

from simulate.explore.search import Scope
from simulate.explore.subject import Change

STORE, WORKER, REAPER, LOOP, SCHEDULER = "memory_store.py", "worker.py", "reaper.py", "loop.py", "scheduler.py"


class Mutant(NamedTuple):
    name: str
    breaks: str
    """What goes wrong, in words."""
    scope: Scope
    changes: tuple[Change, ...]


def _scope(
    *jobs: str,
    crashes: int = 0,
    errors: int = 0,
    expiries: int = 0,
    workers: int = 1,
    reaper: bool = True,
    batch: int = 0,
    pauses: int = 0,
    **more: int,
) -> Scope:
    return Scope(workers, jobs or ("plain",), crashes, errors, expiries, pauses, reaper=reaper, batch=batch, **more)


def _one(name: str, breaks: str, scope: Scope, file: str, old: str, new: str) -> Mutant:
    return Mutant(name, breaks, scope, (Change(file, old, new),))


QUIET = _scope()
CRASH = _scope(crashes=1, expiries=1)
PAUSE = _scope(workers=2, expiries=2)
AMID = _scope(expiries=1, pauses=1)
TWO = _scope("plain", "plain", workers=2)
LOST_REPLY = _scope(errors=1)
LONG = _scope(expiries=1)

MUTANTS: tuple[Mutant, ...] = (
    # Storing.
    _one("enqueue keeps no record", "what was acknowledged is nowhere", QUIET, STORE,
         "        self._records[id] = record\n        return True", "        return True"),
    _one("enqueue is not repeatable", "sent again after a lost reply, a job is queued twice", LOST_REPLY, STORE,
         "        if id in self._records:\n            return False\n        record =", "        record ="),
    _one("enqueue puts first", "the last comes first", _scope("plain", "plain"), STORE,
         "        found.extend(ids)", "        found.extendleft(ids)"),
    _one("a unique key is not asked for", "two with one key are under way", _scope("unique", "unique"), STORE,
         "            if key in self._unique:\n                return self._unique[key]\n            span",
         "            span"),
    _one("a unique key is never free again", "no other job with it is ever stored", _scope("unique"), STORE,
         "            if self._unique:\n                self._free_key(id)\n", ""),
    _one("a unique key goes to whoever is reaped last", "a job that failed keeps its key",
         _scope("unique", crashes=3, expiries=3), STORE,
         "        self._free_key(id)\n        self._failed[id] = now", "        self._failed[id] = now"),
    # Claiming.
    _one("claim without a lease", "nobody will ever give the job back", QUIET, STORE,
         "        if taken:\n            self._leases.set(claim, _later(now, lease_seconds))", "        if taken:"),
    _one("claim without a list of its jobs", "the claim does not know its jobs", QUIET, STORE,
         "            self._claims[claim] = held\n", ""),
    _one("claim leaves the job in its queue", "a job is leased and queued", QUIET, STORE,
         "                ids.popleft()\n                passed += 1", "                passed += 1000"),
    Mutant("claim takes the last", "who waits longest waits longer", _scope("plain", "plain"), (
        Change(STORE, "                id = ids[0]\n", "                id = ids[-1]\n"),
        Change(STORE, "                ids.popleft()\n                passed", "                ids.pop()\n                passed"),
    )),
    _one("the same claim takes other jobs", "those of the lost reply are stranded", _scope("plain", "plain", errors=1),
         STORE, "        if again:\n", "        if not again and claim in ():\n"),
    _one("lease in milliseconds", "a job is given away under its worker", LONG, STORE,
         "        if taken:\n            self._leases.set(claim, _later(now, lease_seconds))",
         "        if taken:\n            self._leases.set(claim, _later(now, lease_seconds / 1000))"),
    _one("claim does not ring again", "a second job waits although a worker is idle", TWO, STORE,
         "        if is_more or (seen and self._next_queue(subscription, ()) is not None):", "        if not seen and expired:"),
    _one("nobody is rung", "idle workers do not hear of a job", QUIET, STORE,
         "            if _subscription(text).serves(queue):\n                self._ring(text)", "            pass"),
    # Renewing.
    _one("renew revives what is over", "a lease without a job", PAUSE, STORE,
         "        if arrow.claim not in self._claims:\n            return False\n", ""),
    _one("renew does not renew", "a worker that renews is reaped all the same", LONG, STORE,
         "            return False\n        self._leases.set(arrow.claim, _later(now, arrow.lease_seconds))\n        return True",
         "            return False\n        return True"),
    # Completing.
    _one("complete without asking whose it is", "a stale worker ends another's attempt", PAUSE, STORE,
         "            if held.pop(id, None) is None:\n                record",
         "            claim = leased.get(id, claim)\n            held = self._claims.get(claim) or {}\n"
         "            if held.pop(id, None) is None:\n                record"),
    Mutant("complete keeps the lease", "a job is done and leased", QUIET, (
        Change(STORE, "            if held.pop(id, None) is None:\n                record", "            if id not in held:\n                record"),
        Change(STORE, "            del leased[id]\n", ""),
    )),
    _one("complete records nothing", "a job that ran is as if it had never been", QUIET, STORE,
         "            records[id] = _over((DONE_MARK, stamp, now, claim, result))", "            records.pop(id)"),
    _one("complete is not repeatable", "work that was done is told to be lost", LOST_REPLY, STORE,
         "                answers.append(isinstance(record, Over) and (record.mark, record.words) == (DONE_MARK, claim))",
         "                answers.append(False)"),
    _one("complete believes everybody", "who lost the job is told that its work counts", PAUSE, STORE,
         "                answers.append(isinstance(record, Over) and (record.mark, record.words) == (DONE_MARK, claim))",
         "                answers.append(isinstance(record, Over) and record.mark == DONE_MARK)"),
    _one("follow-ups are forgotten", "what should follow does not", _scope("follows"), STORE,
         "            following += follow_ups\n", ""),
    _one("follow-ups of a refused completion", "what follows comes twice, or without its cause",
         _scope("follows", workers=2, expiries=2), STORE,
         "                record = records.get(id)\n                answers",
         "                following += follow_ups\n                record = records.get(id)\n                answers"),
    # Failing.
    _one("retry without asking whose it is", "a stale worker delays another's attempt",
         _scope("fails", workers=2, expiries=2), STORE,
         '        if id not in self._claims.get(arrow.claim, ()):\n'
         '            return self._failures.get(id, "").startswith(arrow.claim + "\\n")\n        self._failure_counts',
         '        if id not in self._leased:\n            return False\n        arrow = arrow._replace(claim=self._leased[id])\n'
         '        self._failure_counts'),
    _one("retry keeps the lease", "a job is delayed and leased", _scope("fails"), STORE,
         "        self._leave(arrow.claim, [id])\n        self._stats[\"retry\"] += 1", '        self._stats["retry"] += 1'),
    _one("retry forgets to delay", "a job that raised is in no place", _scope("fails"), STORE,
         "        self._delay_until(id, round(now + arrow.in_seconds, 6))\n", ""),
    _one("fail keeps no list", "a job that failed is in no place", _scope("dies"), STORE,
         "        self._failed[id] = now\n", ""),
    # Delaying.
    _one("promote only removes", "a delayed job is in no place", _scope("delayed"), STORE,
         '            self._stats["promote"] += promoted\n        for queue, ids in by_queue.items():\n            self._put_last(queue, ids)',
         '            self._stats["promote"] += promoted'),
    _one("promote only queues", "a job is delayed and queued", _scope("delayed"), STORE,
         "        for id in self._delayed.take_due(now, min(arrow.limit, _PROMOTE_LIMIT)):",
         "        for id in self._delayed.due(now, min(arrow.limit, _PROMOTE_LIMIT)):"),
    _one("promote before its time", "a delayed job runs early", _scope("delayed"), STORE,
         "        for id in self._delayed.take_due(now, min(arrow.limit, _PROMOTE_LIMIT)):",
         "        for id in self._delayed.take_due(now + 60, min(arrow.limit, _PROMOTE_LIMIT)):"),
    # Reaping and giving back.
    _one("nobody reaps", "what a dead worker held is held for ever", CRASH, STORE,
         "            claims = self._leases.due(now, arrow.limit)", "            claims = []"),
    _one("reap before its time", "a job is given away under its worker", QUIET, STORE,
         "            claims = self._leases.due(now, arrow.limit)", "            claims = self._leases.in_order()[: arrow.limit]"),
    _one("reap forgets to queue", "a job that was given back is in no place", CRASH, STORE,
         "            self._deaths[id] = deaths\n            self._put_first(queue, id)", "            self._deaths[id] = deaths"),
    _one("reap keeps the lease", "a job is queued and leased", CRASH, STORE,
         "            if held:\n                self._leave(claim, list(held))", "            if held:\n                pass"),
    _one("reap puts last", "who was first comes last", _scope("plain", "plain", crashes=1, expiries=1), STORE,
         "        self._queues.setdefault(queue, deque()).appendleft(id)", "        self._queues.setdefault(queue, deque()).append(id)"),
    _one("deaths are not counted", "a poison job kills workers for ever", _scope("poison", expiries=3), STORE,
         "        for id, queue, deaths in back:\n            self._deaths[id] = deaths\n", "        for id, queue, deaths in back:\n"),
    _one("one death too many", "a poison job kills one worker more", _scope("poison", expiries=4), STORE,
         "(failed if len(deaths) >= arrow.deaths_allowed else back)", "(failed if len(deaths) > arrow.deaths_allowed else back)"),
    _one("release forgets to queue", "a job that was handed back is in no place", AMID, STORE,
         "        for id, queue in reversed(back):\n            self._put_first(queue, id)\n", ""),
    # Forgetting.
    _one("forget at once", "an enqueue that is sent again brings a done job back to life", _scope("brief", errors=1), STORE,
         "                if since + lifetime > now:", "                if since > now:"),
    # The worker.
    _one("a job is started on a lease that ran out", "two run it at once", AMID, WORKER,
         " and lease_until - now >= LEAST_LEASE_SECONDS\n", "\n"),
    _one("the lease is counted from the answer", "a worker believes in more than the server promised", AMID, WORKER,
         "lease_until = now + claimed.lease_seconds", "lease_until = self.clock.elapsed() + claimed.lease_seconds"),
    _one("a claim without an answer is asked for under another name", "what it took is stranded", LOST_REPLY, WORKER,
         "                self._change(unanswered=self.state.unanswered or self.state.running is None)",
         "                self._change(unanswered=False, number=self.state.number + 1)"),
    _one("what ended is told only once", "work that was done is held until its lease runs out", LOST_REPLY, WORKER,
         "                self._change(unanswered=self.state.unanswered or self.state.running is None)",
         "                self._change(ended=())"),
    _one("two workers with one name", "each takes the other's jobs for its own", TWO, WORKER,
         "        self.name = name\n", '        self.name = "worker"\n'),
    _one("the worker's clock in place of the server's", "one that is behind has its jobs reaped at once", LONG, WORKER,
         "        stamp = self.clock.stamp()\n", '        stamp = f"{self.clock.elapsed() - 8:.6f}"\n'),
    _one("complete before running", "a job is done that was never run to its end", CRASH, WORKER,
         "            task = self._task(job)\n",
         "            task = self._task(job)\n            end = self._end(job, Returned('1'))\n            continue\n"),
    _one("the worker renews when it is too late", "a long job is reaped under its worker", LONG, WORKER,
         "                    renew_at = now + settings.lease / RENEWALS_PER_LEASE\n                else", "                    renew_at = now + settings.lease\n                else"),
    _one("nobody looks", "what a dead worker held is held for ever", _scope(crashes=1, expiries=1, reaper=False), REAPER,
         "(Reap(CLAIMS_AT_ONCE), Forget(FORGET_AT_ONCE))", "(Reap(0), Forget(FORGET_AT_ONCE))"),
    # Told to stop.
    _one("a stop forgets what a claim may have taken", "it waits until a lease runs out", _scope(errors=1, stops=1), WORKER,
         "if state.stop_at is None and unanswered else ()", "if state.stop_at is None and state.held else ()"),
    _one("a stop keeps what was not begun", "a worker that is to stop stays, with jobs in hand",
         _scope("plain", "plain", batch=2, stops=1), WORKER,
         "        is_late = stop_at is not None or", "        is_late ="),
    _one("a stop does not wait for the job", "the job in hand waits until its lease runs out", _scope(stops=1), WORKER,
         "        return state.stop_at is not None and not (state.claim or state.ended)", "        return state.stop_at is not None"),
    _one("a stop keeps the job that it killed", "the job in hand waits until its lease runs out", _scope(stops=1), WORKER,
         "            return store.Release(claim, (job.id,))\n", "            return None\n"),
    _one("a stop gives back what still runs", "two run it at once", _scope(workers=2, stops=1), WORKER,
         "        self._change(stop_at=stop_at, ended=(*state.ended, *back),",
         "        back = (store.Release(state.claim),) if state.running else back\n"
         "        self._change(stop_at=stop_at, ended=(*state.ended, *back),"),
    # Short jobs, claimed together, each in a child of its own.
    _one("what is put back is not told", "it waits until the lease runs out", _scope("plain", "plain", "plain", ahead=2), WORKER,
         "        self.state = self.state._replace(held=(), ended=(*self.state.ended, back))", "        self.state = self.state._replace(held=())"),
    _one("what is put back is begun all the same", "two run it at once", _scope("plain", "plain", "plain", ahead=2), WORKER,
         "        self.state = self.state._replace(held=(), ended=(*self.state.ended, back))",
         "        self.state = self.state._replace(ended=(*self.state.ended, back))"),
    # A person.
    _one("claim takes what was cancelled", "a cancelled job runs", _scope(acts=1), STORE,
         "record is None or isinstance(record, Over) or id", "record is None or getattr(record, 'mark', '') == DONE_MARK or id"),
    _one("cancel takes what is leased", "a job is cancelled under its worker", _scope(acts=1), STORE,
         '        if state in ("queued", "delayed"):\n            self._delayed.drop', '        if state in ("queued", "delayed", "leased"):\n            self._delayed.drop'),
    _one("cancel leaves it delayed", "a cancelled job comes back when it is due", _scope("delayed", acts=1), STORE,
         "            self._delayed.drop(arrow.id)\n", ""),
    _one("cancel keeps no mark", "an enqueue that is sent again brings it back to life", _scope(errors=1, acts=1), STORE,
         "        self._records[id] = Over(GONE_MARK, stamp, now, why + by, reason)\n", "        self._records.pop(id)\n"),
    _one("cancel keeps the unique key", "no other job with it is ever stored", _scope("unique", acts=1), STORE,
         "        self._free_key(id)\n        self._records[id] = Over(GONE", "        self._records[id] = Over(GONE"),
    _one("requeue keeps it failed", "a job is queued and failed", _scope("dies", acts=1), STORE,
         "        del self._failed[id]\n        self._forget_counts(id)", "        self._forget_counts(id)"),
    _one("requeue gives no tries back", "it fails at once, though a person has mended it", _scope("dies", acts=1), STORE,
         "        self._forget_counts(id)\n        self._put_last(queue, [id])", "        self._put_last(queue, [id])"),
    _one("requeue tells nobody", "an idle worker does not hear of it", _scope("dies", acts=1), STORE,
         "        self._put_last(queue, [id])", "        self._queues.setdefault(queue, deque()).append(id)\n        self._ready.setdefault(queue)"),
    _one("discard only takes it off the list", "a job is in no place", _scope("dies", acts=1), STORE,
         '        self._remove(arrow.id, "discard", stamp, now)\n', ""),
    # Recurring entries.
    _one("fire does not ask how far it came", "two schedulers fire one slot twice",
         _scope("brief", schedulers=2, slots=1), STORE,
         "        if cursor is not None and slot <= float(cursor):", "        if cursor is None:"),
    _one("fire does not move the cursor", "two schedulers fire one slot twice",
         _scope("brief", schedulers=2, slots=1), STORE,
         '        self._slots[entry] = (arrow.slot, arrow.id, _text(stamp, now))\n        self._stats["fire"] += 1', '        self._stats["fire"] += 1'),
    _one("fire moves the cursor alone", "a slot passes and nothing is queued", _scope("brief", slots=1), STORE,
         "        if self._admit(arrow.queue, arrow.id, arrow.body, now) is True:\n            self._put_last(arrow.queue, [arrow.id])\n", ""),
    _one("fire stores and does not queue", "the job of a slot is in no place", _scope("brief", slots=1), STORE,
         "            self._put_last(arrow.queue, [arrow.id])\n", "            pass\n"),
    Mutant("fire before its time", "what should run at noon runs before", _scope("brief", slots=1), (
        Change(STORE, "        if slot > now:\n", "        if slot > now + 3600:\n"),
        Change(SCHEDULER, "if planned.at is not None and planned.at <= now]", "if planned.at is not None and planned.at <= now + 60]"),
        Change(SCHEDULER, "slots = entry.due_slots(planned.cursor, now, limit=share)", "slots = entry.due_slots(planned.cursor, now + 60, limit=share)"),
    )),
    _one("a scheduler fires only the latest slot", "what was missed while it was away is never made up for",
         _scope("brief", expiries=1, slots=2), SCHEDULER,
         "            fires += [(place, _fire(planned, slot)) for slot in slots]", "            fires += [(place, _fire(planned, slot)) for slot in slots[-1:]]"),
    Mutant("a scheduler sleeps past a slot", "it is fired, but late", _scope("brief", slots=1), (
        Change(SCHEDULER, "LONGEST_REST_SECONDS = 5.0", "LONGEST_REST_SECONDS = 60.0"),
        Change(SCHEDULER, "waits = [entry.at - recurring.now for entry in self.state.plan if entry.at is not None]", "waits = list[float]()"),
    )),
    # What is kept, and for how long.
    _one("a job's record is kept for a while only", "who waits too long is forgotten",
         _scope("plain", "plain", crashes=1, expiries=1), STORE,
         "        if fresh:\n            self._put_last(queue, fresh)",
         "        if fresh:\n            self._remember(fresh, 10, stamp, now)\n            self._put_last(queue, fresh)"),
    _one("what died too often is only removed", "a job that killed its workers is in no place", _scope("poison", expiries=3), STORE,
         "            self._set_aside(id, f'\\n{{\"error\":\"WorkerDied\",\"message\":\"{message}\"}}', now)\n", "            message.strip()\n"),
    # The loop.
    _one("the loop does not hear bells", "an idle worker lets a job wait", QUIET, LOOP,
         "            wait(rest, part.bell())", "            wait(rest, None)"),
)  # fmt: skip

# The same kinds of faults in the scripts, explored on the scripts.
LUA_MUTANTS: tuple[Mutant, ...] = (
    _one("lua: enqueue is not repeatable", "sent again after a lost reply, a job is queued twice", LOST_REPLY, "admit.lua",
         "redis.call('SET', JOB .. id, record, 'NX') and 1 or 0", "redis.call('SET', JOB .. id, record) and 1 or 0"),
    _one("lua: enqueue into a ready queue is not repeatable", "sent again after a lost reply, a job is queued twice",
         _scope("plain", "plain", errors=1), "enqueue.lua",
         "redis.call('SET', JOB .. pairs[i], pairs[i + 1], 'NX') and 1 or 0",
         "redis.call('SET', JOB .. pairs[i], pairs[i + 1]) and 1 or 0"),
    _one("lua: enqueue into a ready queue forgets terms", "a second job with the same unique key comes to be",
         _scope("unique", "unique"), "enqueue.lua",
         "for i = 2, #pairs, 2 do is_plain = is_plain and not string.find(pairs[i], '\\n@', 1, true) end\n", ""),
    _one("lua: nobody is rung", "idle workers do not hear of a job", QUIET, "put.lua",
         "      make_ready(queue)\n      ring_all_that_serve(queue)", "      make_ready(queue)"),
    _one("lua: claim does not ring again", "a second job waits although a worker is idle", TWO, "claim.lua",
         "if #visits > 0 and ready_queues()() then ring(subscription) end", ""),
    _one("lua: the same claim takes other jobs", "those of the lost reply are stranded",
         _scope("plain", "plain", errors=1), "claim.lua", "if #again > 0 then", "if false then"),
    _one("lua: claim without a lease", "nobody will ever give the job back", QUIET, "claim.lua",
         "  redis.call('ZADD', LEASES, deadline, claim)\n  redis.call('RPUSH', CLAIM", "  redis.call('RPUSH', CLAIM"),
    _one("lua: claim leaves the job in its queue", "a job is leased and queued", QUIET, "claim.lua",
         "  if visit.passed > 0 then redis.call('LTRIM', QUEUE .. visit.queue, visit.passed, -1) end\n", ""),
    _one("lua: renew revives what is over", "a lease without a job", PAUSE, "renew.lua",
         "if not redis.call('ZSCORE', LEASES, claim) then return 0 end", ""),
    _one("lua: complete keeps the lease", "a job is done and leased", QUIET, "complete.lua",
         "for _, ids in pairs(by_lifetime) do leave(claim, ids) end\n", ""),
    _one("lua: complete is not repeatable", "work that was done is told to be lost", LOST_REPLY, "complete.lua",
         "if holder ~= claim then refused", "if true then refused"),
    _one("lua: complete without asking whose it is", "a stale worker ends another's attempt", PAUSE, "complete.lua",
         "      counts = held[id]\n", "      counts = redis.call('HEXISTS', LEASED, id) == 1\n"),
    _one("lua: retry forgets to delay", "a job that raised is in no place", _scope("fails"), "retry.lua",
         "redis.call('ZADD', DELAYED, string.format('%.6f', now_seconds + tonumber(in_seconds)), id)\n", ""),
    _one("lua: promote only queues", "a job is delayed and queued", _scope("delayed"), "promote.lua",
         "  redis.call('ZREM', DELAYED, unpack(due))\n", ""),
    _one("lua: reap before its time", "a job is given away under its worker", QUIET, "reap.lua",
         "redis.call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT'", "redis.call('ZRANGEBYSCORE', LEASES, '-inf', '+inf', 'LIMIT'"),
    _one("lua: reap forgets to queue", "a job that was given back is in no place", CRASH, "reap.lua",
         "  put(job.queue, {job.id}, 'LPUSH')\n", ""),
    _one("lua: reap puts last", "who was first comes last", _scope("plain", "plain", crashes=1, expiries=1), "reap.lua",
         "  put(job.queue, {job.id}, 'LPUSH')", "  put(job.queue, {job.id}, 'RPUSH')"),
    _one("lua: release forgets to queue", "a job that was handed back is in no place", AMID, "release.lua",
         "for i = #back, 1, -1 do put(back[i].queue, {back[i].id}, 'LPUSH') end\n", ""),
    _one("lua: cancel leaves it delayed", "a cancelled job comes back when it is due", _scope("delayed", acts=1), "cancel.lua",
         "  redis.call('ZREM', DELAYED, id)\n", ""),
    _one("lua: requeue gives no tries back", "it fails at once, though a person has mended it", _scope("dies", acts=1),
         "requeue.lua", "forget_counts({id})\nput(queue", "put(queue"),
    _one("lua: discard only takes it off the list", "a job is in no place", _scope("dies", acts=1), "discard.lua",
         "remove(id, 'discard')\n", ""),
    _one("lua: fire does not ask how far it came", "two schedulers fire one slot twice",
         _scope("brief", schedulers=2, slots=1), "fire.lua",
         "if cursor and tonumber(slot) <= tonumber(cursor) then return {'passed', cursor} end\n", ""),
    _one("lua: fire moves the cursor alone", "a slot passes and nothing is queued", _scope("brief", slots=1), "fire.lua",
         "if admit(id, record, now_seconds) == 1 then put(queue, {id}, 'RPUSH') end\n", ""),
)  # fmt: skip

LUA_HARMLESS: tuple[Mutant, ...] = (
    _one("lua: renew in one step", "", _scope(crashes=1, expiries=1), "renew.lua",
         "redis.call('ZREM', LEASES, claim)\n", ""),
    _one("lua: reap counts nothing", "", _scope(crashes=1, expiries=1), "reap.lua",
         "if #back + #failed > 0 then redis.call('HINCRBY', STATS, 'reap', #back + #failed) end\n", ""),
)  # fmt: skip

HARMLESS: tuple[Mutant, ...] = (
    _one("reap one claim at a time", "", _scope(workers=2, crashes=1, expiries=1), REAPER,
         "CLAIMS_AT_ONCE = 20", "CLAIMS_AT_ONCE = 1"),
    _one("look at every tick", "", _scope("plain", "plain", expiries=1), WORKER,
         "        looks = now >= look_at", "        looks = True"),
    _one("renew more often", "", _scope(workers=2, crashes=1, expiries=1), WORKER,
         "RENEWALS_PER_LEASE = 4", "RENEWALS_PER_LEASE = 8"),
    _one("ask for more of a lease", "", _scope(workers=2, expiries=1), WORKER,
         "LEAST_LEASE_SECONDS = 1.0", "LEAST_LEASE_SECONDS = 2.0"),
    _one("ring for every job", "", _scope("plain", "plain", workers=2), STORE,
         "        found.extend(ids)\n        if queue not in self._ready:", "        found.extend(ids)\n        if True:"),
    _one("ring after every claim", "", _scope("plain", "plain", workers=2), STORE,
         "        if is_more or (seen and self._next_queue(subscription, ()) is not None):", "        if seen:"),
    _one("leave before counting", "", _scope("once", errors=1), STORE,
         '        self._failure_counts[id] = self._failure_counts.get(id, 0) + 1\n'
         '        self._failures[id] = f"{arrow.claim}\\n{arrow.failure}"\n        self._leave(arrow.claim, [id])\n        self._stats["retry"]',
         '        self._leave(arrow.claim, [id])\n        self._failure_counts[id] = self._failure_counts.get(id, 0) + 1\n'
         '        self._failures[id] = f"{arrow.claim}\\n{arrow.failure}"\n        self._stats["retry"]'),
    _one("promote one at a time", "", _scope("delayed", "delayed"), SCHEDULER,
         'PROMOTE_AT_ONCE = LIMITS["PROMOTE_LIMIT"]', "PROMOTE_AT_ONCE = 1"),
    _one("claim orders its answer otherwise", "", _scope("plain", "plain", expiries=1), STORE,
         "            self._leases.set(claim, _later(now, lease_seconds))\n            self._claims[claim] = held",
         "            self._claims[claim] = held\n            self._leases.set(claim, _later(now, lease_seconds))"),
    _one("cancel marks before it takes off", "", _scope("delayed", acts=1), STORE,
         '            self._delayed.drop(arrow.id)\n            self._remove(arrow.id, "cancel", stamp, now)',
         '            self._remove(arrow.id, "cancel", stamp, now)\n            self._delayed.drop(arrow.id)'),
    _one("fire moves the cursor first", "", _scope("brief", slots=1, schedulers=2), STORE,
         "        if self._admit(arrow.queue, arrow.id, arrow.body, now) is True:\n",
         "        self._slots[entry] = (arrow.slot, arrow.id, _text(stamp, now))\n        if self._admit(arrow.queue, arrow.id, arrow.body, now) is True:\n"),
    _one("a stop that is lost is told sooner", "", _scope(stops=1, errors=1), WORKER,
         "RETRY_WHILE_STOPPING_SECONDS = 0.2", "RETRY_WHILE_STOPPING_SECONDS = 0.1"),
    _one("the loop waits a little longer after an error", "", _scope(errors=1, crashes=1), LOOP,
         "_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 5.0", "_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 3.0"),
)  # fmt: skip
