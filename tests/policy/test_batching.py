from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.policy.batching import Packer, split
from tagspace_lab.records import Batch
from tests.fakes import examples, make_batch, make_text


def pack(tokens: list[int], max_pages: int, max_tokens: int) -> list[Batch]:
    packer = Packer(max_pages, max_tokens)
    batches = [batch for number, count in enumerate(tokens) for batch in packer.add(make_text(number, count))]
    return [*batches, *packer.flush()]


@examples(300)
@given(st.lists(st.integers(1, 200), max_size=60), st.integers(1, 8), st.integers(1, 300))
def test_every_text_leaves_once_in_order_within_the_limits(tokens: list[int], max_pages: int, max_tokens: int) -> None:
    batches = pack(tokens, max_pages, max_tokens)
    assert [text.tokens for batch in batches for text in batch.texts] == tokens
    for batch in batches:
        assert 1 <= len(batch) <= max_pages
        assert batch.tokens <= max_tokens or len(batch) == 1
    for batch, after in pairwise(batches):
        is_full = len(batch) == max_pages or batch.tokens + after.texts[0].tokens > max_tokens
        assert is_full or batch.tokens >= max_tokens, "a batch was closed with room for the next text"


def test_full_batch_leaves_at_once() -> None:
    packer = Packer(2, 100)
    assert [list(packer.add(make_text(number))) for number in range(2)] == [[], [make_batch(2)]]
    assert list(packer.flush()) == []


def test_text_above_the_budget_goes_alone_and_closes_what_was_open() -> None:
    packer = Packer(5, 100)
    assert list(packer.add(make_text(0, 60))) == []
    assert [batch.page_ids for batch in packer.add(make_text(1, 900))] == [("1000",), ("1001",)]


def test_token_budget_filled_exactly_closes_the_batch() -> None:
    assert [len(batch) for batch in pack([50, 50, 50], 5, 100)] == [2, 1]


@examples(50)
@given(st.integers(1, 60))
def test_halves_keep_every_text_and_shrink(count: int) -> None:
    batch = make_batch(count)
    halves = split(batch)
    assert tuple(text for half in halves for text in half.texts) == batch.texts
    assert [len(half) for half in halves] == ([1] if count == 1 else [(count + 1) // 2, count // 2])
