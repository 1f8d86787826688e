"""Every figure: data in, Figure out, one style.

`style.py` says how things look; each other module draws one family of figures.
"""

from simulate.plots.compare import SHORTEST_SECONDS as SHORTEST_SECONDS
from simulate.plots.compare import compare_figure as compare_figure
from simulate.plots.guarantees import guarantees_figure as guarantees_figure
from simulate.plots.overload import drain_figure as drain_figure
from simulate.plots.overload import overload_figure as overload_figure
from simulate.plots.plan import plan_figure as plan_figure
from simulate.plots.priorities import priorities_figure as priorities_figure
from simulate.plots.retries import retries_figure as retries_figure
from simulate.plots.staffing import staffing_figure as staffing_figure
from simulate.plots.staffing import waits_figure as waits_figure
from simulate.plots.startup import crash_figure as crash_figure
from simulate.plots.startup import deploy_figure as deploy_figure
from simulate.plots.startup import start_figure as start_figure
from simulate.plots.stories import story_figure as story_figure
from simulate.plots.style import COLOURS as COLOURS
from simulate.plots.style import DASHES as DASHES
from simulate.plots.style import DOTS_PER_INCH as DOTS_PER_INCH
from simulate.plots.style import IDEAL_COLOUR as IDEAL_COLOUR
from simulate.plots.style import PIXELS_WIDE as PIXELS_WIDE
from simulate.plots.style import line_of as line_of
from simulate.plots.style import look as look
from simulate.plots.style import tidy as tidy
from simulate.plots.sweep import sweep_figure as sweep_figure
from simulate.plots.theory import theory_figure as theory_figure
from simulate.words import count as count
from simulate.words import duration as duration
