# %% [markdown]
# # 04 · A queue in ten lines
#
# > The loop sleeps while the customer waits, and wakes up for nothing at night. Can nobody wake it when there is something to do?
#
# Lesson 01 left us with a bad choice: sleep long and let customers wait, or sleep little and ask the database all day for
# nothing. Lesson 03 brought a list from which two workers never take the same. There is one more command to know,
# and then we have a queue.
#
# `BLPOP` is `LPOP` for somebody who can wait: *if there is nothing, do not answer. Answer when there is.* The worker
# sends it and sleeps, really sleeps, until the reply wakes it. So here is a queue:

# %%
import json


def enqueue(redis, order, cents):
    redis.rpush("charges", json.dumps([order, cents]))


def worker(redis, charge):
    while True:
        found = redis.blpop("charges", timeout=5)  # sleep soundly; but turn round now and then
        if found:
            charge(*json.loads(found[1]))


# %% [markdown]
# Not even ten lines. No `clock`, no `sleep`. Push at one end, pop at the other, and the worker may be on another machine, or
# there may be seven of them.
#
# ## Predict
#
# 1. Nobody has clicked for an hour, the worker waits in `blpop`. Somebody clicks. How long until the charge begins? Think
#    of what has to happen: it is no longer a matter of seconds.
# 2. Now a minute with some two dozen orders. Draw two lines over time: *how many have come so far*, and *how many
#    are done so far*. Both only ever climb. What can you read off **between** the two, upwards? And sideways? And what is
#    the area?
# 3. Replace one letter: `lpush` instead of `rpush`. Now the newest order goes first. Is the *average* wait longer,
#    shorter, or the same? (Say that each charge takes equally long.)
#
# <details><summary>What we think</summary>
#
# 1. One message to the server, one from there to the worker, and the worker's process must be woken. About a thousandth of a
#    second.
# 2. Upwards: how many are inside, waiting or being charged. Sideways: how long one order was inside. The area is the same
#    thing seen both ways, and that is a law with a name.
# 3. The same, to the last digit! Only the unlucky ones wait much, much longer. (Surprised? So were we.)
#
# </details>
#
# ## Run
#
# ### By hand
#
# First with our own fingers, to see how little there is to it:

# %%
from notebooks.peek import a_private_server

redis = a_private_server()
redis.steps('RPUSH charges "[44, 1999]"', 'RPUSH charges "[45, 2500]"', "BLPOP charges 5", "BLPOP charges 5")

# %% [markdown]
# (Nothing had to wait there, since something was there. `BLPOP` says from which list it has taken, for one may wait at several
# lists at once.)
#
# ### Woken
#
# Now a real worker in a real server's hands. It waits; we push, thirty times, with pauses; and look how long it takes
# until a charge begins. (Worker and server share this one machine, and with whatever else it does just now.)

# %% tags=["measured"]
import numpy as np

from notebooks.playing import play_for_real

pauses = play_for_real(enqueue, worker, clicks=0.05 * np.arange(30), work=np.zeros(30))
print(
    f"from click to charge: {1000 * np.median(pauses.waited):.1f} ms in the middle, {1000 * pauses.waited.max():.1f} ms at worst"
)

# %% [markdown]
# Half a sleep was five *seconds*.
#
# ### A minute in the shop
#
# Two dozen customers click at random within a minute, and a charge takes some two seconds. We play it twice: in virtual time,
# and for real (twenty times as fast, to save yours). The ten lines are the same ones both times; only `redis` and
# `charge` are handed in.

# %%
from notebooks.playing import play

chance = np.random.default_rng(8)
clicks, work = np.sort(chance.uniform(0, 56, 24)), chance.exponential(1.9, 24)

shop = play(enqueue, worker, clicks, work)

# %% tags=["measured"]
really = play_for_real(enqueue, worker, clicks, work, speed=20)
print(f"the largest difference of any order: {np.abs(really.done - shop.done).max():.2f} s of a minute")

# %% tags=["figure"]
from notebooks import drawing
from notebooks.showing import Picture

numbers = np.arange(1, len(clicks) + 1)
came = np.concatenate(([0], np.repeat(shop.came, 2), [60]))
done = np.concatenate(([0], np.repeat(shop.done, 2), [60]))
stairs = np.repeat(np.arange(len(clicks) + 1), 2)

figure, axes = drawing.sheet(height=4.8)
moments = np.linspace(0, 60, 1201)
upper = np.searchsorted(shop.came, moments, side="right")
axes.fill_between(
    moments, upper - shop.inside(moments), upper, color=drawing.STATE_COLOURS["queued"], alpha=0.25, step="post"
)
axes.plot(came, stairs, color=drawing.STATE_COLOURS["queued"], linewidth=2, label="have come")
axes.plot(done, stairs, color=drawing.STATE_COLOURS["done"], linewidth=2, label="are done")
drawing.real(axes, really.done, numbers, "are done, really (20 times as fast)")

moment, order = 22.0, 17
inside = int(shop.inside(np.array([moment]))[0])
top = int(np.searchsorted(shop.came, moment, side="right"))
arrow = {"arrowstyle": "<->", "color": "black", "linewidth": 1.2}
axes.annotate("", (moment, top), (moment, top - inside), arrowprops=arrow)
axes.text(moment - 0.6, top - inside / 2, f"{inside} inside", ha="right", va="center", fontsize=9)
axes.annotate("", (shop.came[order], order + 0.5), (shop.done[order], order + 0.5), arrowprops=arrow)
stay = shop.done[order] - shop.came[order]
axes.text(
    shop.done[order] + 0.6, order + 0.3, f"the {order + 1}th order is inside for {stay:.1f} s", va="center", fontsize=9
)
axes.set(xlabel="time (s)", ylabel="orders so far", xlim=(0, 60), ylim=(0, 25))
axes.legend(frameon=False, fontsize=9, loc="upper left")
Picture(figure, "two staircases over a minute: orders that have come, and, below, orders that are done")

# %% [markdown]
# Upwards between the stairs: how many are inside at that moment, waiting or being charged. Sideways: how long one order is
# inside. Where the stairs touch, the shop is empty and the worker sleeps.
#
# ## Why
#
# ### The area, read twice
#
# What is the shaded area? Cut it into upright strips: each is *how many are inside* times a little time. Cut it into flat
# strips, one for each order: each is *how long this order was inside*. It is one and the same area:

# %%
end = shop.done.max()
mean_inside = shop.inside(moments)[moments <= end].mean()  # upright strips
mean_stay = (shop.done - shop.came).mean()  # flat strips
rate = len(clicks) / end

print(f"orders inside, on average      L = {mean_inside:.2f}")
print(f"orders that come per second    λ = {rate:.3f}")
print(f"seconds that one stays         W = {mean_stay:.2f}")
print(f"                             λ W = {rate * mean_stay:.2f}")
assert np.isclose(mean_inside, rate * mean_stay, rtol=0.01)

# %% [markdown]
# **L = λ W**. This is *Little's law*. It took until the nineteen-sixties to be proved in general, and you have just seen why it is true: an area does not mind how
# it is cut. That is also why it asks for so little. It does not matter how customers come, how long charges take, in which
# order they are served, or how many workers there are. If it is the same people who come and who go, it holds.
#
# It is the most useful line in this whole course. You know two of the three, you have the third. “There are sixty
# orders inside on average, two come each second”: then one stays for half a minute, and nobody had to carry a stopwatch.
#
# ### Why it wakes
#
# The saw of lesson 01 is gone, since nobody *asks* any more. The question stands at the server, and the answer comes when there
# is one. Idle workers cost nothing. (The `timeout` is for the worker's own sake: every few seconds it gets a chance to notice
# that it has been told to stop.)
#
# ## Change one thing
#
# One letter. The newest order goes first. (An hour, and each charge takes the same time, so that the two can be compared
# to the last digit.)

# %%
from notebooks.showing import Table, seconds


def enqueue_in_front(redis, order, cents):
    redis.lpush("charges", json.dumps([order, cents]))


rows = []
an_hour = np.sort(np.random.default_rng(1).uniform(0, 3600, 1440))
in_line = play(enqueue, worker, an_hour, work=np.full(1440, 2.2))
newest_first = play(enqueue_in_front, worker, an_hour, work=np.full(1440, 2.2))
for name, hour in (("in line (rpush)", in_line), ("newest first (lpush)", newest_first)):
    rows.append([name, seconds(hour.waited.mean()), seconds(np.median(hour.waited)), seconds(hour.waited.max())])

assert np.isclose(newest_first.waited.mean(), in_line.waited.mean())
assert np.median(newest_first.waited) < np.median(in_line.waited) / 2
assert newest_first.waited.max() > 3 * in_line.waited.max()
Table(["order of service", "mean wait", "half wait less than", "longest wait"], rows)

# %% [markdown]
# The same mean! The worker is busy at the same moments, so just as many are inside at each (L); as many come (λ); and so W must be
# the same: Little's law leaves no choice. But look at the others. Newest first is kind to most and cruel to some: they sink to the
# bottom of the pile. *The mean does not know who suffers.* We will want to know what nineteen of twenty do not exceed: a *percentile*.
#
# ## Exercise
#
# Nobody has timed anything. But every ten seconds somebody has counted how many orders were inside, and at the end of the hour the
# till says how many have come in all. How long does an order stay, on average?


# %% tags=["exercise"]
def mean_stay_of_an_order(counts, came, span):
    """How many seconds an order stays: from counts of those inside, and how many have come in `span` seconds."""
    ...


# %% tags=["check"]
from notebooks.showing import judge

counts = in_line.inside(np.arange(0, 3600, 10))
judge(mean_stay_of_an_order(counts, came=1440, span=3600), (in_line.done - in_line.came).mean(), within=0.05)

# %% [markdown]
# <details><summary>A hint</summary>
#
# L = λ W. Which two do you have?
#
# </details>
#
# <details><summary>Our solution</summary>
#
# ```python
# def mean_stay_of_an_order(counts, came, span):
#     inside = sum(counts) / len(counts)
#     rate = came / span
#     return inside / rate
# ```
#
# It is not exact, since between two counts something happens; and at the end some may still be inside. Over an hour neither matters.
#
# </details>
#
# ## What we now promise, and what it costs
#
# No more saw, no more asking, as many workers as you like, none of whom takes what another has. It is a real queue, and many
# a company runs on these ten lines. And yet:

# %%
redis.steps('RPUSH charges "[44, 1999]"', "BLPOP charges 5")

# %% [markdown]
# Look at the last row. The worker has the order in its hand, **and the server holds nothing**. If the worker dies now,
# no program knows any more that order 44 is to be charged. In the words of lesson 02: to pop is to *mark*, and we mark before we do. We have
# gained a second hand and lost at-least-once. Lesson 08 gets it back.

# %% tags=["promise"]
from notebooks.promises import promised_by

promised_by(4)
