"""A tree of Markdown or HTML pages into a snapshot.

Pages are the files ending in .md, .markdown, .html or .htm, in the order of their paths; files and
folders whose name begins with a dot are left out, and links to folders are not followed. A page may
begin with YAML between two lines `---`. Its gold labels are what `labels`, `tags`, `topics` and
`categories` hold together there, as names that Confluence allows; its title is `title` there, else the
first heading or <title>, else the file's name. A page's id is a hash of its path, so that it stays the same
when other pages come or go.

No page is lost without a word: whatever is wrong with one stands in the summary's problems.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import yaml
from markdown_it import MarkdownIt

from tagspace_lab.errors import SnapshotError
from tagspace_lab.lab.files import check_writable
from tagspace_lab.lab.snapshots import Progress, SnapshotSpace, save_space, space_key
from tagspace_lab.policy.markup import trees
from tagspace_lab.policy.prompts import LabelRules
from tagspace_lab.policy.text import plain_text
from tagspace_lab.records import Page, Space
from tagspace_lab.twin.spaces import page_line

__all__ = ["Summary", "snapshot_folder", "write_folder"]

_MARKDOWN = frozenset({".md", ".markdown"})
_HTML = frozenset({".html", ".htm"})
_LABEL_KEYS = ("labels", "tags", "topics", "categories")
_MAX_BYTES = 10 * 2**20
_MAX_MARKDOWN_CHARS = 200_000  # rendering takes up to 11 µs and 1 kB a character: 2 s and 200 MB at the worst
_MAX_FRONT_CHARS = 100_000  # YAML reads a number of n sexagesimal digits in n² steps
_LABELS = LabelRules(max_labels=1_000)


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of a folder. `problems` has one line for each thing that was wrong with a page."""

    path: Path
    pages: int
    labelled: int
    without_text: int
    vocabulary: int
    problems: tuple[str, ...]


class _Front(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # ten times as fast with libyaml
    """Safe YAML without merging (`<<`), by which ten lines grow to gigabytes."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Leave `<<` where it stands: it is refused as a key then."""


@dataclass(frozen=True, slots=True)
class _Source:
    front: dict[str, Any]
    body: str


def snapshot_folder(
    folder: Path | str, out: Path | str, *, force: bool = False, progress: Progress | None = None
) -> Summary:
    """Read every page under `folder`, write the snapshot `out`, and say what came of it.

    SnapshotError where there is no such folder, no page in it, or `out` cannot be written. A page that is
    not quite right (broken YAML, not UTF-8) is kept as far as it can be read; one that cannot be read, or
    is larger than 10 MB, is left out. Both are named in the summary. `progress` gets (files read, all).
    """
    folder, out = Path(folder), Path(out)
    check_writable(out, force=force)
    reader = _FolderReader(folder)
    files = list(reader.files())
    name = folder.resolve().name or "space"
    space = SnapshotSpace(name, space_key(name), reader.lines(files, progress))
    if not len(space):
        known = ", ".join(sorted(_MARKDOWN | _HTML))
        reasons = "".join(f"; {problem}" for problem in reader.problems[:3])
        raise SnapshotError(f"{folder} holds no page that can be read: wanted are files ending in {known}{reasons}")
    save_space(space, out, force=force)
    problems = tuple(reader.problems)
    return Summary(out, len(space), reader.labelled, reader.without_text, len(space.vocabulary), problems)


def write_folder(space: Space, folder: Path | str) -> Path:
    """The other way round: one HTML file a page with its title and gold labels as front matter; gives the folder.

    The files are named by the pages' numbers in the space, so that a snapshot of the folder has the same pages in the
    same order. SnapshotError where the folder is there already, or cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True)
        for index in range(len(space)):
            page = space.page(index)
            front = yaml.safe_dump({"title": page.title, "labels": list(space.gold(page.id))}, allow_unicode=True)
            (folder / f"{index + 1:06}.html").write_text(f"---\n{front}---\n{page.body}", "utf-8")
    except OSError as error:
        raise SnapshotError(f"{folder} cannot be written: {error.strerror}; name a folder that is not there") from error
    return folder


class _FolderReader:
    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise SnapshotError(f"{folder} is not a folder: name the folder that holds the pages")
        self.problems: list[str] = []
        self.labelled = 0
        self.without_text = 0
        self._folder = folder
        self._ids: set[str] = set()
        self._markdown = MarkdownIt("commonmark").enable(["table", "strikethrough"])

    def files(self) -> Iterator[Path]:
        """The pages' files in the order of their paths."""
        found: list[Path] = []
        for root, folders, names in os.walk(self._folder, onerror=self._note_unreadable):
            for name in [name for name in folders if Path(root, name).is_symlink() and not name.startswith(".")]:
                self.problems.append(f"{self._relative(Path(root, name))}: a link to a folder, not followed")
            folders[:] = [name for name in folders if not name.startswith(".")]
            found += [
                Path(root, name)
                for name in names
                if not name.startswith(".") and Path(name).suffix.lower() in _MARKDOWN | _HTML
            ]
        return iter(sorted(found, key=self._relative))

    def lines(self, files: list[Path], progress: Progress | None) -> Iterator[bytes]:
        for number, file in enumerate(files, start=1):
            page = self._page(file)
            if page is not None:
                self.labelled += bool(page.labels)
                self.without_text += not plain_text(page.body)
                yield page_line([(0, page)])
            if progress is not None:
                progress(number, len(files))

    def _page(self, file: Path) -> Page | None:
        name = self._relative(file)
        text = self._text(file, name)
        if text is None:
            return None
        source = self._parted(text, name)
        body = source.body if file.suffix.lower() in _HTML else self._rendered(source.body, name)
        title = source.front.get("title")
        heading = title.strip() if isinstance(title, str) else _heading(body)
        return Page(self._id(name), heading or file.stem, body, 1, self._labels(source.front, name))

    def _rendered(self, markdown: str, name: str) -> str:
        if len(markdown) > _MAX_MARKDOWN_CHARS:
            self._note(name, f"longer than {_MAX_MARKDOWN_CHARS:,} characters: what follows them is left out")
        return str(self._markdown.render(markdown[:_MAX_MARKDOWN_CHARS]))

    def _text(self, file: Path, name: str) -> str | None:
        try:
            if not file.is_file():
                raise OSError("a broken or circular link, or no file at all")
            if file.stat().st_size > _MAX_BYTES:
                raise OSError("larger than 10 MB")
            raw = file.read_bytes()
        except OSError as error:
            self._note(name, f"cannot be read ({error.strerror or error}), left out")
            return None
        text = raw.decode("utf-8-sig", "replace")
        if "\ufffd" in text and not _is_utf8(raw):
            self._note(name, "not UTF-8: what could not be read is replaced")
        return text.replace("\r\n", "\n")

    def _parted(self, text: str, name: str) -> _Source:
        """Front matter and what follows; all of it is body where there is no front matter or it has no end."""
        lines = text.split("\n")
        fences = (number for number, line in enumerate(lines) if line.rstrip() == "---")
        if next(fences, None) != 0 or (end := next(fences, None)) is None:
            return _Source({}, text)
        front, body = "\n".join(lines[1:end]), "\n".join(lines[end + 1 :])
        if len(front) > _MAX_FRONT_CHARS:
            self._note(name, f"front matter is longer than {_MAX_FRONT_CHARS:,} characters, read without labels")
            return _Source({}, body)
        try:
            fields = yaml.load(front, Loader=_Front)  # noqa: S506
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            self._note(name, f"front matter is not YAML ({_first_line(error)}), read without labels")
            return _Source({}, body)
        if fields is not None and not isinstance(fields, dict):
            self._note(name, f"front matter is a {type(fields).__name__}, not `key: value` lines, read without labels")
        return _Source(fields if isinstance(fields, dict) else {}, body)

    def _labels(self, front: dict[str, Any], name: str) -> tuple[str, ...]:
        given: list[str] = []
        for key in _LABEL_KEYS:
            value = front.get(key)
            items = value.split(",") if isinstance(value, str) else [] if value is None else value
            if isinstance(items, list) and all(isinstance(item, str | int | float) for item in items):
                given += map(str, items)
            else:
                self._note(name, f"`{key}` is neither a list of names nor names with commas, ignored")
        return _LABELS.clean(given) or ()

    def _id(self, name: str) -> str:
        number = int.from_bytes(blake2b(name.encode("utf-8", "replace"), digest_size=5).digest())
        while str(number) in self._ids:
            number += 1
        self._ids.add(str(number))
        return str(number)

    def _relative(self, file: Path) -> str:
        return file.relative_to(self._folder).as_posix()

    def _note_unreadable(self, error: OSError) -> None:
        self._note(str(error.filename), f"cannot be read ({error.strerror}), left out")

    def _note(self, name: str, problem: str) -> None:
        self.problems.append(f"{name}: {problem}")


def _heading(html: str) -> str:
    """The text of <title> or else of the first heading, or nothing."""
    beginning = list(trees(html[:100_000]))
    found = (tree.css_first(tags) for tags in ("head title", "h1, h2, h3") for tree in beginning)
    heading = next(filter(None, found), None)
    return " ".join(heading.text().split()) if heading else ""


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
