"""What attempts cost, by a table of list prices that a team can correct.

A table is TOML: one `[models."NAME"]` a model, with `usd_per_million_input`, `usd_per_million_output` and, where it is
cheaper, `usd_per_million_cached_input`. NAME is the model's, with or without a date at the end of what is asked for
(`gpt-4o-mini` prices `gpt-4o-mini-2024-07-18`); `NAME*` prices whatever begins so. The longest name that fits counts.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from tagspace_lab.errors import SettingsError
from tagspace_lab.records import Attempt

__all__ = ["Price", "PriceTable", "cost_usd", "parse_prices", "spent_usd"]

_DATED = re.compile(r"(?:-latest|[-@]\d{4}-?\d{2}-?\d{2}|-\d{4})$")
_INPUT, _CACHED, _OUTPUT = (f"usd_per_million_{kind}" for kind in ("input", "cached_input", "output"))


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens; cached input costs as much as any other where no price of it is known."""

    usd_per_million_input: float
    usd_per_million_output: float
    usd_per_million_cached_input: float | None = None


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices by the model's name or the beginning of it; `as_of` says when they were true."""

    prices: Mapping[str, Price] = field(default_factory=dict)
    as_of: str = ""

    def find(self, model: str) -> Price | None:
        """The price of a model; None where the table does not know it: a guess would be worse."""
        names = (model, _DATED.sub("", model))
        exact = next((self.prices[name] for name in names if name in self.prices), None)
        stems = [name for name in self.prices if name.endswith("*") and model.startswith(name[:-1])]
        return exact or (self.prices[max(stems, key=len)] if stems else None)

    def overlay(self, other: PriceTable) -> PriceTable:
        """This table with the other's prices in the place of its own."""
        return PriceTable({**self.prices, **other.prices}, other.as_of or self.as_of)


def parse_prices(text: str, source: str) -> PriceTable:
    """The table that a TOML text holds; SettingsError, which names `source`, where it is none."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{source}: this is not TOML: {error}") from error
    models = document.get("models", {})
    if unknown := sorted(set(document) - {"models", "as_of", "source"}):
        raise SettingsError(f'{source}: unknown key {unknown[0]!r}. Wanted: as_of, source and [models."NAME"] tables.')
    if not isinstance(models, dict):
        raise SettingsError(f'{source}: models = {models!r}. Wanted: a table [models."NAME"] for each model.')
    return PriceTable(
        {name: _read_price(entry, f"{source}: {name}") for name, entry in models.items()},
        str(document.get("as_of", "")),
    )


def _read_price(entry: Any, where: str) -> Price:
    if not isinstance(entry, dict) or set(entry) - {_INPUT, _CACHED, _OUTPUT} or not {_INPUT, _OUTPUT} <= set(entry):
        raise SettingsError(f"{where}: {entry!r}. Wanted: {_INPUT}, {_OUTPUT} and perhaps {_CACHED}.")
    for name, usd in entry.items():
        if isinstance(usd, bool) or not isinstance(usd, int | float) or not isfinite(usd) or usd < 0:
            raise SettingsError(f"{where}: {name} = {usd!r}. Wanted: US dollars, 0 or more.")
    return Price(entry[_INPUT], entry[_OUTPUT], entry.get(_CACHED))


def cost_usd(price: Price, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> float:
    """What a call costs; `cached_tokens` of the input were read from the provider's prompt cache.

    What some vendors ask on top for writing to that cache is left out: it is paid once for the fixed part of a
    prompt, not for each call.
    """
    cached_usd = price.usd_per_million_cached_input
    cached_usd = price.usd_per_million_input if cached_usd is None else cached_usd
    fresh = max(0, input_tokens - cached_tokens) * price.usd_per_million_input
    return (fresh + cached_tokens * cached_usd + output_tokens * price.usd_per_million_output) / 1e6


def spent_usd(attempts: Iterable[Attempt], prices: Price | Mapping[str, Price | None] | None) -> float | None:
    """What a run has spent: of one price, or of one a provider (`Attempt.provider`, such as `primary`).

    None where an attempt that used tokens has no price: a sum without it would be too small. Attempts that failed
    count with the tokens that the provider reported.
    """
    total = 0.0
    for attempt in attempts:
        price = prices.get(attempt.provider) if isinstance(prices, Mapping) else prices
        if price is not None:
            total += cost_usd(price, attempt.input_tokens, attempt.output_tokens, attempt.cached_tokens)
        elif attempt.input_tokens or attempt.output_tokens:
            return None
    return total
