from __future__ import annotations

from collections.abc import Iterator

import pytest

from tagspace_lab.integration import reset
from tagspace_lab.settings import SETTINGS


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings, nothing learned."""
    for row in SETTINGS:
        monkeypatch.delenv(row.variable, raising=False)
    reset()
    yield
    reset()
