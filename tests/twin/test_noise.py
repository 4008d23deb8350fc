from __future__ import annotations

import subprocess
import sys
from statistics import fmean, stdev

import pytest

from tagspace_lab.twin.noise import normal, uniform, uniforms


def test_same_key_gives_the_same_draw_in_another_process() -> None:
    code = "from tagspace_lab.twin.noise import uniform; print(repr(uniform(7, 'page', '1001')))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert other.strip() == repr(uniform(7, "page", "1001"))


def test_parts_of_a_key_are_told_apart() -> None:
    assert uniform(1, "23") != uniform(12, "3")


def test_draws_are_spread_evenly() -> None:
    draws = [number for key in range(2000) for number in uniforms(2, "even", key)]
    assert all(0 < number < 1 for number in draws)
    assert fmean(draws) == pytest.approx(0.5, abs=0.02)
    assert stdev(normal("bell", key) for key in range(2000)) == pytest.approx(1.0, abs=0.05)
