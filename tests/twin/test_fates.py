from __future__ import annotations

from collections import Counter
from math import exp
from statistics import median

import pytest

from tagspace_lab.twin.fates import Ending, Fate, draw_fate, service_s, weather
from tagspace_lab.twin.schema import Faults, Latency

FAULTS = Faults(
    server_error_share=0.1,
    timeout_share=0.05,
    malformed_share=0.05,
    malformed_growth=0.01,
    partial_share=0.0,
    partial_growth=0.02,
)


@pytest.mark.parametrize(("pages", "malformed", "partial"), [(1, 0.05, 0.0), (11, 0.15, 0.2)])
def test_shares_of_endings_are_the_stated_ones(pages: int, malformed: float, partial: float) -> None:
    endings = Counter(draw_fate(FAULTS, pages, "call", number).ending for number in range(5000))
    wanted = {Ending.SERVER_ERROR: 0.1, Ending.TIMEOUT: 0.05, Ending.MALFORMED: malformed, Ending.PARTIAL: partial}
    for ending, share in wanted.items():
        assert endings[ending] / 5000 == pytest.approx(share, abs=0.015)


def test_more_pages_never_heal_a_call() -> None:
    for number in range(2000):
        alone, many = (draw_fate(FAULTS, pages, "call", number) for pages in (1, 11))
        assert alone.ending in (Ending.OK, Ending.PARTIAL, Ending.MALFORMED) or alone.ending == many.ending
        assert many.ending is not Ending.OK or alone.ending is Ending.OK
        assert alone.delay == many.delay


def test_time_is_first_token_then_output_times_load() -> None:
    latency = Latency(first_token_s=0.6, first_token_sigma=0.5, output_tokens_per_s=100)
    assert service_s(latency, Fate(Ending.OK, 0.0, 0.5), 50, 1.0) == pytest.approx(1.1)
    assert service_s(latency, Fate(Ending.OK, 2.0, 0.5), 0, 2.0) == pytest.approx(2 * 0.6 * exp(1.0))
    drawn_s = [service_s(latency, draw_fate(Faults(), 1, number), 0, 1.0) for number in range(3000)]
    assert median(drawn_s) == pytest.approx(0.6, rel=0.05)


def test_weather_is_shared_within_a_slot_and_changes_with_it() -> None:
    latency = Latency(slot_sigma=0.3)
    assert weather(latency, 1.0, "p") == weather(latency, 9.9, "p") != weather(latency, 10.0, "p")
    assert weather(Latency(), 1.0, "p") == 1.0
