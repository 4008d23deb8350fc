"""Where runs take place: what is remembered between them."""

from __future__ import annotations

import pytest

from tagspace_lab.lab import world
from tagspace_lab.lab.world import TextMemo
from tagspace_lab.policy.text import page_text


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The bodies that were really read."""
    bodies: list[str] = []

    def note(body: str) -> str:
        bodies.append(body)
        return page_text(body)

    monkeypatch.setattr(world, "page_text", note)
    return bodies


def test_text_of_a_body_is_made_once(read: list[str]) -> None:
    memo = TextMemo()
    assert [memo.read("<p>one  two</p>") for _ in range(3)] == ["one two"] * 3
    assert read == ["<p>one  two</p>"]


def test_oldest_texts_make_room(read: list[str]) -> None:
    memo = TextMemo(capacity=10)
    for body in ("<p>aaaa</p>", "<p>bbbb</p>", "<p>cccc</p>", "<p>cccc</p>", "<p>aaaa</p>"):
        memo.read(body)
    assert read == ["<p>aaaa</p>", "<p>bbbb</p>", "<p>cccc</p>", "<p>aaaa</p>"]


def test_text_larger_than_all_the_room_is_read_all_the_same(read: list[str]) -> None:
    memo = TextMemo(capacity=3)
    assert [memo.read("<p>aaaa</p>"), memo.read("<p>b</p>")] == ["aaaa", "b"]
