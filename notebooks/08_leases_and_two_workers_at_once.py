# %% [markdown]
# # 08 · Leases, and two workers at once
#
# > A worker holds a charge and is silent. Is it dead, or is it thinking? And if I give its charge to another, and it was only
# > thinking?
#
# Lesson 04 ended badly. A worker takes an order off the list, and from then on the order is nowhere but in its hand. If it
# dies, the order is gone.
#
# The cure sounds easy: do not give it away, *lend* it. The server keeps the order and writes down who has it **and until
# when**. That is a *lease*. If the worker needs longer, it renews. If the time is up, anybody may give the order to another.
# It is what a library does with books; except that in a library nobody reads so fast that two readers of one book
# charge you twice.
#
# ## Predict
#
# A lease lasts ten seconds here, and a worker renews it whenever a quarter of that has passed. A charge takes six seconds, and the bank is
# asked at its very end.
#
# 1. `ada` takes an order and is killed after three seconds. `bob` is there, with nothing to do. When does he get the order: at
#    once, after ten seconds, or when?
# 2. Ada is not killed; somebody closes the laptop she runs on, after three seconds, and opens it again at second twenty. What does
#    she do when she wakes up? She does not know that she has slept!
# 3. The same, but the laptop was closed a blink before she would have been through. How often is the customer charged? And whose
#    word counts, in the end?
#
# <details><summary>What we think</summary>
#
# 1. When the lease is over: ten seconds after its last renewal, and not a second earlier, since until then nobody can
#    know that she is dead. (Then it takes up to a second until somebody looks.)
# 2. She wants to renew, as always, and hears that there is nothing to renew any more. She stops at once what she is doing.
# 3. Twice. She finishes before she has had a chance to ask. The *queue* refuses her word, bob's counts; but the bank has believed
#    both.
#
# </details>
#
# ## Run
#
# ### By hand
#
# Here is minique's own store, in memory, with a clock that we turn. No workers yet: we play both of them.

# %%
from minique import Registry, connect, job
from minique.store import Finished
from minique.testing import ManualClock
from notebooks.peek import Names, look_into

registry = Registry()


@job(queue="charges", registry=registry)
def charge(order, cents): ...


clock = ManualClock()
mq = connect("memory://", clock=clock)
names = Names(zero=clock.now)  # shows times as seconds from now
order = mq.enqueue(charge, 44, 1999).id

# %% [markdown]
# Ada claims. Her claim has a name of its own, `ada:1`: ada's first.

# %%
LEASE = 10
mq.store.claim(clock.stamp(), "ada:1", "charges", limit=1, lease_seconds=LEASE)

look_into(mq, names)

# %% [markdown]
# Look what has happened. The order has left the queue, but its text is still there, under `job:`. It is `leased`, under `ada:1` (and came from `charges`); and in
# `leases`, a sorted set by time, stands until when. (Lesson 03: a sorted set, and “what is over by now?” is one command.)
#
# Three seconds later she renews. Then she is silent. At second twelve somebody looks: nothing to be done, her lease has one second
# left. At second fourteen somebody looks again:

# %%
clock.advance(3)
assert mq.store.renew(clock.stamp(), "ada:1", LEASE)
clock.advance(9)
print("second 12:", mq.store.reap(clock.stamp(), limit=20).back)
clock.advance(2)
print("second 14:", names(str(mq.store.reap(clock.stamp(), limit=20).back)))

# %% [markdown]
# *Reaped*: given back to its queue. Bob claims it, and works on it. And now ada wakes up, and reports what she has
# done, as if nothing had been:

# %%
mq.store.claim(clock.stamp(), "bob:1", "charges", limit=1, lease_seconds=LEASE)
done = [Finished(order, '"charged"', lifetime_seconds=600, went_back=True)]

print("ada:1 says it is done:", mq.store.complete(clock.stamp(), "ada:1", done))
print("bob:1 says it is done:", mq.store.complete(clock.stamp(), "bob:1", done))

# %% [markdown]
# Refused, and accepted. The server does not ask *who* she is or *when* she speaks; it compares the name of the claim with the one under which the
# order is leased **now**. A name is never used twice, so an old one opens no door. (Others call this a *fencing token*.)
#
# ### Two real workers
#
# Now the worker that ships, twice, over the same store. On a stage where we turn the clock, we close ada's laptop a blink before
# she is through.

# %%
from notebooks.shop import Bank
from notebooks.stage import Stage

bank = Bank()
registry = Registry()


@job(queue="charges", registry=registry)
def charge(order, cents):
    bank.charge(order, cents)  # at the very end of its six seconds


stage = Stage(registry, workers=("ada", "bob"), work=6, lease=LEASE, pauses={"ada": (5.95, 20)})
stage.mq.enqueue(charge, 44, 1999)
stage.play(seconds=26)

for at, worker, event in stage.told:
    print(f"{at:5.1f} s  {worker}: {event}")
print("the bank has charged order 44:", bank.outcome(44))

# %% tags=["figure"]
from notebooks import drawing
from notebooks.showing import Picture

figure, axes = drawing.sheet(height=3.9)
drawing.stage(axes, stage, until=26)
late, took_over = stage.when("lease_lost", "ada"), stage.when("claimed", "bob")
axes.annotate(
    "ada wakes up and is through:\nher word is refused",
    (late, 2.2),
    (late + 0.6, 2.75),
    fontsize=9,
    color=drawing.STATE_COLOURS["lost"],
    arrowprops={"arrowstyle": "-", "color": drawing.STATE_COLOURS["lost"]},
)
axes.text(took_over - 0.4, 1, "the lease is over;\nbob looks, and claims", fontsize=9, ha="right", va="center")
Picture(figure, "ada works, renews and is paused; her lease runs out, bob works; ada wakes up and is refused")

# %% [markdown]
# Read the last lane: that is what the *server* knows, and at each moment it knows one thing. Between the end of ada's lease and her
# awakening there were two workers who both believed that the order was theirs. The server never did.
#
# ## Why
#
# **Why not ask whether she is alive?** Because no answer means nothing. Dead, asleep, cut off, or just slow: from outside
# they look the same, and no cleverness helps: where a message may take any time, it has been *proved* that nobody can tell. So we do
# not try to know. We agree on a time instead, and both sides keep to it: the server lends until then, and the worker believes in its
# right no longer than until then.
#
# **Why a clock of the server, and not the workers'?** Because then there is only one. A worker's own clock says only how much of the lease is
# *left*, and counts from before it has asked; so it always believes in less than the server grants.
#
# **Why the name?** Because agreeing on a time is not enough. A sleeper does not see the time pass. She may be stopped
# between looking at her clock and writing to the server, for an hour. So every write is shown to the server with the
# name of the claim, and the one who lends decides.
#
# **And the bank?** It has charged twice, and nothing in our queue can prevent that: it is another server, which does not know our
# names. What we promise is *at-least-once*. To make it *once*, the bank must be able to refuse, too: with the key of lesson 02.
#
# ## Change one thing
#
# How long is the laptop closed, and when? The same stage with other pauses; and once ada is killed:

# %%
from notebooks.showing import Table


def what_becomes_of_it(**fate):
    bank.taken.clear()
    stage = Stage(registry, workers=("ada", "bob"), work=6, lease=LEASE, **fate)
    stage.mq.enqueue(charge, 44, 1999)
    stage.play(seconds=40)
    [*_, last] = [one for one in stage.told if one.event == "completed"]
    ada = [one.event for one in stage.told if one.worker == "ada"][-1]
    return bank.outcome(44), f"{last.worker}, at {last.at:.1f} s", ada


rows = [
    ["nothing happens", *what_becomes_of_it()],
    ["asleep from 3 to 6", *what_becomes_of_it(pauses={"ada": (3, 6)})],
    ["asleep from 3 to 20", *what_becomes_of_it(pauses={"ada": (3, 20)})],
    ["asleep from 5.95 to 20", *what_becomes_of_it(pauses={"ada": (5.95, 20)})],
    ["killed at 3", *what_becomes_of_it(deaths={"ada": 3.0})],
]
assert [row[1] for row in rows] == ["done", "done", "done", "twice", "done"]
Table(["what happens to ada", "the bank", "completed by", "ada's last word"], rows)

# %% [markdown]
# A short nap does no harm: the lease is longer, and she renews as soon as she is awake. In the third row she wakes up in the middle of
# her work, wants to renew, is refused, and *stops*: her child is killed before it gets to the bank. Only in the fourth row she was
# so nearly through that she was faster than her own question.
#
# And look at the last row: nothing is lost, but the customer waited for a dead worker's lease. A shorter lease would
# help; then a shorter nap would cost a second charge. That is the knob, and the whole of it. (minique's supervisor turns it for
# you in one case: it *sees* its worker die, and gives the leases back at once.)
#
# ## Exercise
#
# The manager asks: “If a worker dies, how long until its order is back in the queue?” You know the lease, how often
# workers renew, and how often somebody looks for leases that are over. Give the shortest and the longest time. (Ada may die at any moment of
# a long job.)


# %% tags=["exercise"]
def back_in_the_queue(lease, renew_every, look_every):
    """The shortest and the longest time from a worker's death until its order is queued again, in seconds."""
    return ..., ...


# %% tags=["check"]
import numpy as np

from minique.reaper import REST_SECONDS
from minique.worker import RENEW_EVERY_SECONDS
from notebooks.showing import judge

took = []
for death in np.arange(2, 8, 0.125):
    stage = Stage(registry, workers=("ada", "bob"), work=60, lease=LEASE, deaths={"ada": death})
    stage.mq.enqueue(charge, 44, 1999)
    stage.play(seconds=22)
    took.append(stage.when("reaped") - death)
judge(back_in_the_queue(LEASE, RENEW_EVERY_SECONDS, REST_SECONDS), (min(took), max(took)), within=0.1)

# %% [markdown]
# <details><summary>A hint</summary>
#
# The lucky one dies a moment before she would have renewed. The unlucky one has *just* renewed, and whoever looks has looked a moment
# before the lease was over.
#
# </details>
#
# <details><summary>Our solution</summary>
#
# ```python
# def back_in_the_queue(lease, renew_every, look_every):
#     return lease - renew_every, lease + look_every
# ```
#
# </details>
#
# ## What we now promise, and what it costs
#
# At-least-once is back, now with as many workers as you like, each of which may die or sleep at any moment.
#
# What is *not* promised: that a charge is made once, for only the bank can see to that; and that the **server** remembers. All of this is as
# safe as the server's disk. If it writes its file once a second, a power cut may take the last second with it, whatever had been
# acknowledged; if it writes none, everything. ([What can go wrong](../docs/explanation/what-can-go-wrong.md) has the whole list.)

# %% tags=["promise"]
from notebooks.promises import promised_by

promised_by(8)
