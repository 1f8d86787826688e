"""The faithful mode: the scripts that ship on a server in this process say what the fast mode says, job by job."""

import numpy as np
import pytest

from minique import lua
from minique.backoff import Backoff
from simulate import designs, faults
from simulate.actors import World
from simulate.costs import Costs
from simulate.dependency import Outage
from simulate.designs import faithful
from simulate.experiments import compare, to_json
from simulate.workload import Load, generate

from .helpers import load_of

COLUMNS = ("enqueued", "first_start", "last_start", "ended", "last_end", "left_at", "starts", "finishes")


def ledgers(name: str, load: Load, plan: faults.Plan = faults.NOTHING, **options) -> list[np.ndarray]:
    found = []
    for server in (None, faithful.connect()):
        world = World(load, workers=3, costs=Costs(), seed=3, plan=plan)
        design = designs.find(name)(world, server=server, **options)  # type: ignore[call-arg]
        world.run(design)
        design.close()
        found.append(np.array([world.ledger.column(column) for column in COLUMNS]))
    return found


@pytest.mark.parametrize("name", ["minique", "inline"])
@pytest.mark.parametrize("fault", ["none", "kill", "pause"])
def test_it_says_what_the_fast_mode_says(name: str, fault: str) -> None:
    load = generate("twin", 120, 2, erlangs=2.2)
    plan = {
        "none": faults.NOTHING,
        "kill": faults.one_kill_halfway(load),
        "pause": faults.one_pause_halfway(load, 30.0),
    }[fault]
    fast, slow = ledgers(name, load, plan)
    np.testing.assert_array_equal(slow, fast)
    assert (fast[COLUMNS.index("starts")] > 1).any() == (fault != "none")


def test_so_it_does_of_jobs_that_raise_and_of_jobs_that_expire() -> None:
    load = generate("bursty", 150, 5, erlangs=3.5)
    outage = faults.Plan(outage=Outage(begins=load.span / 3, seconds=load.span / 4))
    fast, slow = ledgers("minique", load, outage, retries=2, backoff=Backoff(first_seconds=1.0))
    np.testing.assert_array_equal(slow, fast)
    assert not np.isnan(fast[COLUMNS.index("left_at")]).all()
    fast, slow = ledgers("minique", load, expires_in=0.5)
    np.testing.assert_array_equal(slow, fast)
    assert not np.isnan(fast[COLUMNS.index("left_at")]).all()


def test_the_whole_ladder_runs_on_it_to_the_same_bytes() -> None:
    load = generate("twin", 60, 1, erlangs=1.4)
    fast, slow = (
        to_json([compare(load, designs.LADDER, workers=2, seed=1, faithful=faithful)]) for faithful in (False, True)
    )
    assert slow == fast


@pytest.mark.parametrize(
    ("script", "old"), [("claim", "ring(subscription)"), ("complete", "leave(claim, ids)"), ("enqueue", "'RPUSH'")]
)
def test_a_script_that_does_something_else_is_noticed(monkeypatch: pytest.MonkeyPatch, script: str, old: str) -> None:
    """What the tests above would see: it is the text of the scripts that runs."""
    read = lua._read

    def changed(name: str) -> str:
        return read(name).replace(old, "'LPUSH'" if script == "enqueue" else "") if name == script else read(name)

    assert old in read(script)
    monkeypatch.setattr(lua, "_read", changed)
    lua.load.cache_clear()
    try:
        fast, slow = ledgers("minique", load_of([2.0] * 9, np.linspace(1.0, 2.0, 9)))
        assert (slow != fast).any()
    except RuntimeError:
        pass  # the simulator itself has noticed
    finally:
        lua.load.cache_clear()
