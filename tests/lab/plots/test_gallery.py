from __future__ import annotations

import re

import pytest

from tagspace_lab.lab import plots
from tagspace_lab.lab.plots.gallery import PICTURES, Picture, Samples, draw, render_gallery
from tests.lab.plots.drawn import find_overlaps, title


@pytest.fixture(scope="session")
def samples() -> Samples:
    return Samples()


def test_every_picture_of_the_package_is_on_the_page() -> None:
    assert {picture.name.split(",")[0] for picture in PICTURES} == set(plots.__all__)
    assert all(picture.shows.endswith(".") and picture.made for picture in PICTURES)


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_picture_says_what_was_found_in_words_that_do_not_overlap(picture: Picture, samples: Samples) -> None:
    figure = draw(picture, samples)
    ax = figure.axes[0]
    assert title(ax)
    assert find_overlaps(ax) == []
    assert figure.bbox.width == 750
    box = ax.get_tightbbox()
    assert box
    assert (box.x0, box.y0) >= (0, 0)
    assert box.x1 <= figure.bbox.x1 + 1
    assert ax.get_window_extent().width > 0.5 * figure.bbox.width


def test_page_is_whole_in_itself(samples: Samples) -> None:
    done: list[int] = []
    page = render_gallery(samples, lambda: done.append(1))
    assert len(done) == page.count("<figure>") == page.count('src="data:image/png;base64,') == len(PICTURES)
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "color-scheme: light dark" in page


def test_pictures_are_the_same_every_time(samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tagspace_lab.lab.plots.gallery.PICTURES", PICTURES[:2])
    assert render_gallery(samples) == render_gallery(Samples())
