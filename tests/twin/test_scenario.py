from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tagspace_lab.errors import ScenarioError
from tagspace_lab.shipped import shipped_file
from tagspace_lab.twin.scenario import Quality, find_scenario, load_scenario, shipped_scenarios

WANTED = {
    "openai-tier1", "openai-tier2", "anthropic-tier1", "azure", "gateway-fixed-window", "self-hosted",
    "blind-bucket", "penalty", "outage", "halving", "guide",
}  # fmt: skip
OUTAGE = shipped_file("scenarios", "outage.toml").read_text()


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_shipped_scenarios_load_under_their_own_names() -> None:
    assert set(shipped_scenarios()) >= WANTED
    assert [load_scenario(name).name for name in shipped_scenarios()] == shipped_scenarios()


def test_hash_follows_what_acts_and_not_the_words(tmp_path: Path) -> None:
    original = load_scenario("outage").content_hash
    renamed = load_scenario(write(tmp_path, OUTAGE.replace('name = "outage"', 'name = "mine"', 1)))
    assert renamed.content_hash == original
    longer = load_scenario(str(write(tmp_path, OUTAGE.replace("until_s = 80", "until_s = 81"))))
    assert longer.content_hash != original
    assert len({load_scenario(name).content_hash for name in shipped_scenarios()}) == len(shipped_scenarios())


def test_unknown_name_lists_the_shipped_and_suggests() -> None:
    with pytest.raises(ScenarioError, match=r"'self_hosted' \(did you mean 'self-hosted'\?\). Shipped: .*blind-bucket"):
        load_scenario("self_hosted")


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ("requests_per_min", "request_per_min", "unknown key 'provider.limits.request_per_min' .*'requests_per_min'"),
        ("until_s", "untl_s", r"unknown key 'provider.events.0.outage.untl_s' \(did you mean 'until_s'\?\)"),
        ("[confluence]", "[confluenc]", r"unknown key 'confluenc' \(did you mean 'confluence'\?\); allowed there: "),
        ("at_s = 20", "at_s = -1", r"events.0.outage.at_s = -1: input should be greater than or equal to 0"),
        ("status = 429", "status = 418", "status = 418: input should be 429, 503 or 529"),
        ("until_s = 80", "until_s = 10", "until_s = 10 is not after at_s = 20"),
        ("= 120\n", '= "120"\n', "requests_per_min = '120': input should be a valid number"),
        ("= 120\n", "= inf\n", "input should be a finite number"),
        ("= 120\n", "= 1979-05-27\n", "input should be a valid number"),
        ("latency_s = 0.15", "latency_s = true", "confluence.latency_s = True"),
        ('name = "outage"', "", "the key 'name' is missing"),
        ("[provider.limits]", "[provider.limits", "this is not TOML"),
        ("[confluence]", "confluence = 3\n[quality]", "confluence"),
    ],
)
def test_wrong_file_is_refused_in_words(tmp_path: Path, good: str, bad: str, message: str) -> None:
    path = write(tmp_path, OUTAGE.replace(good, bad, 1))
    with pytest.raises(ScenarioError, match=message) as caught:
        load_scenario(path)
    assert str(path) in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"none.toml: the scenario cannot be read: No such file"):
        load_scenario(tmp_path / "none.toml")


def test_load_needs_something_to_be_measured_by(tmp_path: Path) -> None:
    text = OUTAGE.replace("output_tokens_per_s", "load_factor = 0.5\noutput_tokens_per_s")
    with pytest.raises(ScenarioError, match=r"load_factor needs latency.load_reference or limits.concurrency_cap"):
        load_scenario(write(tmp_path, text))


@pytest.mark.parametrize(
    "quality",
    [
        {"relative_accuracy": ((1, 0.9), (5, 0.95))},
        {"missing": ((1, 0.2), (5, 0.1))},
        {"missing": ((5, 0.0), (5, 0.1))},
    ],
)
def test_quality_may_only_get_worse_with_the_batch_size(quality: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"may only|must rise"):
        Quality.model_validate(quality)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_scenario_error(junk: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "junk.toml"
        path.write_bytes(junk)
        with pytest.raises(ScenarioError):
            load_scenario(path)


def test_scenario_of_ones_own_is_called_after_its_file(tmp_path: Path) -> None:
    shipped = load_scenario("openai-tier1")
    mine = tmp_path / "mine.toml"
    mine.write_text(find_scenario("openai-tier1").read_text())
    assert (shipped.name, load_scenario(mine).name) == ("openai-tier1", "mine")
    assert load_scenario(mine).content_hash == shipped.content_hash


def test_switch_that_is_younger_than_old_hashes_counts_only_where_it_is_set() -> None:
    scenario = load_scenario("self-hosted")
    assert scenario.content_hash.startswith("b02e7738616c")
    open_wiki = scenario.confluence.model_copy(update={"anonymous": True})
    assert scenario.model_copy(update={"confluence": open_wiki}).content_hash != scenario.content_hash
