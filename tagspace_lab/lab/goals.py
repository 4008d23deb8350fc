"""What a study seeks and what it must keep to, in the user's words: `cheapest`, `429s<1%`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
from typing import Any, Final, Self

from tagspace_lab.errors import InputError

__all__ = ["OVER", "SEEKS", "Goals", "Prices", "name_missed"]


@dataclass(frozen=True, slots=True)
class Prices:
    """What a second of the makespan, a token and a 429 cost, in seconds; `word` says what is saved above all."""

    word: str
    per_s: float = 0.0
    per_token: float = 0.0
    per_429: float = 0.0


SEEKS: Final[Mapping[str, Prices]] = MappingProxyType(
    {
        "fastest": Prices("time", per_s=1.0),
        "cheapest": Prices("tokens", per_s=0.01, per_token=1e-3),
        "gentlest": Prices("429s", per_s=0.01, per_429=10.0),
        "balanced": Prices("cost", per_s=1.0, per_token=2e-4, per_429=1.0),
    }
)
"""The goals by name. `balanced`: a second for 5,000 tokens or one 429; time decides what else is equal elsewhere."""

OVER: Final = ("mean", "worst", "cvar")
"""How the replays of settings become one number: their mean, the worst, or the mean of the worst quarter."""

_LIMITS: Final = MappingProxyType(
    {
        "429s": "max_rate_limit_share",
        "f1_loss": "max_f1_loss",
        "errors": "max_errors",
        "calls": "max_calls",
        "tokens": "max_tokens",
        "makespan": "max_makespan_s",
    }
)
_SHARES: Final = frozenset({"429s", "f1_loss"})
_FORM: Final = re.compile(r"\s*([A-Za-z0-9_]+)\s*(<=?)\s*([0-9]+(?:\.[0-9]+)?)\s*(%?)\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Goals:
    """What is sought, and what settings must keep to in every scenario and space. InputError for a wrong value.

    `seek` is one of :data:`SEEKS`, `over` of :data:`OVER`. `max_rate_limit_share`: 429s per request.
    `max_f1_loss`: micro-F1 that may be lost against the same pages asked one at a time. `max_errors`: pages that
    may end without labels beyond those that do so when asked one at a time: a page that nothing can tag says
    nothing about the settings. `max_calls`, `max_tokens`, `max_makespan_s`: means of a run; None is no limit.
    """

    max_rate_limit_share: float = 0.05
    max_f1_loss: float = 0.02
    max_errors: int = 0
    max_calls: float | None = None
    max_tokens: float | None = None
    max_makespan_s: float | None = None
    seek: str = "fastest"
    over: str = "mean"

    def __post_init__(self) -> None:
        for name, allowed in (("seek", tuple(SEEKS)), ("over", OVER)):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} is {getattr(self, name)!r}; allowed: {', '.join(allowed)}.")
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, str) and value is not None and not value >= 0:
                raise InputError(f"{field.name} is {value}; allowed: a number from 0.")

    @classmethod
    def read(cls, limits: Iterable[str] = (), *, seek: str = "fastest", over: str = "mean") -> Self:
        """The goals that limits such as `429s<1%`, `f1_loss<0.01` or `calls<200` state; what none names is default.

        InputError names the text and what is allowed instead; a limit that is stated twice is one, too.
        """
        stated: dict[str, Any] = {}
        for text in limits:
            field, most = _read_limit(text)
            if field in stated:
                raise InputError(f"limit {text!r} states {_name(field)} again; state it once.")
            stated[field] = most
        return cls(**stated, seek=seek, over=over)

    @property
    def prices(self) -> Prices:
        return SEEKS[self.seek]

    def to_dict(self) -> dict[str, Any]:
        """For JSON: numbers with 6 decimals at most."""
        return {name: round(value, 6) if isinstance(value, float) else value for name, value in asdict(self).items()}


def name_missed(excess: Mapping[str, float]) -> tuple[str, ...]:
    """The limits, in the user's words, that are exceeded where each excess is called as its field without `max_`."""
    return tuple(name for name, field in _LIMITS.items() if excess.get(field.removeprefix("max_"), 0.0) > 0)


def _read_limit(text: str) -> tuple[str, float]:
    """The field of Goals, and the most that keeps it."""
    found = _FORM.fullmatch(text)
    if not found or found[1] not in _LIMITS:
        raise InputError(
            f"limit {text!r} cannot be read; allowed: one of {', '.join(_LIMITS)}, then < or <= and a number, "
            "as in '429s<1%' or 'calls<200'."
        )
    name, relation, digits, percent = found.groups()
    if percent and name not in _SHARES:
        raise InputError(f"limit {text!r} is in per cent; {name} is counted, as in '{name}{relation}200'.")
    most = float(digits) / (100 if percent else 1)
    if name in _SHARES and most > 1:
        raise InputError(f"limit {text!r} is above 1; allowed: a share from 0 to 1, or per cent, as in '{name}<1%'.")
    if relation == "<" and most == 0:
        raise InputError(f"limit {text!r} cannot be kept: nothing is below 0; write '{name}<=0'.")
    if name == "errors":
        return _LIMITS[name], math.ceil(most) - 1 if relation == "<" else math.floor(most)
    return _LIMITS[name], math.nextafter(most, -math.inf) if relation == "<" else most


def _name(field: str) -> str:
    return next(name for name, known in _LIMITS.items() if known == field)
