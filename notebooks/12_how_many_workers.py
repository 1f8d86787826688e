# %% [markdown]
# # 12 · How many workers?
#
# > Four orders come each second, and a charge takes a second. So we need four workers, don't we?
#
# This question comes up in every project, usually shortly before something goes live, and is usually answered by a number that somebody
# likes. There are better answers. But first one has to say what is *wanted*: "fast" is no goal. Ours is: **nineteen of twenty charges
# begin within two seconds.**
#
# ## Predict
#
# 1. Four orders a second, a second per charge: four workers would be busy all the time. How many do we need for our goal: 4, 5, 6, 8?
# 2. Another shop, the same numbers, but there most charges take half a second, and a few take ten. The *average* is the same. Do they need as many?
# 3. We grow: sixteen times as many orders. Sixteen times as many workers?
# 4. Orders come by day, hardly any by night. What do we save if we ask *hour by hour*?
#
# <details><summary>What we think</summary>
#
# 1. With four the wait has no end. It takes six, if the charges are as chance has it, and they will be idle a third of the time.
# 2. No, more. Variance is paid in workers.
# 3. Far fewer. Large shops are cheap: what is too much at one counter finds another one free.
# 4. In our little shop, two fifths.
#
# </details>
#
# ## Run
#
# ### The number and the shape
#
# The workers that ship, more and more of them, on the same orders. Three shops, with the same average: charges that all take a second;
# charges as chance has it (exponential); and many short ones with a few long ones among them. How uneven they are is said by one number,
# the *squared variation*: the variance over the mean squared. It is nothing when all are alike.

# %%
from simulate.scenarios.staffing import waits_by_workers
from simulate.service_times import ServiceTimes

GOAL_SECONDS, PERCENT = 2.0, 95
SHOPS = {
    "all take a second": ServiceTimes("fixed", 1.0),
    "as chance has it": ServiceTimes("exponential", 1.0),
    "many short, a few long": ServiceTimes("lognormal", 1.0, variation=8.0),
}
NUMBERS = (5, 6, 7, 8, 10)
tried = waits_by_workers(NUMBERS, tuple(SHOPS.values()), rate=4.0, percent=PERCENT, jobs=1_500, replications=4)

# %% tags=["figure"]
import numpy as np

from notebooks import drawing
from notebooks.showing import Picture
from simulate.intervals import Interval
from simulate.theory import mmc_wait_percentile

figure, axes = drawing.sheet(height=4.4)
for place, (name, shape) in enumerate(zip(SHOPS, tried.shapes, strict=True)):
    aside = (place - 1) * 0.12
    known = [(one.workers + aside, one.waiting) for one in shape.points if isinstance(one.waiting, Interval)]
    drawing.simulated(axes, *zip(*known, strict=True), name, drawing.COLOURS[place])
line = [(n, mmc_wait_percentile(4.0, 1.0, n, PERCENT)) for n in NUMBERS]
drawing.theory(axes, *zip(*line, strict=True), "theory, as chance has it (Erlang)")
axes.axhline(GOAL_SECONDS, color=drawing.QUIET_COLOUR, linestyle=":", linewidth=1.5, label="our goal")
axes.axvline(4, color=drawing.QUIET_COLOUR, linewidth=1.5)
axes.annotate("with four,\nthe wait has\nno end", (4.05, 24), fontsize=9, color="#555555", va="top")
axes.set(yscale="symlog", ylim=(-0.1, 40), yticks=[0, 1, 2, 5, 10, 20], yticklabels=["0", "1", "2", "5", "10", "20"])
axes.set(xlim=(3.9, 10.4), xlabel="workers", ylabel="wait that 19 of 20 do not exceed (s)")
axes.legend(frameon=False, fontsize=9, loc="upper right")
Picture(
    figure,
    "the wait that 19 of 20 do not exceed falls steeply with the number of workers; uneven work needs more of them",
)

# %%
from notebooks.showing import Table

enough = {name: shape.enough(GOAL_SECONDS) for name, shape in zip(SHOPS, tried.shapes, strict=True)}
assert None not in enough.values()
assert enough["as chance has it"] == 6
assert enough["all take a second"] <= enough["as chance has it"] < enough["many short, a few long"]
Table(
    ["charges", "squared variation", "workers for our goal", "busy"],
    [(name, f"{kind.squared_variation:g}", enough[name], f"{4 / enough[name]:.0%}") for name, kind in SHOPS.items()],
)

# %% [markdown]
# The last column is what somebody from accounting will ask about: *a third of the time they do nothing!* They do. What they do then is to be
# **there** when somebody comes. You can have busy workers or customers who do not wait. You cannot have both.
#
# And see how steep it is at the left: one worker more cuts the wait to a fraction. A decision between five and six is not a decision about
# a sixth.
#
# ### A bigger shop
#
# For charges as chance has it there is a formula, found a hundred years ago by somebody who staffed telephone exchanges (A. K. Erlang). So
# we can go far beyond what anybody would want to simulate. To make it hard: nineteen of twenty need not wait *at all*.

# %%
from itertools import count

from simulate.theory import erlang_c


def nobody_waits(orders):
    """How many workers it takes so that nineteen of twenty need not wait at all; a charge takes a second."""
    return next(workers for workers in count(orders + 1) if erlang_c(workers, orders) <= 1 - PERCENT / 100)


rows, spare = [], {}
for orders in (4, 16, 64, 256):
    workers = nobody_waits(orders)
    spare[orders] = workers - orders
    rows.append((orders, workers, spare[orders], f"{orders / workers:.0%}", f"{spare[orders] / orders**0.5:.1f}"))

assert 1.6 < spare[64] / spare[16] < 2.4
assert 1.6 < spare[256] / spare[64] < 2.4
Table(["orders a second", "workers", "more than the bare work", "busy", "more, over √orders"], rows)

# %% [markdown]
# Four times as many orders need only *twice* as many spare workers. The last column hardly changes: this is the **square-root rule**, and
# it is nearly all of capacity planning. Bad luck does not add up, it averages out: when many come at one counter, few come at another.
# It is also the reason why one queue for all counters beats one queue for each.
#
# ## Why
#
# Why does uneven work cost workers? Stand behind a customer in a shop with one counter. How long will it take? You have not come at *any*
# moment of *any* charge: you have come, most likely, in the middle of a **long** one, since long ones take up most of the time. So it is
# not the average that you wait for. It is the average *weighted with itself*, and that is where the square comes from:


# %%
def you_wait_for_the_one_in_front(kind):
    """The mean rest of the charge in progress, when you come at a random moment: E[S²] / 2 E[S]."""
    return kind.mean * (1 + kind.squared_variation) / 2


seen = {}
for name, kind in SHOPS.items():
    charges = kind.draw(200_000, np.random.default_rng(1))
    begins = np.concatenate(([0.0], np.cumsum(charges)))
    you_come = np.random.default_rng(2).uniform(0, begins[-1], 50_000)
    seen[name] = np.mean(begins[np.searchsorted(begins, you_come)] - you_come)
    assert abs(seen[name] - you_wait_for_the_one_in_front(kind)) < 0.15 * seen[name]
Table(
    ["charges", "the rest, in theory", "the rest, tried"],
    [(name, f"{you_wait_for_the_one_in_front(kind):.2f} s", f"{seen[name]:.2f} s") for name, kind in SHOPS.items()],
)

# %% [markdown]
# The same average, and nine times the wait for the one in front of you. So before you ask *how many workers*, ask **how uneven is the work?** If you can
# cut the long ones into pieces, or give them a queue and a worker of their own (lesson 05), that may be worth more than a new machine.
#
# ## Change one thing
#
# So far orders came evenly all day. They do not. Here is a day of a shop with its night and its noon, and each hour asked by
# itself. The answer is then *played* with minique's workers, who are started and told to go as the hours pass; where a window misses the goal it gets
# more, and all is played again.

# %%
from simulate.plan import Goal
from simulate.scenarios.staffing import staffing
from simulate.workload import Load, generate

MEAN_RATE, CHARGE_SECONDS = 0.06, 30.0  # a small shop, whose charges take half a minute
DAY_SECONDS = 86_400
orders = generate("daily", 5_500, seed=3, rate=MEAN_RATE, service=ServiceTimes("exponential", CHARGE_SECONDS))
by_day = orders.arrived < DAY_SECONDS
day = Load("a day", orders.words, orders.arrived[by_day], orders.service[by_day])
staffed = staffing(day, Goal(seconds=30.0, percent=PERCENT), design="inline")

# %% tags=["day"]
assert staffed.why_none is None
figure, axes = drawing.sheet(height=3.8)
hours = [window.begins / 3600 for window in staffed.windows]
axes.bar(hours, [window.workers for window in staffed.windows], width=0.9, align="edge", color=drawing.COLOURS[1], alpha=0.35,
         label="workers, hour by hour")  # fmt: skip
bare = [window.offered for window in staffed.windows]
axes.step([*hours, 24], [*bare, bare[-1]], where="post", color=drawing.COLOURS[0], linewidth=2,
          label="the bare work that comes")  # fmt: skip
axes.axhline(
    staffed.constant, color=drawing.QUIET_COLOUR, linestyle=":", linewidth=1.5, label="the same number all day"
)
axes.set(
    xlabel="hour of the day", ylabel="workers", xlim=(0, 24), xticks=range(0, 25, 3), ylim=(0, staffed.constant * 1.35)
)
axes.legend(frameon=False, fontsize=9, loc="upper left", ncols=3)
Picture(
    figure, "workers hour by hour, a little above the work that comes; a constant number lies at the height of noon"
)

# %%
late = max(window.waiting for window in staffed.windows if window.waiting is not None)
assert late < 30
assert 0.55 < staffed.worker_hours / staffed.constant_worker_hours < 0.65
print(
    f"hour by hour {staffed.worker_hours:.0f} worker hours; the same number all day {staffed.constant_worker_hours:.0f}"
)
print(f"the worst hour: 19 of 20 begin within {late:.0f} s, as played")

# %% [markdown]
# Your own day is better than ours. If you have a log of when your jobs came and how long they took, or a running minique, ask with that:
#
# ```text
# python -m simulate record --url redis://… --output last-week.jsonl …
# python -m simulate plan --trace last-week.jsonl --percent 95 --wait 5 --growth 1.3
# ```
#
# It answers with a margin, and *refuses* to answer when the log is too short to know, or when no number of workers would do.
#
# ## Exercise
#
# You have measured what you need today. Next year there will be more. Say **how many workers you will need**, by the square-root
# rule. `orders` and `workers` are today's, charges take a second, and `times` is how many times as many orders will come.


# %% tags=["exercise"]
def workers_needed(orders, workers, times):
    """The number for the same goal, with so many times as many orders."""
    ...


# %% tags=["check"]
from notebooks.showing import judge

today = nobody_waits(100)
truth = [nobody_waits(100 * times) for times in (2, 4, 9)]
judge([workers_needed(100, today, times) for times in (2, 4, 9)], truth, within=0.012)

# %% [markdown]
# <details><summary>A hint</summary>
#
# The bare work grows with `times`; the *spare* workers with its square root.
#
# </details>
#
# <details><summary>Our solution</summary>
#
# ```python
# def workers_needed(orders, workers, times):
#     spare = workers - orders
#     return round(orders * times + spare * times**0.5)
# ```
#
# `workers * times` is always too many, and the larger you are the more so.
#
# </details>
#
# ## What we now promise, and what it costs
#
# A wait for nineteen of twenty, if you tell us how many come, how long they take and how *unevenly*. The price is workers who do nothing for part of
# their time. They are not idle. They are available.

# %% tags=["promise"]
from notebooks.promises import promised_by

promised_by(12)
