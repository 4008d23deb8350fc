"""What a short study finds holds against today's settings on seeds that it never saw."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagspace_lab.lab.tune import tune
from tagspace_lab.lab.verify import verify


@pytest.mark.parametrize("scenario", ["openai-tier1", "self-hosted"])
def test_tuned_profile_of_medium_holds(scenario: str, tmp_path: Path) -> None:
    profile = tmp_path / "tuned.env"
    tune("medium", scenario, trials=10, seeds=2, jobs=2, progress=False).export(profile)
    verification = verify(profile, "medium", scenario, against="default", seeds=4, jobs=2, progress=False)
    assert verification.holds, verification.verdict()
