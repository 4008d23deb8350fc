"""What the elements of a page show: the words of a tree in reading order, with line breaks and table cells.

A block begins a line, and so does what follows one; a row of a table is one line, whatever stands in its
cells. Of storage format's own elements the words that a reader sees are kept, and settings are dropped: a link
without words shows its target's title, a mention the user's name, an included page its title, a date itself.
"""

from __future__ import annotations

from collections.abc import Callable

from selectolax.lexbor import LexborNode

__all__ = ["CELL", "LINE", "read"]

CELL = " | "
LINE = "\n"
_CODE_LINES = 20
_CODE_CHARS = 1_000

_BREAKS = (LINE, CELL)
_BLOCKS = frozenset(
    "address article aside blockquote body br caption center dd details div dl dt fieldset figcaption figure footer"
    " form h1 h2 h3 h4 h5 h6 header hr legend li main nav ol option p pre section summary table tbody tfoot thead tr ul"
    " ac:adf-content ac:adf-extension ac:caption ac:layout ac:layout-cell ac:layout-section ac:macro"
    " ac:plain-text-body ac:rich-text-body ac:structured-macro ac:task ac:task-list".split()
)
_CELLS = frozenset({"td", "th"})
_CODE = frozenset({"pre", "ac:plain-text-body"})
_MACROS = frozenset({"ac:structured-macro", "ac:macro"})
_INLINE_MACROS = frozenset({"jira", "status"})
_READ_BLOCKS = _BLOCKS - _CODE - _MACROS
_DROPPED = frozenset(
    "script style head template iframe noembed noframes svg math"
    " ac:adf-attribute ac:adf-fallback ac:placeholder ac:task-id ac:task-uuid".split()
)
_SHOWN_PARAMETERS = frozenset({"title", "key"})


def read(root: LexborNode, parts: list[str], max_nodes: int) -> int:
    """Append the text under `root` to `parts`, and count the nodes that were looked at."""
    resume_at: int | None = None
    cell_ends_at: int | None = None
    line = LINE
    count = 0
    for node in root.traverse(include_text=True):
        count += 1
        if count > max_nodes:
            break
        if resume_at is not None:
            if node.mem_id != resume_at:
                continue
            resume_at = None
        if cell_ends_at is not None and node.mem_id == cell_ends_at:
            cell_ends_at, line = None, LINE
        tag = node.tag
        if tag == "-text":
            _add_text(node, parts, line)
        elif tag in _READ_BLOCKS:
            # Confluence wraps the text of a cell in <p>: the first block of a cell begins no line.
            if not (parts and parts[-1] == CELL):
                parts.append(line)
        elif tag in _CELLS:
            parts.append(CELL)
            if cell_ends_at is None:
                cell_ends_at, line = _end_of(node), " "
        elif (show := _SHOWN.get(tag)) and (shown := show(node)) is not None:
            parts.append(shown.replace(LINE, line))
            resume_at = _end_of(node)
        elif _follows_block(node) or (tag in _MACROS and _is_block(node)):
            parts.append(line)
    return count


def _add_text(node: LexborNode, parts: list[str], line: str) -> None:
    text = node.text_content or ""
    if not text.isspace():
        if _follows_block(node):
            parts.append(line)
        parts.append(text.replace(LINE, " "))
    elif parts and parts[-1] not in _BREAKS:
        parts.append(" ")


def _follows_block(node: LexborNode) -> bool:
    before = node.prev
    return before is not None and (tag := before.tag) in _BLOCKS and (tag not in _MACROS or _is_block(before))


def _is_block(node: LexborNode) -> bool:
    """Whether a macro is a block: some stand inside a line."""
    return node.attributes.get("ac:name") not in _INLINE_MACROS


def _end_of(node: LexborNode | None) -> int:
    """Memory id of the next node in reading order that is not inside `node`; of no node at the end."""
    while node is not None:
        if node.next is not None:
            return node.next.mem_id
        node = node.parent
    return 0


def _code(node: LexborNode) -> str:
    return f"{LINE}{_shortened(node.text())}{LINE}"


def _shortened(code: str) -> str:
    lines = code.strip()[: _CODE_CHARS + 1].splitlines()
    short = LINE.join(lines[:_CODE_LINES])[:_CODE_CHARS]
    return short if short == code.strip() else f"{short} …"


def _image(node: LexborNode) -> str:
    """The alternative text of an image, and its caption."""
    caption = node.text().strip()
    return f" {_first_of(node, 'alt', 'ac:alt', 'ac:title')} " + (f"{LINE}{caption}{LINE}" if caption else "")


def _parameter(node: LexborNode) -> str | None:
    """Of the settings of a macro only those that are seen, and the name of the page or file that it shows."""
    if node.attributes.get("ac:name") in _SHOWN_PARAMETERS:
        return None
    inside = node.child
    if inside is not None and inside.tag == "ac:link":
        inside = inside.child
    return _target(inside) if inside is not None else ""


def _lone_target(node: LexborNode) -> str:
    return _target(node) if _is_alone(node) else ""


def _target(node: LexborNode) -> str:
    """The name of what a link without words leads to; nothing where only an id is known."""
    user = node.attributes.get("ri:username")
    return f"@{user}" if user else _first_of(node, "ri:content-title", "ri:filename", "ri:parameter")


def _emoticon(node: LexborNode) -> str:
    sign = _first_of(node, "ac:emoji-fallback", "ac:emoji-shortname")
    return f" {sign or ':' + _first_of(node, 'ac:name') + ':'} "


def _date(node: LexborNode) -> str | None:
    return _first_of(node, "datetime") if node.child is None else None


def _box(is_ticked: bool) -> str:
    return "[x] " if is_ticked else "[ ] "


def _input(node: LexborNode) -> str:
    given = node.attributes
    return _box("checked" in given) if given.get("type") == "checkbox" else ""


def _first_of(node: LexborNode, *names: str) -> str:
    """The first of these attributes that says something."""
    given = node.attributes
    return next((value for name in names if (value := given.get(name))), "")


def _is_alone(node: LexborNode) -> bool:
    """Whether its parent holds nothing else but white space."""
    before, after = node.prev, node.next
    if before is not None and _is_blank(before):
        before = before.prev
    if after is not None and _is_blank(after):
        after = after.next
    return before is None and after is None


def _is_blank(node: LexborNode) -> bool:
    return node.tag == "-text" and (node.text_content or "").isspace()


_SHOWN: dict[str | None, Callable[[LexborNode], str | None]] = {
    **dict.fromkeys(_DROPPED, lambda node: ""),
    **dict.fromkeys(_CODE, _code),
    **dict.fromkeys(("ri:attachment", "ri:blog-post", "ri:page", "ri:shortcut", "ri:user"), _lone_target),
    "ac:emoticon": _emoticon,
    "ac:image": _image,
    "ac:parameter": _parameter,
    "ac:task-status": lambda node: _box(node.text().strip() == "complete"),
    "img": _image,
    "input": _input,
    "time": _date,
}
"""What these elements show instead of what is inside them; None where that is read."""
