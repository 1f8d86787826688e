"""Real programs on a real server, killed at random, and a referee who counts: `python -m simulate chaos`.

    conductor   starts everything, does its worst by a plan that a seed decides, reads the end state
    producer    enqueues a mixed load, and writes down what it sent and what was acknowledged
    jobs        the job classes; each run writes down its start and its end
    proxy       stands between the programs and the server, and loses replies when it is told to
    server      the server with its append-only file; how it is killed, and what a power cut takes
    report      a table, JSON and a figure

All write their lines into one file, which is a history as `simulate/history.py` reads it; that one is the judge.
"""
