"""Limits that one run has learned are where the next one starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagspace_lab.errors import InputError
from tagspace_lab.lab.profiles import check_profile, read_profile
from tagspace_lab.lab.replay import replay
from tagspace_lab.lab.report import Report
from tagspace_lab.records import Rates
from tagspace_lab.settings import Settings

ONE_PAGE = Settings(batch_size=1)


def run(settings: Settings | Path, scenario: str = "blind-bucket", space: str = "large") -> Report:
    return replay(space, scenario, settings, runs=1, progress=False)


def test_rates_are_learned_from_refusals_and_from_headers() -> None:
    learned = run(ONE_PAGE).rates
    assert learned.requests_per_min == pytest.approx(600, rel=0.03)
    stated = run(Settings(), "openai-tier1", "medium")
    assert stated.rates == Rates(500.0, 500_000)
    assert stated.to_dict()["learned"] == {"requests_per_min": 500.0, "tokens_per_min": 500_000}


def test_run_that_is_told_them_skips_the_discovery(tmp_path: Path) -> None:
    first = run(ONE_PAGE)
    first.keep_rates(tmp_path / "kept.env")
    assert check_profile(tmp_path / "kept.env") == []
    profile = read_profile(tmp_path / "kept.env")
    assert profile.settings.requests_per_min == first.rates.requests_per_min
    second = run(tmp_path / "kept.env")
    assert second.runs[0].rate_limit_errors < first.runs[0].rate_limit_errors
    assert second.runs[0].makespan_s <= first.runs[0].makespan_s * 1.01


@pytest.mark.parametrize("told_per_min", [6, 60, 6_000, 60_000])
def test_wrong_rates_cost_a_little_time_and_no_storm(told_per_min: float) -> None:
    right, wrong = run(ONE_PAGE).runs[0], run(ONE_PAGE.with_changes(requests_per_min=told_per_min)).runs[0]
    assert wrong.errors == 0
    assert wrong.makespan_s <= right.makespan_s + 30
    assert wrong.rate_limit_errors <= right.rate_limit_errors + 10


def test_nothing_learned_is_nothing_to_keep(tmp_path: Path) -> None:
    report = run(Settings(max_ai_concurrency=3), "self-hosted", "small")
    assert report.rates == Rates()
    with pytest.raises(InputError, match="nothing was refused or stated"):
        report.keep_rates(tmp_path / "none.env")
    assert not (tmp_path / "none.env").exists()
