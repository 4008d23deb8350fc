from __future__ import annotations

import os
from collections.abc import Generator

import pytest

# What CI cannot install: the corpora and specifications that may lie beside a checkout.
_MAY_BE_ABSENT = ("corpora", "specs")
_IN_CI = os.environ.get("CI") == "true" or os.environ.get("TAGSPACE_CI") == "1"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test is a failure: a missing binary must not look green."""
    report = yield
    if _IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(word in reason for word in _MAY_BE_ABSENT):
            report.outcome, report.longrepr = "failed", f"skipped in CI: {reason}"
    return report
