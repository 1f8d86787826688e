# %% [markdown]
# # 14 · Side by side
#
# > The loop took an afternoon. The queue is another server to look after. Do we really need it?
#
# It is time to give the loop its due. It is short, everybody understands it, it needs nothing that is not there anyway. Most programs of
# this world that do something "a bit later" are such loops, and most of them are all right.
#
# So let us not argue. Let us take all the designs that we have met, the steps between them too, give each **the same customers and the same
# bad luck**, and look.
#
# ## Predict
#
# Two shops. In the *small* one somebody orders now and then; a single worker would be idle nine tenths of the time. The *big* one has
# work for nearly three workers all day long. Four processes each, if the design can use four. During the day two processes are killed in the
# middle of a charge, and two stand still for most of a minute, as a machine does that is being moved.
#
# 1. In which of the two shops is the loop good enough?
# 2. Which designs lose a charge? Which charge twice, though nobody was killed, but somebody *slept*?
# 3. A worker is killed. How long until its charge has been made after all: with rows that are claimed, with a backup list, with a lease?
#
# <details><summary>What we think</summary>
#
# 1. In the small one, if people can wait for some seconds. In the big one it drowns: it is only one.
# 2. Whatever pops a job loses it, and so does a timer in memory. Two loops without claims charge everybody twice, always. A lease without a
#    fence charges twice when somebody sleeps.
# 3. About a minute with a claim that times out; a quarter of an hour with a backup list that is looked through now and then; with a lease
#    some ten seconds, and the charge itself.
#
# </details>
#
# ## Run

# %%
import numpy as np

from simulate import designs
from simulate.costs import Costs
from simulate.experiments import play
from simulate.faults import NOTHING, Kill, Pause, Plan
from simulate.measures import measure
from simulate.service_times import ServiceTimes
from simulate.workload import generate

PROCESSES, DAYS, SLEEPS_SECONDS = 4, 5, 45.0
A_SECOND_OR_SO = ServiceTimes("lognormal", mean=1.0)
SHOPS = {
    "small": generate("poisson", 400, seed=1, erlangs=0.1, service=A_SECOND_OR_SO),
    "big": generate("poisson", 1_200, seed=1, erlangs=2.8, service=A_SECOND_OR_SO),
}


def bad_luck(load, day):
    """Two kills and two pauses in the middle of a charge, at random moments of the day; for all designs the same."""
    moments = sorted(np.random.default_rng(day).uniform(0, load.span, 4))
    kills, pauses = moments[::2], moments[1::2]
    return Plan(kills=tuple(map(Kill, kills)), pauses=tuple(Pause(at, SLEEPS_SECONDS) for at in pauses))


def one_day(design, load, luck):
    world, processes = play(designs.find(design), load, PROCESSES, Costs(), seed=1, plan=luck)
    return measure(world, processes)


peace = {(d, shop): one_day(d, load, NOTHING) for d in designs.LADDER for shop, load in SHOPS.items()}
struck = {
    (d, shop): [one_day(d, load, bad_luck(load, day)) for day in range(DAYS)]
    for d in designs.LADDER
    for shop, load in SHOPS.items()
}

# %% [markdown]
# Those were some hundred days of nine designs, all of them real code, on the clock of lesson 11. One page for all of it:

# %% tags=["figure"]
from notebooks.drawing import nine_designs
from notebooks.showing import Picture

NAMES = {
    "naive": "0  a loop and a sleep",
    "unclaimed": "1  … four of them",
    "claiming": "2  … with claims on rows",
    "timer": "3  a timer in memory",
    "resque": "4  pop, polled",
    "blocking": "5  pop, blocking",
    "backup": "6  move to a backup list",
    "unfenced": "7  lease, no fence",
    "minique": "8  minique",
}
assert list(NAMES) == list(designs.LADDER)

Picture(
    nine_designs(NAMES, peace, struck),
    "nine designs, row by row: how long customers wait, how soon bad luck is made good, what is lost and doubled",
)

# %%
days = {design: [day for shop in SHOPS for day in struck[design, shop]] for design in NAMES}
losing = [design for design in NAMES if sum(day.lost for day in days[design])]
doubling = [design for design in NAMES if sum(day.finished_twice for day in days[design])]

assert losing == ["timer", "resque", "blocking"]
assert doubling == ["unclaimed", "unfenced"]
print("lose charges: ", ", ".join(losing))
print("charge twice: ", ", ".join(doubling))
print("kills and pauses that each design has met:", sum(day.killed + day.paused for day in days["minique"]))

# %% [markdown]
# Read it row by row, from the top, and it is the story of these lessons. Each row cures the fault of the one before, and has a fault of
# its own.
#
# ## Why
#
# **Rung 0** loses nothing! *Do, then mark* (lesson 02), and somebody starts it again. In the small shop people wait for half a sleep and some;
# if they are reading a mail in the meantime, that is *fine*. In the big shop there is work for almost three, and it is one.
#
# **Rung 1** is what one does then, and it is the worst of all: everything is charged twice, or four times. **Rung 2** is how it is mended,
# and it works. You have then written claims, timeouts and a sweeper, and wait for a minute when somebody dies.
#
# **Rungs 3, 4 and 5** are fast or nearly, and each forgets what is in a dead man's hand. They are what many people have in production.
#
# **Rung 6** loses nothing, and then it takes long: who gives the jobs of the dead back, and when? **Rung 7** knows when, and pays for it
# with sleepers who write over their successors. **Rung 8** asks for a name with each write (lesson 08), and is the first row without a
# bad mark.
#
# One thing the figure does *not* say: that minique never does anything twice. It says that in these days it happened not to. A worker that
# is killed after it has told the bank and before it has told the server will charge again, as on every rung. That is the moment of
# lesson 02, and no queue takes it from you.
#
# ## Change one thing
#
# What does each cost to *understand*? Lines are a poor measure of that, and still the best that can be counted:

# %%
from pathlib import Path

import minique
import naive_daemon
from notebooks.showing import Table

CORE = ["job", "keys", "store", "redis_store", "client", "worker", "reaper", "scheduler", "loop"]


def lines(package, files):
    folder = Path(package.__file__).parent
    texts = [(folder / f"{name}.py").read_text() for name in files]
    texts += [script.read_text() for script in folder.glob("scripts/*.lua")]
    return sum(bool(line.strip()) for text in texts for line in text.splitlines())


loop, claims = lines(naive_daemon, ["daemon", "database"]), lines(naive_daemon, ["daemon", "database", "claiming"])
core = lines(minique, CORE)
assert core > 10 * claims
Table(
    ["", "lines, comments and all", "and a server?"],
    [("the loop", f"about {round(loop, -1)}", "no"), ("with claims", f"about {round(claims, -1)}", "no"),
     ("minique's core, all of it", f"about {round(core, -2):,}", "yes")],
)  # fmt: skip

# %% [markdown]
# So **the loop is right** when
#
# - one process can do all the work, with room to spare, and will be able to next year;
# - nobody minds half a sleep, and somebody looks whether it still runs;
# - what it does may be done again.
#
# Then take it, and sleep well. (It is in `naive_daemon/`, and it is tested.) The **queue is right** as soon as one of these breaks: when a
# person waits, when there are two, when it must go on though somebody dies at three in the morning. What is *wrong* is the middle of the
# ladder: it costs nearly as much as the top and keeps less.
#
# ## Exercise
#
# Write your argument down as code. For a big shop, with what was seen above: **which is the lowest rung that is good enough?** `seen` has for
# each design, from the lowest rung up, `wait` (seconds that nineteen of twenty do not exceed), `lost` and `twice`.

# %%
from typing import NamedTuple


class Seen(NamedTuple):
    wait: float
    lost: int
    twice: int


seen = {
    design: Seen(
        peace[design, "big"].waiting.p95,
        sum(day.lost for day in days[design]),
        sum(day.finished_twice for day in days[design]),
    )
    for design in NAMES
}


# %% tags=["exercise"]
def lowest_rung(seen, longest_wait, may_lose, may_double):
    """The name of the first design that is good enough."""
    ...


# %% tags=["check"]
from notebooks.showing import judge

NEEDS = {  # longest wait, may lose, may double
    "counting visitors": (60, True, True),
    "a reminder": (60, False, False),
    "a chat message": (8, True, False),
    "a mail that may come twice": (8, False, True),
    "a charge": (8, False, False),
}


def good_enough(design, longest_wait, may_lose, may_double):
    one = seen[design]
    return one.wait <= longest_wait and (may_lose or not one.lost) and (may_double or not one.twice)


truth = [next((design for design in seen if good_enough(design, *needs)), None) for needs in NEEDS.values()]
yours = [lowest_rung(seen, *needs) for needs in NEEDS.values()]
judge(yours, truth)

# %% [markdown]
# <details><summary>A hint</summary>
#
# `dict` remembers the order in which it was made.
#
# </details>
#
# <details><summary>Our solution</summary>
#
# ```python
# def lowest_rung(seen, longest_wait, may_lose, may_double):
#     for design, one in seen.items():
#         if one.wait <= longest_wait and (may_lose or not one.lost) and (may_double or not one.twice):
#             return design
# ```
#
# Look at the answers. Some needs are met by a rung in the middle, and for *these customers and this bad luck* that is true. One question is
# missing: how soon a charge is made after somebody has died. Add it, and see which answers move up.
#
# </details>
#
# ## What we now promise, and what it costs
#
# This is the whole table. The left column is what we promise; the right one is how we want you to remember it.

# %% tags=["promise"]
from notebooks.promises import promised_by

promised_by(14)
