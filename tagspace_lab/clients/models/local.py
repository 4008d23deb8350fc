"""The embedded tagger: labels from a page's own words, without a network, a key or a cost.

With a vocabulary it chooses among its labels (`policy/matching.py`); without one it makes labels of the keywords that
YAKE finds in the text (Campos et al., YAKE! Keyword extraction from single documents using multiple local features,
Information Sciences 509, 2020).
"""

from __future__ import annotations

import asyncio
import json
import re
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from tagspace_lab.policy.matching import LabelMatcher
from tagspace_lab.policy.prompts import LabelRules, Prompt, prompt_pages
from tagspace_lab.records import Outcome, Reply

if TYPE_CHECKING:
    from yake import KeywordExtractor

__all__ = ["LocalTagger"]

_VERSION = "1"  # enters cache keys: raise it when labels change
_MAX_CHARS = 10_000
_MAX_WORDS = 2
_MAX_KEYWORD_CHARS = 40
_CANDIDATES = 20
_WORD = re.compile(r"[^\W_]+")
_COMMON = {
    "en": "the of and to in is that for it with",
    "de": "der die das und ist nicht ein zu mit auf",
    "es": "el los las del que por una con para es",
    "fr": "le les des du et est une dans pour que",
    "it": "il gli della che di per una sono con nel",
    "nl": "de het een van en dat niet zijn voor met",
    "pl": "i w na z do nie jest się że dla",
    "pt": "o os da do que uma não para com em",
    "ru": "и в на не что с по для это как",
}
"""The commonest words of languages whose stop words YAKE brings along, by the code it knows them under."""


class LocalTagger:
    """A model that runs in this process. The answer to a page depends on its title, its text and `rules` alone.

    With a vocabulary a page takes about half a millisecond, without one some 20 ms; other tasks run between pages.
    """

    name = f"local-{_VERSION}"

    def __init__(self, rules: LabelRules) -> None:
        self._rules = rules

    async def send(self, prompt: Prompt) -> Reply:
        """The labels of every page of `prompt`, in the words of a model's answer. It cannot fail, and costs nothing."""
        pages = []
        for page in prompt_pages(prompt):
            pages.append({"id": page["id"], "labels": self._labels(page["title"], page["text"])})
            await asyncio.sleep(0)
        return Reply(Outcome.OK, 200, json.dumps({"pages": pages}, ensure_ascii=False))

    def __repr__(self) -> str:
        return f"LocalTagger({self.name!r})"

    def _labels(self, title: str, text: str) -> list[str]:
        if self._rules.vocabulary:
            return self._matcher.choose(title, text, self._rules.max_labels)
        return _keywords(f"{title}. {text}"[:_MAX_CHARS])[: self._rules.max_labels]

    @cached_property
    def _matcher(self) -> LabelMatcher:
        return LabelMatcher(self._rules.vocabulary)


def _keywords(text: str) -> list[str]:
    """Labels of the best keywords of `text`; none that says no more, or less, than a better one."""
    chosen: list[list[str]] = []
    for keyword, _ in _extractor(_language(text)).extract_keywords(text):
        words = _WORD.findall(keyword.lower())
        is_legal = 1 <= len(words) <= _MAX_WORDS and len(keyword) <= _MAX_KEYWORD_CHARS and min(map(len, words)) > 1
        if is_legal and not any(set(words) <= set(better) or set(words) >= set(better) for better in chosen):
            chosen.append(words)
    return ["-".join(words) for words in chosen]


def _language(text: str) -> str:
    words = text.lower().split()
    hits = {code: sum(map(words.count, common.split())) for code, common in _COMMON.items()}
    return max(hits, key=lambda code: hits[code])


@lru_cache
def _extractor(language: str) -> KeywordExtractor:
    from yake import KeywordExtractor  # a third of a second, for those who have no vocabulary

    return KeywordExtractor(lan=language, n=_MAX_WORDS, top=_CANDIDATES)
