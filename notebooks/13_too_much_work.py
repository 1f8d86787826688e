# %% [markdown]
# # 13 · Too much work
#
# > It is Christmas, and twice as many orders come as we can charge. Where do we put the rest?
#
# A queue is a promise: *later*. As long as there is a later in which less comes than we can do, it is a good promise. This lesson
# is about the day on which there is none.
#
# A customer waits for his charge for ten seconds. Then he closes the page, orders elsewhere, or calls us. A charge that is
# made after that is worse than none: the work was done, the money has to be given back. So what we count from now on is not
# throughput but **goodput**: charges per second that were done *in time to matter*.
#
# ## Predict
#
# Four workers, a second per charge: four charges a second can be done.
#
# 1. An advertisement runs on television, and four hundred orders come at once. The usual customers go on coming meanwhile. How long
#    does it take until nobody has to wait: if the usual load is three tenths, and if it is nine tenths?
# 2. For hours, eight orders come each second, twice as many as can be done. All are accepted. How many charges a second are in time?
# 3. What would you do: let everybody wait; refuse at the door when the queue is too long; throw away what has become too old;
#    serve the newest first?
#
# <details><summary>What we think</summary>
#
# 1. More than two minutes, and more than a quarter of an hour. What drains the queue is only what is *left* of the capacity.
# 2. None. Not half of them, not a few: none. The workers are busy all day, and everything they do is too late.
# 3. Anything but the first. Three different things to do, and each of them saves nearly all of the goodput.
#
# </details>
#
# ## Run
#
# ### The flood that ends
#
# Think of a bath: so much runs in each second, so much runs out, and the burst is on top. It is gone after the burst, divided by what
# is left of the capacity. Beside it: minique's workers on a clock that we turn, some times each.

# %%
from notebooks.showing import Table, seconds
from simulate.scenarios.overload import drain_times

BURST = 400
drained = drain_times((BURST,), (0.3, 0.6, 0.9), replications=4)


for point in drained.points:
    assert abs(point.seconds.value - point.predicted) < 2 * point.seconds.half
rows = [(f"{p.utilisation:g}", seconds(p.predicted), seconds(p.seconds.value, p.seconds.half)) for p in drained.points]
Table(["usual load", f"{BURST} at once are gone after", "simulated"], rows)

# %% [markdown]
# The same burst, the same workers: seven times as long. A system that looks fine at nine tenths has no strength left for
# a bad moment. Whoever buys machines for the usual load has bought no *recovery*.

# %%
assert drained.points[2].predicted > 7 * drained.points[0].predicted

# %% [markdown]
# ### The flood that does not end
#
# Now to the hours in which too much comes. The policies, all of them on the same customers:
#
# - **all wait**: minique as it is. Nothing is refused.
# - **refuse**: whoever enqueues looks at the backlog first, and if so many wait already he says *sorry, not now* at once.
# - **expire**: `expires_in`, an option of a job. What was not begun in time is dropped, and counted.
# - **newest first**: a list that is pushed at the wrong end.
#
# The second is a line in your web application, the third a word at the job:

# %%
from minique import connect, job
from minique.testing import ManualClock, drain


@job(queue="charges", expires_in=5)
def charge(order, cents):
    print("charged for order", order)


clock = ManualClock()
shop = connect("memory://", clock=clock)
early = shop.enqueue(charge, 44, 1999)
clock.advance(4)
late = shop.enqueue(charge, 45, 500)
clock.advance(2)  # all workers were busy until now
drain(shop)

assert (early.state(), late.state()) == ("gone", "done")
print("order 44:", early.state(), "· counted:", shop.overview().stats["expire"], "expired")

# %% [markdown]
# And what does it do for the goodput, as more and more come?

# %%
from simulate.scenarios.overload import Setting, overload

shop_of_four = Setting(workers=4, deadline=10.0, limit=20, expires=5.0)
LOADS = (0.5, 0.9, 1.1, 1.5, 2.0)
NAMES = {
    "unbounded": "all wait",
    "bounded": "refuse when 20 wait",
    "expiring": "expire after 5 s",
    "newest first": "newest first",
}
flood = overload(LOADS, policies=tuple(NAMES), setting=shop_of_four, jobs=1_600, replications=4)

# %% tags=["figure"]
from notebooks import drawing
from notebooks.showing import Picture

figure, axes = drawing.sheet(height=4.6)
axes.plot(
    [0, 1, 2.1], [0, 4, 4], color=drawing.QUIET_COLOUR, linestyle=":", linewidth=1.5, label="all that could be done"
)
STEPS = {"unbounded": 0, "bounded": -0.018, "expiring": 0.018, "newest first": 0.036}  # aside, so that none is hidden
for place, (policy, words) in enumerate(NAMES.items()):
    drawing.theory(axes, *zip(*flood.lines[policy], strict=True), "theory" if not place else None)
    points = [(point.utilisation + STEPS[policy], point.goodput) for point in flood.of(policy)]
    drawing.simulated(axes, *zip(*points, strict=True), words, drawing.COLOURS[place])
axes.annotate("busy all day,\nand everything too late", (1.5, 0.1), (1.36, 1.1), fontsize=9, color=drawing.COLOURS[0])
axes.set(xlabel="orders that come, over what four workers can do", xlim=(0.4, 2.1), ylim=(-0.2, 5.2))
axes.set_ylabel("charges done within ten seconds (per second)")
axes.legend(frameon=False, fontsize=9, ncols=3, loc="upper left")
Picture(figure, "goodput over load: when all wait it falls to nothing beyond one; three other policies stay near four")

# %%
at_two = {policy: flood.of(policy)[-1] for policy in NAMES}
rows = []
for policy, words in NAMES.items():
    point = at_two[policy]
    rows.append(
        (words, f"{point.goodput.value:.1f}", f"{point.done.value:.0%}", f"{sum(point.given_up.values()):.0%}",
         seconds(point.wait_p95.value))
    )  # fmt: skip

assert at_two["unbounded"].goodput.value == 0
assert at_two["unbounded"].done.value == 1
assert all(at_two[policy].goodput.value > 3.5 for policy in NAMES if policy != "unbounded")
Table(["load 2", "in time, per second", "done at all", "told no", "19 of 20 that were done waited at most"], rows)

# %% [markdown]
# Read the first row twice. Each order is done, nobody is told no, the queue has kept its promise to the letter, and *nobody* has any
# use of it.
#
# ## Why
#
# Let more come than can be done, by a little, and let all wait. Each customer waits a little longer than the one before. After a
# while the wait passes ten seconds. From then on **every** worker works on charges whose customers have left, and so the next one,
# who is still there, has to wait until they are through with them. The queue has turned into a machine that keeps work
# until it is worthless.
#
# The work that can be done in time is four per second, whatever you do; what you choose is only *whose*. The three other policies have one thing in
# common: they do not spend anything on work that is too late already. They differ in how it feels:
#
# | | who loses | when he knows |
# |---|---|---|
# | refuse | whoever comes at a bad moment | at once, while he can still do something about it |
# | expire | whoever waited for nothing | after the time has run out |
# | newest first | the oldest, who wait until the flood is over | never |
#
# *Newest first* looks splendid in the figure and has the ugliest tail in the table: those who are unlucky once are buried deeper by
# everyone who comes. It is here as a warning that goodput is not everything.
#
# Refusing seems rude, and is the kindest: a *no* now beats a *no* later. That is why web servers have a limit on their backlog and
# telephones an engaged tone.
#
# ## Change one thing
#
# Some orders matter more. Three in ten come from customers who have paid for it to matter. If only the *others* are refused, and
# those who matter go first:

# %%
PLAIN, URGENT = "bounded", "low first"
chosen = {
    policy: overload((2.0,), policies=(policy,), setting=shop_of_four, jobs=1_600, replications=4).points[0]
    for policy in (PLAIN, URGENT)
}
assert chosen[URGENT].critical.value > 0.99
assert chosen[PLAIN].critical.value < 0.6
rows = [
    ("refuse anybody", f"{chosen[PLAIN].goodput.value:.1f}", f"{chosen[PLAIN].critical.value:.0%}"),
    ("refuse the others", f"{chosen[URGENT].goodput.value:.1f}", f"{chosen[URGENT].critical.value:.0%}"),
]
Table(["load 2", "in time, per second", "of those who matter, in time"], rows)

# %% [markdown]
# Twice as much work as can be done, and *all* who matter are charged in time. The goodput fell, for the others now wait behind them
# longer than the limit was made for: a shorter queue for them would bring it back. Try it: `limit` is an argument.
#
# ## Exercise
#
# The server was down for some minutes, and the orders of that time are waiting. Now it is up again. Say **after how many seconds nobody
# waits any longer**, for an outage of so many seconds and a usual load (orders that come, over what the workers can do).
# You do not need to know how many workers there are.


# %% tags=["exercise"]
def recovered_after(outage, load):
    """Seconds from the end of the outage until nobody waits."""
    ...


# %% tags=["check"]
from notebooks.showing import judge


def what_happens(outage, load):
    """All orders of the outage at once, on top of the usual ones; the mean of some runs."""
    piled_up = round(load * shop_of_four.capacity * outage)
    return drain_times((piled_up,), (load,), setting=shop_of_four, replications=4).points[0].seconds.value


cases = [(600, 0.3), (300, 0.6)]
judge([recovered_after(*case) for case in cases], [what_happens(*case) for case in cases], within=0.15)

# %% [markdown]
# <details><summary>A hint</summary>
#
# How many orders have piled up? And how many more than come can be done each second? The capacity is in both, and cancels.
#
# </details>
#
# <details><summary>Our solution</summary>
#
# ```python
# def recovered_after(outage, load):
#     return outage * load / (1 - load)
# ```
#
# At half load an outage costs as much again as it lasted. At nine tenths, nine times as much. It is worth knowing before
# somebody asks you when all will be well again.
#
# </details>
#
# ## What we now promise, and what it costs
#
# With a limit or an expiry, what we accept we do in time, and what we do not accept we say so. That is a smaller promise than *later*,
# and one that can be kept.

# %% tags=["promise"]
from notebooks.promises import promised_by

promised_by(13)
