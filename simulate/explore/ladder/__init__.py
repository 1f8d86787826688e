"""Every interleaving of the loops of rungs 0 to 7: the code that runs live, and no copy of it.

programs.py   a process: its real loop, run once for each list of answers
servers.py    what they share, as one small value: lists on a server, a SQLite table, a program's own memory
rungs.py      who takes part in each design, and how its contents read
rules.py      what must hold, whatever the design
search.py     the product of all that, breadth-first
replay.py     the steps of a story on a real server, or a real file
"""
