from __future__ import annotations

import pandas as pd
import pytest

from tagspace_lab.errors import InputError
from tagspace_lab.lab.places import quality_by_place
from tagspace_lab.twin.answers import accuracy_at, interpolate
from tagspace_lab.twin.scenario import load_scenario
from tests.fakes import TinySpace, make_scenario


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return quality_by_place("medium", "openai-tier1", (1, 10, 50), seeds=60)


def test_shares_are_those_that_the_scenario_states(frame: pd.DataFrame) -> None:
    quality = load_scenario("openai-tier1").quality
    wanted = 0.0
    for position in range(50):
        wanted += accuracy_at(quality, 50, position) * (1 - interpolate(quality.missing, 50)) / 50
    rows = frame[frame["batch_size"] == 50]
    share = (rows["right_share"] * rows["pages"]).sum() / rows["pages"].sum()
    assert share == pytest.approx(wanted, abs=0.02)


def test_every_page_is_asked_once_a_seed_and_single_pages_stand_in_the_middle(frame: pd.DataFrame) -> None:
    asked = frame.groupby("batch_size")["pages"].sum()
    assert set(asked) == {asked.iloc[0]}
    assert asked.iloc[0] % 60 == 0
    assert list(frame.query("batch_size == 1")["place"]) == ["middle"]
    assert list(frame.query("batch_size == 10")["place"]) == ["front", "middle", "end"]


def test_page_that_is_left_over_is_asked_in_a_full_batch() -> None:
    pairs = quality_by_place("medium", "openai-tier1", (2,), seeds=1)
    assert list(pairs["place"]) == ["front", "end"]
    assert list(pairs["pages"]) == [74, 75]


def test_end_of_a_batch_is_worse_than_its_front_and_intervals_hold_the_share(frame: pd.DataFrame) -> None:
    front, _, end = frame.query("batch_size == 50")["right_share"]
    assert end < front
    assert ((frame["low"] < frame["right_share"]) & (frame["right_share"] < frame["high"])).all()


def test_space_without_gold_labels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TinySpace, "gold", lambda self, page_id: ())
    with pytest.raises(InputError, match="no gold labels"):
        quality_by_place(TinySpace(), make_scenario())


def test_counts_below_one_are_refused() -> None:
    with pytest.raises(InputError, match="allowed: integers from 1"):
        quality_by_place("small", batch_sizes=(0,))
