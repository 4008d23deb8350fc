from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.policy.limits import GoogleSre, Start
from tagspace_lab.records import Cost, Outcome, Reply
from tagspace_lab.settings import Settings
from tests.fakes import answered, examples, failed, refused

COST = Cost(100, 10)
GOOD = answered(["1"])


class Dice(random.Random):
    """Throws what it is told, and nothing after that."""

    def __init__(self, *throws: float) -> None:
        super().__init__(0)
        self.throws = list(throws)

    def random(self) -> float:
        return self.throws.pop(0)


def make(*throws: float, accepted: int = 0, refusals: int = 0) -> GoogleSre:
    """With calls that ended at 10 s."""
    limiter = GoogleSre(Settings(ai_concurrency=3), Dice(*throws))
    for reply in [GOOD] * accepted + [refused()] * refusals:
        end_call(limiter, 10.0, reply)
    return limiter


def end_call(limiter: GoogleSre, at_s: float, reply: Reply) -> None:
    limiter.on_end(at_s, Start(at_s - 1, COST, 1), reply)


@pytest.mark.parametrize(
    ("accepted", "refusals", "chance"),
    [
        (0, 1, 1 / 2),
        (0, 9, 9 / 10),
        (1, 4, 3 / 6),  # (5 - 2 * 1) / (5 + 1)
        (2, 10, 8 / 13),  # (12 - 2 * 2) / (12 + 1)
        (10, 11, 1 / 22),  # (21 - 2 * 10) / (21 + 1)
    ],
)
def test_calls_are_turned_back_with_the_chance_of_the_book(accepted: int, refusals: int, chance: float) -> None:
    unlucky = make(chance - 0.001, accepted=accepted, refusals=refusals)
    assert unlucky.ready_at(11.0, 0, COST) == 11.5
    assert make(chance + 0.001, accepted=accepted, refusals=refusals).ready_at(11.0, 0, COST) == 11.0


@pytest.mark.parametrize(("accepted", "refusals"), [(0, 0), (1, 1), (10, 10), (50, 3)])
def test_nobody_is_turned_back_while_half_are_accepted(accepted: int, refusals: int) -> None:
    assert make(0.0, accepted=accepted, refusals=refusals).ready_at(11.0, 0, COST) == 11.0


def test_calls_turned_back_count_as_requests() -> None:
    limiter = make(0.49, 0.66, 0.74, 0.81, refusals=1)  # against 1/2, 2/3, 3/4 and 4/5
    assert [limiter.ready_at(at_s, 0, COST) for at_s in (11.0, 11.5, 12.0, 12.5)] == [11.5, 12.0, 12.5, 12.5]


def test_history_is_two_minutes_long() -> None:
    assert make(0.89, refusals=9).ready_at(130.0, 0, COST) == 130.5
    assert make(0.0, refusals=9).ready_at(130.1, 0, COST) == 130.1
    limiter = make(0.48, accepted=5)  # which count no longer when the refusal does
    end_call(limiter, 100.0, refused())
    assert limiter.ready_at(131.0, 0, COST) == 131.5


def test_dice_are_thrown_once_a_try_and_anew_for_each_call() -> None:
    limiter = make(0.4, 0.8, 0.6, refusals=1)  # against 1/2, 2/3 and again 2/3
    assert {limiter.ready_at(11.0 + step / 10, 0, COST) for step in range(5)} == {11.5}
    assert [limiter.ready_at(at_s, 0, COST) for at_s in (11.5, 11.6, 11.7)] == [11.5, 11.6, 11.7]
    limiter.on_start(Start(11.7, COST, 1))
    assert limiter.ready_at(11.7, 1, COST) == 12.2


def test_full_window_throws_no_dice() -> None:
    assert make(refusals=1).ready_at(11.0, 10, COST) == math.inf


@pytest.mark.parametrize(
    ("outcome", "is_accepted"),
    [
        (Outcome.REFUSED, True),  # the provider took it, and called it wrong
        (Outcome.ADAPTED, True),
        (Outcome.OVERLOADED, False),
        (Outcome.TIMED_OUT, False),
        (Outcome.UNREACHABLE, False),
        (Outcome.RATE_LIMITED, False),
    ],
)
def test_accepted_is_what_the_provider_took(outcome: Outcome, is_accepted: bool) -> None:
    limiter = make(0.3, refusals=1)  # against 0 or 2/3
    end_call(limiter, 10.0, failed(outcome))
    assert limiter.ready_at(11.0, 0, COST) == (11.0 if is_accepted else 11.5)


def test_cancelled_call_was_no_request() -> None:
    limiter = make(0.51, refusals=1)  # against 1/2; another request would make it 2/3
    end_call(limiter, 10.0, failed(Outcome.CANCELLED))
    assert limiter.ready_at(11.0, 0, COST) == 11.0


@examples(50)
@given(st.integers(0, 1000), st.integers(1, 20), st.lists(st.floats(0, 1), max_size=5))
def test_starts_do_not_depend_on_how_often_they_are_asked_for(seed: int, refusals: int, looks: list[float]) -> None:
    def start_all(looks: list[float]) -> list[float]:
        limiter = GoogleSre(Settings(), random.Random(seed))
        for _ in range(refusals):
            end_call(limiter, 0.0, refused())
        now_s = 1.0
        starts: list[float] = []
        while len(starts) < 5:
            ready_s = limiter.ready_at(now_s, 0, COST)
            for look in sorted(looks):
                limiter.ready_at(now_s + look * (ready_s - now_s) * 0.999, 0, COST)
            if ready_s == now_s:
                limiter.on_start(Start(now_s, COST, 1))
                starts.append(now_s)
            now_s = ready_s
        return starts

    assert start_all(looks) == start_all([])
