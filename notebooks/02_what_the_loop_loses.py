# %% [markdown]
# # 02 · What the loop loses
#
# > The program died in the middle of a charge, and somebody has started it again. Was the customer charged, or not, or twice?
#
# Programs die. The machine is switched off, the memory is full, somebody deploys, a cable is pulled. The program does not
# see it coming, and does not get to say goodbye: between one line and the next it is gone.
#
# What survives is what lies outside of it: the table, and the bank. So let us look at the two lines of the loop that touch
# these two. Here they are, in the daemon that ships:

# %%
from naive_daemon import daemon
from notebooks.showing import source_of

source_of(daemon.do)

# %% [markdown]
# It *does* the work, then it *marks* the row as done. One could as well do it the other way round:


# %%
def mark_then_do(database, row, work, clock):
    database.mark_done(row, clock())
    work(row)


# %% [markdown]
# ## Predict
#
# The charge is three lines: read the order, tell the bank, send a receipt. Imagine the program being killed before *each line*
# of `do` and of the charge. Then it is started again, looks in the table, and does what it finds there.
#
# 1. With **do, then mark**: before which lines is a death harmless? Where is the customer charged twice? Is there a line where
#    the charge is lost?
# 2. With **mark, then do**: the same questions.
# 3. Is there a third order of these lines that is always right?
#
# <details><summary>What we think</summary>
#
# 1. Up to the line that tells the bank, a death is harmless: the row is still there and is done again, for the first time.
#    From then until the row is marked, the customer pays twice. Nothing is ever lost.
# 2. Just the reverse: from the mark until the bank has been told, the charge is lost, and nobody will ever know. Nothing is
#    ever done twice.
# 3. No. Two things are to be changed that have no common commit, the table and the bank. One comes first.
#
# </details>
#
# ## Run
#
# We need a way to die before a chosen line. Python can be asked to call us before every line that it runs; we answer with an
# exception that no `except` in the program catches. Seen from outside that is a program that is gone: what it has written is
# written, and nothing more comes.

# %%
from naive_daemon.database import Database
from notebooks.crashing import die_before
from notebooks.shop import Bank


def one_charge(do, death=None):
    """The program dies before the line of that number, and is started again. What was run, and what says the bank?"""
    bank, receipts, table = Bank(), [], Database()
    table.add("charge", [44, 1999], now=0)

    def charge(row):
        order, cents = row.arguments
        bank.charge(order, cents)
        receipts.append(order)

    def look():  # what the loop does between two sleeps
        for row in table.due(now=0):
            do(table, row, charge, clock=lambda: 0)

    lines = die_before(death, look, inside=(do, charge))
    look()  # somebody has started it again
    return lines, bank.outcome(44)


# %% [markdown]
# First without any death: which lines are run, and in which order?

# %%
lines, outcome = one_charge(daemon.do)
assert outcome == "done"
for line in lines:
    print(f"{line.function:8} {line.text}")

# %% [markdown]
# Now a death before each of them, in both programs. And since exceptions are not the real thing, we also take a real process
# with a real SQLite file and send it a real `kill -9`, just before and just after it has told the bank.

# %%
from notebooks.crashing import WHERE, really_killed

PROGRAMS = {"do, then mark": daemon.do, "mark, then do": mark_then_do}
outcomes = {}
for title, do in PROGRAMS.items():
    lines, _ = one_charge(do)
    outcomes[title] = [one_charge(do, death)[1] for death in range(len(lines) + 1)]

told = next(n for n, line in enumerate(one_charge(daemon.do)[0]) if "bank.charge" in line.text)
assert [really_killed(where) for where in WHERE] == outcomes["do, then mark"][told : told + 2], "as the model says"

# %% tags=["figure"]
from notebooks import drawing
from notebooks.showing import Picture

WORDS = {"done": "charged once", "twice": "charged twice", "lost": "never charged"}

figure, panels = drawing.sheet(1, 2, height=3.6)
for axes, (title, do) in zip(panels, PROGRAMS.items(), strict=True):
    lines, _ = one_charge(do)
    texts = [f"{'    ' if line.function == 'charge' else ''}{line.text}" for line in lines]
    drawing.listing(axes, title, [*texts, "(after the last line)"], [(WORDS[o], o) for o in outcomes[title]])
panels[1].set_ylim(panels[0].get_ylim())  # lines as far apart as on the left

for n in range(len(WHERE)):
    drawing.cross_at_line(panels[0], told + n, "really killed here" if n == 0 else None)
panels[0].legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(0.3, 0.02))
figure.suptitle("killed just before this line, and started again: the customer was …", fontsize=10)
Picture(figure, "two programs line by line; a death between the bank and the mark charges twice, or never")

# %%
assert "lost" not in outcomes["do, then mark"]
assert "twice" not in outcomes["mark, then do"]
print("do, then mark:", outcomes["do, then mark"])
print("mark, then do:", outcomes["mark, then do"])

# %% [markdown]
# ## Why
#
# There are two things that remember: the table and the bank. Each can be changed in one stroke, but not both in *one and the
# same* stroke. Between the two strokes there is always a moment when one knows and the other does not. A program that dies
# in that moment leaves the two disagreeing, and all that you choose is *which of them is right*:
#
# | | the table says | the bank says | so the next run |
# |---|---|---|---|
# | do, then mark | still to do | taken | does it **again** |
# | mark, then do | done | nothing | does **nothing** |
#
# The first is called **at-least-once**: none is forgotten, some may happen twice. The second is **at-most-once**: none twice,
# some never. You cannot build the third out of these two lines; what is sold as *exactly once* is the first one, with a bank
# that notices.
#
# Is the moment not very short? A microsecond, if the machine is idle. But the line that tells the bank *waits* for
# the bank: seconds, on a bad day. And on a bad day programs are killed, because they hang, and
# somebody has lost patience. Bad days come with both.
#
# And which is better? For a newsletter perhaps the second. For money the first, since what was done twice can be *found*: the
# bank has it twice on paper. What was forgotten leaves no trace anywhere.
#
# ## Change one thing
#
# No death at all this time. But the evening was busy, so somebody started a second daemon, to help:

# %%
from simulate.virtual_time import Hub

hub, bank, table = Hub(), Bank(), Database()


def slow_charge(row):
    order, cents = row.arguments
    hub.sleep(1)  # the bank takes a second
    bank.charge(order, cents)


for order in (44, 45, 46):
    table.add("charge", [order, 1999], now=0)
with hub:
    for start in (0, 0.5):
        hub.spawn(lambda: daemon.run(table, slow_charge, clock=hub.clock, sleep=hub.sleep), at=start)
    hub.run(until=60)

assert {bank.outcome(order) for order in (44, 45, 46)} == {"twice"}
bank.statement((44, 45, 46))

# %% [markdown]
# Both looked, both found rows that were not marked *yet*, both did them. The gap between the look and the mark is the same gap as
# before, and it does not even take a death to fall into it. `naive_daemon/claiming.py` is what people write
# next; lesson 08 shows what it takes to get that right.
#
# ## Exercise
#
# Do, then mark, may charge twice. But a customer need not *notice*. This bank, like many, takes a `key` with a charge: any text
# you like, and a second charge with the same key changes nothing. Write the charge so that dying before any line is
# harmless. Which key?


# %% tags=["exercise"]
def careful_charge(bank, row):
    """Charges the order that the row names, at most once however often it is called."""
    ...


# %% tags=["check"]
from notebooks.showing import judge


def seen_by_two_customers(charge, death):
    bank, table = Bank(), Database()
    for order in (44, 45):
        table.add("charge", [order, 1999], now=0)

    def look():
        for row in table.due(now=0):
            daemon.do(table, row, lambda row: charge(bank, row), clock=lambda: 0)

    die_before(death, look, inside=(daemon.do, charge))
    look()
    return [bank.outcome(order) for order in (44, 45)]


seen = {outcome for death in range(20) for outcome in seen_by_two_customers(careful_charge, death)}
judge(sorted(seen), ["done"])

# %% [markdown]
# <details><summary>A hint</summary>
#
# The key must be the same when the same charge is done again, and another for every other charge. A random number is the
# wrong key, and so is the time.
#
# </details>
#
# <details><summary>Our solution</summary>
#
# ```python
# def careful_charge(bank, row):
#     order, cents = row.arguments
#     bank.charge(order, cents, key=f"charge of order {order}")
# ```
#
# Work that may be done again without harm is called **idempotent**. It is not the queue that can give you that; only the work
# itself can, together with whoever it talks to.
#
# </details>
#
# ## What we now promise, and what it costs
#
# From here on we want nothing less: *do, then mark*, at-least-once. (One lesson will forget it for a moment. See whether you
# notice.) The price is always the same, and it is fair to name it: your work has to bear being done again.

# %% tags=["promise"]
from notebooks.promises import promised_by

promised_by(2)
