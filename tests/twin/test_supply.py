from __future__ import annotations

from math import inf
from statistics import fmean

import pytest

from tagspace_lab.twin.schema import LimitStep, Outage, Tenants
from tagspace_lab.twin.supply import SLOT_S, Piece, Supply


def test_without_events_nothing_ever_changes() -> None:
    assert Supply().piece(12345.0) == Piece(0.0, inf, 1.0, 1.0)


def test_overlapping_steps_multiply() -> None:
    supply = Supply(
        [LimitStep(kind="limits", at_s=10, until_s=30, factor=0.5), LimitStep(kind="limits", at_s=20, factor=4)]
    )
    seen = [supply.piece(now_s) for now_s in (0.0, 10.0, 25.0, 30.0)]
    assert [(piece.start_s, piece.end_s, piece.scale) for piece in seen] == [
        (0.0, 10.0, 1.0),
        (10.0, 20.0, 0.5),
        (20.0, 30.0, 2.0),
        (30.0, inf, 4.0),
    ]


def test_tenants_take_their_share_on_average_and_the_same_in_any_order() -> None:
    event = Tenants(kind="tenants", at_s=5, share=0.3)
    times_s = [slot * SLOT_S + 6 for slot in range(2000)]
    forwards, backwards = Supply([event], seed=3), Supply([event], seed=3)
    left = [forwards.piece(now_s).left for now_s in times_s]
    assert left == [backwards.piece(now_s).left for now_s in reversed(times_s)][::-1]
    assert fmean(left) == pytest.approx(0.7, abs=0.01)
    assert forwards.piece(4.0).left == 1.0
    assert left != [Supply([event], seed=4).piece(now_s).left for now_s in times_s]


def test_outage_lasts_from_its_start_up_to_its_end() -> None:
    supply = Supply([Outage(kind="outage", at_s=20, until_s=80)])
    assert [supply.outage(now_s) is not None for now_s in (19.9, 20.0, 79.9, 80.0)] == [False, True, True, False]
