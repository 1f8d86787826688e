"""How fast, how late, how soon again: `python -m simulate bench`.

throughput.py  jobs per second, alone and beside other libraries; its processes run `players.py`
modes.py       what each way to run a job costs
scheduler.py   how late a delayed or recurring job is
recovery.py    how soon a job is done whose worker is killed
simulator.py   how fast the simulator plays
server.py      the private server that all of them begin with
"""
