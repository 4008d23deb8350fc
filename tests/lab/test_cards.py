from __future__ import annotations

from dataclasses import replace

import pandas as pd

from tagspace_lab.lab.cards import render_card
from tagspace_lab.lab.replay import replay
from tagspace_lab.twin.spaces import GeneratedSpace

NASTY = "<script>alert(1)</script>"


def test_nothing_of_a_name_is_markup() -> None:
    html = render_card(NASTY, pd.DataFrame({NASTY: [NASTY]}, index=[NASTY]), [NASTY])
    assert "<script>" not in html
    assert html.count("&lt;script&gt;") == 5


def test_report_escapes_names_and_notes() -> None:
    report = replay(GeneratedSpace(NASTY, 3), "guide", runs=1, progress=False)
    html = replace(report, notes=(NASTY,))._repr_html_()
    assert "<script>" not in html
    assert html.count("&lt;script&gt;") == 2


def test_card_sets_no_colour() -> None:
    assert "color" not in render_card("title", pd.DataFrame({"run 1": ["3 s"]}), ["a note"])


def test_report_shows_its_numbers() -> None:
    report = replay("small", "guide", runs=2, progress=False)
    html = report._repr_html_()
    assert "small: 15 pages, scenario guide, seed 0" in html
    assert f"<td>{report.runs[0].makespan_s:.1f} s</td>" in html
    assert all(note in html.replace("&#x27;", "'") for note in report.notes)
