"""Questions that need more than one load on one design: each module asks one, and answers with data.

priorities.py  several queues, the most urgent first: who waits for whom, and which starves
overload.py    more work than can be done: what each policy still gets done in time
retries.py     retries, and the storm when what was down comes back
startup.py     an application that takes long to load: per job, per deploy, per crash
staffing.py    how many workers at which hour
goodput.py     theory for `overload`: what share of jobs is done in time
"""
