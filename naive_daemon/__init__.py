"""The simple way to do work later: a table, and a program that looks at it every ten seconds.

Read `daemon.py` first: the whole idea is its four lines. `claiming.py` makes it parallel and, doing so, reinvents half
of a job queue with none of its safety. Both are right for many a small site, and both have faults that the simulator
measures; each module names its own.
"""
