"""A folder of pages into a snapshot: nothing is lost without a word."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from tagspace_lab.errors import InputError, SnapshotError
from tagspace_lab.lab.folders import Summary, snapshot_folder, write_folder
from tagspace_lab.lab.snapshots import load_space
from tagspace_lab.policy.text import plain_text
from tagspace_lab.records import Page

CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "corpora" / "digitalgov-pages.tar.gz"
MERGES = "".join(f"a{number + 1}: &a{number + 1} {{<<: [{f'*a{number}, ' * 9}]}}\n" for number in range(9))


def snapshot(folder: Path, **files: str | bytes) -> tuple[Summary, list[Page]]:
    pages = folder / "pages"
    pages.mkdir()
    for name, content in files.items():
        path = pages / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    summary = snapshot_folder(pages, folder / "out.gz")
    space = load_space(summary.path)
    return summary, [space.page(index) for index in range(len(space))]


def test_markdown_and_html_pages(tmp_path: Path) -> None:
    summary, pages = snapshot(
        tmp_path,
        b_dot_md="---\ntitle: From front\ntopics: [Plain Language, open-data]\ntags: a, open-data\n---\n"
        "# Head\n\n| x | y |\n|--|--|\n| 1 | 2 |\n",
        a__c_dot_html="<html><head><title>In head</title></head><body><h1>No</h1><p>words</p></body></html>",
        d_dot_markdown="# *From* heading\n\ntext",
        e_dot_HTM="<p></p>",
        notes_dot_txt="not a page",
        _dot_hidden_dot_md="not a page",
        _dot_git__x_dot_md="not a page",
    )  # fmt: skip
    assert [(page.title, page.labels) for page in pages] == [
        ("In head", ()),
        ("From front", ("a", "open-data", "plain-language")),
        ("From heading", ()),
        ("e", ()),
    ]
    assert plain_text(pages[1].body) == "Head\nx | y\n1 | 2"
    assert summary == Summary(tmp_path / "out.gz", 4, 1, 1, 3, ())
    assert all(page.id.isdigit() for page in pages)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"---\ntitle: [\n---\nkept", "front matter is not YAML"),
        (b"---\ndate: 2020-13-45\n---\nkept", "front matter is not YAML"),
        (b"---\n- a\n---\nkept", "front matter is a list"),
        (b"---\ntags: {a: b}\n---\nkept", "`tags` is neither"),
        (b"---\nlabels: [[a]]\n---\nkept", "`labels` is neither"),
        (b"kept caf\xe9", "not UTF-8"),
    ],
)
def test_a_page_with_a_problem_is_kept_and_named(tmp_path: Path, content: bytes, problem: str) -> None:
    summary, [page] = snapshot(tmp_path, a_dot_md=content)
    assert "kept" in page.body
    assert page.labels == ()
    assert len(summary.problems) == 1
    assert summary.problems[0].startswith("a.md: ")
    assert problem in summary.problems[0]


@pytest.mark.parametrize(
    ("content", "title", "text"),
    [
        ("---\ntitle: x\n---", "x", ""),
        ("---\n---\nbody", "a", "body"),
        ("---\r\ntitle: x\r\n--- \r\nbody", "x", "body"),
        ("\ufeff---\ntitle: x\n---\nbody", "x", "body"),
        ("---\nno end", "a", "no end"),
        ("---\ntitle: 12\n---\nbody", "a", "body"),
    ],
)
def test_front_matter_begins_and_ends(tmp_path: Path, content: str, title: str, text: str) -> None:
    summary, [page] = snapshot(tmp_path, a_dot_md=content)
    assert (page.title, plain_text(page.body), summary.problems) == (title, text, ())


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (f"---\na0: &a0 {{x: 1}}\n{MERGES}---\nkept", "front matter is not YAML"),
        (f"---\na: {'[' * 40_000}{']' * 40_000}\n---\nkept", "front matter is not YAML"),
        (f"---\na: 1{':1' * 500_000}\n---\nkept", "front matter is longer than"),
        ("kept\n\n" + "a|b\n-|-\n" * 1_000_000, "longer than 200,000 characters"),
        ("kept" + "![" * 4_000_000, "longer than 200,000 characters"),
    ],
)
def test_a_hostile_page_is_read_as_far_as_it_is_cheap(tmp_path: Path, content: str, problem: str) -> None:
    summary, [page] = snapshot(tmp_path, a_dot_md=content)
    assert "kept" in page.body[:100]
    assert [problem in told for told in summary.problems] == [True]


@pytest.mark.parametrize("opening", ["<div>", f"<html {' '.join(f'a{number}' for number in range(300))}>"])
def test_title_is_found_behind_hostile_markup(tmp_path: Path, opening: str) -> None:
    _, [page] = snapshot(tmp_path, a_dot_html=opening * (90_000 // len(opening)) + "<h2>Title <i>here</i></h2>")
    assert page.title == "Title here"


def test_what_markdown_shows_is_read(tmp_path: Path) -> None:
    page = (
        "# A &amp; *b*\n\n- [x] done\n- [ ] todo\n\n1. one\n   - deep\n\n| a | b |\n|---|:-:|\n| `c` | [d](no) |\n\n"
        "```py\nif e < f:\n```\n\n<details><summary>g</summary>\n\n> h\n\n</details>\n\n![i](no.png) <b>j</b> ~~k~~ "
        "<no@example.org>[^1]\n\n{{< shortcode >}}\n\n<!-- no -->\n<script>no</script>\n"
    )
    _, [read] = snapshot(tmp_path, a_dot_md=page)
    assert plain_text(read.body).split("\n") == [
        "A & b", "[x] done", "[ ] todo", "one", "deep", "a | b", "c | d", "if e < f:", "g", "h",
        "i j k no@example.org[^1]", "{{< shortcode >}}",
    ]  # fmt: skip


def test_links_that_lead_nowhere_or_in_circles_are_named(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "a.md").write_text("a")
    (pages / "loop").symlink_to(pages)
    (pages / "self.md").symlink_to(pages / "self.md")
    summary = snapshot_folder(pages, tmp_path / "out")
    assert summary.pages == 1
    assert [problem.split(":")[0] for problem in summary.problems] == ["loop", "self.md"]


def test_ids_stay_when_other_pages_come(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "b.md").write_text("b")
    snapshot_folder(pages, tmp_path / "one")
    (pages / "a.md").write_text("a")
    snapshot_folder(pages, tmp_path / "two")
    assert load_space(tmp_path / "one").page(0) == load_space(tmp_path / "two").page(1)


def test_folders_that_give_no_page_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match=r"no page that can be read.*\.html"):
        snapshot_folder(tmp_path, tmp_path / "out")
    with pytest.raises(SnapshotError, match="not a folder"):
        snapshot_folder(tmp_path / "absent", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_snapshot_that_exists_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="--force"):
        snapshot_folder(tmp_path, tmp_path / "out", progress=lambda *_: pytest.fail("work was done"))


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpora do not lie beside the checkout")
def test_a_real_web_site(tmp_path: Path) -> None:
    """A thirtieth of it: rendering all of its Markdown takes seconds."""
    with tarfile.open(CORPUS) as archive:
        members = [member for member in archive.getmembers() if member.name.endswith(".md")][::30]
        archive.extractall(tmp_path / "pages", members=members, filter="data")
    summary = snapshot_folder(tmp_path / "pages", tmp_path / "out")
    assert (summary.pages, summary.labelled, summary.without_text, summary.problems) == (77, 77, 0, ())
    space = load_space(summary.path)
    assert "accessibility" in space.vocabulary
    assert all(plain_text(space.page(index).body) for index in range(len(space)))


def test_folder_that_was_written_holds_the_same_pages(tmp_path: Path) -> None:
    space = load_space("small")
    summary = snapshot_folder(write_folder(space, tmp_path / "a" / "pages"), tmp_path / "out.gz")
    copy, pages = load_space(summary.path), range(len(space))
    assert [copy.page(number).title for number in pages] == [space.page(number).title for number in pages]
    assert [copy.page(number).body for number in pages] == [space.page(number).body for number in pages]
    assert [set(copy.page(number).labels) for number in pages] == [set(space.page(number).labels) for number in pages]
    assert summary.problems == ()
    with pytest.raises(SnapshotError, match="name a folder that is not there"):
        write_folder(space, tmp_path / "a" / "pages")
