"""Dicts into batches and prompts: `get_batch_processor()`, for hosts that make their calls themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from tagspace_lab.errors import InputError
from tagspace_lab.integration.answers import read_answer
from tagspace_lab.policy.batching import Packer
from tagspace_lab.policy.prompts import LabelRules, build_prompt, parse_answer
from tagspace_lab.policy.text import cut, estimate_tokens, page_text
from tagspace_lab.records import Batch, Text
from tagspace_lab.settings import Settings

__all__ = ["BatchProcessor"]


class BatchProcessor:
    """Pages are dicts with `page_id` and `content` (plain text, HTML or storage format), and a `title` if there is one.

    >>> from tagspace_lab.settings import Settings
    >>> processor = BatchProcessor(Settings(batch_size=5))
    >>> batches = processor.create_batches([{"page_id": n, "content": f"Text {n}"} for n in range(15)])
    >>> [len(batch) for batch in batches]
    [5, 5, 5]
    >>> all(f'"id": "{n}"' in processor.format_batch_for_ai(batches[0]) for n in range(5))
    True
    >>> processor.parse_response('{"pages": [{"id": "0", "labels": ["Howto"]}]}', batches[0])
    {0: ['howto']}
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rules = LabelRules((), settings.max_labels)

    @property
    def batch_size(self) -> int:
        """Pages in a batch at most; fewer where they are long (`TAG_SPACE_BATCH_TOKENS`)."""
        return self._settings.batch_size

    def create_batches(self, pages: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
        """The same dicts in their order, in batches. InputError where a page has no id."""
        found = list(pages)
        packer = Packer(self._settings.batch_size, self._settings.batch_tokens)
        texts = [self._text(page, key=str(number)) for number, page in enumerate(found)]
        batches = [*chain.from_iterable(map(packer.add, texts)), *packer.flush()]
        return [[found[int(text.key)] for text in batch.texts] for batch in batches]

    def format_batch_for_ai(self, batch: Sequence[Mapping[str, Any]]) -> str:
        """The prompt that asks for the labels of these pages, each under its id, as JSON."""
        prompt = build_prompt(Batch(tuple(map(self._text, batch))), self._rules)
        return f"{prompt.system}\n\n{prompt.user}"

    def parse_response(self, response: Any, batch: Sequence[Mapping[str, Any]]) -> dict[Any, list[str]]:
        """Labels by page id, the ids as the pages have them; pages that the response leaves open are not in it."""
        ids = {_page_id(page): page.get("page_id", page.get("id")) for page in batch}
        answer = parse_answer(read_answer(response, tuple(ids)), tuple(ids), self._rules)
        return {ids[page_id]: list(labels) for page_id, labels in answer.labels.items()}

    def _text(self, page: Mapping[str, Any], key: str = "") -> Text:
        content = page.get("content")
        text = cut(page_text("" if content is None else str(content)), self._settings.page_tokens)
        return Text(_page_id(page), str(page.get("title") or ""), text, estimate_tokens(text), key)


def _page_id(page: Mapping[str, Any]) -> str:
    page_id = page.get("page_id", page.get("id"))
    if page_id is None:
        raise InputError(f"a page of the batch has no page_id, but {', '.join(map(str, page))[:80] or 'nothing'}")
    return str(page_id)
