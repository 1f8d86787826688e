"""Replays one load against several designs of a job queue, in virtual time, and measures what each is worth.

The daemons and workers that are simulated are the real ones: `naive_daemon` and `minique` as they ship, each living in
a greenlet whose sleep parks it. A simulated day takes seconds. Begin with `virtual_time.py`, then `actors.py`.
"""
