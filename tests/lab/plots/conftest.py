from __future__ import annotations

from collections.abc import Iterator

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from tagspace_lab.lab.replay import replay
from tagspace_lab.lab.report import Report
from tagspace_lab.lab.sweep import sweep


@pytest.fixture(autouse=True)
def no_display() -> Iterator[None]:
    """Figures are opened where nobody sees them, and closed after each test."""
    plt.switch_backend("agg")
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def report() -> Report:
    """The way of before on a gateway: it is refused, and falls back."""
    return replay("medium", "guide", baseline=True, runs=1, progress=False)


@pytest.fixture(scope="session")
def today() -> Report:
    return replay("medium", "guide", runs=1, progress=False)


@pytest.fixture(scope="session")
def frame() -> pd.DataFrame:
    return sweep("small", "guide", {"batch_size": [10, 2], "ai_concurrency": [2, 4]}, seeds=2, progress=False)
