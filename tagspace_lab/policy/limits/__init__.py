"""What the end of each call teaches about the provider's limits: the estimating half of the throttle.

A :class:`Limiter` says how many calls may be in flight and when the next one may start; it never waits.
`pipeline/throttle.py` enforces what it says. To add one: write the class in a file of its own, and
name it in :data:`LIMITERS` and in the setting `throttle`.

No clock here: time arrives as `now_s`.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from tagspace_lab.policy.limits.aimd import Aimd
from tagspace_lab.policy.limits.cubic import Cubic
from tagspace_lab.policy.limits.fixed import Fixed
from tagspace_lab.policy.limits.google_sre import GoogleSre
from tagspace_lab.policy.limits.gradient2 import Gradient2
from tagspace_lab.policy.limits.ladder import Ladder
from tagspace_lab.policy.limits.learned import Learned
from tagspace_lab.policy.limits.protocol import Limiter, Start
from tagspace_lab.policy.limits.vegas import Vegas
from tagspace_lab.settings import Settings

__all__ = [
    "LIMITERS",
    "Aimd",
    "Cubic",
    "Fixed",
    "GoogleSre",
    "Gradient2",
    "Ladder",
    "Learned",
    "Limiter",
    "Start",
    "Vegas",
    "make_limiter",
]

LIMITERS: dict[str, Callable[[Settings, random.Random], Limiter]] = {
    "fixed": Fixed,
    "ladder": Ladder,
    "aimd": Aimd,
    "vegas": Vegas,
    "gradient2": Gradient2,
    "cubic": Cubic,
    "google-sre": GoogleSre,
    "learned": Learned,
}


def make_limiter(settings: Settings, rng: random.Random) -> Limiter:
    """The limiter that `TAG_SPACE_THROTTLE` names; `rng` is for its jitter."""
    return LIMITERS[settings.throttle](settings, rng)
