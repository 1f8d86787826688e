"""How fast: `python -m simulate bench throughput`, alone and beside other libraries.

Begin with `throughput.py`, which says what is measured; `players.py` is what runs in the processes that are measured.
"""
