# %% [markdown]
# # 01 · A loop and a sleep
#
# > The page has said “thank you”; the card is to be charged a moment later. A loop that looks into the database
# > every ten seconds will do, won't it?
#
# Nobody should stare at a spinner while a bank makes up its mind. So the web page only writes down *what* is to be done,
# says thank you, and another program does it a little later. Everybody writes that program at least once. Here it is,
# all of it:

# %%
from naive_daemon import daemon
from notebooks.showing import source_of

source_of(daemon.run, daemon.do)

# %% [markdown]
# Look in the table. Do what is due, one after the other. Mark it. Sleep ten seconds. Again.
#
# It fits on a napkin, it needs nothing but the database that you have anyway, and for many a small shop it is *right*. This
# lesson is about its price. (One thing looks odd: `clock` and `sleep` are handed in as arguments. We will be glad of that in
# a moment.)
#
# ## Predict
#
# Before you scroll, say what you expect. On paper, if there is some.
#
# 1. A quiet afternoon: now and then somebody clicks, and a charge takes no time worth mentioning. How long does it
#    wait before it begins: at best, at worst, on average? Draw it: the moment of the click to the right, the wait upwards.
# 2. A busy evening: a charge takes a second of work, and every two seconds somebody clicks. The loop is busy half of
#    the time. Is the average wait still what it was in the afternoon?
# 3. Christmas: clicks come a little faster than charges are done, say eleven in ten seconds. What happens?
#
# <details><summary>What we think (after you have said what <i>you</i> think)</summary>
#
# 1. Between nothing and one whole sleep, half a sleep on average. The drawing is a saw: whoever clicks just after the look
#    waits for a whole sleep, whoever clicks just before the next one has luck.
# 2. No, it is more than three times as long. Read on for why: it is a trap that is easy to fall into.
# 3. There is no average any more. The backlog grows, and every click waits longer than the one before, until Christmas is
#    over.
#
# </details>
#
# ## Run
#
# ### A clock that we turn
#
# We want to watch the loop for hours, and have seconds. So we do not change the loop; we hand it *another clock*. On
# this one a `sleep` returns at once, and the clock has moved. Nothing else is pretended: the code of the loop, its SQL, its
# table are the ones above.

# %%
import numpy as np

from naive_daemon.database import Database
from simulate.virtual_time import Hub


def open_the_shop(clicks, work, every=10.0):
    """Customers click at these moments, and each charge takes so many seconds. When was each begun?"""
    hub, table = Hub(), Database()
    begun = {}

    def charge(row):
        order, seconds = row.arguments
        begun[order] = hub.now
        hub.sleep(seconds)  # the bank makes up its mind

    def click(order):
        table.add("charge", [order, float(work[order])], now=hub.now)

    with hub:
        for order, moment in enumerate(clicks):
            hub.at(moment, click, order)
        hub.spawn(lambda: daemon.run(table, charge, clock=hub.clock, sleep=hub.sleep, every=every))
        hub.run(until=clicks[-1] + 600)
    return np.array([begun.get(order, np.nan) for order in range(len(clicks))])


# %% [markdown]
# ### A quiet afternoon
#
# One click every now and then, and charges that take no time:

# %%
clicks = np.sort(np.random.default_rng(1).uniform(0, 60, 70))
waited = open_the_shop(clicks, work=np.zeros(70)) - clicks

print(f"shortest {waited.min():.1f} s, longest {waited.max():.1f} s, mean {waited.mean():.1f} s")

# %% [markdown]
# A clock that we turn could lie to us. So once, let us ask reality: the same daemon as a process of its own, with a real file
# and a real clock. To keep it short, it sleeps half a second where the other sleeps ten, and everybody clicks
# twenty times as fast.

# %% tags=["measured"]
from simulate.live.runs import play_naive as play_the_real_daemon
from simulate.workload import Load

SPEED = 20
some = clicks[::2] / SPEED
real = play_the_real_daemon(Load("clicks", "", some, 0 * some), every=10 / SPEED, phase=0, way="sleep", advance=bool)
print(f"really: mean wait {1000 * real.waiting.mean():.0f} ms of a sleep of {1000 * 10 / SPEED:.0f} ms")

# %% tags=["figure"]
from notebooks import drawing
from notebooks.showing import Picture

figure, axes = drawing.sheet()
teeth = np.arange(0, 61, 10)
for look in teeth[1:]:
    drawing.theory(axes, [look - 10, look], [10, 0], "theory: until the next look" if look == 10 else None)
drawing.simulated(axes, clicks, waited, "the loop, on a clock that we turn")
drawing.real(axes, some * SPEED, real.waiting * SPEED, f"the loop, really ({SPEED} times as fast)")
axes.axhline(5, color=drawing.QUIET_COLOUR, linestyle=":", linewidth=1.5, label="half a sleep")
axes.set(xlabel="moment of the click (s); the loop looks at each tooth", ylabel="wait until the charge begins (s)")
axes.set(xlim=(0, 60), ylim=(0, 13.5), xticks=teeth)
axes.legend(frameon=False, fontsize=9, ncols=2, loc="upper center")
Picture(figure, "a saw-tooth from ten seconds down to zero; dots lie on it, crosses on it or to the right of it")

# %% [markdown]
# There is the saw. Nothing about it depends on how fast your machine is: somebody who clicks a moment after the look waits
# for the whole sleep, while the processor is idle.
#
# The crosses drift to the right, and rightly so. The real loop needs a moment for what it finds, and sleeps *after* that; so
# each look comes a little later than the one before, and since all is played so fast, a little looks like much.
#
# ### A busy evening, and Christmas
#
# Now charges take time, a second each on average, some longer and some shorter. Three kinds of evening, two hours long: the
# work keeps the loop busy half of the time, nine tenths of it, and eleven tenths, which is more than there is. Customers are
# people, and no two evenings are alike; so we play six of each kind.

# %%
HOURS, EVENINGS = 2, 6


def an_evening(busy, seed):
    """Clicks at random moments, so many that work of one second on average keeps the loop so busy."""
    chance = np.random.default_rng(seed)
    number = chance.poisson(busy * HOURS * 3600)
    return np.sort(chance.uniform(0, HOURS * 3600, number)), chance.exponential(1.0, number)


played = {}
for busy in (0.1, 0.5, 0.9, 1.1):
    evenings = [an_evening(busy, seed) for seed in range(EVENINGS)]
    played[busy] = [(clicks, open_the_shop(clicks, work)) for clicks, work in evenings]

# %% tags=["backlog"]
from simulate.theory import naive_wait as mean_wait_of_the_loop

figure, axes = drawing.sheet(height=4.6)
minutes = np.arange(0, HOURS * 60, 0.5)
for busy, place in ((0.5, 2), (0.9, 1), (1.1, 0)):
    for number, (clicks, begun) in enumerate(played[busy]):
        waiting = np.searchsorted(clicks, minutes * 60) - np.searchsorted(np.sort(begun), minutes * 60)
        label = f"busy {busy:g}" if number == 0 else None
        axes.plot(minutes, waiting, color=drawing.COLOURS[place], linewidth=1.2, alpha=0.75, label=label)
    if busy < 1:
        drawing.theory(axes, [0, HOURS * 60], [busy * mean_wait_of_the_loop(busy, 1, 1, 10)] * 2, None)

looks, found = [0.0], [0.0]
while looks[-1] < HOURS * 3600:  # while it works off what it found, and sleeps, eleven tenths of that come in
    looks.append(looks[-1] + found[-1] + 10)
    found.append(1.1 * (found[-1] + 10))
drawing.theory(axes, np.array(looks) / 60, found, "theory: where it settles, or how it grows")
axes.set(xlabel="time since the shop opened (minutes)", ylabel="charges that wait (backlog)", xlim=(0, HOURS * 60))
axes.set_ylim(0, 1150)
axes.legend(frameon=False, fontsize=9, loc="upper left")
Picture(
    figure, "the backlog in six evenings of each kind: low when half busy, restless at 0.9, growing all the time at 1.1"
)

# %% [markdown]
# The first kind comes to rest, the second more or less, the third never. And look how different the six middle ones
# are from each other: near the edge, chance rules, and one unlucky quarter of an hour is remembered for the rest of the
# evening.
#
# And how long does a customer wait? If the sleep were all that costs, it would be half a sleep, whatever the evening:

# %%
from notebooks.showing import Table, seconds
from simulate.intervals import mean_interval

rows = []
for busy in (0.1, 0.5, 0.9):
    seen = mean_interval([np.nanmean(begun - clicks) for clicks, begun in played[busy]])
    truth = mean_wait_of_the_loop(busy, 1, 1, 10)
    assert abs(seen.value - truth) < seen.half + 0.1 * truth
    rows.append([f"busy {busy:g}", seconds(5), seconds(seen.value, seen.half), seconds(truth)])

assert mean_wait_of_the_loop(0.5, 1, 1, 10) > 3 * 5
assert mean_wait_of_the_loop(0.9, 1, 1, 10) > 20 * 5
Table(["evening", "half a sleep", "simulated, mean wait", "theory, mean wait"], rows)

# %% [markdown]
# *Busy half of the time*, and the wait is more than three times what the saw promised. Busy nine tenths, and it is more than
# twenty times as much.
#
# ## Why
#
# Half a sleep is right for the afternoon only. Why is a loop that is *half idle* so slow?
#
# Stand in the shop for a moment. The loop looks, finds three charges, and does them. **While it does them, you click.** It has
# looked already; it does not see you. When it is through it sleeps, the whole ten seconds, and only then it looks again. So
# you wait for the rest of the work *and* for a whole sleep, and meanwhile others come, so that there is more work after the
# next look, so that more people come while it is being done …
#
# Mathematicians call this a queue with *gated service and vacations*: at each look a gate closes behind those who are there,
# and after them the server goes on holiday. Its mean wait has three parts:


# %%
def parts_of_the_wait(busy, work=1.0, every=10.0):
    for_others = busy * work / (1 - busy)  # any queue of this kind has this part
    for_the_look = every / 2  # the saw
    for_the_gate = every * busy / (1 - busy)  # you came while it worked: a whole sleep more
    return for_others, for_the_look, for_the_gate


rows = []
for busy in (0.1, 0.5, 0.9):
    parts = parts_of_the_wait(busy)
    assert np.isclose(sum(parts), mean_wait_of_the_loop(busy, 1, 1, 10))
    rows.append([f"busy {busy:g}", *map(seconds, parts), seconds(sum(parts))])

Table(["evening", "others' work", "until the look", "the gate", "together"], rows)

# %% [markdown]
# The sleep is paid for twice: once as the saw, and once more, with growing weight, through the gate. In the last row it is
# nearly all of the wait, while the loop is asleep for one tenth of the time.
#
# At eleven tenths there is no mean to speak of. More comes in than goes out, and the difference piles up, with every sleep
# on top: that is the thin line that climbs in the figure. The only cures are less work, faster work, or more hands. *More hands* is not as easy as it sounds: start this
# program twice, and both find the same rows, and both charge. That is another lesson.
#
# ## Change one thing
#
# “Then sleep less!” Go on: `every` is an argument. The wait shrinks with it, and the database is asked more often, though
# almost always there is nothing:

# %%
rows = []
clicks, work = an_evening(0.5, seed=0)
for every in (10, 1, 0.1):
    mean = np.mean(open_the_shop(clicks, work, every) - clicks)
    rows.append(
        [f"{every:g} s", seconds(mean), seconds(mean_wait_of_the_loop(0.5, 1, 1, every)), f"{86400 / every:,.0f}"]
    )

Table(["sleep", "mean wait, simulated", "theory", "looks a day, if nobody comes"], rows)

# %% [markdown]
# It helps, and it never gets below the first column of the table before: the work of others. For one small shop a sleep of
# one second may be all that is needed. With twenty programs that look ten times a second, the database spends its life saying
# no. It would be nicer to be *told*, and to sleep soundly until then. Lesson 04 does that.
#
# ## Exercise
#
# Your customers complain, and you have promised: **half busy, and two seconds of mean wait at most.** How long may the loop
# sleep? Write a function of how busy the loop is and of the promised mean wait (work takes one second on average). Think of the
# three parts above, and solve for the sleep.


# %% tags=["exercise"]
def longest_sleep(busy, promised):
    """The longest sleep, in seconds, with which the mean wait keeps the promise."""
    ...


# %% tags=["check"]
from notebooks.showing import judge

sleep = longest_sleep(busy=0.5, promised=2.0)
evenings = [an_evening(0.5, seed) for seed in range(EVENINGS)]
kept = sleep and np.mean([np.mean(open_the_shop(clicks, work, sleep) - clicks) for clicks, work in evenings])
judge(kept, 2.0, within=0.05)

# %% [markdown]
# <details><summary>A hint</summary>
#
# `for_others` does not depend on the sleep. The two other parts together are the sleep times something: what is it?
#
# </details>
#
# <details><summary>Our solution</summary>
#
# ```python
# def longest_sleep(busy, promised):
#     for_others = busy / (1 - busy)
#     return (promised - for_others) / (1 / 2 + busy / (1 - busy))
# ```
#
# The check has played it: all six evenings, the sleep that you say. And if the promise is shorter than what others'
# work alone costs, no sleep is short enough: the answer turns negative.
#
# </details>
#
# ## What we now promise, and what it costs
#
# The loop has one great virtue that is easy to overlook: the table. A charge that stands in it is looked at again and again
# until somebody has marked it. We have not yet asked what happens when the program dies *in between*. That is the next
# lesson, and it will hurt.

# %% tags=["promise"]
from notebooks.promises import promised_by

promised_by(1)
