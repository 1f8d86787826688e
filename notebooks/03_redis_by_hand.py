# %% [markdown]
# # 03 · Redis by hand
#
# > Redis is a dictionary in another process, isn't it? What has it that my table has not, and which part of it is a queue?
#
# Before we build a queue we take the material into our hands. Redis (and Valkey, which is the same for us) keeps *keys*, and
# behind each key one of a few *shapes*. Everything it can do, it does by one command at a time, sent as text by somebody like
# you. So let us be that somebody.
#
# The server below is a real Valkey. It comes out of a Python package, lives in a folder of its own, and ends with
# this notebook.

# %%
from notebooks.peek import a_private_server

redis = a_private_server()
redis("PING", "SET greeting hello", "GET greeting", "DEL greeting", "GET greeting")

# %% [markdown]
# What stands behind `>` is what you would type into `redis-cli`; below it is what the server answers. `(nil)` means: there is
# no such key.
#
# ## Predict
#
# 1. There are four shapes to know: a **list** (in order, both ends are open), a **hash** (fields with values), a **set** (no order,
#    nothing twice), a **sorted set** (nothing twice, each with a number, sorted by it). Which one for
#    *(a)* orders in the sequence in which they came, *(b)* the details of one order, *(c)* who is online,
#    *(d)* orders to be charged at a given time?
# 2. Two workers share a list of orders. Each of them *looks* at the first order, then *takes it off* the list, then charges
#    the customer. Each command is atomic: nobody sees it half done. Can anything go wrong?
# 3. If so: in how many of the ways in which their commands can meet?
#
# <details><summary>What we think</summary>
#
# 1. *(a)* a list, *(b)* a hash, *(c)* a set, *(d)* a sorted set, with the time as the number.
# 2. Yes. Between your look and your taking somebody else may look, and take. One order is charged twice and *another one
#    vanishes*.
# 3. There are six ways, and four of them go wrong. All but those in which one worker is through before the other begins.
#
# </details>
#
# ## Run
#
# ### A list: first come, first served
#
# Push to the right, pop from the left. Watch what the server holds after each command.

# %%
redis.steps("RPUSH orders 44", "RPUSH orders 45 46", "LINDEX orders 0", "LPOP orders", "LLEN orders", "LPOP orders 2")

# %% [markdown]
# Look at the last line: a list from which everything has been taken is *gone*, key and all. There is no such thing as an empty list,
# and so you need never create one.
#
# ### A hash: one thing and its fields

# %%
redis.steps("HSET order:44 customer ada cents 1999", "HGET order:44 cents", "HINCRBY order:44 tries 1", "DEL order:44")

# %% [markdown]
# ### A set: there or not
#
# The reply says whether anything has changed. Remember that; it is worth more than it looks.

# %%
redis.steps(
    "SADD online ada", "SADD online bob ada", "SADD online ada", "SREM online ada", "SREM online ada", "DEL online"
)

# %% [markdown]
# ### A sorted set: by a number
#
# Give each member a time as its number, and “what is due by now?” is one command, however many there are that are not.

# %%
redis.steps("ZADD due 60 order:44 30 order:45 90 order:46", "ZRANGEBYSCORE due -inf 70", "ZREM due order:45", "DEL due")

# %% [markdown]
# ### Two workers, two commands each
#
# Now the second question. Here is a worker as one might write it. `ask` sends one command and returns the reply.


# %%
def look_and_take(ask):
    order = ask("LINDEX orders 0")  # which one is first?
    ask("LPOP orders")  # take it off the list
    return order  # and charge it


# %% [markdown]
# Two of these share a server, `A` and `B`. Who sends next is not for us to decide: it is the network's mood, and the operating
# system's. So we try *every* order in which their four commands can arrive, with the real server answering.

# %%
from notebooks.interleaving import every_interleaving
from notebooks.shop import Bank
from notebooks.showing import Table


def all_the_ways(worker):
    """Every way in which the commands of two workers can meet, and what the customers of two orders see."""

    def begin():
        redis.clear()
        redis.ask("RPUSH orders 44 45")

    for story in every_interleaving({"A": worker, "B": worker}, redis.ask, begin):
        bank = Bank()
        for order in story.results.values():
            bank.charge(int(order), 1999)
        yield story, bank


ways = list(all_the_ways(look_and_take))
assert len(ways) == 6
assert sum(bank.outcome(45) == "lost" for _, bank in ways) == 4
Table(
    ["who sends", "order 44", "order 45"], [(story.order, bank.outcome(44), bank.outcome(45)) for story, bank in ways]
)

# %% [markdown]
# Only where one is through before the other begins is all well. In the other four both look at the same order, and then
# both take *one* off the list: the second to take throws away an order that nobody has looked at. Here is the
# second of these ways, step by step:

# %% tags=["figure"]
from notebooks import drawing
from notebooks.showing import Picture

story, bank = ways[1]
left = [["44", "45"]]
for step in story.steps:
    assert step.reply == left[-1][0]
    left.append(left[-1][1:] if step.command.startswith("LPOP") else left[-1])
colour = {"44": drawing.STATE_COLOURS["twice"], "45": drawing.STATE_COLOURS["lost"]}

figure, axes = drawing.sheet(height=3.3)
drawing.bare(axes, (-0.75, 6.9), (-0.35, 3.9))
for name, y in (("orders", 3), ("worker A", 2), ("worker B", 1)):
    axes.text(-0.7, y, name, va="center", fontsize=10, weight="bold")
    axes.axhline(y - 0.5, color="#dddddd", linewidth=0.8, zorder=1)
for n, orders in enumerate(left):
    x = 0.35 + 1.3 * n
    drawing.chips(axes, x, 3, orders, [colour[order] for order in orders], size=0.42)
    if not orders:
        axes.text(x, 3, "(nothing)", fontsize=9, color="#555555", va="center")
    step = story.steps[n - 1] if n else None
    axes.text(x, 3.65, f"{n}" if n else "to begin with", fontsize=9, color="#555555")
    for name, y in (("A", 2), ("B", 1)):
        if step and step.program == name:
            axes.text(x, y + 0.12, step.command.split()[0], fontsize=9, family="monospace", va="bottom")
            unseen = step.command.startswith("LPOP") and step.reply != story.results[name]
            axes.text(x, y - 0.12, f"→ {step.reply}" + unseen * ", not looked at", fontsize=9, va="top")
axes.text(0.35, 0.1, f"44 is charged by both: {bank.outcome(44)}", fontsize=10, color=colour["44"], weight="bold")
axes.text(4.25, 0.1, f"45 is charged by nobody: {bank.outcome(45)}", fontsize=10, color=colour["45"], weight="bold")
Picture(figure, "two workers look at order 44, then each takes one off the list; 44 is charged twice, 45 never")

# %% [markdown]
# ## Why
#
# Redis has one thread for commands. It takes one, does it whole, answers, takes the next. So a *single* command can never
# be seen half done, and never has to wait for a lock. That is all that “atomic” means here.
#
# But `LINDEX` and then `LPOP` are two. Between them the server is free for anybody, and what you have learnt by looking is *old* by
# the time you act on it. The worker above did not lose the order by bad luck in some microsecond; it lost it because it
# **decided on one command and acted by another**.
#
# It is the very gap of the lesson before, between the look into the table and the mark. There a database
# would offer you a lock or a transaction. Redis offers something simpler: choose the *one* command that looks and takes
# at once. `LPOP` returns what it has taken off. That is all a worker needs:


# %%
def take(ask):
    return ask("LPOP orders")


ways = list(all_the_ways(take))
assert all(bank.outcome(44) == bank.outcome(45) == "done" for _, bank in ways)
Table(
    ["who sends", "order 44", "order 45"], [(story.order, bank.outcome(44), bank.outcome(45)) for story, bank in ways]
)

# %% [markdown]
# And when there is no such command? Then you bring your own. The server runs a small program in Lua as if it were one
# command: whole, with nobody in between.
#
# ## Change one thing
#
# The very same two steps, look and take, now inside a script:

# %%
SCRIPT = """
local order = redis.call('LINDEX', KEYS[1], 0)
redis.call('LPOP', KEYS[1])
return order
"""


def look_and_take_in_a_script(ask):
    return ask(f'EVAL "{SCRIPT}" 1 orders')


ways = list(all_the_ways(look_and_take_in_a_script))
assert all(bank.outcome(44) == bank.outcome(45) == "done" for _, bank in ways)
Table(
    ["who sends", "order 44", "order 45"], [(story.order, bank.outcome(44), bank.outcome(45)) for story, bank in ways]
)

# %% [markdown]
# minique is made of such scripts, one for each thing that can happen to a job. This is the shortest that decides something. Do
# not mind what it is for (lesson 08 will say); look at its *shape*: read, decide, then write.

# %%
from importlib.resources import files

print(files("minique.scripts").joinpath("renew.lua").read_text())

# %% [markdown]
# ## Exercise
#
# Orders that are to be charged later wait in a sorted set: `ZADD due 10 44 10 45 99 46` says that 44 and 45 are due at second 10, and
# 46 at second 99. Write a worker that takes *one order that is due*, with commands that you have seen above and without a script. Two of
# them must come home with one each, in whatever way their commands meet, and leave 46 where it is.


# %% tags=["exercise"]
def take_one_that_is_due(ask, now):
    """Takes an order that is due by now off the sorted set `due`, and returns it; None if there is none."""
    ...


# %% tags=["check"]
from notebooks.showing import judge


def begin():
    redis.clear()
    redis.ask("ZADD due 10 44 10 45 99 46")


def worker(ask):
    return take_one_that_is_due(ask, now=20)


came_home = set()
for story in every_interleaving({"A": worker, "B": worker}, redis.ask, begin):
    came_home.add((*sorted(map(str, story.results.values())), *redis.ask("ZRANGE due 0 -1")))
judge(sorted(came_home), [("44", "45", "46")])

# %% [markdown]
# (The check lists what the two came home with, and what was left on the server, for every way in which their commands can meet.)
#
# <details><summary>A hint</summary>
#
# `ZREM` answers 1 if *you* have removed it, and 0 if somebody else was faster.
#
# </details>
#
# <details><summary>Our solution</summary>
#
# ```python
# def take_one_that_is_due(ask, now):
#     for order in ask(f"ZRANGEBYSCORE due -inf {now}"):
#         if ask(f"ZREM due {order}") == 1:
#             return order
# ```
#
# The look may be old by the time of the `ZREM`. That does no harm any more, since the `ZREM` itself decides who has it. Many a scheduler
# works this way; lesson 09 says what is still wrong with it.
#
# </details>
#
# ## What we now promise, and what it costs
#
# A worker that takes by one command has it alone. But look again at `LPOP`: what it has taken is *nowhere* now but in the worker's
# hand. Lesson 02 has taught you to ask the next question. What if it dies?

# %% tags=["promise"]
from notebooks.promises import promised_by

promised_by(3)
