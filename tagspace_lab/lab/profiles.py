"""Profiles: settings as a .env file that says where it came from.

The file keeps to what python-dotenv, `docker --env-file`, `source` in bash and systemd's
EnvironmentFile all read alike: `NAME=VALUE` of plain characters, comments on lines of their own, LF.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tagspace_lab import __version__
from tagspace_lab.errors import InputError, SettingsError
from tagspace_lab.lab.files import check_writable, replacing
from tagspace_lab.records import Rates
from tagspace_lab.settings import PREFIX, SETTINGS, Settings, load_settings
from tagspace_lab.shipped import shipped_file, shipped_names

__all__ = [
    "Change",
    "Problem",
    "Profile",
    "Provenance",
    "check_profile",
    "diff_profiles",
    "read_profile",
    "render_profile",
    "with_rates",
    "write_profile",
]

_ALWAYS_WRITTEN = ("AI_CONCURRENCY", "MAX_AI_CONCURRENCY", "BATCH_SIZE", "CACHE_ENABLED", "CACHE_SIZE", "THROTTLE")
_FREELY_SPELLED = frozenset(row.variable for row in SETTINGS if row.allowed.startswith("a number"))

_PORTABLE = re.compile(r"[A-Z][A-Z0-9_]*=[A-Za-z0-9_.:/,@%+-]+")
_FAULTS: tuple[tuple[re.Pattern[str], str, str], ...] = tuple(
    (re.compile(pattern), what, cure)
    for pattern, what, cure in (
        (r".*\r", "holds a carriage return", "save the file with LF line ends"),
        (r"\ufeff", "starts with a byte order mark", "save the file as UTF-8 without one"),
        (r"#.*\\$", "is a comment that ends in a backslash", "remove it: systemd drops the next line too"),
        (r"\s+#", "is an indented comment", "start the comment in the first column"),
        (r"#", "is a comment with a character that cannot be printed", "remove the character"),
        (r"\s*export\s", "starts with export", "remove the word: docker refuses the file"),
        (r"\s", "starts with a blank", "remove the blank"),
        (r"[^=]*$", "is not NAME=VALUE", "write NAME=VALUE, or put # in front"),
        (r"[^=]*\s=|[^=]*=\s+\S", "has a blank beside the equals sign", "remove it: docker refuses it or keeps it"),
        (r"(?![A-Z][A-Z0-9_]*=)", "has a name that is not portable", "use capitals, digits and _ only"),
        (r"[^=]*=\s*$", "has no value", "give a value, or remove the line"),
        (r"[^=]*=.*['\"]", "has a quoted value", "remove the quotes: docker keeps them in the value"),
        (r"[^=]*=.*\s#", "has a comment after the value", "move it to its own line: docker keeps it in the value"),
        (r".*\s$", "has trailing blanks", "remove them: docker keeps them in the value"),
    )
)
_OTHER_FAULT = ("has characters that some reader changes", "use letters, digits and _ . : / , @ % + - only")


@dataclass(frozen=True, slots=True)
class Profile:
    """Settings that were read from a file, with its comments (without their `#`)."""

    name: str
    settings: Settings
    comments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where exported settings come from; makespans are medians in seconds of virtual time.

    `verified` says that `before_s` and `after_s` were measured on seeds the study never saw.
    """

    space: str
    space_hash: str
    scenario: str
    scenario_hash: str
    seeds: tuple[int, ...]
    trials: int
    before_s: float
    after_s: float
    bound_s: float
    verified: bool = False
    notes: tuple[str, ...] = ()

    def lines(self) -> tuple[str, ...]:
        """The header of a profile, line by line, each made of printable characters."""
        state = "verified on fresh seeds" if self.verified else "unverified"
        lines = (
            f"profile by tagspace_lab {__version__}, {state}",
            f"space: {self.space}, {self.space_hash}",
            f"scenario: {self.scenario}, {self.scenario_hash}",
            f"seeds: {' '.join(map(str, self.seeds))}; trials: {self.trials}",
            f"makespan: {self.before_s:.1f} s before, {self.after_s:.1f} s after, bound {self.bound_s:.1f} s",
            *self.notes,
        )
        return tuple(_plain(line) for line in lines)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one line of a profile, and how to mend it. `line` counts from 1."""

    line: int
    what: str
    cure: str

    def __str__(self) -> str:
        return f"line {self.line} {self.what}; {self.cure}"


@dataclass(frozen=True, slots=True)
class Change:
    """One variable that differs between two profiles; None where a side leaves it unset."""

    variable: str
    before: str | None
    after: str | None


def render_profile(settings: Settings, provenance: Provenance) -> str:
    """The text of a profile: provenance, the five keys and the throttle, then whatever is not default."""
    variables, defaults = settings.to_variables(), Settings().to_variables()
    always = {PREFIX + name: variables[PREFIX + name] for name in _ALWAYS_WRITTEN}
    others = {name: text for name, text in variables.items() if text != defaults.get(name)}
    comments = [f"# {line}" for line in provenance.lines()]
    return "\n".join([*comments, *(f"{name}={text}" for name, text in (always | others).items()), ""])


def with_rates(settings: Settings, rates: Rates) -> Settings:
    """The settings of a run that starts at rates which an earlier one learned; what it did not learn stays."""
    learned = {name: rate for name, rate in asdict(rates).items() if rate is not None}
    return settings.with_changes(**learned)


def write_profile(path: Path, settings: Settings, provenance: Provenance, *, force: bool = False) -> None:
    """Writes a profile whole or not at all; InputError where it exists and `force` is not set, or cannot be written."""
    check_writable(path, force=force)
    with replacing(path) as file:
        file.write(render_profile(settings, provenance).encode())


def read_profile(source: Path | str) -> Profile:
    """A profile from a file, or a shipped one by its bare name (`default`, `conservative`).

    SettingsError names each faulty line that concerns a `TAG_SPACE_*` variable; the others of a
    shared .env are passed over.
    """
    path = _locate(source)
    text = _read(path)
    lines = text.split("\n")
    problems = [problem for problem in _find_problems(text) if PREFIX in lines[problem.line - 1].upper()]
    if problems:
        raise SettingsError("\n".join(f"{path}: {problem}" for problem in problems))
    comments = tuple(line[1:].removeprefix(" ") for line in lines if line.startswith("#"))
    return Profile(path.stem, load_settings(_variables(text)), comments)


def check_profile(source: Path | str) -> list[Problem]:
    """Everything in a profile that one of the four readers would take differently, or that is no valid setting."""
    return _find_problems(_read(_locate(source)))


def diff_profiles(before: Profile, after: Profile) -> tuple[Change, ...]:
    """The variables in which two profiles differ, defaults included, in the order of the table of settings."""
    old, new = before.settings.to_variables(), after.settings.to_variables()
    return tuple(Change(name, old.get(name), new.get(name)) for name in old | new if old.get(name) != new.get(name))


def _plain(line: str) -> str:
    """One printable line: a backslash at its end would swallow the next one in systemd."""
    return "".join(char if char.isprintable() else " " for char in line).rstrip(" \\")


def _locate(source: Path | str) -> Path:
    if not (isinstance(source, str) and re.fullmatch(r"[a-z0-9-]+", source)):
        return Path(source)
    names = shipped_names("profiles", ".env")
    if source not in names:
        raise InputError(f"no profile '{source}' is shipped ({', '.join(names)}); name a file as {source}.env")
    return shipped_file("profiles", f"{source}.env")


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}; name a profile that exists") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def _assignments(text: str) -> Iterator[tuple[int, str, str]]:
    """Line number, name and value of each portable line."""
    for number, line in enumerate(text.split("\n"), start=1):
        if _PORTABLE.fullmatch(line):
            name, _, value = line.partition("=")
            yield number, name, value


def _variables(text: str) -> dict[str, str]:
    return {name: value for _, name, value in _assignments(text)}


def _find_problems(text: str) -> list[Problem]:
    problems = [*_find_faults(text), *_find_repeats(text), *_find_bad_values(text)]
    return sorted(problems, key=lambda problem: problem.line)


def _find_faults(text: str) -> Iterator[Problem]:
    """Lines outside the portable dialect. No value is repeated: a shared .env holds secrets."""
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        is_comment = re.fullmatch(r"#([^\r\n]*[^\\\r\n])?", line) and line.isprintable()
        if line and not is_comment and not _PORTABLE.fullmatch(line):
            yield Problem(number, *_diagnose(line))
    if lines[-1]:
        yield Problem(len(lines), "does not end in a line feed", "end the last line with one")


def _diagnose(line: str) -> tuple[str, str]:
    return next(((what, cure) for fault, what, cure in _FAULTS if fault.match(line)), _OTHER_FAULT)


def _find_repeats(text: str) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for number, name, _ in _assignments(text):
        if name in first:
            yield Problem(number, f"sets {name} again (first: line {first[name]})", "keep one of the two lines")
        first.setdefault(name, number)


def _find_bad_values(text: str) -> Iterator[Problem]:
    """Values that are out of range, or that another reader would not take for the same: `True`, `1`, `+3`."""
    variables = _variables(text)
    line_of = {name: number for number, name, _ in _assignments(text)}
    try:
        settings = load_settings(variables)
    except SettingsError as error:
        for message in str(error).splitlines():
            what, _, cure = message.partition("; ")
            culprit = next(name for name in re.findall(r"\w+", message) if name in line_of)
            yield Problem(line_of[culprit], f"is wrong: {what}", cure)
        return
    for name, wanted in settings.to_variables().items():
        seen = variables.get(name, wanted)
        if seen != wanted and name not in _FREELY_SPELLED:
            yield Problem(line_of[name], f"spells {name} as {seen}", f"write {name}={wanted}")
