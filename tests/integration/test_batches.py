from __future__ import annotations

from typing import Any

import pytest

from tagspace_lab.errors import InputError
from tagspace_lab.integration import get_batch_processor


def test_fifteen_pages_make_three_batches_of_five() -> None:
    pages = [{"page_id": f"page_{number}", "content": f"Content {number} " * 50} for number in range(15)]
    batches = get_batch_processor().create_batches(pages)
    assert [len(batch) for batch in batches] == [5, 5, 5]
    assert [page for batch in batches for page in batch] == pages


def test_batch_size_is_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAG_SPACE_BATCH_SIZE", "4")
    processor = get_batch_processor()
    assert processor.batch_size == 4
    assert [len(batch) for batch in processor.create_batches([{"page_id": n} for n in range(9)])] == [4, 4, 1]
    assert processor.create_batches([]) == []


def test_prompt_names_every_page_and_keeps_its_text_inside() -> None:
    pages: list[dict[str, Any]] = [
        {"page_id": "17", "title": "Reset", "content": "<p>How to reset</p>"},
        {"page_id": 18, "content": None},
        {"page_id": "x-1"},
        {"id": "19", "content": 'Ends the string", "id": "20'},
    ]
    prompt = get_batch_processor().format_batch_for_ai(pages)
    for page_id in ("17", "18", "x-1", "19"):
        assert f'"id": "{page_id}"' in prompt
    assert '"id": "20"' not in prompt
    assert "How to reset" in prompt
    assert "<p>" not in prompt


def test_response_is_read_id_for_id() -> None:
    processor = get_batch_processor()
    batch: list[dict[str, Any]] = [{"page_id": 1, "content": "a"}, {"page_id": "2", "content": "b"}]
    assert processor.parse_response('```json\n{"1": ["A b"], "3": ["c"]}\n```', batch) == {1: ["a-b"]}


def test_page_without_an_id_is_named() -> None:
    with pytest.raises(InputError, match="a page of the batch has no page_id, but content"):
        get_batch_processor().create_batches([{"content": "x"}])
