from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.errors import SettingsError
from tagspace_lab.policy.prices import Price, PriceTable, cost_usd, parse_prices, spent_usd
from tagspace_lab.records import Attempt, Outcome
from tests.fakes import examples

CHEAP = Price(1.0, 10.0, 0.1)
PLAIN = Price(1.0, 10.0)
TABLE = PriceTable({"m": CHEAP, "m-mini": PLAIN, "house/*": CHEAP, "house/big*": PLAIN})
ATTEMPT = Attempt(1, 1, "primary", 0.0, 1.0, Outcome.OK, 200, 5, 1_000_000, 100_000, 400_000, 0.0, 1, 1.0)


def test_cached_input_has_its_own_price() -> None:
    assert cost_usd(CHEAP, 1_000_000, 100_000) == pytest.approx(2.0)
    assert cost_usd(CHEAP, 1_000_000, 100_000, 400_000) == pytest.approx(0.6 + 0.04 + 1.0)
    assert cost_usd(PLAIN, 1_000_000, 100_000, 400_000) == pytest.approx(2.0)
    assert cost_usd(CHEAP, 0, 0, 0) == 0.0


@pytest.mark.parametrize(
    ("model", "price"),
    [
        *(("m", CHEAP), ("m-2025-01-31", CHEAP), ("m-20250131", CHEAP), ("m@20250131", CHEAP), ("m-latest", CHEAP)),
        *(("m-mini", PLAIN), ("m-mini-2025-01-31", PLAIN), ("house/small", CHEAP), ("house/big-7b", PLAIN)),
        *(("m-audio", None), ("m.6-sol", None), ("M", None), ("", None), ("other", None)),
    ],
)
def test_model_is_priced_by_its_name_and_never_by_a_guess(model: str, price: Price | None) -> None:
    assert TABLE.find(model) == price


def test_run_has_spent_what_its_attempts_cost() -> None:
    other = replace(ATTEMPT, provider="fallback", cached_tokens=0)
    free = replace(ATTEMPT, provider="nobody", input_tokens=0, output_tokens=0, cached_tokens=0)
    one = cost_usd(CHEAP, 1_000_000, 100_000, 400_000)
    assert spent_usd([ATTEMPT, ATTEMPT], CHEAP) == pytest.approx(2 * one)
    assert spent_usd([ATTEMPT, other, free], {"primary": CHEAP, "fallback": PLAIN}) == pytest.approx(one + 2.0)
    assert spent_usd([], None) == 0.0


def test_what_has_no_price_is_not_summed_up() -> None:
    other = replace(ATTEMPT, provider="fallback")
    assert spent_usd([ATTEMPT], None) is None
    assert spent_usd([ATTEMPT, other], {"primary": CHEAP, "fallback": None}) is None
    assert spent_usd([ATTEMPT, other], {"primary": CHEAP}) is None


def test_table_is_read_from_toml() -> None:
    text = (
        'as_of = "today"\n[models."m"]\nusd_per_million_input = 1\nusd_per_million_output = 10.0\n'
        "usd_per_million_cached_input = 0.1\n"
    )
    table = parse_prices(text, "x.toml")
    assert (table.find("m"), table.as_of) == (CHEAP, "today")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[models", "not TOML"),
        ("models = 7", "a table"),
        ("prices = 7", "unknown key 'prices'"),
        ("[models.m]\nusd_per_million_input = 1", "usd_per_million_output"),
        ("[models.m]\nusd_per_million_input = 1\nusd_per_million_output = 1\nusd = 1", "Wanted"),
        ("[models.m]\nusd_per_million_input = -1\nusd_per_million_output = 1", "0 or more"),
        ("[models.m]\nusd_per_million_input = inf\nusd_per_million_output = 1", "0 or more"),
        ('[models.m]\nusd_per_million_input = "1"\nusd_per_million_output = 1', "0 or more"),
        ("[models.m]\nusd_per_million_input = true\nusd_per_million_output = 1", "0 or more"),
        ("[models]\nm = 5", "Wanted"),
    ],
)
def test_wrong_table_is_named_with_what_is_wanted(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=f"x.toml.*{words}"):
        parse_prices(text, "x.toml")


@examples(100)
@given(st.text(max_size=60))
def test_any_model_name_has_a_price_or_none(model: str) -> None:
    assert TABLE.find(model) in (CHEAP, PLAIN, None)
