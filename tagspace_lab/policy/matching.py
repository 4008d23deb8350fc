"""Which labels of a vocabulary a page's words speak of. Of the page alone: no other page changes its labels.

A label's words are looked for in the text, plurals folded; its words in a row, and its initials in capitals (`API`),
count more. Words that several labels share say less, and every further occurrence says less than the one before.
The numbers were chosen on one labelled web site of 2,309 pages. Micro-F1 is flat around them (half or double of any of
them costs at most 0.03), and numbers chosen on one half of its pages do as well on the other.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from unicodedata import category

__all__ = ["LabelMatcher"]

_DOUBT = 5.0
"""So many occurrences make a word's strength a half, and `_DOUBT_PER_WORD` more for every word of the text."""
_DOUBT_PER_WORD = 0.01
_TITLE = 0.5
"""What the title's word counts, as a share of the doubt."""
_ROW = 0.5
"""How much of a label's score its words in a row make, of which `_ROW_DOUBT` of the doubt is enough."""
_ROW_DOUBT = 0.25
_MIN_SCORE = 0.2
_LEAST_INITIALS = 2

_WORD = re.compile(r"[^\W_]+")
_LINKING = frozenset("a an and at for in of on or the to with".split())


@dataclass(frozen=True, slots=True)
class _Label:
    name: str
    words: tuple[str, ...]
    initials: str

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return list(pairwise(self.words))


@dataclass(frozen=True, slots=True)
class _Counts:
    """How often what the labels ask for stands in a title or text of `size` words."""

    words: Counter[str]
    pairs: Counter[tuple[str, str]]
    initials: Counter[str]
    size: int


class LabelMatcher:
    """Chooses among the labels of one vocabulary."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._labels = [label for name in vocabulary if (label := _parse(name)).words]
        shared = Counter(word for label in self._labels for word in set(label.words))
        self._weights = {word: math.log1p(len(self._labels) / count) for word, count in shared.items()}
        self._unspaced = [word for word in shared if category(word[0]) == "Lo"]
        self._pairs = {pair for label in self._labels for pair in label.pairs}
        self._initials = {label.initials for label in self._labels if label.initials}

    def choose(self, title: str, text: str, max_labels: int) -> list[str]:
        """At most `max_labels` names, the most fitting first; none where nothing in the page speaks of a label."""
        in_title, in_text = self._count(title), self._count(text)
        scored = [(self._score(label, in_title, in_text), label.name) for label in self._labels]
        fitting = sorted((-score, name) for score, name in scored if score >= _MIN_SCORE)
        return [name for _, name in fitting[:max_labels]]

    def _count(self, text: str) -> _Counts:
        written = _WORD.findall(text)
        words = [word for word in map(_fold, written) if word not in _LINKING]
        counts = Counter(filter(self._weights.__contains__, words))
        # Letters without capitals: words are not parted by blanks there, or carry their endings unparted.
        counts.update({word: text.count(word) for word in self._unspaced})
        pairs = Counter(filter(self._pairs.__contains__, pairwise(words)))
        initials = Counter(word for name in written if (word := name.removesuffix("s")) in self._initials)
        return _Counts(counts, pairs, initials, len(words))

    def _score(self, label: _Label, in_title: _Counts, in_text: _Counts) -> float:
        doubt = _DOUBT + _DOUBT_PER_WORD * in_text.size
        abbreviated = in_text.initials[label.initials]
        is_titled = in_title.initials[label.initials] > 0

        def strength(count: int, is_in_title: bool, doubt_share: float = 1.0) -> float:
            weight = count + abbreviated + _TITLE * doubt * (is_in_title or is_titled)
            return weight / (weight + doubt * doubt_share)

        words = sum(
            self._weights[word] * strength(in_text.words[word], in_title.words[word] > 0) for word in label.words
        )
        words /= sum(self._weights[word] for word in label.words)
        if not label.pairs:
            return words
        row = min(in_text.pairs[pair] for pair in label.pairs)
        is_row_in_title = all(in_title.pairs[pair] for pair in label.pairs)
        return (1 - _ROW) * words + _ROW * strength(row, is_row_in_title, _ROW_DOUBT)


def _parse(name: str) -> _Label:
    words = tuple(word for word in map(_fold, _WORD.findall(name)) if word not in _LINKING)
    initials = "".join(word[0] for word in words).upper()
    return _Label(name, words, initials if len(initials) >= _LEAST_INITIALS else "")


@lru_cache(20_000)
def _fold(word: str) -> str:
    """`word` in small letters, without the ending of an English plural."""
    word = word.lower()
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    return word[:-1] if word.endswith("s") and len(word) > 3 and word[-2] not in "sui" else word
