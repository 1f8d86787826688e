"""The verbs of `python -m simulate`, one module for each.

Each has `add(verbs)`, which puts its options on the command line, and `run(options, clock)`, which does it and returns
the exit code. What they share stands in `options.py` (what may be asked for), `chosen.py` (what that comes to),
`results.py` (how it is played and kept), `files.py` (what is written) and `terminal.py` (what is shown meanwhile).
"""
