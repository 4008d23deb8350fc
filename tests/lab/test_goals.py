"""A limit is what it says, to the last digit, or is refused with its cure."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.errors import InputError
from tagspace_lab.lab.goals import Goals

FIELDS = {
    "429s": "max_rate_limit_share",
    "f1_loss": "max_f1_loss",
    "errors": "max_errors",
    "calls": "max_calls",
    "tokens": "max_tokens",
    "makespan": "max_makespan_s",
}
COUNTED = ("errors", "calls", "tokens", "makespan")


def test_limits_are_read_in_the_users_words() -> None:
    goals = Goals.read(["429s<1%", "f1_loss<=0.01", "calls<200"], seek="cheapest", over="worst")
    assert goals.max_rate_limit_share == math.nextafter(0.01, 0)
    assert (goals.max_f1_loss, goals.seek, goals.over) == (0.01, "cheapest", "worst")
    assert goals.max_calls == pytest.approx(200)
    assert Goals.read() == Goals()
    assert Goals.read(["errors<1"]).max_errors == Goals.read(["errors<=0"]).max_errors == 0


@given(st.sampled_from(COUNTED), st.integers(1, 10**6), st.sampled_from(["", " "]))
def test_below_is_strict_and_at_most_is_not(name: str, count: int, blank: str) -> None:
    below = getattr(Goals.read([f"{name}{blank}<{blank}{count}"]), FIELDS[name])
    at_most = getattr(Goals.read([f"{blank}{name}<={count}"]), FIELDS[name])
    assert at_most == count
    assert below < count
    assert below == (count - 1 if name == "errors" else math.nextafter(count, 0))


@given(st.sampled_from(["429s", "f1_loss"]), st.decimals(0, 100, places=3, allow_nan=False))
def test_per_cent_is_a_hundredth(name: str, share: object) -> None:
    assert getattr(Goals.read([f"{name}<={share}%"]), FIELDS[name]) == float(str(share)) / 100


@given(st.text(max_size=20).filter(lambda text: not re.search(r"<=?\s*[0-9]", text)))
def test_anything_else_is_refused_by_name_and_with_a_cure(text: str) -> None:
    with pytest.raises(InputError) as refused:
        Goals.read([text])
    assert repr(text) in str(refused.value)
    assert "<" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("429s<200%", "a share from 0 to 1"),
        ("429s<-1%", "allowed: one of 429s, f1_loss, errors, calls, tokens, makespan"),
        ("429s>1%", "then < or <= and a number"),
        ("f1_loss<0,01", "cannot be read"),
        ("429s < 1 % 2", "cannot be read"),
        ("calls<10%", "as in 'calls<200'"),
        ("errors<0", "write 'errors<=0'"),
        ("speed<1", "allowed: one of"),
        ("calls<1e3", "cannot be read"),
        ("calls<٣", "cannot be read"),
    ],
)
def test_wrong_limit_is_refused(text: str, cure: str) -> None:
    with pytest.raises(InputError, match="limit") as refused:
        Goals.read([text])
    assert repr(text) in str(refused.value)
    assert cure in str(refused.value)


def test_limit_is_stated_once() -> None:
    with pytest.raises(InputError, match="'calls<3' states calls again"):
        Goals.read(["calls<2", "calls<3"])


@pytest.mark.parametrize(("field", "value"), [("seek", "best"), ("over", "median")])
def test_unknown_goal_is_refused(field: str, value: str) -> None:
    with pytest.raises(InputError, match=f"{field} is '{value}'; allowed: "):
        Goals(**{field: value})  # type: ignore[arg-type]


def test_json_has_no_tail_of_digits() -> None:
    assert Goals.read(["429s<1%"]).to_dict()["max_rate_limit_share"] == 0.01
