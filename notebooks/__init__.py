"""Fourteen short notebooks, from a loop and a sleep to planning how many workers: `README.md` is the map.

The lessons are `NN_title.py`; `build.py` makes `NN_title.ipynb`, the figures' thumbnails and the map from them. The
other modules are what the lessons share: how things are shown and drawn, the shop, and what each lesson promises.
"""
