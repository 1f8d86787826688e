"""The guarantee table: a row for each property and a column for each design, each cell the outcome of a search.

    properties.py  what is promised, and in which scope it is searched for
    table.py       asks every question of every design
    report.py      the table for a terminal, as Markdown, as JSON
    page.py        one page with the table and every story drawn
    recurring.py   slots that a schedule fires, each once: a search of its own
    command.py     `python -m simulate guarantees`

`table()` gives all of it as values.
"""

from simulate.guarantees.properties import PROPERTIES as PROPERTIES
from simulate.guarantees.properties import Property as Property
from simulate.guarantees.table import Cell as Cell
from simulate.guarantees.table import Table as Table
from simulate.guarantees.table import table as table
