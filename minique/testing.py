"""For the tests of applications that use minique: run what was enqueued, here and now, on a clock turned by hand.

    clock = ManualClock()
    mq = connect("memory://", clock=clock)
    mq.enqueue_in(timedelta(days=5), send_reminder, 7)
    assert drain(mq) == []                      # nothing is due
    clock.advance(5 * 86400)
    assert drain(mq) == [("send_reminder", "completed")]

Jobs are stored and read back as in production, so that an argument that JSON cannot hold fails here too.
"""

from __future__ import annotations

from random import Random

from minique.call import Unreadable, read_call
from minique.client import Client
from minique.clock import ManualClock
from minique.errors import JobFailed
from minique.events import Events
from minique.processes import InLine
from minique.registry import Registry, default_registry
from minique.subscription import Subscription
from minique.worker import Settings, Worker

__all__ = ["ManualClock", "drain"]

_OUTCOMES = ("completed", "retry", "failed", "dropped")
_PROMOTE_AT_ONCE = 1000


def drain(
    client: Client,
    queues: str = "*",
    registry: Registry = default_registry,
    limit: int = 10_000,
    raises: bool = False,
) -> list[tuple[str, str]]:
    """Run all that is queued or due in this process, and what those jobs enqueue; return what came of each attempt.

    Pairs of the job class's name and `completed`, `retry`, `failed` or `dropped` (by `Discard`), in order. A retry
    waits for the clock to be turned. With `raises`, if an attempt raised (other than `Retry`), the first such one is
    raised at the end as JobFailed, with its traceback. Raises RuntimeError after `limit` attempts: jobs that enqueue
    each other for ever would never end.
    """
    outcomes: list[tuple[str, str]] = []
    raised: list[JobFailed] = []
    names: dict[object, str] = {}

    def note(event: str, fields: dict[str, object]) -> None:
        if event == "claimed":
            names[fields["job"]] = _name_of(client, str(fields["job"]))
        elif event in _OUTCOMES:
            outcomes.append((names[fields["job"]], event))
            if event in ("retry", "failed") and fields["error"] != "Retry":
                trace = str(fields.get("traceback") or f"{fields['error']}: {fields['message']}")
                raised.append(JobFailed(f"{names[fields['job']]}, attempt {fields['attempt']}:\n{trace}", trace))

    now_due = True
    while now_due:
        worker = Worker(
            client.store,
            registry,
            InLine(client.clock),
            client.clock,
            Random(0),
            Events(note),
            f"drain-{client.new_id()}",
            Settings(subscription=Subscription.parse(queues), burst=True, batch_limit=1),
        )
        while client.store.promote(client.clock.stamp(), _PROMOTE_AT_ONCE).promoted:
            pass
        while not worker.is_finished():
            worker.tick()
            if len(outcomes) > limit:
                raise RuntimeError(f"more than {limit} attempts: do these jobs enqueue each other for ever?")
        # Those that ran may have delayed others by nothing at all.
        now_due = client.overview().delayed_overdue > 0
    if raises and raised:
        raise raised[0]
    return outcomes


def _name_of(client: Client, id: str) -> str:
    try:
        return read_call(client.store.look(client.clock.stamp(), id).body).name
    except Unreadable:
        return "(unreadable)"
