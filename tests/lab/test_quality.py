"""The quality curve, measured on the twin, whose curve is known."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import httpx
import pytest

from tagspace_lab.clients.http import open_http
from tagspace_lab.clients.models import OpenAIModel
from tagspace_lab.errors import InputError, ScenarioError
from tagspace_lab.lab.quality import QualityCurve, measure_quality, read_quality
from tagspace_lab.lab.samples import draw_sample
from tagspace_lab.policy.prompts import LabelRules
from tagspace_lab.settings import Settings
from tagspace_lab.twin.app import build_app
from tagspace_lab.twin.clock import run_virtual
from tests.fakes import TinySpace, make_scenario

KNOWN = {"accuracy": 0.9, "relative_accuracy": [[1, 1.0], [10, 0.7]], "missing": [[1, 0.0], [10, 0.1]]}


def measure(pages: int = 300, sizes: tuple[int, ...] = (5, 10), seed: int = 0, **tables: Any) -> QualityCurve:
    space = TinySpace(pages)
    app = build_app(make_scenario(**{"quality": KNOWN} | tables), space, seed=3)
    sample = draw_sample(space, pages, random.Random(seed))

    async def main() -> QualityCurve:
        async with open_http(httpx.ASGITransport(app)) as http:
            model = OpenAIModel(http, "http://twin/v1", "twin", "key", 60.0, lambda: 0.0)
            return await measure_quality(
                sample, model, sizes, rules=LabelRules(space.vocabulary), settings=Settings(), seed=seed
            )

    return run_virtual(main)


def test_known_curve_is_found_again() -> None:
    curve = measure()
    quality = curve.quality()
    assert quality.accuracy == pytest.approx(0.9, abs=0.04)
    assert [size for size, _ in quality.relative_accuracy] == [1, 5, 10]
    assert dict(quality.relative_accuracy)[10] == pytest.approx(0.7, abs=0.07)
    assert dict(quality.missing)[10] == pytest.approx(0.1, abs=0.04)


def test_intervals_hold_the_values_and_are_repeatable() -> None:
    rows = measure(pages=60).rows()
    assert [row["batch_size"] for row in rows] == ["1", "1 again", "5", "10"]
    for row in rows:
        assert row["agreement_low"] <= row["agreement"] <= row["agreement_high"]
        assert row["f1_low"] <= row["f1"] <= row["f1_high"]
    assert rows[1]["agreement"] == 1.0
    assert rows == measure(pages=60).rows()
    assert rows != measure(pages=60, seed=1).rows()


def test_refusals_and_errors_are_overcome() -> None:
    provider = {
        "limits": {"requests_per_min": 60.0, "burst_requests": 2.0, "retry_after": "missing"},
        "faults": {"server_error_share": 0.05, "malformed_share": 0.05},
    }
    curve = measure(pages=30, sizes=(10,), provider=provider)
    assert len(curve.first.labels) == 30


def test_curve_is_written_and_read_back(tmp_path: Path) -> None:
    curve = measure(pages=40)
    path = tmp_path / "quality.toml"
    path.write_text(curve.to_toml(), "utf-8")
    assert read_quality(path) == curve.quality()
    json.dumps(curve.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"no table \[quality\]"),
        ("[quality]\nacuracy = 1", "quality.acuracy"),
        ("[quality]\naccuracy = 2.0", "quality.accuracy"),
        ("[quality", "not TOML"),
    ],
)
def test_file_that_holds_no_curve_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "quality.toml").write_text(text)
    with pytest.raises(ScenarioError, match=words):
        read_quality(tmp_path / "quality.toml")


def test_sample_without_text_is_refused() -> None:
    space = TinySpace(3, dict.fromkeys(range(3), ""))
    with pytest.raises(InputError, match="no page with a text"):
        draw_sample(space, 2, random.Random(0))


def test_sample_is_the_same_for_a_seed_and_leaves_empty_pages_out() -> None:
    space = TinySpace(20, {3: ""})
    one, other = (draw_sample(space, 30, random.Random(0)) for _ in range(2))
    assert one.pages == other.pages
    assert len(one) == 19
