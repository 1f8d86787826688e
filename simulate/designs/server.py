"""The server of rungs 4 to 7, and the connection over which their loops speak to it in virtual time.

The loops are written for a `redis.Redis` and run on one (`tests/simulate/test_ladder.py` does that). Here they are
handed a `Connection`: the same methods, each of them a round trip in whose middle one atomic step is taken. The step is
carried out by a `MemoryServer`, a handful of Redis commands over Python's own containers, or by anything else with
these methods that answers in text; the tests hold it against fakeredis and a real server, command by command.

A blocking command never reaches the server. Its non-blocking twin is tried; if there is nothing, the caller is parked,
and whoever pushes serves those who wait, first come, first served. A process that is killed while its answer is on the
way takes with it what the server has already given up, as on a real server.
"""

from collections import deque
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Protocol

from simulate.actors import Process, World
from simulate.faults import APPLIED, REFUSED

Value = str | int | float


class Server(Protocol):
    """The commands that a step may be. Names, arguments and answers are those of redis-py, with decoded replies."""

    def rpush(self, name: str, *values: str) -> Any:
        """Puts values at the tail of a list; answers its length."""

    def lpush(self, name: str, *values: str) -> Any:
        """Puts values at the head of a list; answers its length."""

    def lpop(self, name: str) -> Any:
        """Takes the value at the head of a list; None when it is empty."""

    def lmove(self, first_list: str, second_list: str, src: str = "LEFT", dest: str = "RIGHT") -> Any:
        """Takes from one list and puts into another, in one step; None when there is nothing to take."""

    def lrem(self, name: str, count: int, value: str) -> Any:
        """Removes the first `count` values that equal this one; answers how many there were."""

    def lrange(self, name: str, start: int, end: int) -> Any:
        """Part of a list; 0 to -1 is all of it."""

    def llen(self, name: str) -> Any:
        """The length of a list."""

    def sadd(self, name: str, *values: str) -> Any:
        """Adds to a set; answers how many are new."""

    def srem(self, name: str, *values: str) -> Any:
        """Removes from a set; answers how many were there."""

    def smembers(self, name: str) -> Any:
        """All members of a set."""

    def set(self, name: str, value: str) -> Any:
        """Writes a string."""

    def get(self, name: str) -> Any:
        """Reads a string; None when there is none."""

    def incr(self, name: str) -> Any:
        """Counts one up; answers the new number."""

    def delete(self, *names: str) -> Any:
        """Deletes keys; answers how many there were."""

    def zadd(self, name: str, mapping: Mapping[str, float]) -> Any:
        """Sets scores in a sorted set; answers how many members are new."""

    def zrem(self, name: str, *values: str) -> Any:
        """Removes from a sorted set; answers how many were there."""

    def zscore(self, name: str, value: str) -> Any:
        """A member's score; None when it is none."""

    def zrangebyscore(self, name: str, min: Value, max: Value) -> Any:
        """The members with such scores, lowest first."""


class Blocking(Server, Protocol):
    """What a loop is given: those commands, and two that wait."""

    def blpop(self, keys: str, timeout: float) -> Any:
        """Takes the value at the head of a list, waits for one up to so many seconds; answers the list and the value,
        or None."""

    def blmove(self, first_list: str, second_list: str, timeout: float, src: str = "LEFT", dest: str = "RIGHT") -> Any:
        """`lmove` that waits up to so many seconds for something to take; None when nothing came."""


class MemoryServer:
    """The commands of `Server` over Python's containers. As on the real one, an empty list or set is no key at all."""

    def __init__(self) -> None:
        self._lists: dict[str, deque[str]] = {}
        self._sets: dict[str, set[str]] = {}
        self._scores: dict[str, dict[str, float]] = {}
        self._strings: dict[str, str] = {}

    def rpush(self, name: str, *values: str) -> int:
        found = self._lists.setdefault(name, deque())
        found.extend(values)
        return len(found)

    def lpush(self, name: str, *values: str) -> int:
        found = self._lists.setdefault(name, deque())
        found.extendleft(values)
        return len(found)

    def lpop(self, name: str) -> str | None:
        found = self._lists.get(name)
        if found is None:
            return None
        value = found.popleft()
        if not found:
            del self._lists[name]
        return value

    def lmove(self, first_list: str, second_list: str, src: str = "LEFT", dest: str = "RIGHT") -> str | None:
        found = self._lists.get(first_list)
        if found is None:
            return None
        value = found.popleft() if src == "LEFT" else found.pop()
        if not found:
            del self._lists[first_list]
        into = self._lists.setdefault(second_list, deque())
        if dest == "LEFT":
            into.appendleft(value)
        else:
            into.append(value)
        return value

    def lrem(self, name: str, count: int, value: str) -> int:
        found = self._lists.get(name, deque())
        removed = 0
        while removed < count and value in found:
            found.remove(value)
            removed += 1
        if removed and not found:
            del self._lists[name]
        return removed

    def lrange(self, name: str, start: int, end: int) -> list[str]:
        found = list(self._lists.get(name, ()))
        return found[start:] if end == -1 else found[start : end + 1]

    def llen(self, name: str) -> int:
        return len(self._lists.get(name, ()))

    def sadd(self, name: str, *values: str) -> int:
        found = self._sets.setdefault(name, set())
        before = len(found)
        found.update(values)
        return len(found) - before

    def srem(self, name: str, *values: str) -> int:
        found = self._sets.get(name, set())
        removed = found.intersection(values)
        found -= removed
        if not found:
            self._sets.pop(name, None)
        return len(removed)

    def smembers(self, name: str) -> set[str]:
        return set(self._sets.get(name, ()))

    def set(self, name: str, value: str) -> bool:
        self._strings[name] = value
        return True

    def get(self, name: str) -> str | None:
        return self._strings.get(name)

    def incr(self, name: str) -> int:
        value = int(self._strings.get(name, "0")) + 1
        self._strings[name] = str(value)
        return value

    def delete(self, *names: str) -> int:
        kinds: tuple[dict[str, Any], ...] = (self._lists, self._sets, self._scores, self._strings)
        return sum(kind.pop(name, None) is not None for name in names for kind in kinds)

    def zadd(self, name: str, mapping: Mapping[str, float]) -> int:
        found = self._scores.setdefault(name, {})
        before = len(found)
        found.update(mapping)
        return len(found) - before

    def zrem(self, name: str, *values: str) -> int:
        found = self._scores.get(name, {})
        removed = sum(found.pop(value, None) is not None for value in values)
        if not found:
            self._scores.pop(name, None)
        return removed

    def zscore(self, name: str, value: str) -> float | None:
        return self._scores.get(name, {}).get(value)

    def zrangebyscore(self, name: str, min: Value, max: Value) -> list[str]:
        low, high = float(min), float(max)
        found = [(score, member) for member, score in self._scores.get(name, {}).items() if low <= score <= high]
        return [member for _, member in sorted(found)]


class Waiter:
    """Somebody who waits at a list. `answer` is what the server has sent him."""

    __slots__ = ("answer", "dest", "into", "process", "src")

    def __init__(self, process: Process, into: str | None, src: str = "LEFT", dest: str = "RIGHT") -> None:
        self.process = process
        self.into = into  # the list to move to; None for a pop
        self.src = src
        self.dest = dest
        self.answer: str | None = None


class ConnectionBroke(Exception):
    """Raised inside a worker whose connection broke; those of the teaching rungs do not catch it."""


class SharedServer:
    """A server and those who wait at its lists: what all connections of one run have in common."""

    def __init__(self, world: World, server: Server) -> None:
        self.world = world
        self.server = server
        self._waiting: dict[str, deque[Waiter]] = {}

    def wait(self, name: str, waiter: Waiter) -> None:
        """Puts him at the end of those who wait at the list."""
        self._waiting.setdefault(name, deque()).append(waiter)

    def leave(self, name: str, waiter: Waiter) -> None:
        """He waits no longer."""
        self._waiting[name].remove(waiter)

    def serve(self, name: str) -> None:
        """Gives what is in the list to those who wait at it. To be called after each push."""
        waiting = self._waiting.get(name)
        while waiting:
            waiter = waiting[0]
            if not waiter.process.alive:
                waiting.popleft()  # his connection closed when he died
                continue
            waiter.answer = self.take(name, waiter)
            if waiter.answer is None:
                return
            waiting.popleft()
            self.world.hub.wake(waiter.process.actor)

    def snapshot(self) -> Any:
        """What the server knows; None for a server that keeps that to itself."""
        return deepcopy(vars(self.server)) if isinstance(self.server, MemoryServer) else None

    def restore(self, kept: Any) -> None:
        """It knows that again. Those who wait ask again, and are given what there is."""
        vars(self.server).update(kept)
        for name in list(self._waiting):
            self.serve(name)

    def take(self, name: str, waiter: Waiter) -> str | None:
        """What he waits for, if it is there."""
        found: str | None
        if waiter.into is None:
            found = self.server.lpop(name)
        else:
            found = self.server.lmove(name, waiter.into, waiter.src, waiter.dest)
        return found


class Connection:
    """One process's connection to the server: each call takes a round trip, with one atomic step in its middle.

    Without a process it belongs to a program beside the workers, which is never killed and may not block.
    """

    def __init__(self, shared: SharedServer, process: Process | None = None) -> None:
        self._shared = shared
        self._server = shared.server
        self._hub = shared.world.hub
        self._process = process
        self._half = shared.world.costs.round_trip / 2
        self._faulty = bool(shared.world.plan)

    def _travel(self) -> None:
        """Half of a round trip."""
        self._hub.sleep(self._shared.world.priced(self._half) if self._faulty else self._half)

    def _apply(self, command: Any, *arguments: Any) -> Any:
        """The step itself, unless the connection breaks. Raises ConnectionBroke."""
        breaks = self._shared.world.breaks() if self._faulty and self._process is not None else ""
        if not breaks:
            return command(*arguments)
        if breaks == REFUSED:
            raise ConnectionBroke("before the command was carried out")
        answer = command(*arguments)
        if answer is None:
            self._shared.world.spared(breaks)
            return None
        if breaks == APPLIED:
            raise ConnectionBroke("after the command was carried out")
        return command(*arguments)  # the library has sent it again

    def _perhaps_lose(self, name: str, waiter: Waiter) -> None:
        """The reply that was waited for may be lost on its way, as any other. Raises ConnectionBroke."""
        world = self._shared.world
        breaks = world.breaks() if self._faulty else ""
        if breaks == REFUSED:
            world.spared(breaks)
        elif breaks == APPLIED:
            raise ConnectionBroke("after the server had given up the value")
        elif breaks:
            waiter.answer = self._shared.take(name, waiter)

    def _step(self, command: Any, *arguments: Any) -> Any:
        self._travel()
        answer = self._apply(command, *arguments)
        self._travel()
        return answer

    def _push(self, command: Any, name: str, *values: str) -> Any:
        self._travel()
        answer = self._apply(command, name, *values)
        self._shared.serve(name)
        self._travel()
        return answer

    def rpush(self, name: str, *values: str) -> Any:
        return self._push(self._server.rpush, name, *values)

    def lpush(self, name: str, *values: str) -> Any:
        return self._push(self._server.lpush, name, *values)

    def lpop(self, name: str) -> Any:
        found = self._step(self._server.lpop, name)
        if found is None:
            self._shared.world.empty_looks += 1
        return found

    def lmove(self, first_list: str, second_list: str, src: str = "LEFT", dest: str = "RIGHT") -> Any:
        self._travel()
        answer = self._apply(self._server.lmove, first_list, second_list, src, dest)
        self._shared.serve(second_list)
        self._travel()
        return answer

    def lrem(self, name: str, count: int, value: str) -> Any:
        return self._step(self._server.lrem, name, count, value)

    def lrange(self, name: str, start: int, end: int) -> Any:
        return self._step(self._server.lrange, name, start, end)

    def llen(self, name: str) -> Any:
        return self._step(self._server.llen, name)

    def sadd(self, name: str, *values: str) -> Any:
        return self._step(self._server.sadd, name, *values)

    def srem(self, name: str, *values: str) -> Any:
        return self._step(self._server.srem, name, *values)

    def smembers(self, name: str) -> Any:
        return self._step(self._server.smembers, name)

    def set(self, name: str, value: str) -> Any:
        return self._step(self._server.set, name, value)

    def get(self, name: str) -> Any:
        return self._step(self._server.get, name)

    def incr(self, name: str) -> Any:
        return self._step(self._server.incr, name)

    def delete(self, *names: str) -> Any:
        return self._step(self._server.delete, *names)

    def zadd(self, name: str, mapping: Mapping[str, float]) -> Any:
        return self._step(self._server.zadd, name, mapping)

    def zrem(self, name: str, *values: str) -> Any:
        return self._step(self._server.zrem, name, *values)

    def zscore(self, name: str, value: str) -> Any:
        return self._step(self._server.zscore, name, value)

    def zrangebyscore(self, name: str, min: Value, max: Value) -> Any:
        return self._step(self._server.zrangebyscore, name, min, max)

    def blpop(self, keys: str, timeout: float) -> Any:
        assert self._process is not None, "a program beside the workers may not block"
        found = self._block(keys, timeout, Waiter(self._process, None))
        return None if found is None else (keys, found)

    def blmove(self, first_list: str, second_list: str, timeout: float, src: str = "LEFT", dest: str = "RIGHT") -> Any:
        assert self._process is not None, "a program beside the workers may not block"
        return self._block(first_list, timeout, Waiter(self._process, second_list, src, dest))

    def _block(self, name: str, timeout: float, waiter: Waiter) -> str | None:
        hub, shared = self._hub, self._shared
        self._travel()
        waiter.answer = self._apply(shared.take, name, waiter)
        if waiter.answer is None:
            shared.world.empty_looks += 1
            shared.wait(name, waiter)
            hub.park(hub.now + timeout)
            if waiter.answer is None:
                shared.leave(name, waiter)
            else:
                hub.sleep(shared.world.costs.wake_up)
                self._perhaps_lose(name, waiter)
        self._travel()
        return waiter.answer


class SimulatedFork:
    """A child that does one job, as an event in the heap, for loops that do something else meanwhile."""

    def __init__(self, world: World, process: Process, job: int) -> None:
        self._world = world
        self._process = process
        self._ended = False
        world.hub.sleep(world.costs.hand_over)
        service = world.begin(process, job)
        world.hub.at(world.hub.now + service, self._end)

    def _end(self, _: object) -> None:
        process, hub = self._process, self._world.hub
        if not process.alive:
            return  # the kernel took the child with its parent
        if hub.now < process.ends:  # it was stopped meanwhile
            hub.at(process.ends, self._end)
            return
        self._world.end(process)
        self._ended = True
        hub.wake(process.actor)

    def wait(self, seconds: float) -> bool:
        """Waits for the child's end, so many seconds at most; says whether it has ended."""
        hub = self._world.hub
        if not self._ended:
            hub.park(hub.now + seconds)
            if self._ended:
                hub.sleep(self._world.costs.end_of_child)
        return self._ended
