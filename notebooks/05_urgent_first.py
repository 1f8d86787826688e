# %% [markdown]
# # 05 · Urgent first
#
# > The monthly reports were put into the queue at noon, and since then nobody has been charged. Can the urgent work not simply
# > go first?
#
# Our shop has grown. Beside charges there are receipts to be mailed, and once in a while a report for the tax office. All of it
# is work for later, so all of it went into one queue, and a queue is fair: who comes first is served first. On the day on
# which somebody asks for ten thousand reports, fairness hurts.
#
# The remedy is as old as post offices: several queues, and whoever serves looks into the urgent one first.

# %%
from minique import connect, job
from minique.testing import ManualClock, drain


@job(queue="charges")
def charge(order, cents): ...


@job(queue="receipts")
def receipt(order): ...


@job(queue="reports")
def report(month): ...


def a_full_house():
    """The reports came first, the charges last."""
    shop = connect("memory://", clock=ManualClock())
    shop.enqueue_many(report, [(month,) for month in ("January", "February", "March")])
    shop.enqueue_many(receipt, [(41,), (42,), (43,)])
    shop.enqueue_many(charge, [(44, 1999), (45, 500), (46, 250)])
    return shop


for queues in ("charges,receipts,reports", "*"):
    served = [name for name, _ in drain(a_full_house(), queues)]
    print(f"{queues:26}", *served)

# %% [markdown]
# A worker that serves `charges,receipts,reports` never touches a receipt while a charge is waiting. A worker that serves `*`, whatever
# there is, takes the queues in turn. That is all there is to it: **the order of the names is the order of urgency**, and it
# belongs to the *worker*, not to the job.
#
# ## Predict
#
# Four workers. One job in five is a charge, every second one a receipt, the rest are reports; each takes a second on
# average, whichever it is. Customers come more and more often.
#
# 1. The workers are busy nine tenths of the time. Everybody would wait about two seconds if there were one queue. Now
#    charges go first, then receipts, then reports. How long does each wait, roughly? A bit less and a bit more than two seconds?
# 2. What happens to the *average* wait of all jobs?
# 3. There is a little more work than four workers can do. Who notices?
#
# <details><summary>What we think</summary>
#
# 1. Charges: a quarter of a second, as if the shop were nearly empty. Reports: more than twice the two seconds. It is
#    anything but "a bit".
# 2. Nothing. It is the same, in whatever order you serve.
# 3. The reports, and only they: they wait longer and longer, for ever. The charges hardly notice.
#
# </details>
#
# ## Run
#
# The workers are minique's own, four of them, on a clock that we turn. We raise the load step by step, and play each step
# several times with other customers.

# %%
from simulate.scenarios.priorities import QueueLoad, priorities

SHOP = (QueueLoad("charges", 0.2), QueueLoad("receipts", 0.5), QueueLoad("reports", 0.3))
LOADS = (0.5, 0.7, 0.8, 0.9, 1.1)

ordered = priorities(LOADS, queues=SHOP, serves="charges,receipts,reports", design="inline", workers=4, replications=4)

# %% tags=["figure"]
from notebooks import drawing
from notebooks.showing import Picture
from simulate.intervals import Interval

OFF_THE_PAGE = 20  # seconds
WORDS = {"charges": "charges, first", "receipts": "receipts, then", "reports": "reports, last"}

figure, axes = drawing.sheet(height=4.6)
for place, (queue, words) in enumerate(WORDS.items()):
    colour, points = drawing.COLOURS[place], ordered.of(queue)
    line = [(load, wait) for load, wait in ordered.lines[queue] if wait < OFF_THE_PAGE]
    drawing.theory(axes, *zip(*line, strict=True), "theory" if not place else None)
    settled = [(load, point.waiting) for load, point in points if isinstance(point.waiting, Interval)]
    drawing.simulated(axes, *zip(*settled, strict=True), words, colour)
    starved = [load for load, point in points if not isinstance(point.waiting, Interval)]
    if starved:
        axes.plot(starved, [OFF_THE_PAGE] * len(starved), "^", color=colour, markersize=9, clip_on=False)
        axes.annotate("no mean: ever\nlonger", (starved[0], OFF_THE_PAGE), (-12, -4), ha="right", va="top",
                      textcoords="offset points", color=colour, fontsize=9)  # fmt: skip
axes.axvline(1, color=drawing.QUIET_COLOUR, linestyle=":", linewidth=1.5)
axes.set(yscale="log", ylim=(0.02, OFF_THE_PAGE), yticks=[0.1, 1, 10], yticklabels=["0.1", "1", "10"])
axes.set(xlabel="work that comes, over what four workers can do", ylabel="mean wait (s)")
axes.legend(frameon=False, fontsize=9, loc="upper left")
Picture(figure, "mean wait of three queues as the load rises: charges stay low, reports shoot up and then have no mean")

# %%
from notebooks.showing import Table, seconds


def said(wait):
    return seconds(wait.value, wait.half) if isinstance(wait, Interval) else "longer and longer"


at = {point.utilisation: {one.queue: one for one in point.queues} for point in ordered.points}
busy, beyond = at[0.9], at[1.1]

assert busy["charges"].waiting.value < 0.3
assert busy["reports"].waiting.value > 2 * 2
assert not isinstance(beyond["reports"].waiting, Interval)
assert beyond["charges"].waiting.value < 2 * busy["charges"].waiting.value
Table(
    ["", "load 0.9", "load 1.1"], [(queue, said(busy[queue].waiting), said(beyond[queue].waiting)) for queue in WORDS]
)

# %% [markdown]
# Look at the last column. There is more work than anybody can do, for ever, and a charge still begins after a third of a
# second. The whole misery falls on the reports. That is called **starvation**, and whether it is a bug or just
# what you wanted is for you to say. But say it *before* the tax office does.
#
# And in turn, with `*`?

# %%
in_turn = priorities((0.9,), queues=SHOP, serves="*", design="inline", workers=4, replications=4).points[0]
together = next(point.together for point in ordered.points if point.utilisation == 0.9)
one_queue = in_turn.together_in_theory

assert all(abs(one.value - one_queue) < one.half for one in (together, in_turn.together))
assert 1.9 < one_queue < 2.1
rows = [(one.queue, said(busy[one.queue].waiting), said(one.waiting)) for one in in_turn.queues]
rows.append(("all jobs together", said(together), said(in_turn.together)))
rows.append(("one queue, in theory", seconds(one_queue), seconds(one_queue)))
Table(["load 0.9", "in order", "in turn"], rows)

# %% [markdown]
# In turn, the *longest* queue pays: every second job is a receipt, but only one turn in three is theirs. Nobody starves as long
# as his share is modest, whatever the others do.
#
# ## Why
#
# The line *all jobs together* is the key to it. Priorities make nobody faster. The workers do one second of work in one second,
# whichever job it belongs to; a worker is idle only when *all* queues are empty. So the pile of work that waits is exactly as
# high at every moment, in whatever order you take from it. All that you can do is to shift the waiting from one to another. This
# is **Kleinrock's conservation law**, and it is as strict as it sounds: what the charges do not wait, others wait for them.
#
# So why is it such a good bargain? Since charges are *few*. A fifth of the jobs have been spared nearly all of their wait, and
# the price was divided among many. Make everything urgent, and nothing is.
#
# For each queue there is even a formula. A charge must wait until any worker becomes free (nobody is interrupted), behind the charges
# that are there. A report waits for that too, behind *everything* that is there, *and* behind all that comes while it waits:

# %%
from simulate.theory import erlang_c


def waits_in_order(shares, load, workers=4):
    until_one_is_free = erlang_c(workers, load * workers) / workers  # jobs of one second
    waits, before = [], 0.0
    for share in shares:
        upto = before + share * load
        waits.append(until_one_is_free / (1 - before) / (1 - upto))
        before = upto
    return waits


waits = waits_in_order((0.2, 0.5, 0.3), load=0.9)
rows = [(queue, seconds(wait), said(busy[queue].waiting)) for queue, wait in zip(WORDS, waits, strict=True)]
assert all(
    abs(wait - busy[queue].waiting.value) < busy[queue].waiting.half for queue, wait in zip(WORDS, waits, strict=True)
)
Table(["load 0.9", "Cobham, 1954", "simulated"], rows)

# %% [markdown]
# The two brackets in the denominator are the whole story. `before` is the load of those who go first: it stretches your wait
# because they *keep coming*. `upto` includes your own kind: when it reaches 1, your queue never empties, and the wait has no end.
#
# ## Change one thing
#
# Now a report takes half a minute instead of a second, and there are so many fewer of them that the work is the same. Charges still go
# first. Two workers, busy half of the time:

# %%
from simulate.service_times import ServiceTimes

LONG = 30
LONG_REPORTS = (*SHOP[:2], QueueLoad("reports", 0.3 / LONG, ServiceTimes(mean=LONG)))
EVERYBODY, KEPT_FREE = ["charges,receipts,reports"] * 2, ["charges,receipts,reports", "charges,receipts"]


def wait_of_charges(queues, workers_serve):
    played = priorities((0.5,), queues=queues, serves=workers_serve, design="inline", workers=2, replications=5)
    return played.points[0].queues[0].waiting


short, long, kept_free = (
    wait_of_charges(SHOP, EVERYBODY),
    wait_of_charges(LONG_REPORTS, EVERYBODY),
    wait_of_charges(LONG_REPORTS, KEPT_FREE),
)
assert long.value > 3 * short.value
assert kept_free.value < long.value / 2
rows = [
    ("short reports", "charges, receipts, reports", said(short)),
    ("long reports", "charges, receipts, reports", said(long)),
    ("long reports", "one of the two takes no reports", said(kept_free)),
]
Table(["", "the workers serve", "a charge waits"], rows)

# %% [markdown]
# Being first in line does not help you when both counters are taken by somebody who has brought a year's worth of coins. Nobody
# is interrupted: a job in progress is finished. The cure is not a higher priority (there is none) but **a worker that does not
# take the long ones**. In production that is one word on a command line:
#
# ```text
# minique worker --import shop.jobs --queues charges,receipts,reports
# minique worker --import shop.jobs --queues charges,receipts
# ```
#
# ## Exercise
#
# Your boss asks: *how much more can come before this queue starves?* All jobs take the same time on average, and `shares` are the
# queues' shares of the jobs, most urgent first. Say at which load (work that comes, over what the workers can do) the queue at `place`
# begins to starve; 0 is the most urgent one.


# %% tags=["exercise"]
def starves_from(shares, place):
    """The load from which the queue at that place waits ever longer."""
    ...


# %% tags=["check"]
from notebooks.showing import judge


def becomes(place, load):
    """What becomes of a queue's backlog at that load: played with the workers."""
    played = priorities((load,), queues=SHOP, design="inline", workers=4, jobs=4_000, replications=2)
    return "grows" if played.points[0].queues[place].grows.value > 0.15 else "settles"


shares = [queue.share for queue in SHOP]
loads = [starves_from(shares, place) for place in (1, 2)]
seen = loads[0] and [
    becomes(place, load * step) for place, load in zip((1, 2), loads, strict=True) for step in (0.9, 1.1)
]
judge(seen, ["settles", "grows", "settles", "grows"])

# %% [markdown]
# <details><summary>A hint</summary>
#
# Look at `upto` in the formula. Which shares are in it?
#
# </details>
#
# <details><summary>Our solution</summary>
#
# ```python
# def starves_from(shares, place):
#     return 1 / sum(shares[: place + 1])
# ```
#
# The queues *behind* it do not matter at all: for the receipts the reports might as well not exist. The check has played
# receipts and reports a tenth below and a tenth above what you say, and looked whether their backlogs grow.
#
# </details>
#
# ## What we now promise, and what it costs
#
# An urgent job waits for the urgent ones before it and for one worker to become free, no matter how many others wait. Somebody
# pays for it, to the second.

# %% tags=["promise"]
from notebooks.promises import promised_by

promised_by(5)
