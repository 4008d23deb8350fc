"""Generated spaces: wiki pages with gold labels and an edit history, page i from (seed, i) alone.

What was measured on 2,309 pages of a public web site (2,309 bodies, 59 labels) and on the history of its
repository (9,077 pages, 415 weeks), and what pages are generated with:

====================================  ===========================================  ==================================
quantity                              measured                                     here
====================================  ===========================================  ==================================
body, characters: p5/p50/p95/p99/max  1,167 / 3,924 / 12,501 / 30,582 / 64,949     lognormal, median 3,900, sigma .70;
                                      (mean 5,092; lognormal fit: median 3,792,    1.2 % of pages lognormal, median
                                      sigma .741, but a heavier tail)              32,000, sigma .25; at most 65,000
labels a page: 1/2/3/4/5/more         22.4/28.2/22.2/13.0/6.4/7.8 %, mean 2.87     the same, "more" counted as 5: 2.68
uses of the label of rank r           about exp(-r/12): 649, 217 (12th), 87 (24th) exp(-r/12) over 48 labels
near-duplicates (5-word shingles,     2.2 % of pages                               4 %: a wiki has templates, which
Jaccard >= .5)                                                                     an edited web site has not
exact duplicates of another page      0.13 % of pages                              0.5 % (assumed, as above)
pages with no text                    none                                         0.5 % (assumed: pages of macros)
pages whose text changes in a week    1.60 %, and 0.65 % are new (0.35 % deleted)  2.1 %: no page is added or deleted
hits of a weekly run, room for all    97.9 % (median week 99.7 %, worst 24 %)      97.9 %, without the bulk edits
edits of a page                       nearly geometric; the busiest 1 % get 8.4 %  rate x Exp(1): the same shape
edits that leave the text alone       not in a repository's history                20 % of edits (assumed)
====================================  ===========================================  ==================================
"""

from __future__ import annotations

import json
from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from hashlib import sha256
from itertools import accumulate
from math import exp, log
from random import Random
from typing import Protocol, TypeVar, runtime_checkable

from tagspace_lab.errors import SnapshotError
from tagspace_lab.records import Page, Space
from tagspace_lab.twin.noise import draw
from tagspace_lab.twin.words import HEADINGS, SENTENCES, SNIPPETS, TEMPLATES, TITLES, TOPICS

__all__ = ["SHIPPED", "GeneratedSpace", "Versioned", "history", "page_line", "shipped_space"]

SHIPPED = {"small": 15, "medium": 150, "large": 600}

_FIRST_ID = 100_001
_KEPT_PAGES = 1_000  # some 6 MB
_KEPT_LABELS = 100_000  # some 20 MB
_LAST_DAY = 30
_LONGEST = 65_000
_MEAN_SECTION = 500  # characters
_TEXT_EDITS_PER_DAY = 0.021 / 7
_TEXT_SHARE = 0.8
_EDITS_PER_DAY = _TEXT_EDITS_PER_DAY / _TEXT_SHARE
_SHARES = (("duplicate", 0.005), ("empty", 0.010), ("template", 0.050))  # cumulative; every other page is an article
_LABELS_A_PAGE = (0.224, 0.506, 0.728, 0.858)  # cumulative shares of 1, 2, 3 and 4 labels; the rest has 5
_POPULARITY = tuple(accumulate(exp(-rank / 12) for rank in range(len(TOPICS))))
_EMPTY_BODY = (
    '<ac:structured-macro ac:name="children"><ac:parameter ac:name="all">true</ac:parameter></ac:structured-macro>'
)
_Words = tuple[tuple[str, ...], ...]  # the words of each of a page's topics, the main one first
_T = TypeVar("_T")
_MARKUP_EDIT = '<p class="auto-cursor-target"><br /></p>'


@runtime_checkable
class Versioned(Protocol):
    """A space that knows when a page was edited, so that nobody has to ask it for every day."""

    def history(self, index: int) -> list[tuple[int, Page]]: ...


def history(space: Space, index: int) -> list[tuple[int, Page]]:
    """The versions of a page as (day from which it holds, page), the first from day 0."""
    if isinstance(space, Versioned):
        return space.history(index)
    versions = [(0, space.page(index))]
    for day in range(1, space.last_day + 1):
        page = space.page(index, day)
        if page != versions[-1][1]:
            versions.append((day, page))
    return versions


def page_line(versions: list[tuple[int, Page]]) -> bytes:
    """One page with its history in canonical form: a line of JSON in UTF-8.

    The hash of a space is that of its lines. A character that UTF-8 does not have becomes "?".
    """
    first = versions[0][1]
    entry = {
        "id": first.id,
        "labels": first.labels,
        "versions": [
            {"day": day, "version": page.version, "title": page.title, "body": page.body} for day, page in versions
        ],
    }
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def _hash_lines(lines: Iterable[bytes]) -> str:
    """The SHA-256 of `lines` one after the other, in hexadecimal."""
    digest = sha256()
    for line in lines:
        digest.update(line)
    return digest.hexdigest()


@cache
def shipped_space(name: str) -> GeneratedSpace:
    """A bundled space by name, the same object for everybody. No two share a page: each has a seed of its own."""
    if name not in SHIPPED:
        raise SnapshotError(f"no shipped space is called {name!r}; there are: {', '.join(SHIPPED)}")
    return GeneratedSpace(name, SHIPPED[name], seed=SHIPPED[name])


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a page is, before its body is written; `rng` goes on from there."""

    kind: str
    labels: tuple[str, ...]
    words: _Words
    rng: Random
    subject: str
    is_copy: bool = False


class GeneratedSpace:
    """A space of `pages` pages, each made when it is asked for, the same for one seed in every process.

    The first `_KEPT_PAGES` pages that are asked for stay, and the labels of more, so that a space of that size is
    made once; others are made anew each time. (A space is scanned in one order: keeping the newest would not help.)
    """

    last_day = _LAST_DAY
    vocabulary: tuple[str, ...] = tuple(sorted(name for name, _ in TOPICS))

    def __init__(self, name: str, pages: int, seed: int = 1) -> None:
        if pages < 1:
            raise SnapshotError(f"a space needs at least 1 page, not {pages}: give a larger number of pages")
        self.name = name
        self.key = "".join(filter(str.isalnum, name.upper())) or "SPACE"
        self.seed = seed
        self._pages = pages
        self._kept: dict[int, tuple[tuple[int, Page], ...]] = {}
        self._labels: dict[int, tuple[str, ...]] = {}

    def __len__(self) -> int:
        return self._pages

    def __repr__(self) -> str:
        return f"GeneratedSpace({self.name!r}, {self._pages}, seed={self.seed})"

    def __reduce__(self) -> tuple[type[GeneratedSpace], tuple[str, int, int]]:
        """It travels to another process as its recipe."""
        return type(self), (self.name, self._pages, self.seed)

    @cached_property
    def content_hash(self) -> str:
        return _hash_lines(page_line(self.history(index)) for index in range(len(self)))

    def index_of(self, page_id: str) -> int:
        index = int(page_id) - _FIRST_ID if page_id.isascii() and page_id.isdigit() else -1
        if not 0 <= index < self._pages or page_id[0] == "0":
            raise KeyError(page_id)
        return index

    def gold(self, page_id: str) -> tuple[str, ...]:
        index = self.index_of(page_id)
        labels = self._labels.get(index)
        return self._plan(index).labels if labels is None else labels

    def page(self, index: int, day: int = 0) -> Page:
        """Page `index` (0 to len - 1) as it stands on `day`; IndexError beyond the space."""
        return next(page for since, page in reversed(self._versions(index)) if since <= max(day, 0))

    def history(self, index: int) -> list[tuple[int, Page]]:
        return list(self._versions(index))

    def _versions(self, index: int) -> tuple[tuple[int, Page], ...]:
        versions = self._kept.get(index)
        if versions is None:
            if not 0 <= index < self._pages:
                raise IndexError(f"page {index} of a space of {self._pages} pages")
            versions = tuple(self._make(index))
            if len(self._kept) < _KEPT_PAGES:
                self._kept[index] = versions
            if len(self._labels) < _KEPT_LABELS:
                self._labels[index] = versions[0][1].labels
        return versions

    def _make(self, index: int) -> Iterator[tuple[int, Page]]:
        plan = self._plan(index)
        title, body = _written(plan)
        page = Page(str(_FIRST_ID + index), title, body, 1, plan.labels)
        yield 0, page
        for day, changes in self._edits(index):
            body, version = page.body, page.version + 1
            if changes is None or plan.kind == "empty":
                body = body + _MARKUP_EDIT
            else:
                body = f"<p>{_sentence(plan.words, changes)}</p>{body}"
            page = Page(page.id, title, body, version, plan.labels)
            yield day, page

    def _plan(self, index: int) -> _Plan:
        rng = Random(int.from_bytes(draw(self.seed, "page", index)))  # noqa: S311
        luck = rng.random()
        kind = next((kind for kind, below in _SHARES if luck < below), "article")
        if kind == "duplicate" and index > 0:
            original = int.from_bytes(draw(self.seed, "original", index)) % index
            return replace(self._plan(original), is_copy=True)
        if kind == "empty":
            return _Plan(kind, (), (), rng, f"Index {index + 1}")
        ranks = _topics(rng)
        words = tuple(TOPICS[rank][1] for rank in ranks)
        return _Plan(kind, tuple(TOPICS[rank][0] for rank in ranks), words, rng, f"{words[0][0]} {index + 1}")

    def _edits(self, index: int) -> Iterator[tuple[int, float | None]]:
        """All edits: the day, and what the new sentence is drawn from, or None if the text stays."""
        rng = Random(int.from_bytes(draw(self.seed, "edits", index)))  # noqa: S311
        gap = 1 / (_EDITS_PER_DAY * max(-log(1.0 - rng.random()), 1e-9))
        moment = -log(1.0 - rng.random()) * gap
        while moment < self.last_day:
            changes_text, what = rng.random() < _TEXT_SHARE, rng.random()
            yield int(moment) + 1, what if changes_text else None
            moment += -log(1.0 - rng.random()) * gap


def _written(plan: _Plan) -> tuple[str, str]:
    """Title and first body of a page; a copy has the body of its original."""
    if plan.kind == "empty":
        title, body = plan.subject, _EMPTY_BODY
    elif plan.kind == "template":
        title, body = _pick(TEMPLATES, plan.rng.random())
        title, body = title % plan.subject, body % _pair(plan.words, plan.rng.random())
        body += "".join(f"<p>{_sentence(plan.words, plan.rng.random())}</p>" for _ in range(3))
    else:
        title, body = _pick(TITLES, plan.rng.random()) % plan.subject, _article(plan.rng, plan.words)
    title = title[0].upper() + title[1:]
    return (f"Copy of {title}" if plan.is_copy else title), body


def _topics(rng: Random) -> list[int]:
    """Distinct ranks of topics, the page's main one first."""
    wanted = 1 + bisect(_LABELS_A_PAGE, rng.random())
    ranks: list[int] = []
    while len(ranks) < wanted:
        rank = bisect(_POPULARITY, rng.random() * _POPULARITY[-1], hi=len(TOPICS) - 1)
        if rank not in ranks:
            ranks.append(rank)
    return ranks


def _length(rng: Random) -> int:
    """How many characters the body of an article is to have."""
    median, sigma = (32_000, 0.25) if rng.random() < 0.012 else (3_900, 0.70)
    return min(int(median * exp(rng.gauss(0.0, sigma))), _LONGEST)


def _article(rng: Random, words: _Words) -> str:
    wanted, written = _length(rng) - _MEAN_SECTION // 2, 0
    parts: list[str] = []
    random = rng.random
    while written < wanted:
        section = _section(random(), words, [random() for _ in range(5)], with_heading=bool(parts))
        parts.append(section)
        written += len(section)
    return "".join(parts)


def _section(luck: float, words: _Words, draws: list[float], *, with_heading: bool) -> str:
    """Some 400 to 700 characters: a paragraph, a list, a table, a panel or code, now and then under a heading."""
    first, *others = (_sentence(words, draw) for draw in draws)
    heading = f"<h2>{_pick(HEADINGS, draws[0])}</h2>" if with_heading and luck * 7 % 1 < 0.4 else ""
    if luck < 0.68:
        return f"{heading}<p>{first} {others[0]} <strong>{others[1]}</strong> {others[2]} {others[3]}</p>"
    if luck < 0.84:
        return f"{heading}<p>{first}</p><ul><li><p>{'</p></li><li><p>'.join(others)}</p></li></ul>"
    if luck < 0.91:
        cells = ((_pair(words, draw)[0], sentence) for draw, sentence in zip(draws[1:], others, strict=True))
        rows = "".join(f"<tr><td><p>{item}</p></td><td><p>{note}</p></td></tr>" for item, note in cells)
        return f"{heading}<p>{first}</p><table><tbody><tr><th>Item</th><th>Note</th></tr>{rows}</tbody></table>"
    if luck < 0.96:
        return (
            f'{heading}<ac:structured-macro ac:name="info"><ac:parameter ac:name="title">Note</ac:parameter>'
            f"<ac:rich-text-body><p>{first} {others[0]}</p></ac:rich-text-body></ac:structured-macro>"
            f'<p>{others[1]} See <ac:link><ri:page ri:content-title="{_pair(words, luck)[0]} guide" /></ac:link>.</p>'
        )
    return (
        f'{heading}<p>{first}</p><ac:structured-macro ac:name="code"><ac:plain-text-body>'
        f"<![CDATA[{_pick(SNIPPETS, draws[1])}]]></ac:plain-text-body></ac:structured-macro><p>{others[1]}</p>"
    )


def _sentence(words: _Words, luck: float) -> str:
    return SENTENCES[int(luck * len(SENTENCES))] % _pair(words, luck)


def _pair(words: _Words, luck: float) -> tuple[str, str]:
    """Two words of one topic, most often the page's main one. Reads other digits of `luck` than `_pick` does."""
    luck = luck * 997.0 % 1.0
    topic = words[int(luck * luck * len(words))]
    place = int(luck * 1e9)
    return topic[place % len(topic)], topic[place // 1024 % len(topic)]


def _pick(options: Sequence[_T], luck: float) -> _T:
    return options[int(luck * len(options))]
