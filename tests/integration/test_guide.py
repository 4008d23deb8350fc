"""The docstrings are the guide that hosts follow: what they show is run."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

MODULES = ("", ".batches", ".caches", ".concurrency", ".routing")


@pytest.mark.parametrize("name", MODULES)
def test_examples_hold(name: str) -> None:
    result = doctest.testmod(import_module(f"tagspace_lab.integration{name}"))
    assert result.attempted
    assert not result.failed


def test_guide_has_five_steps_with_a_check_each_and_the_way_back() -> None:
    guide = import_module("tagspace_lab.integration").__doc__ or ""
    steps = guide.split("\n**")[1:]
    assert [step[:2] for step in steps[:-1]] == ["1.", "2.", "3.", "4.", "5."]
    assert steps[-1].startswith("The way back")
    assert all("Check:" in step and ">>>" in step for step in steps)
