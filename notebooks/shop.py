"""The example of every lesson: a shop that charges its customers. It hurts when a charge is lost, or made twice.

`charge(order, cents)` is the job. The `Bank` is the world outside: whatever it has taken is taken, and no crash of ours
and no rollback brings it back. Its statement is what the customers see.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from notebooks.showing import Table


class Bank:
    """Takes money, and remembers each time that it did."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, int]] = []
        self._keys: set[object] = set()

    def charge(self, order: int, cents: int, key: object = None) -> None:
        """Takes the money for an order, now; but only once for each key, as real banks offer to those who ask."""
        if key is None or key not in self._keys:
            self.taken.append((order, cents))
            self._keys.add(key)

    def times(self, order: int) -> int:
        """How often the customer of this order has paid."""
        return Counter(paid for paid, _ in self.taken)[order]

    def outcome(self, order: int) -> str:
        """In a word: lost, done or twice."""
        times = self.times(order)
        return {0: "lost", 1: "done", 2: "twice"}.get(times, f"{times} times")

    def statement(self, orders: Iterable[int]) -> Table:
        """What the customers of these orders see."""
        return Table(["order", "times charged", "which is"], [(n, self.times(n), self.outcome(n)) for n in orders])
