# %% [markdown]
# # 09 · Later, and again and again
#
# > Charge this customer in thirty days, and then every night at half past two. Do I need cron for that, and what if the machine with
# > cron is down?
#
# So far everything was to be done *now*. Two wishes are left: *later, once* (“when the trial month is over”) and *again and
# again* (“every night”). Both are done by one more small part, the **scheduler**. It does no work itself. It only
# puts into a queue what is due.
#
# ## Predict
#
# 1. A scheduler looks every ten seconds for what is due. How late is a charge, on average? (You have met this one.) Never to be more than a
#    hundredth of a second late, how often would it have to look in a day?
# 2. For safety you run two schedulers on two machines. Both know that the report is to be made at 03:00. How
#    many reports?
# 3. Berlin, `30 2 * * *`: every night at half past two. On the last Sunday in March the clock jumps from two to three. In October
#    it is turned back from three to two. How often does it fire in each of these nights?
#
# <details><summary>What we think</summary>
#
# 1. Five seconds: the saw of lesson 01. And more than eight million times, almost always for nothing.
# 2. Two, unless they agree. They need not know each other for that; but both must ask the same server.
# 3. If you compare with the clock on the wall: never in March, twice in October. If you think: once a night.
#
# </details>
#
# ## Run
#
# ### A shelf, sorted by time
#
# A delayed job lies in a sorted set, with the time at which it is due. Let us look, with a clock that we turn by hand:

# %%
from minique import Registry, connect, job
from minique.testing import ManualClock
from notebooks.peek import Names, look_into

registry = Registry()


@job(queue="charges", registry=registry)
def charge(order, cents): ...


clock = ManualClock()
mq = connect("memory://", clock=clock)
names = Names(zero=clock.now)
for order, seconds in ((44, 60), (45, 30), (46, 90)):
    mq.enqueue_in(seconds, charge, order, 1999)

look_into(mq, names)

# %% [markdown]
# Whoever was put on the shelf last is not the last to go: it is sorted by time. To *promote* is to move what is due by now to its
# queue:

# %%
clock.advance(70)
mq.store.promote(clock.stamp(), limit=100)

look_into(mq, names)

# %% [markdown]
# Two have moved, one is still there. On the server this is one script: read what is due, take it off the shelf, put it into the queue, with
# nobody in between. Here is what it sends there (on a real server this time):

# %%
from notebooks.peek import a_private_queue, commands_of

on_server = a_private_queue(clock=(its_clock := ManualClock()))
on_server.enqueue_in(60, charge, 44, 1999)
its_clock.advance(60)
commands_of(on_server, lambda: on_server.store.promote(its_clock.stamp(), limit=100), Names(zero=its_clock.now - 60))

# %% [markdown]
# ### How late?
#
# Who calls `promote`, and when? The simple scheduler looks every so often. The better one *knows when the next is due*, since it
# is the first on the shelf, and rests until then. (And if somebody puts something before it meanwhile, a bell rings. You know that
# bell from lesson 04: it is a list with a blocked pop.) Both on the same shelf:

# %%
import numpy as np

from minique.events import Events
from minique.scheduler import Scheduler
from simulate.intervals import mean_interval


def how_late(due, look_every=None):
    """How many seconds after it was due each job was promoted; without `look_every` as the scheduler itself wants."""
    clock = ManualClock(0.0)
    mq = connect("memory://", clock=clock)
    for moment in due:
        mq.enqueue_in(float(moment), charge, 44, 1999)
    promoted = []
    scheduler = Scheduler(mq.store, clock, Events(lambda event, fields: promoted.append(fields["jobs"])), "kim")
    late = []
    while len(late) < len(due):
        rest = scheduler.tick()
        late += [clock.now - moment for moment in due[len(late) : sum(promoted)]]
        clock.advance(look_every or rest)
    return late


intervals = [0.5, 1, 2, 5, 10, 20, 30]
loads = [np.sort(np.random.default_rng(seed).uniform(0, 600, 60)) for seed in range(8)]
looking = [mean_interval([float(np.mean(how_late(due, every))) for due in loads]) for every in intervals]
resting = [float(np.mean(how_late(due))) for due in loads]

assert max(resting) < 1e-6
assert 86_400 / (2 * 0.005) > 8e6  # looks a day, to be late by a hundredth of a second at most
print(
    f"looking every ten seconds: {looking[intervals.index(10)].value:.1f} s late on average; resting until the next: 0 s"
)

# %% [markdown]
# And the real one, on a real server and the real clock, since “exactly when it is due” is easily said:

# %% tags=["measured"]
from notebooks.really import how_late_for_real

real = how_late_for_real(charge, jobs=20)
print(f"a real scheduler: {1000 * np.median(real):.1f} ms late in the middle, {1000 * max(real):.1f} ms at worst")

# %% tags=["figure"]
from notebooks import drawing
from notebooks.showing import Picture

figure, (shelf, axes) = drawing.sheet(2, 1, height=6.4, height_ratios=(1, 1.5))

drawing.bare(shelf, (-14, 102), (-0.7, 2.9))
shelf.set_title("the shelf, and now", loc="left", fontsize=11)
for row, now in enumerate((10, 45, 70)):
    y = 2 - row
    shelf.plot([0, 100], [y, y], color="#bbbbbb", linewidth=1, zorder=1)
    shelf.axvspan(0, now, (y + 0.45) / 3.6, (y + 0.95) / 3.6, color="#eeeeee", zorder=0)
    shelf.plot([now, now], [y - 0.3, y + 0.3], color="black", linewidth=2, zorder=2)
    shelf.text(-1, y, f"now: {now} s", ha="right", va="center", fontsize=9)
    for order, due in ((44, 60), (45, 30), (46, 90)):
        state = "queued" if due <= now else "delayed"
        drawing.chips(shelf, due - 3, y, [str(order)], drawing.STATE_COLOURS[state], size=6, height=0.44)
for second in (0, 30, 60, 90):
    shelf.text(second, -0.6, f"{second} s", ha="center", va="center", fontsize=9)
for x, state, words in ((40, "delayed", "on the shelf"), (64, "queued", "promoted to its queue")):
    drawing.chips(shelf, x, 2.75, [""], drawing.STATE_COLOURS[state], size=2.5, height=0.24)
    shelf.text(x + 3.5, 2.75, words, fontsize=9, va="center")

drawing.theory(axes, [0.4, 35], [0.2, 17.5], "theory: half the interval")
drawing.simulated(axes, intervals, looking, "looks every so often")
axes.axhline(float(np.mean(real)), color="black", linestyle=":", linewidth=1)
drawing.real(axes, [0.42], [float(np.mean(real))], "rests until the next is due (minique's own, really)")
axes.set(xscale="log", yscale="log", xlim=(0.38, 36), ylim=(2e-4, 40))
axes.set(xlabel="the scheduler looks every … s", ylabel="mean lateness (s)")
axes.set_xticks(intervals, [f"{every:g}" for every in intervals])
axes.minorticks_off()
axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
axes.legend(frameon=False, fontsize=9, loc="lower right", bbox_to_anchor=(1, 0.3))
Picture(
    figure, "above, delayed jobs on a time line with now sweeping over it; below, lateness against polling interval"
)

# %% [markdown]
# Half the interval: there is the saw again. Who knows when the next is due need not look at all until then, and is late only by its
# own trip to the server.
#
# ### Again and again: two schedulers
#
# Now *recurring*: the planned times of an entry are its **slots**. A first idea: each scheduler remembers the slot that it fired
# last, and fires what has come since. Two of them, for an hour, with a slot every ten minutes:

# %%
from notebooks.showing import Table


def fired_by_memory(schedulers, until, every):
    fired = []
    last = dict.fromkeys(schedulers, 0)
    for now in range(0, until + 1, 30):  # each looks twice a minute
        for name in schedulers:
            while last[name] + every <= now:
                last[name] += every
                fired.append(last[name])
    return fired


def fired_by_minique(schedulers, until, every):
    clock = ManualClock(0.0)
    mq = connect("memory://", clock=clock)
    mq.schedules.add("charge the subscribers", charge, args=(44, 1999), every=every)
    fired = []

    def note(event, fields):
        if event == "fired":
            fired.append(int(float(fields["slot"])))

    parts = [Scheduler(mq.store, clock, Events(note), name) for name in schedulers]
    while clock.now <= until:
        for part in parts:
            part.tick()
        clock.advance(30)
    return fired


both = ("kim", "lee")
slots = range(600, 3601, 600)
memory, minique = fired_by_memory(both, 3600, 600), fired_by_minique(both, 3600, 600)
assert [minique.count(slot) for slot in slots] == [1] * 6
assert [memory.count(slot) for slot in slots] == [2] * 6
Table(
    ["slot (minute)", "each remembers for itself", "the server remembers"],
    [(slot // 60, memory.count(slot), minique.count(slot)) for slot in slots],
)

# %% [markdown]
# Every customer charged twice, by the very thing that was to make it safe. In minique the two do not talk to each other, and none
# is the leader. Both try to fire each slot; the *server* keeps a **cursor** for the entry, “fired up to here”, and lets
# through whoever moves it forward. In the same step it puts the job into the queue.
#
# ### Half past two
#
# And the third question. A home-made scheduler often looks at the clock on the wall once a minute: is it 02:30?

# %%
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from minique.schedule import Entry

BERLIN = ZoneInfo("Europe/Berlin")
entry = Entry("charge the subscribers", "charge", cron="30 2 * * *", tz="Europe/Berlin")


def by_the_wall(begin, end):
    minutes = int((end - begin).total_seconds() // 60)
    moments = [(begin + timedelta(minutes=n)).astimezone(BERLIN) for n in range(minutes)]
    return [moment for moment in moments if (moment.hour, moment.minute) == (2, 30)]


rows = []
for month, day in ((3, 29), (6, 15), (10, 25)):
    begin = datetime(2026, month, day, tzinfo=BERLIN).astimezone(UTC)
    end = datetime(2026, month, day, 12, tzinfo=BERLIN).astimezone(UTC)
    slots = [one for one in entry.explain(begin.timestamp(), count=3) if one.slot < end.timestamp()]
    night = [f"{begin.astimezone(BERLIN):%d %B}", len(by_the_wall(begin, end)), len(slots)]
    rows.append([*night, slots[0].local, slots[0].note])

assert [row[1:3] for row in rows] == [[0, 1], [1, 1], [2, 1]]
Table(["night in Berlin", "by the wall", "minique", "at", "because"], rows)

# %% [markdown]
# By the wall nobody is charged in March, and everybody twice in October: the wall has no 02:30 in the one night and two in the other. The
# rule that minique follows is that of the cron in Debian: a time that is jumped over fires right after the jump, a time
# that comes twice fires the first time. (An entry that is meant to run every hour does run every hour, in both nights.)
#
# ## Why
#
# Three times the same thought. *Remember on the server, in one step, and let the reply say whether it was you.*
#
# - **Delayed → queued** is one script. In two commands there is a gap. First off the shelf, then into the queue: die in between, and it is in neither. First into
#   the queue, then off the shelf: die in between, and it goes there twice. You know both from lesson 02: *mark, then do*, and *do, then
#   mark*. But here both things lie on the **same server**, and so, for once, there is a third way: both at once.
# - **A slot** fires if its time lies behind the cursor, and firing moves the cursor. So it does not matter how many ask, or when, or whether one of them asks
#   again because the reply was lost.
# - **Nobody leads.** A leader would have to be elected, and watched, and may be asleep (lesson 08) while it believes that it leads. Where everybody may do it
#   and only one can, nothing needs to be agreed on.
#
# ## Change one thing
#
# *No* scheduler for a night: both machines were down from minute 15 to minute 55. When they come back, what about the slots in
# between? There is no right answer; so an entry has to give one, `catch_up`.

# %%
rows = []
for catch_up in ("none", "last", "all"):
    clock = ManualClock(0.0)
    mq = connect("memory://", clock=clock)
    mq.schedules.add("charge the subscribers", charge, args=(44, 1999), every=600, catch_up=catch_up)
    fired = []

    def note(event, fields, fired=fired):
        if event == "fired":
            fired.append(float(fields["slot"]) / 60)

    for minute in range(61):
        if not 15 < minute < 55:
            Scheduler(mq.store, clock, Events(note), "kim").tick()  # a new one each time: it remembers nothing
        clock.advance(60)
    rows.append([catch_up, ", ".join(f"{slot:g}" for slot in fired)])

assert [row[1] for row in rows] == ["10, 60", "10, 50, 60", "10, 20, 30, 40, 50, 60"]
Table(["catch_up", "slots that fired (minute)"], rows)

# %% [markdown]
# For a charge of each month: `all`. For a report of yesterday: `last`. For “turn the light on at six”: `none`.
#
# ## Exercise
#
# Build the cursor yourself, with one command. `ZADD slots GT CH 600 report` sets the number of `report` to 600, but only if that is *greater* (`GT`)
# than what is there, and answers how many have *changed* (`CH`). Write the function that says whether this scheduler may fire this slot.


# %% tags=["exercise"]
def may_fire(ask, slot):
    """Whether the caller is the one who fires the slot `slot` of the entry `report`."""
    ...


# %% tags=["check"]
from notebooks.interleaving import every_interleaving
from notebooks.peek import a_private_server
from notebooks.showing import judge

redis = a_private_server()


def scheduler(ask):
    for slot in (600, 1200):
        if may_fire(ask, slot):
            ask(f"RPUSH reports {slot}")


made = set()
for _ in every_interleaving({"A": scheduler, "B": scheduler}, redis.ask, redis.clear):
    made.add(tuple(sorted(redis.ask("LRANGE reports 0 -1"))))
judge(sorted(made), [("1200", "600")])

# %% [markdown]
# <details><summary>A hint</summary>
#
# Whoever has changed it may fire. An answer of 0 means: somebody was there before you.
#
# </details>
#
# <details><summary>Our solution</summary>
#
# ```python
# def may_fire(ask, slot):
#     return ask(f"ZADD slots GT CH {slot} report") == 1
# ```
#
# The check tries every way in which two such schedulers can meet. There is a hole left that it does not look for: whoever may fire, and dies before the
# `RPUSH`, has marked and not done. That is why in minique both are one script.
#
# </details>
#
# ## What we now promise, and what it costs

# %% tags=["promise"]
from notebooks.promises import promised_by

promised_by(9)
