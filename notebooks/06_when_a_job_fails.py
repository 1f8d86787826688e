# %% [markdown]
# # 06 · When a job fails
#
# > The bank did not answer for a minute. Do we try again, how often, and who looks after those that fail for good?
#
# So far it was *our* program that died. Now our program is fine, and the bank is not. The charge raises an exception. That is not a
# crash: somebody is still there to hear it, and to decide what to do next.
#
# There are three things that one can do: **try again**, **give up**, and **ask a person**.

# %%
from minique import connect, job
from minique.testing import ManualClock, drain
from notebooks.shop import Bank

bank, is_down = Bank(), True


class BankDown(Exception):
    """It does not answer."""


@job(queue="charges", retries=3)
def charge(order, cents):
    if is_down:
        raise BankDown("no answer after three seconds")
    bank.charge(order, cents)


clock = ManualClock()
shop = connect("memory://", clock=clock)
handle = shop.enqueue(charge, 44, 1999)
while handle.state() not in ("done", "failed"):
    for name, outcome in drain(shop):
        print(f"{name}: {outcome}; order 44 is now {handle.state()}")
    clock.advance(60)

# %% [markdown]
# The first try failed, so the charge was *delayed* and tried again, three times as we had said (`retries=3`). Then minique gave up. But
# giving up is not throwing away: the charge is in the **failed** queue, with the reason, until a person has looked at it.

# %%
from minique.perform import read_failure

for id, record in shop.list_failed():
    why = read_failure(record.failure)
    assert id == handle.id
    print(
        f"{record.state}, of queue {record.queue}, after {record.failures} attempts:", why["error"], "-", why["message"]
    )

is_down = False  # a telephone call later …
shop.requeue(handle.id)
drain(shop)
assert handle.state() == "done"
bank.statement([44])

# %% [markdown]
# And no worker has slept meanwhile. A worker that waits between two tries does nothing else in that time; a *delayed* job
# waits in the store, and the worker takes the next one.
#
# ## Predict
#
# One charge is easy. Now the bank is down for a minute, and at the same moment 150 charges are there. Eight workers. When it is back, the bank
# can bear 40 calls a second, and refuses what is more. When do we try again?
#
# 1. **At once**, again and again. How many calls does the bank get per charge?
# 2. **In step**: every eight seconds. What does the bank see in the first second after it is back?
# 3. **Backoff**: after 5, 10, 20, 40 … seconds, as everybody says. Better?
# 4. **Jitter**: after a *random* time of up to 5, 10, 20, 40 … seconds. What can chance be good for?
#
# <details><summary>What we think</summary>
#
# 1. Dozens. All workers are busy with nothing but failing.
# 2. All of the charges, at the same moment: more than twice what it can bear. And so some fail again, together.
# 3. Fewer waves, but they are still waves: those who failed together come back together, however long they wait.
# 4. It takes the wave apart. That is all it does, and it is just what is needed.
#
# </details>
#
# ## Run
#
# The workers, the scheduler and the backoff are minique's; the bank is a model that counts its callers.

# %%
from simulate.scenarios.retries import Setting, retries

the_day = Setting(burst=150, workers=8)
outage = the_day.outage
NAMES = {
    "at once": "at once",
    "in step": "every eight seconds",
    "backoff": "after 5, 10, 20, 40 … s",
    "jitter": "after up to 5, 10, 20, 40 … s",
}
played = retries(tuple(NAMES), setting=the_day, replications=2)

# %% tags=["figure"]
from notebooks import drawing
from notebooks.showing import Picture

figure, panels = drawing.sheet(4, 1, height=7, sharex=True, sharey=True)
for axes, (policy, words) in zip(panels, NAMES.items(), strict=True):
    outcome = played.of(policy)
    moment = outcome.seconds - outage.begins
    answered = outcome.calls - outcome.refused
    axes.bar(moment, answered, width=1, color=drawing.STATE_COLOURS["done"], label="answered")
    axes.bar(
        moment, outcome.refused, width=1, bottom=answered, color=drawing.STATE_COLOURS["failed"], label="no answer"
    )
    axes.axvspan(0, outage.seconds, color="#eeeeee", zorder=0)
    axes.axhline(outage.calls_per_second, color=drawing.QUIET_COLOUR, linestyle=":", linewidth=1.5)
    axes.set_title(words, loc="left", fontsize=10)
panels[0].annotate("the bank is down", (outage.seconds / 2, 125), ha="center", fontsize=9, color="white")
panels[0].annotate("more it cannot bear", (182, outage.calls_per_second + 4), ha="right", fontsize=9, color="#555555")
panels[0].legend(frameon=False, fontsize=9, loc="upper right")
panels[-1].set(xlim=(-15, 185), ylim=(0, 170), xlabel="seconds since the bank went down")
figure.supylabel("calls to the bank, per second", fontsize=10)
Picture(figure, "calls per second for four ways to retry: a wall, sharp combs, rare high spikes, and a low carpet")

# %%
from notebooks.showing import Table

rows = []
for policy, words in NAMES.items():
    one = played.of(policy)
    rows.append(
        (
            words,
            f"{one.calls_per_job.value:.1f}",
            f"{one.peak.value:.0f}",
            f"{one.refused_after.value:.0f}",
            f"{one.failing.value:.0%}",
        )
    )

peaks = {policy: played.of(policy).peak.value for policy in NAMES}
assert min(peaks[policy] for policy in ("at once", "in step", "backoff")) > 2 * outage.calls_per_second
assert peaks["jitter"] < outage.calls_per_second
assert played.of("jitter").refused_after.value == 0
Table(
    [
        "tried again",
        "calls per charge",
        "most calls in a second, afterwards",
        "refused afterwards",
        "workers' time spent on failing",
    ],
    rows,
)

# %% [markdown]
# ## Why
#
# Look at the second and third picture: the teeth. The 150 charges have nothing to do with each other, except that they **failed in
# the same moment**. A rule that makes the same delay from the same moment makes the same next moment. So they march in step, and
# each time all of them knock at the bank's door together. What does not get through fails *together* once more, and the comb goes on
# after the outage is over: we do to the bank what the outage did to us. This is a **retry storm**.
#
# Backoff alone makes the waves rarer. They are as high as before.
#
# Jitter draws the delay at random, anywhere between nothing and the limit. In the last picture nobody marches any longer. The same
# charges make about as many calls, even a few more, since a delay is half as long on average. But they arrive as drizzle, and the bank
# has, once it is back, an answer for each. This is what minique does when you say nothing:

# %%
from minique.backoff import Backoff
from notebooks.showing import source_of

source_of(Backoff.delay_seconds)

# %% [markdown]
# There is a price: whoever knocks without a pause, or every eight seconds, is through soonest. With a random delay of up to 40 seconds, and
# then of up to twice that, the last charge comes late, long after the bank is well:

# %%
rows = [
    (words, f"{played.of(policy).recovered.value:.0f} s", f"{played.of(policy).recovered_all.value:.0f} s")
    for policy, words in NAMES.items()
]
assert played.of("at once").recovered.value < played.of("in step").recovered.value < played.of("jitter").recovered.value
assert played.of("backoff").calls_per_job.value < played.of("jitter").calls_per_job.value
Table(["tried again", "19 of 20 are through after", "all are through after"], rows)

# %% [markdown]
# ## Change one thing
#
# So far nobody gave up. What we ship gives up after three retries, and hands the charge to a person. After an outage of a minute:

# %%
shipped = retries(("as shipped",), setting=the_day, replications=3).of("as shipped")
assert shipped.given_up.value > 0.5
print(f"given up: {shipped.given_up.value:.0%} of the charges that met the outage")

# %% [markdown]
# Most of them! Is that bad? It depends on who is waiting. For a charge it is probably right that somebody looks, since a customer
# is waiting and the reason may be another than you think. And it takes one command to send them all on their way again:
#
# ```text
# minique failed requeue --queue charges --all
# ```
#
# But you should know beforehand how long an outage your retries outlast. That is the exercise.
#
# ## Exercise
#
# The delays are random: up to 5 s, up to 10 s, up to 20 s, each twice the one before; a delay is half its limit on average. **How
# many retries does a job need, so that on average it is still trying when an outage of so many seconds ends?**


# %% tags=["exercise"]
def retries_needed(outage_seconds):
    """The smallest number of retries whose delays together last so long, on average."""
    ...


# %% tags=["check"]
from notebooks.showing import judge
from simulate.dependency import Outage
from simulate.scenarios.retries import RetryPolicy


def most(tries, seconds):
    """What becomes of more than half of the jobs that meet such an outage: played with the workers."""
    setting = Setting(outage=Outage(30.0, seconds, queue=outage.queue), after=30.0)
    policy = RetryPolicy("yours", "", Backoff(), retries=tries)
    given_up = retries((policy,), setting=setting, replications=2).outcomes[0].given_up.value
    return "given up" if given_up > 0.5 else "done"


answers = {seconds: retries_needed(seconds) for seconds in (30, 60, 120)}
seen = None
if None not in answers.values():
    seen = [(most(tries, seconds), most(tries - 1, seconds)) for seconds, tries in answers.items()]
judge(seen, [("done", "given up")] * 3)

# %% [markdown]
# <details><summary>A hint</summary>
#
# After $n$ delays the limits add up to $5 + 10 + 20 + … = 5\,(2^n - 1)$ seconds. And on average?
#
# </details>
#
# <details><summary>Our solution</summary>
#
# ```python
# def retries_needed(outage_seconds):
#     tries = 0
#     while 5 * (2**tries - 1) / 2 < outage_seconds:
#         tries += 1
#     return tries
# ```
#
# Each further retry doubles the outage that you outlast. The check has played your number and one less: with yours less
# than half of the charges are given up, with one less more than half.
#
# </details>
#
# ## What we now promise, and what it costs
#
# A charge that fails is tried again when nobody else is, and if that does not help it is kept for a person, with the reason. It is *never*
# thrown away because it failed.

# %% tags=["promise"]
from notebooks.promises import promised_by

promised_by(6)
