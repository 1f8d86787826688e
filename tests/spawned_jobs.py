"""What a spawned child of the tests imports: every function of `child_jobs.py`, as a job."""

from __future__ import annotations

import inspect

from minique import job
from tests import child_jobs

for _name, _function in inspect.getmembers(child_jobs, inspect.isfunction):
    if _function.__module__ == child_jobs.__name__:
        job()(_function)
