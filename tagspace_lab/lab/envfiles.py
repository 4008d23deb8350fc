"""Writes the five keys of a profile into somebody's .env, and leaves every other byte as it was.

python-dotenv says what is a key, and what only looks like one in a comment or inside a quoted value. A key that is
there gets its value where it stands, at every place where it stands, since readers differ in which of two they take;
`export`, indentation, a comment behind it and the line's end stay. Keys that are not there are added at the end, with
`export` where all other keys of the file have it.
"""

from __future__ import annotations

import difflib
import io
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from tagspace_lab.errors import InputError, SettingsError
from tagspace_lab.lab.files import replacing
from tagspace_lab.lab.profiles import Change, Profile
from tagspace_lab.settings import PREFIX, SETTINGS, Settings, load_settings

__all__ = ["FIVE_KEYS", "Applied", "apply_profile", "set_keys"]

FIVE_KEYS = tuple(
    PREFIX + name for name in ("AI_CONCURRENCY", "MAX_AI_CONCURRENCY", "BATCH_SIZE", "CACHE_ENABLED", "CACHE_SIZE")
)

_MARK = "\ufeff"
_LINE_END = re.compile(r"\r\n|\n|\r")
_NAMED = re.compile("|".join(FIVE_KEYS), re.IGNORECASE)
_EXPORT = re.compile(r"\s*export[^\S\r\n]+")
_ASSIGNMENT = re.compile(
    r"""(\s*(?:export[^\S\r\n]+)?)              # stays: blank lines, indentation, export
    (?:'[^']+'|[^=#\s]+)                        # the name
    (?:[^\S\r\n]*=(?:(?=[^\S\r\n]+\#)|[^\S\r\n]*(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[^\r\n]*?)))?
    ([^\S\r\n]*(?:(?<=[\s'"])\#[^\r\n]*)?(?:\r\n|\n|\r)?)  # stays: blanks, a comment, the line's end
    """,
    re.DOTALL | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a .env. `backup` holds what it was; None where nothing was written.

    `left`: other settings in which the file (`before`) and the profile (`after`) differ. They were not touched.
    """

    target: Path
    before: bytes
    after: bytes
    backup: Path | None
    left: tuple[Change, ...]

    def diff(self) -> str:
        """A unified diff of the changed lines alone: their neighbours may be secrets. Empty where nothing changes."""
        old, new = (_shown_lines(content) for content in (self.before, self.after))
        name = str(self.target)
        return "\n".join(difflib.unified_diff(old, new, name, f"{name} (new)", n=0, lineterm=""))


def apply_profile(profile: Profile, target: Path, *, dry_run: bool = False) -> Applied:
    """Give `target` the five keys of `profile`, whole or not at all; mode and owner stay, a copy is kept beside it.

    The copy is `target` with `.bak` behind it, or `.bak2`, `.bak3`, ...: none is ever overwritten. A file that says
    all of it already is left alone. Raises InputError where `target` is no plain file of one name or cannot be
    written, SettingsError where one of the keys stands in a line that cannot be read.
    """
    status = _require_plain(target)
    try:
        before = target.read_bytes()
    except OSError as error:
        raise SettingsError(f"{target} cannot be read: {error.strerror}; name a .env file that can be") from error
    values = profile.settings.to_variables()
    try:
        after = set_keys(before, {name: values[name] for name in FIVE_KEYS})
    except SettingsError as error:
        raise SettingsError(f"{target}: {error}") from error
    backup = None
    if after != before and not dry_run:
        backup = _free_name(target)
        with replacing(target, like=status) as file:
            file.write(after)
            with replacing(backup, like=status) as copy:
                copy.write(before)
    return Applied(target, before, after, backup, _find_left(after, profile))


def set_keys(content: bytes, values: Mapping[str, str]) -> bytes:
    """The bytes of a .env with `values`, each of portable characters only, in place of what it says of their names.

    SettingsError names a line that holds one of the names and cannot be read.
    """
    if b"\0" in content:
        raise SettingsError("holds a zero byte, so it is no text, or UTF-16; save it as UTF-8")
    marked = _decode(content)
    text = marked.lstrip(_MARK)
    mark = marked.removesuffix(text)
    bindings = list(_parse(text))
    parts = [_assign(binding, values) for binding in bindings]
    said = {binding.key: bool(_EXPORT.match(binding.original.string)) for binding in bindings if binding.key}
    export = "export " if said and all(said.values()) else ""
    lines = [f"{export}{name}={value}" for name, value in values.items() if name not in said]
    return _encode(mark + "".join(parts) + _ending(text, lines))


def _assign(binding: Binding, values: Mapping[str, str]) -> str:
    """The text of one binding; a new value where it is one of ours."""
    text = binding.original.string
    if binding.key and binding.key in values and (found := _ASSIGNMENT.fullmatch(text)):
        blank = " " if found[2].startswith("#") else ""  # a # that touches the value would be part of it
        return f"{found[1]}{binding.key}={values[binding.key]}{blank}{found[2]}"
    named = _NAMED.search(text) if binding.error else _NAMED.fullmatch(binding.key or "")
    if named:
        line = binding.original.line + len(_LINE_END.findall(text[: text.find(named.group())]))
        raise SettingsError(f"line {line} holds {named.group()} and is not NAME=VALUE in capitals; mend or remove it")
    return text


def _ending(text: str, lines: list[str]) -> str:
    """What is added to `text`: the lines, ended as its own are. A backslash at its end would join the first to it."""
    if not lines:
        return ""
    end: str = (_LINE_END.findall(text) or ["\n"])[-1]
    is_open = bool(text) and not text.endswith(("\n", "\r"))
    is_joined = text.rstrip("\r\n").endswith("\\")
    return end * (is_open + is_joined) + "".join(line + end for line in lines)


def _find_left(content: bytes, profile: Profile) -> tuple[Change, ...]:
    """Settings beside the five keys that the file and the profile do not agree on, defaults included."""
    known = {row.variable for row in SETTINGS} - set(FIVE_KEYS)
    seen = {binding.key: binding.value or "" for binding in _parse(_decode(content).lstrip(_MARK)) if binding.key}
    texts = {name: text for name, text in seen.items() if name in known}
    try:
        texts = load_settings(texts).to_variables()
    except SettingsError:  # told as it stands
        texts = Settings().to_variables() | texts
    wanted = profile.settings.to_variables()
    pairs = ((name, texts.get(name), wanted.get(name)) for name in sorted(known))
    return tuple(Change(name, old, new) for name, old, new in pairs if old != new)


def _require_plain(target: Path) -> os.stat_result:
    """The status of a regular file with this one name; InputError for anything else."""
    if target.is_symlink():
        raise InputError(f"{target} is a link to {target.readlink()}; name the file itself if it is the one to change")
    if not target.exists():
        raise InputError(f"{target} does not exist; name a .env file that does, or copy the profile there")
    if not target.is_file():
        raise InputError(f"{target} is not a regular file; name a .env file")
    status = target.stat()
    if status.st_nlink > 1:
        raise InputError(f"{target} is one file under {status.st_nlink} names, which would part; give it one name")
    return status


def _free_name(target: Path) -> Path:
    """The first name for a copy that nothing has, not even a link that leads nowhere."""
    number = 1
    while os.path.lexists(name := f"{target}.bak{number if number > 1 else ''}"):
        number += 1
    return Path(name)


def _parse(text: str) -> Iterator[Binding]:
    """The parts of a .env, whose texts make up the whole."""
    return parse_stream(io.StringIO(text, newline=""))


def _decode(content: bytes) -> str:
    """Text that is encoded to the very same bytes, whether or not they are UTF-8."""
    return content.decode("utf-8", "surrogateescape")


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _shown_lines(content: bytes) -> list[str]:
    """Lines without their ends; what is not printable is escaped."""
    *lines, last = _LINE_END.split(_decode(content))
    return ["".join(map(_show, line)) for line in [*lines, *[last] * bool(last)]]


def _show(char: str) -> str:
    return char if char.isprintable() or char == "\t" else ascii(char)[1:-1]
