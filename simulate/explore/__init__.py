"""Every interleaving of the worker, scheduler, reaper and producer that ship, with every fault that a budget allows.

One arrow is one step, also inside a trip. Between any two steps a process may be killed, a connection lost, a reply
lost, or time pass until leases have run out. The search is breadth-first, so that the first story that ends badly is
a shortest one.

    contents.py   what a server holds, as one small value; the servers that steps are drawn on
    subject.py    the code that is explored, as it ships or with a fault put into it
    actors.py     a process: the real code, run once for each state and each list of answers; its kinds are in
                  workers.py, upkeep.py (reapers, schedulers) and people.py (producers, a person)
    rules.py      what must hold after every step
    scope.py      who is there, what is asked of them, and how much may go wrong
    system.py     the product of all that: what a state is, and what can happen in it
    reduce.py     states that differ in names alone are one
    search.py     all of them, breadth-first, and whether everything drains once faults stop
    telling.py    from the states that led to a failure to its steps, with the names that they had
    walk.py       random walks, for scopes that are too large to be searched whole
    diary.py      the steps of a walk as events, judged by the checker of live runs
    story.py      a list of steps: told, saved, drawn
    replay.py     the same steps, one after another, on a real server
    mutants.py    the faults that it must find, and the changes on which it must be silent
"""
