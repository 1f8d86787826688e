# %% [markdown]
# # 07 · A worker that forks
#
# > My charges need a library that is slow to load, one of them leaks memory, and one has just killed my worker. Shall I start a
# > fresh Python for each?
#
# A worker runs other people's code, for months. Other people's code forgets to give memory back, changes global settings, hangs, and now and
# then takes the whole process with it. A worker that does the work *itself* gets all of that into its own house.
#
# Starting a fresh Python for each charge would keep the house clean. But then each charge waits until Python and all
# that it imports have been loaded. There is an old trick that has both, older than Python: **fork**.
#
# ## Predict
#
# 1. How long does it take to start a Python that imports what a charge needs (say, `numpy` and `minique`)? And how long to *fork* a process that has imported
#    all of it already? A guess: how many times as long is the one?
# 2. A charge leaks one megabyte. After forty of them, how large is a worker that does them itself? And one that forks for each?
# 3. A charge kills the process it runs in. The next charge is already queued. When is it done: by a worker that runs jobs itself, by one
#    that forks?
#
# <details><summary>What we think</summary>
#
# 1. Tenths of a second, and a few thousandths: more than ten times as long, often a hundred times.
# 2. The first has grown by forty megabytes, the second not at all.
# 3. The first is dead, and its next charge waits for somebody to start another worker. The second reads how its child ended,
#    writes it down, and forks the next.
#
# </details>
#
# ## Run
#
# ### Fork, by hand
#
# `os.fork()` is called once and returns *twice*: in the process that called it, and in a new one that is its exact copy. The two
# differ in one thing, the number that was returned.

# %%
import os
import signal
import subprocess
import sys
import time


def run_in_a_child(job):
    child = os.fork()
    if child == 0:  # I am the copy
        job()
        os._exit(0)  # not `return`: there is one of us too many for what comes after
    _, status = os.waitpid(child, 0)  # I am the original, and wait
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"ended with {os.WEXITSTATUS(status)}"


# %% [markdown]
# ```
#  parent ──●───── waits ─────────●── reads how it ended ──▶
#           ╲ fork                ╱ waitpid
#            ●─ the job ─ exit ──●
#                child
# ```
#
# (The little sketch is the whole of this lesson. A notebook should not fork itself, it has threads and windows; so we run these in a
# plain Python beside it.)

# %%
from notebooks.really import in_a_process
from notebooks.showing import Table


def works(): ...


def leaves():
    os._exit(3)  # some libraries do that


def crashes():
    os.kill(os.getpid(), signal.SIGKILL)  # what a bug in C, or a full memory, comes to


fates = in_a_process(
    "[run_in_a_child(job) for job in (works, leaves, crashes, works)]", run_in_a_child, works, leaves, crashes
)
assert fates == ["ended with 0", "ended with 3", "killed by SIGKILL", "ended with 0"]
Table(["the job", "what the parent knows"], zip(("works", "leaves", "crashes", "works"), fates, strict=True))

# %% [markdown]
# Two of these four would have been the end of whoever had run them himself. The parent goes on, and *knows*.
#
# ### The same with real workers
#
# `minique worker` forks for each job, unless it is told to work in-line. Two orders are in the queue; the first one is the killer.

# %%
from notebooks.leaky import charge, charge_and_die
from notebooks.really import a_worker_runs

rows = []
for mode in ("fork", "inline"):
    ran = a_worker_runs(mode, [(charge_and_die, (44, 1999)), (charge, (45, 2500))], module="notebooks.leaky")
    rows.append([mode, *ran.states, f"ended by {ran.ended_by}"])

assert [row[2] for row in rows] == ["done", "queued"]
Table(["mode", "order 44, the killer", "order 45, behind it", "the worker"], rows)

# %% [markdown]
# In-line the killer took its worker with it. (Nothing is lost: lesson 08 says who takes order 45 up again, and when.)
#
# ### What it weighs, and what it costs
#
# Now the leak. Forty charges, each of which keeps a megabyte of what it has seen, with both kinds of workers. Each charge reports how much
# memory its *worker* has by then.

# %% tags=["measured"]
from notebooks.leaky import charge_and_remember

megabytes = {}
for mode in ("inline", "fork"):
    jobs = [(charge_and_remember, (order, 1999, mode == "fork")) for order in range(40)]
    megabytes[mode] = a_worker_runs(mode, jobs, module="notebooks.leaky").results
    print(f"{mode:6}: {megabytes[mode][0]:.0f} MB at the first charge, {megabytes[mode][-1]:.0f} MB at the last")

# %%
assert 35 < megabytes["inline"][-1] - megabytes["inline"][0] < 60
assert abs(megabytes["fork"][-1] - megabytes["fork"][0]) < 5

# %% [markdown]
# And the beginning. How long until the first line of a job can run: in a fresh Python, in a fresh Python that has to import what the job
# needs, and in a fork of one that has imported it.


# %% tags=["measured"]
def seconds_of_fresh(imports, times=4):
    took = []
    for _ in range(times):
        before = time.monotonic()
        subprocess.run([sys.executable, "-c", imports], check=True)
        took.append(time.monotonic() - before)
    return sorted(took)


def seconds_of_fork(times=40):
    took = []
    for _ in range(times):
        before = time.monotonic()
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        took.append(time.monotonic() - before)
    return sorted(took)


NEEDS = "import minique, numpy"
seconds = in_a_process(
    f"[seconds_of_fresh(''), seconds_of_fresh('{NEEDS}'), seconds_of_fork()]",
    seconds_of_fresh,
    seconds_of_fork,
    imports=NEEDS,
)
names = ("a fresh Python", "a fresh Python,\nand the imports", "a fork")
for name, took in zip(names, seconds, strict=True):
    print(f"{' '.join(name.split()):32} {1000 * took[len(took) // 2]:7.1f} ms in the middle")

# %% tags=["figure"]
from notebooks import drawing
from notebooks.showing import Picture

figure, (left, right) = drawing.sheet(1, 2, height=3.9, width_ratios=(1.3, 1))
for mode, name in (("inline", "does them itself (inline)"), ("fork", "forks for each")):
    drawing.real(
        left,
        range(1, 41),
        megabytes[mode],
        name,
        colour=drawing.look("inline" if mode == "inline" else "minique").colour,
    )
begin = megabytes["inline"][0]
drawing.theory(left, [1, 40], [begin, begin + 39], "theory: a megabyte for each")
left.set(xlabel="charges done", ylabel="memory of the worker (MB)", ylim=(0, None), title="A leak")
left.legend(frameon=False, fontsize=9, loc="lower right")

for place, took in enumerate(seconds):
    drawing.real(right, [1000 * one for one in took], [place] * len(took), None)
right.set(xscale="log", xlabel="until a job can begin (ms)", title="A beginning", ylim=(2.6, -0.6), xlim=(0.1, 3000))
right.set_yticks(range(3), names)
right.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
Picture(
    figure, "left, memory grows with each charge in-line and stays with forks; right, a fork begins in far less time"
)

# %% [markdown]
# ## Why
#
# **Why is a fork so fast?** Because nothing is copied, yet. The child gets the *same* pages of memory as its parent; only when
# one of the two writes to a page does the system make a copy of that page (*copy on write*). All that the parent has imported
# is there in the child, loaded and ready. So: **load once, in the parent; fork for each job.** What takes long to load is
# imported at the top of the module that the worker imports, not inside of the job.
#
# **Why does the parent stay small?** Because it does nothing. It claims, forks, waits, reports. All that a job makes, it makes in the child, and
# when the child ends, the system takes back *everything*, what was leaked too. No cleaning up is as thorough as an end.
#
# **Why not threads?** They share one house. A thread cannot be killed from outside, and when one of them crashes, all do.
#
# **Who may interrupt whom?** Between processes there are *signals*, and they go down the tree:
#
# ```
#  you ───── TERM ────▶ parent ───── KILL ────▶ child
#            "stop"       │          "now"
#                         │
#       claims no more; lets the child finish;
#       kills it only when its time is over, and gives the job back
# ```
#
# The child never has to be polite about it. It can be killed at any instant without harm to anybody else, and that is what it is for.
# ([All signals of a worker](../docs/reference/signals.md).)
#
# **Then what must one know?**
#
# - The child has its parent's *open connections* as well, and two who talk over one line at the same time understand nothing. So
#   connections to a database must be made anew in the child; minique has hooks for that (`hooks.after_fork_in_child`).
# - Only the thread that calls `fork` lives on in the child. So a worker that forks starts none.
# - A job cannot keep anything for the next one: no cache grows warm. For many tiny jobs that is a high price, and `--mode inline` may
#   be the better choice for them.
#
# ## Change one thing
#
# Does it matter *where* one imports? The same modules, once at the top, where the parent has them before it forks, once inside of the
# job:


# %% tags=["measured"]
def seconds_of_ten(job):
    before = time.monotonic()
    for _ in range(10):
        run_in_a_child(job)
    return time.monotonic() - before


def imports_inside():
    import decimal  # noqa: F401
    import email.mime.text  # noqa: F401
    import http.client  # noqa: F401
    import xml.dom.minidom  # noqa: F401


LOADED = "import decimal, email.mime.text, http.client, xml.dom.minidom"
inside = in_a_process("seconds_of_ten(imports_inside)", run_in_a_child, seconds_of_ten, imports_inside)
on_top = in_a_process("seconds_of_ten(imports_inside)", run_in_a_child, seconds_of_ten, imports_inside, imports=LOADED)
print(
    f"ten jobs: {1000 * inside:.0f} ms when each imports for itself, {1000 * on_top:.0f} ms when the parent has done it"
)

# %% [markdown]
# The job is the same in both, down to the letter: an `import` of what is there already costs next to nothing.
#
# ## Exercise
#
# One kind of misbehaviour is left: the job that never ends. Write `run_with_a_limit`, which gives its child so many seconds, then kills it. It returns
# "done" or "too slow". (You can use what is above: `os.fork`, `os.waitpid`, `os.kill`, and `os.waitpid(child, os.WNOHANG)`, which does not
# wait and returns `(0, 0)` as long as the child is alive.)


# %% tags=["exercise"]
def run_with_a_limit(job, seconds):
    """Runs the job in a child; "done" if it ended in time, "too slow" if it had to be killed."""
    ...


# %% tags=["check"]
from notebooks.showing import judge


def is_quick(): ...


def hangs():
    while True:
        time.sleep(1)


fates = in_a_process(
    "[run_with_a_limit(job, 0.5) for job in (is_quick, hangs, is_quick)]", run_with_a_limit, is_quick, hangs
)
judge(fates, ["done", "too slow", "done"])

# %% [markdown]
# <details><summary>A hint</summary>
#
# Look again and again, with a short sleep in between, until the child has ended or the time is over. And after `os.kill` there is
# still somebody to be waited for: a child that has ended and that nobody has asked for is a *zombie*.
#
# </details>
#
# <details><summary>Our solution</summary>
#
# ```python
# def run_with_a_limit(job, seconds):
#     child = os.fork()
#     if child == 0:
#         job()
#         os._exit(0)
#     deadline = time.monotonic() + seconds
#     while time.monotonic() < deadline:
#         ended, status = os.waitpid(child, os.WNOHANG)
#         if ended:
#             return "done"
#         time.sleep(0.01)
#     os.kill(child, signal.SIGKILL)
#     os.waitpid(child, 0)
#     return "too slow"
# ```
#
# minique does the same (`timeout = 30` on a job class), but without looking again and again: it sleeps until the child's end of a pipe
# closes, or the time is over. You will have noticed that this is lesson 04 once more.
#
# </details>
#
# ## What we now promise, and what it costs

# %% tags=["promise"]
from notebooks.promises import promised_by

promised_by(7)
