# %% [markdown]
# # 10 · Proof by trying to break it
#
# > You say that nothing is lost, wherever anybody dies. How do you *know*?
#
# In lesson 02 we let one program die before each of its lines. In lesson 03 we tried every way in which a few commands of two
# workers can meet. Both times the number of cases was small enough to look at all of them, and both times we found what nobody would have
# found by testing "a bit".
#
# Now there are producers, workers, a reaper, a server, deaths, lost replies and pauses, all at once. Nobody can go through *these* by
# hand. But a machine can.
#
# ## Predict
#
# 1. The queue of lesson 04, that pops from a list: how many steps does the shortest story need in which a charge is lost? (A
#    step is one command to the server, or a death.)
# 2. Two workers of minique, two charges, a reaper, one death that may come between any two steps. In how many different situations
#    can all of them together be: hundreds, thousands, millions?
# 3. Someone edits one line of minique so that *complete* no longer asks whose job it is. Will the machine notice? How long will it take?
#
# <details><summary>What we think</summary>
#
# 1. Six: two of the producer, three of the worker, and the death.
# 2. More than ten thousand. Too many for a person, and nothing for a machine.
# 3. Yes, in less than the time that you needed to read this.
#
# </details>
#
# ## Run
#
# A **state** is everything that decides what can happen next: what the server holds, and what each program remembers. From each
# state there are a few steps: this worker does its next command, that one is killed, time passes. Begin at the beginning, take
# *all* steps, take all steps from where those lead, and so on, until nothing new comes. Whoever goes breadth first finds the
# shortest story first.
#
# The programs are not models that we have written for the purpose. They are the ones that ship: they run up to their next command, are set
# aside, and run on when the search comes by again.

# %%
from simulate.guarantees import table

popped = table(["blocking"], ["survives worker kill"]).cell("blocking", "survives worker kill")

print(popped.verdict + ":", popped.why)
print("situations looked at:", popped.states)

# %% tags=["story"]
from notebooks.drawing import WIDTH_INCHES
from notebooks.showing import Picture
from simulate.plots.stories import story_figure

assert popped.verdict == "fails"
assert len(popped.story.steps) == 6
Picture(
    story_figure(popped.story, WIDTH_INCHES),
    "a story in six steps: a job is stored, a worker pops it and is killed; it is nowhere",
)

# %% [markdown]
# Read it from the top. Each column is somebody, each line is one step, in italics what the server holds then. The marked line is where
# the world went wrong; all others are just the program doing what it was told. It is the *shortest* story: no step can be left
# out. That makes it a good bug report.
#
# And minique, asked the same question?

# %%
ours = table(["minique"], ["survives worker kill"]).cell("minique", "survives worker kill")

assert ours.verdict == "holds"
assert ours.states > 10_000
print(ours.verdict + ":", ours.why)

# %% [markdown]
# It holds *in this scope*: so many workers, so many jobs, so many deaths, and every single way in which they can meet. Now eight questions,
# to the designs that we have met and to some between. Three of them need a word: a *stale* worker is the sleeper of lesson 08, a *poison* job
# kills whoever runs it, and a job that is *in no place* is nowhere on the server, as the one above once it has been popped.

# %%
DESIGNS = {
    "naive": "a loop and\na sleep (01)",
    "claiming": "rows that\nare claimed",
    "blocking": "pop from\na list (04)",
    "backup": "move to a\nbackup list",
    "unfenced": "lease, and\nno fence",
    "minique": "minique",
}
QUESTIONS = (
    "stored once", "never in no place", "survives worker kill", "slow worker keeps its job",
    "stale worker cannot finish another's attempt", "poison stops", "repeat-safe under lost replies",
    "order within a queue",
)  # fmt: skip
answers = table(list(DESIGNS), QUESTIONS)

# %% tags=["figure"]
from notebooks import drawing

figure, axes = drawing.sheet(height=4.4)
LOOKS = {"holds": ("done", "✓"), "fails": ("lost", "✗"), "not promised": (None, "–")}
verdicts = [[LOOKS[answers.cell(design, question).verdict] for design in DESIGNS] for question in QUESTIONS]
drawing.matrix(
    axes, [question.replace(" another's", "\nanother's") for question in QUESTIONS], list(DESIGNS.values()), verdicts
)
Picture(figure, "a table of designs and promises: marks for kept, broken and not made; only the last column keeps all")

# %%
print(f"{answers.states:,} situations; {len(answers.stories())} promises broken, each with a story like the one above")
assert all(answers.cell("minique", question).verdict == "holds" for question in QUESTIONS)
assert all(
    any(answers.cell(design, question).verdict != "holds" for question in QUESTIONS)
    for design in DESIGNS
    if design != "minique"
)

# %% [markdown]
# Nobody has typed these marks. Each is the outcome of a search that was made just now, while this page was being built. The whole table, with
# all designs, all questions and all stories, is `docs/reference/guarantees.md`; `python -m simulate guarantees` makes it again.
#
# ## Why
#
# Why does this work at all? Three reasons.
#
# **There are far fewer states than stories.** Ten steps of four programs can be shuffled in thousands of ways, but most of them lead to
# the same situation. Who remembers where he has been already need not go there twice.
#
# **Programs are small where it matters.** A worker remembers in one little value what it holds and what it has not yet said. That is why
# minique's parts *tick*, and keep everything that they remember in one place: so that two situations can be compared.
#
# **Bugs are small.** Almost everything that can go wrong among ten workers can go wrong among two. That is experience, not mathematics; it is
# called the *small scope hypothesis*, and here is what it does not cover: what needs three workers at once, what needs a thousand jobs, and
# what is not in the model at all, such as a disk that lies.
#
# So a ✓ is not "proved for ever". It is: *all of a stated scope was searched, and nothing was found*. A ✗ on the other hand is
# as certain as can be, for there is the story, and you can replay it on a real server.
#
# ## Change one thing
#
# Does the machine find anything when there *is* something? Let us put a small fault into minique, of the kind that a tired
# person makes on a Friday:

# %%
from textwrap import dedent, indent

from simulate.explore.mutants import MUTANTS

friday = next(mutant for mutant in MUTANTS if mutant.name == "complete without asking whose it is")
for change in friday.changes:
    old, new = (indent(dedent(text).strip(), "    ") for text in (change.old, change.new))
    print(f"in {change.file}, instead of\n\n{old} …\n\nwe write\n\n{new} …")

# %%
question = "stale worker cannot finish another's attempt"
broken = table(["minique"], [question], changes=friday.changes).cell("minique", question)

assert broken.verdict == "fails"
print(broken.story.timeline())

# %% [markdown]
# There it is: whoever slept too long finishes a charge that was given to another. There is a catalogue of such faults, and each of them
# must be found, or our own tests fail; it also has changes that do no harm, at which nobody may cry wolf:

# %%
from simulate.explore.mutants import HARMLESS

# The catalogue grows; whoever adds a fault need not build this lesson anew.
assert len(MUTANTS) > 60
assert len(HARMLESS) > 10
print("more than 60 faults, such as:", *(f"  {mutant.name}: {mutant.breaks}" for mutant in MUTANTS[6:12]), sep="\n")
print("and more than 10 changes that do no harm")

# %% [markdown]
# ## Exercise
#
# *Lease, and no fence* lets a sleeper write over what his successor does. **What is the least that this takes?** Say how many workers,
# how many deaths and how many pauses (somebody stands still for a long time) are needed so that the search finds it, with one charge.


# %% tags=["exercise"]
def least():
    """Workers, deaths and pauses, such as (3, 2, 2): enough, and none of them too many."""
    ...


# %% tags=["check"]
from notebooks.showing import judge
from simulate.explore.ladder.scope import Scope
from simulate.explore.ladder.search import searched


def the_late_write(workers, deaths, pauses):
    """Whether it is found with so many of each: searched with the real code."""
    if min(workers - 1, deaths, pauses) < 0:
        return "not found"
    scope = Scope(workers, ("plain",), crashes=deaths, pauses=pauses)
    return "found" if searched("unfenced", scope, ("stale",), first_only=True).failures else "not found"


enough = least()
seen = enough and [the_late_write(*enough)] + [
    the_late_write(*(number - (place == less) for place, number in enumerate(enough))) for less in range(3)
]
judge(seen, ["found", "not found", "not found", "not found"])

# %% [markdown]
# <details><summary>A hint</summary>
#
# A sleeper and a successor. Must anybody die for it?
#
# </details>
#
# <details><summary>Our solution</summary>
#
# ```python
# def least():
#     return 2, 0, 1
# ```
#
# Nobody has to die: it is enough that one stands still for longer than its lease, as a laptop does when you close it. The check
# has searched your scope, and each one that has one worker, one death or one pause less.
#
# </details>
#
# ## What we now promise, and what it costs
#
# Nothing new. But for everything that we have promised there is now a search that anybody can repeat, with its scope beside it.

# %% tags=["promise"]
from notebooks.promises import promised_by

promised_by(10)
