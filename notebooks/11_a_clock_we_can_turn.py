# %% [markdown]
# # 11 · A clock we can turn
#
# > You say what would happen on ten busy evenings, and you have looked for two seconds. Why should I believe that?
#
# All lessons so far have played with time. A worker that rests for a second returned at once, and an evening of customers was
# over before the kettle boiled. It is high time to ask how that works, and what it takes to *believe* a number that comes out.
#
# Here is the loop in which each minique worker lives, in production as in these lessons:

# %%
from minique import loop
from notebooks.showing import source_of

source_of(loop.run)

# %% [markdown]
# A part *ticks*: it does one small thing and says how many seconds it may rest. And then comes `wait(…)`, **which is handed in**. In
# production that is a real wait on a real bell. Here it may be anything. That is the whole trick: nobody inside ever looks at a clock of
# his own.
#
# ## Predict
#
# So let us hand in a `wait` that puts a note into a diary, *"continue me seven seconds later"*, and turns the clock to the
# earliest note.
#
# 1. We play the same evening twice, with the same customers. Are all waits the same? To how many digits?
# 2. We play ten evenings with other customers: two workers, busy nine tenths of the time, a thousand customers each. By how much
#    will the ten mean waits differ: a few per cent, a tenth, twofold?
# 3. We play the same customers to *real* workers, with a real server. By how much will reality be off?
#
# <details><summary>What we think</summary>
#
# 1. To the last digit. Nothing is left to chance but the customers, and they are the same.
# 2. Twofold and more. Near the edge, a thousand customers are next to nothing. This is what one learns here for life.
# 3. By a fraction of a millisecond for each job. Reality is not the problem; *chance* is.
#
# </details>
#
# ## Run
#
# ### The diary
#
# This is all it takes. A heap keeps the notes in order:

# %%
from heapq import heappop, heappush


class Diary:
    def __init__(self):
        self.now, self.notes = 0.0, []

    def at(self, moment, do):
        heappush(self.notes, (moment, len(self.notes), do))

    def turn(self, until):
        while self.notes and self.notes[0][0] <= until:
            self.now, _, do = heappop(self.notes)
            do()  # which may write further notes


diary = Diary()


def look():
    print(f"{diary.now:4.0f} s: look in the table")
    diary.at(diary.now + 10, look)  # the loop's `sleep(10)`


diary.at(0, look)
diary.turn(until=30)

# %% [markdown]
# Half a minute of a loop, at once. Our own diary is `simulate/virtual_time.py`; it has a few more pages since real
# code *blocks* where it waits, and has to be set aside meanwhile.
#
# ### The same twice
#
# Now the workers that ship. Two of them, on a diary; a charge takes a second on average; the customers come from a **seed**, a number
# from which a random generator makes them, always the same.

# %%
import numpy as np

from simulate import designs
from simulate.costs import FREE, Costs
from simulate.experiments import play
from simulate.workload import Load

WORKERS = 2
OPENS = 2.0  # seconds from the beginning of the simulation: by then all workers are up


def customers(busy, seed, number=1_000):
    chance = np.random.default_rng(seed)
    come = OPENS + np.cumsum(chance.exponential(1 / (busy * WORKERS), number))
    return Load("customers", "they come at random", come, chance.exponential(1.0, number))


def waits(load, workers="minique", costs=FREE):
    """How long each customer waits for minique's workers, in seconds."""
    world, _ = play(designs.find(workers), load, WORKERS, costs, seed=0)
    return world.ledger.column("first_start") - load.arrived


once, again = waits(customers(0.9, seed=1)), waits(customers(0.9, seed=1))
assert (once == again).all()
print(f"customer 1000 waits {once[-1]:.15f} s\n and once more    {again[-1]:.15f} s")

# %% [markdown]
# But perhaps the simulator makes the same mistake twice. So let somebody else check it: a program of four lines that knows nothing of
# workers, stores and clocks, only that whoever comes is served by the worker that is free first (this is the recursion of Kiefer and Wolfowitz).


# %%
def served_by_arithmetic(load, workers=WORKERS):
    free, started = [0.0] * workers, []
    for arrival, work in zip(load.arrived, load.service, strict=True):
        started.append(max(arrival, min(free)))
        free[free.index(min(free))] = started[-1] + work
    return np.array(started) - load.arrived


largest = np.abs(served_by_arithmetic(customers(0.9, seed=1)) - once).max()
assert largest < 1e-9
print(f"a thousand waits, and the largest difference is {largest:.0e} s")

# %% [markdown]
# Two programs that share no line agree about each single customer. That is worth more than a hundred plausible averages.
#
# ### Ten evenings
#
# Same shop, same load, other seeds: how does the mean wait develop as more and more customers come?

# %%
from simulate.intervals import mean_interval
from simulate.theory import mmc_wait

counted = np.arange(1, 1_001)
means_so_far = [np.cumsum(waits(customers(0.9, seed))) / counted for seed in range(10)]
finals = [means[-1] for means in means_so_far]
few = mean_interval(finals)
truth = mmc_wait(0.9 * WORKERS, 1.0, WORKERS)

# %% tags=["evenings"]
from notebooks import drawing
from notebooks.showing import Picture

figure, axes = drawing.sheet(height=3.8)
for means in means_so_far:
    axes.plot(counted, means, color=drawing.COLOURS[1], alpha=0.6, linewidth=1.1)
drawing.theory(axes, [0, 1_000], [truth] * 2, "theory: an evening without end")
axes.plot([], [], color=drawing.COLOURS[1], label="ten evenings")
axes.set(xlabel="customers so far", ylabel="mean wait so far (s)", xlim=(0, 1_000), ylim=(0, None))
axes.legend(frameon=False, fontsize=9, loc="upper left")
Picture(
    figure, "running means of ten evenings start at zero, spread out, and some end at half of the theory, some at twice"
)

# %%
assert max(finals) > 2 * min(finals)
print(
    f"theory {truth:.2f} s · the ten evenings: {min(finals):.2f} to {max(finals):.2f} s · together {few.value:.2f} ± {few.half:.2f} s"
)

# %% [markdown]
# Whoever had played only *one* evening would have believed in any of these. A simulated number without an **interval** is a rumour.
#
# And look at the left edge: all curves begin at zero, since each evening begins with an empty shop. A short run is not only noisy, it is
# *biased*. So one throws the beginning away (the **warm-up**) or makes it not matter, by playing for longer:

# %%
from notebooks.showing import Table
from simulate.steady import warm_up

longer = [waits(customers(0.9, seed, number=5_000)) for seed in range(10)]
cut = warm_up(longer)
assert cut is not None
whole, settled = mean_interval([one.mean() for one in longer]), mean_interval([one[cut:].mean() for one in longer])
rows = [
    ("1,000 customers each", f"{few.value:.2f} ± {few.half:.2f} s"),
    ("5,000 each", f"{whole.value:.2f} ± {whole.half:.2f} s"),
    (f"5,000 each, without the first {cut}", f"{settled.value:.2f} ± {settled.half:.2f} s"),
    ("theory", f"{truth:.2f} s"),
]
assert abs(settled.value - truth) < settled.half
Table(["ten evenings of", "mean wait"], rows)

# %% [markdown]
# ### And reality
#
# Two real workers (they run jobs *in-line*, in their own process), a real server, real time. So as not to wait for too long, a charge takes a fiftieth of a
# second, and customers come fifty times as fast. Three evenings, at three loads, all at once.

# %% tags=["measured"]
from concurrent.futures import ThreadPoolExecutor

from simulate.benches.server import bench as private_server
from simulate.live.runs import play_minique as play_real_workers

SPEED, REAL_CUSTOMERS = 50, 300
LOADS_FOR_REAL = (0.4, 0.6, 0.8)


def hurried(load):
    return Load(load.name, load.words, OPENS + (load.arrived - OPENS) / SPEED, load.service / SPEED)


few_customers = {busy: customers(busy, seed=20, number=REAL_CUSTOMERS) for busy in LOADS_FOR_REAL}
with private_server() as there, ThreadPoolExecutor() as at_once:
    played = at_once.map(
        lambda busy: play_real_workers(
            there.url, f"shop-{busy:g}", hurried(few_customers[busy]), WORKERS, "inline", "sleep", bool
        ),
        LOADS_FOR_REAL,
    )
    real = {busy: one.waiting.mean() * 1000 for busy, one in zip(LOADS_FOR_REAL, played, strict=True)}
print("mean wait, really:", " · ".join(f"load {busy:g}: {wait:.1f} ms" for busy, wait in real.items()))

# %% [markdown]
# Now all three on one sheet: theory, simulation, reality. A worker of flesh and blood needs a moment for each job beside the work (to ask
# the server, to wake up), and at this speed that moment counts; the simulator is told what it costs, so it knows.

# %%
MILLISECONDS = 1000 / SPEED  # that a second of the slow shop takes in the hurried one
LOADS, dots = (0.3, 0.5, 0.7, 0.9), []
for place, busy in enumerate(LOADS):
    seeds = range(100 * place, 100 * place + 6)  # each dot has customers of its own, and more of them near the edge
    evenings = [waits(customers(busy, seed, 2_000 if busy < 0.9 else 8_000)) for seed in seeds]
    dots.append(mean_interval([evening[cut:].mean() * MILLISECONDS for evening in evenings]))
same = [1000 * waits(hurried(few_customers[busy]), "inline", Costs()).mean() for busy in LOADS_FOR_REAL]

# %% tags=["figure"]
figure, axes = drawing.sheet(height=4.6)
loads = np.linspace(0.2, 0.94, 80)
line = [mmc_wait(busy * WORKERS, 1.0, WORKERS) * MILLISECONDS for busy in loads]
drawing.theory(axes, loads, line, "theory: customers without end, workers that cost nothing")
drawing.simulated(axes, LOADS, dots, "simulated: many customers, workers that cost nothing")
axes.plot(LOADS_FOR_REAL, same, "o", markersize=12, markerfacecolor="none", markeredgewidth=1.5, zorder=3,
          color=drawing.COLOURS[0], label=f"simulated: just these {REAL_CUSTOMERS} customers, and what a job costs")  # fmt: skip
drawing.real(axes, list(real), list(real.values()), f"real workers and a real server: these {REAL_CUSTOMERS} customers")
axes.set(
    xlabel="load (work that comes, over what two workers can do)", ylabel="mean wait (ms)", xlim=(0.2, 1), ylim=(0, 125)
)
axes.legend(frameon=False, fontsize=9, loc="upper left")
Picture(
    figure,
    "theory line, simulated dots on it; real crosses beside the line, inside circles that simulate just those customers",
)

# %%
hold = [
    abs(dot.value - mmc_wait(busy * WORKERS, 1.0, WORKERS) * MILLISECONDS) < dot.half
    for busy, dot in zip(LOADS, dots, strict=True)
]
assert sum(hold) >= len(hold) - 1
print(f"{sum(hold)} of {len(hold)} intervals hold the line; in the long run 95 of 100 should")

# %% [markdown]
# ## Why
#
# The dots lie on the line: the simulator agrees with mathematics. The crosses lie in their circles, or near: it agrees with reality (a
# machine that is busy with something else lets real workers wait longer; then they lie higher). But the crosses do **not** lie on the line, and it is worth a minute to see that *nothing is wrong* with that. The line speaks of
# customers without end. The crosses are what became of some hundred of them, who happened to come as they came. The circles have
# met the same ones.
#
# So there are three ways to be wrong, and each has a cure of its own:
#
# | you doubt | then look at | cure |
# |---|---|---|
# | that it is simulated right | a second program, a formula | compare job by job |
# | that it is about your machine | a real run of the *same* customers | measure what each step costs |
# | that it is not just luck | the interval | more evenings, longer ones; leave out the beginning |
#
# The first two are done once, by us. The third is yours, each time. `python -m simulate compare` does it without being asked: it plays
# several evenings, gives an interval with each number, and refuses to speak of a mean where there is none.
#
# ## Exercise
#
# You have played some evenings, and the interval is too wide for your taste. **How many evenings do you need, so that it is as
# narrow as you want?** `half` is half the width that `evenings` evenings have given, and `wanted` the one you would like.


# %% tags=["exercise"]
def evenings_needed(evenings, half, wanted):
    """How many evenings give an interval of that half-width?"""
    ...


# %% tags=["check"]
from notebooks.showing import judge


def half_width(evenings):
    """Of so many evenings at load 0.5; by arithmetic, which is faster and, as we have seen, the same."""
    return mean_interval([served_by_arithmetic(customers(0.5, seed)).mean() for seed in range(evenings)]).half


first = half_width(50)
needed = evenings_needed(50, first, first / 3)
judge(needed and half_width(round(needed)), first / 3, within=0.2)

# %% [markdown]
# <details><summary>A hint</summary>
#
# Four times as many evenings halve the interval.
#
# </details>
#
# <details><summary>Our solution</summary>
#
# ```python
# def evenings_needed(evenings, half, wanted):
#     return evenings * (half / wanted) ** 2
# ```
#
# For one more digit you need a hundred times as many. This is why a fast simulator is no luxury, and why we are glad when two
# designs can be compared *on the same customers*: what they share cancels, and ten evenings say what otherwise a thousand would.
#
# </details>
#
# ## What we now promise, and what it costs
#
# What these lessons say of evenings that nobody has lived through is what the shipping code does on them, with an interval.
# What is simulated leaves things out (two processes that slow each other down, for one), and we say which.

# %% tags=["promise"]
from notebooks.promises import promised_by

promised_by(11)
