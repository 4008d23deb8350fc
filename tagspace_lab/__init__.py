"""Tag a whole wiki space with a language model, and find the settings that do it fastest, in virtual time.

    import tagspace_lab as tl

    tl.replay("medium", "openai-tier1")               # a Report: how long, how many 429s, how near the bound
    tuned = tl.tune("medium", "openai-tier1")         # better settings, proved on seeds the study never saw
    tuned.export("medium.env")                        # a profile: the TAG_SPACE_* variables
    tl.verify("medium.env", "medium", "openai-tier1")

Names are imported when they are first used: `import tagspace_lab` alone costs next to nothing.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tagspace_lab.errors import InputError, ServiceError, TagspaceError
    from tagspace_lab.lab.caches import hits_by_day
    from tagspace_lab.lab.calibration.calibration import calibrate
    from tagspace_lab.lab.effects import measure_effects
    from tagspace_lab.lab.folders import snapshot_folder
    from tagspace_lab.lab.objective import Goals
    from tagspace_lab.lab.places import quality_by_place
    from tagspace_lab.lab.plots import (
        plot_before_after,
        plot_efficiency,
        plot_front,
        plot_gain,
        plot_hits,
        plot_importance,
        plot_map,
        plot_quality,
        plot_run,
        plot_sweep,
        plot_throttle,
        plot_throttles,
        plot_trials,
    )
    from tagspace_lab.lab.profiles import Profile, diff_profiles, read_profile, write_profile
    from tagspace_lab.lab.replay import replay
    from tagspace_lab.lab.report import Report, RunSummary
    from tagspace_lab.lab.snapshots import load_space, save_space
    from tagspace_lab.lab.sweep import sweep, weigh_settings
    from tagspace_lab.lab.tune import tune
    from tagspace_lab.lab.tuned import Tuned
    from tagspace_lab.lab.verify import Verification, verify
    from tagspace_lab.records import Page, Space
    from tagspace_lab.settings import Settings, load_settings
    from tagspace_lab.twin.scenario import Scenario, load_scenario
    from tagspace_lab.twin.spaces import GeneratedSpace

__version__ = "0.1.0"

__all__ = [
    "GeneratedSpace",
    "Goals",
    "InputError",
    "Page",
    "Profile",
    "Report",
    "RunSummary",
    "Scenario",
    "ServiceError",
    "Settings",
    "Space",
    "TagspaceError",
    "Tuned",
    "Verification",
    "__version__",
    "calibrate",
    "diff_profiles",
    "hits_by_day",
    "load_scenario",
    "load_settings",
    "load_space",
    "measure_effects",
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
    "quality_by_place",
    "read_profile",
    "replay",
    "save_space",
    "snapshot_folder",
    "sweep",
    "tune",
    "verify",
    "weigh_settings",
    "write_profile",
]

_HOMES = {
    "errors": ("InputError", "ServiceError", "TagspaceError"),
    "lab.caches": ("hits_by_day",),
    "lab.calibration.calibration": ("calibrate",),
    "lab.effects": ("measure_effects",),
    "lab.folders": ("snapshot_folder",),
    "lab.objective": ("Goals",),
    "lab.places": ("quality_by_place",),
    "lab.plots": (
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
    ),
    "lab.profiles": ("Profile", "diff_profiles", "read_profile", "write_profile"),
    "lab.replay": ("replay",),
    "lab.report": ("Report", "RunSummary"),
    "lab.snapshots": ("load_space", "save_space"),
    "lab.sweep": ("sweep", "weigh_settings"),
    "lab.tune": ("tune",),
    "lab.tuned": ("Tuned",),
    "lab.verify": ("Verification", "verify"),
    "records": ("Page", "Space"),
    "settings": ("Settings", "load_settings"),
    "twin.scenario": ("Scenario", "load_scenario"),
    "twin.spaces": ("GeneratedSpace",),
}
_HOME_OF = {name: f"{__name__}.{home}" for home, names in _HOMES.items() for name in names}


logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    """A public name on its first use; afterwards it is an ordinary attribute."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
