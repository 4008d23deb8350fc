"""What a short study finds holds against today's settings on seeds that it never saw."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from tagspace_lab.lab.folders import snapshot_folder
from tagspace_lab.lab.tune import tune
from tagspace_lab.lab.verify import verify

CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "corpora" / "digitalgov-pages.tar.gz"


@pytest.mark.parametrize("scenario", ["openai-tier1", "self-hosted"])
def test_tuned_profile_of_medium_holds(scenario: str, tmp_path: Path) -> None:
    profile = tmp_path / "tuned.env"
    tune("medium", scenario, trials=10, seeds=2, jobs=2, progress=False).export(profile)
    verification = verify(profile, "medium", scenario, against="default", seeds=10, jobs=2, progress=False)
    assert verification.holds, verification.verdict()


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpora do not lie beside the checkout")
def test_profile_of_medium_keeps_its_gain_on_a_real_space_that_no_study_saw(tmp_path: Path) -> None:
    """What binds 150 pages must bind 2,309, too, as a cap on calls does. A profile for openai-tier1 does not carry
    over: medium fits into its burst, and digitalgov is bound by its tokens.
    """
    profile = tmp_path / "tuned.env"
    tune("medium", "self-hosted", trials=16, jobs=2, progress=False).export(profile)
    with tarfile.open(CORPUS) as archive:
        archive.extractall(tmp_path / "pages", filter="data")
    space = snapshot_folder(tmp_path / "pages", tmp_path / "digitalgov.jsonl.gz").path
    verification = verify(
        profile, space, "self-hosted", seeds=3, runs=1, jobs=2, beside=("conservative",), progress=False
    )
    assert verification.holds, verification.verdict()
    assert [side.name for side in verification.sides] == ["default", "tuned", "conservative"]
