"""Generated spaces: the same everywhere, like a real wiki, page by page."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from statistics import mean, median

import pytest

from tagspace_lab.errors import SnapshotError
from tagspace_lab.policy.text import plain_text
from tagspace_lab.records import Page, Space
from tagspace_lab.twin import spaces
from tagspace_lab.twin.spaces import SHIPPED, GeneratedSpace, history, shipped_space
from tagspace_lab.twin.words import TOPICS

PAGES = 2_000


@pytest.fixture(scope="module")
def space() -> GeneratedSpace:
    return GeneratedSpace("sample", PAGES, seed=5)


@pytest.fixture(scope="module")
def pages(space: GeneratedSpace) -> list[Page]:
    return [space.page(index) for index in range(PAGES)]


def test_a_page_depends_on_seed_and_index_alone(space: GeneratedSpace, pages: list[Page]) -> None:
    other = GeneratedSpace("other", 20, seed=5)
    assert [other.page(index) for index in reversed(range(20))] == pages[19::-1]
    assert GeneratedSpace("sample", 20, seed=6).page(3) != pages[3]


def test_bytes_are_the_same_in_another_process() -> None:
    code = "from tagspace_lab.twin.spaces import shipped_space; print(shipped_space('small').content_hash)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == shipped_space("small").content_hash


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_spaces(name: str) -> None:
    shipped: Space = shipped_space(name)
    assert (shipped.name, len(shipped), shipped.key) == (name, SHIPPED[name], name.upper())
    assert shipped.page(0).body not in {shipped_space(other).page(0).body for other in SHIPPED if other != name}


def test_unknown_name_and_empty_space_are_refused() -> None:
    with pytest.raises(SnapshotError, match=r"'huge'.*small, medium, large"):
        shipped_space("huge")
    with pytest.raises(SnapshotError, match="at least 1 page, not 0"):
        GeneratedSpace("none", 0)


def test_pages_that_are_kept_are_those_that_would_be_made(
    space: GeneratedSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spaces, "_KEPT_PAGES", 5)
    monkeypatch.setattr(spaces, "_KEPT_LABELS", 8)
    small = GeneratedSpace("small", 12, seed=5)
    for day in (0, 10, 30, 10):
        assert [small.page(index, day) for index in range(12)] == [space.page(index, day) for index in range(12)]
    assert [small.gold(small.page(index).id) for index in range(12)] == [
        space.page(index).labels for index in range(12)
    ]
    assert small.page(2) is small.page(2)
    assert small.page(9) is not small.page(9)


def test_space_travels_as_its_recipe(space: GeneratedSpace) -> None:
    space.page(7)
    sent = pickle.dumps(space)
    received: GeneratedSpace = pickle.loads(sent)
    assert len(sent) < 200
    assert (received.name, len(received), received.page(7)) == (space.name, len(space), space.page(7))


def test_ids_lead_back_to_pages(space: GeneratedSpace, pages: list[Page]) -> None:
    assert [space.index_of(page.id) for page in pages] == list(range(PAGES))
    for unknown in ("", "x", "-1", "100000", "0100001", str(100_001 + PAGES), "１００００１"):
        with pytest.raises(KeyError):
            space.index_of(unknown)
    for index in (-1, PAGES):
        with pytest.raises(IndexError):
            space.page(index)


def test_gold_is_the_labels_of_the_page(space: GeneratedSpace, pages: list[Page]) -> None:
    assert all(space.gold(page.id) == page.labels for page in pages)
    assert {label for page in pages for label in page.labels} == set(space.vocabulary)
    assert all(len(set(page.labels)) == len(page.labels) <= 5 for page in pages)


def test_distributions_are_those_stated(pages: list[Page]) -> None:
    sizes = sorted(len(page.body) for page in pages)
    assert 3_400 < median(sizes) < 4_200
    assert 4_500 < mean(sizes) < 5_500
    assert 11_000 < sizes[int(0.95 * PAGES)] < 14_500
    assert 22_000 < sizes[int(0.99 * PAGES)] < 36_000
    assert mean(len(page.labels) for page in pages) == pytest.approx(2.68, abs=0.1)
    uses = [Counter(label for page in pages for label in page.labels)[name] for name, _ in TOPICS]
    assert 1.6 < sum(uses[:12]) / sum(uses[12:]) < 2.0  # measured: 1.81


def test_there_are_copies_templates_and_pages_with_no_text(pages: list[Page]) -> None:
    texts = [plain_text(page.body) for page in pages]
    assert 3 < texts.count("") < 25
    assert 3 < len(texts) - texts.count("") - len(set(texts)) + 1 < 25
    assert 40 < sum("Runbook:" in page.title or "Meeting notes:" in page.title for page in pages) < 120
    assert all(page.labels == () for page, text in zip(pages, texts, strict=True) if not text)


def test_text_names_the_topics(pages: list[Page]) -> None:
    words = dict(TOPICS)
    main = [(page, words[page.labels[0]]) for page in pages if page.labels]
    assert mean(any(word in page.body for word in topic) for page, topic in main) > 0.99


def test_a_week_changes_what_is_stated(space: GeneratedSpace) -> None:
    weeks = [[space.page(index, day) for day in range(0, 29, 7)] for index in range(700)]
    pairs = [pair for pages in weeks for pair in pairwise(pages)]
    changed = [before != after and plain_text(before.body) != plain_text(after.body) for before, after in pairs]
    assert 0.015 < mean(changed) < 0.028
    raised = sum(before.version != after.version for before, after in pairs)
    assert 0.65 < sum(changed) / raised < 0.92


def test_history_is_what_the_days_show(space: GeneratedSpace) -> None:
    class Daily:
        """The same space without its own history."""

        last_day = space.last_day

        def page(self, index: int, day: int = 0) -> Page:
            return space.page(index, day)

    daily: Space = Daily()  # type: ignore[assignment]
    for index in range(60):
        known = dict(history(space, index))
        assert known == dict(history(daily, index))
        assert space.page(index, 10**6) == known[max(known)]
        assert [page.version for _, page in history(space, index)] == list(range(1, len(history(space, index)) + 1))
