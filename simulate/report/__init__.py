"""What the experiments say, on a terminal or on a page: tables, and below them words."""

from simulate.report.compare import comparisons as comparisons
from simulate.report.out import Out as Out
from simulate.report.out import written as written
from simulate.report.overload import bursts as bursts
from simulate.report.overload import overload as overload
from simulate.report.plan import plan as plan
from simulate.report.priorities import priorities as priorities
from simulate.report.retries import retries as retries
from simulate.report.staffing import staffing as staffing
from simulate.report.startup import startup as startup
from simulate.report.sweep import sweep as sweep
from simulate.report.theory import theory as theory
from simulate.report.waits import waits as waits
