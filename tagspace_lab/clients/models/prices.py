"""The price table that ships, and one's own over it."""

from __future__ import annotations

from pathlib import Path

from tagspace_lab.errors import SettingsError
from tagspace_lab.policy.prices import PriceTable, parse_prices
from tagspace_lab.shipped import shipped_dir

__all__ = ["load_prices"]


def load_prices(own: Path | None = None) -> PriceTable:
    """The shipped prices, with those of the file `own` in their place; SettingsError if it cannot be read."""
    shipped = _read(shipped_dir() / "prices.toml")
    return shipped.overlay(_read(own)) if own else shipped


def _read(path: Path) -> PriceTable:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"{path}: the price table cannot be read: {reason}") from error
    return parse_prices(text, str(path))
