"""The same load in reality: real processes, a real server, a real SQLite daemon.

runs.py       a load against real workers and the real daemon
beside.py     `live`: beside it what the simulator says of it
check.py      `live --check`: is the simulator right on this machine?
lessons.py    what a run teaches of the steps beside the work, which is what is predicted with
calibrate.py  `calibrate`: what each step costs here, which the simulator is then given
crosses.py    real runs as crosses in a sweep's figure
record.py     `record`: a load as it was, from the logs of running workers
jobs.py       the work itself, which notes when it began and ended
"""
