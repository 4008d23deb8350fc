from __future__ import annotations

from pathlib import Path

import pytest

from tagspace_lab.clients.models.prices import load_prices
from tagspace_lab.errors import SettingsError
from tagspace_lab.policy.prices import Price


def test_shipped_table_is_dated_and_says_where_it_is_from() -> None:
    table = load_prices()
    assert table.as_of == "2025-11"
    assert table.find("gpt-4o-mini-2024-07-18") == Price(0.15, 0.60, 0.075)
    for name, price in table.prices.items():
        assert price.usd_per_million_cached_input is not None, name
        assert price.usd_per_million_cached_input < price.usd_per_million_input < price.usd_per_million_output, name


def test_own_table_counts_before_the_shipped_one(tmp_path: Path) -> None:
    own = tmp_path / "prices.toml"
    own.write_text('[models."gpt-4o"]\nusd_per_million_input = 1\nusd_per_million_output = 2\n', "utf-8")
    assert load_prices(own).find("gpt-4o") == Price(1, 2)
    assert load_prices(own).find("gpt-4.1") == load_prices().find("gpt-4.1")


def test_table_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nosuch"):
        load_prices(tmp_path / "nosuch.toml")
    broken = tmp_path / "broken.toml"
    broken.write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="broken"):
        load_prices(broken)
