"""Pictures of replays, sweeps and studies. The only home of matplotlib.

Every function draws into an Axes and returns it. Without one it opens a figure, which is the caller's
from then on: nothing is shown, saved or closed here, and matplotlib's own settings stay as they are.
A title says what was found, labels carry units, and no fact is told by colour alone (`style.py`).
"""

from __future__ import annotations

from tagspace_lab.lab.plots.bounds import plot_efficiency
from tagspace_lab.lab.plots.comparisons import plot_before_after, plot_gain, plot_throttles
from tagspace_lab.lab.plots.days import plot_hits
from tagspace_lab.lab.plots.fronts import plot_front
from tagspace_lab.lab.plots.maps import plot_map
from tagspace_lab.lab.plots.quality import plot_quality
from tagspace_lab.lab.plots.runs import plot_run, plot_throttle
from tagspace_lab.lab.plots.studies import plot_importance, plot_trials
from tagspace_lab.lab.plots.sweeps import plot_sweep

__all__ = [
    "plot_before_after",
    "plot_efficiency",
    "plot_front",
    "plot_gain",
    "plot_hits",
    "plot_importance",
    "plot_map",
    "plot_quality",
    "plot_run",
    "plot_sweep",
    "plot_throttle",
    "plot_throttles",
    "plot_trials",
]
