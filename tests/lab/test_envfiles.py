"""`profile apply` changes the values of five keys and no other byte."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import example, given
from hypothesis import strategies as st

from tagspace_lab.errors import InputError, SettingsError
from tagspace_lab.lab.envfiles import FIVE_KEYS, apply_profile, set_keys
from tagspace_lab.lab.profiles import Change, Profile, read_profile
from tagspace_lab.settings import Settings

START, CEILING, BATCH, CACHE, SIZE = FIVE_KEYS
TUNED = Profile("tuned", Settings(ai_concurrency=8, max_ai_concurrency=14, batch_size=12, cache_size=300))
VALUES = {START: "8", CEILING: "14", BATCH: "12", CACHE: "true", SIZE: "300"}


def values_in(content: bytes) -> dict[str, str | None]:
    text = content.decode("utf-8", "surrogateescape").lstrip("\ufeff")
    return dotenv_values(stream=io.StringIO(text, newline=""), interpolate=False)


def set_batch(content: bytes) -> bytes:
    return set_keys(content, {BATCH: "12"})


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / ".env"
    path.write_bytes(b"API_KEY='hunter2'\r\nTAG_SPACE_BATCH_SIZE=5 # five\r\n# the end")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"TAG_SPACE_BATCH_SIZE=5\n", b"TAG_SPACE_BATCH_SIZE=12\n"),
        (b"TAG_SPACE_BATCH_SIZE=5", b"TAG_SPACE_BATCH_SIZE=12"),
        (b"TAG_SPACE_BATCH_SIZE=5\r\nB=1\n", b"TAG_SPACE_BATCH_SIZE=12\r\nB=1\n"),
        (b"\xef\xbb\xbfTAG_SPACE_BATCH_SIZE=5\n", b"\xef\xbb\xbfTAG_SPACE_BATCH_SIZE=12\n"),
        (b"\n\n  export  TAG_SPACE_BATCH_SIZE=5\n", b"\n\n  export  TAG_SPACE_BATCH_SIZE=12\n"),
        (b"TAG_SPACE_BATCH_SIZE = '5'  # five\nB=1", b"TAG_SPACE_BATCH_SIZE=12  # five\nB=1"),
        (b'TAG_SPACE_BATCH_SIZE="5"#five\n', b"TAG_SPACE_BATCH_SIZE=12 #five\n"),
        (b"TAG_SPACE_BATCH_SIZE=5#five\n", b"TAG_SPACE_BATCH_SIZE=12\n"),
        (b"TAG_SPACE_BATCH_SIZE= # five\n", b"TAG_SPACE_BATCH_SIZE=12 # five\n"),
        (b"TAG_SPACE_BATCH_SIZE=5 \t\n", b"TAG_SPACE_BATCH_SIZE=12 \t\n"),
        (b"TAG_SPACE_BATCH_SIZE=\nB=1\n", b"TAG_SPACE_BATCH_SIZE=12\nB=1\n"),
        (b"TAG_SPACE_BATCH_SIZE\nB=1\n", b"TAG_SPACE_BATCH_SIZE=12\nB=1\n"),
        (b"'TAG_SPACE_BATCH_SIZE'=5\n", b"TAG_SPACE_BATCH_SIZE=12\n"),
        (b"TAG_SPACE_BATCH_SIZE='\n5\n'\nB=1\n", b"TAG_SPACE_BATCH_SIZE=12\nB=1\n"),
        (b"TAG_SPACE_BATCH_SIZE=5\nTAG_SPACE_BATCH_SIZE=6\n", b"TAG_SPACE_BATCH_SIZE=12\nTAG_SPACE_BATCH_SIZE=12\n"),
        (b"N\xe4me=M\xfcller\nTAG_SPACE_BATCH_SIZE=5\n", b"N\xe4me=M\xfcller\nTAG_SPACE_BATCH_SIZE=12\n"),
    ],
)
def test_key_that_is_there_gets_its_value_in_its_place(before: bytes, after: bytes) -> None:
    assert set_batch(before) == after
    assert set_batch(after) == after


@pytest.mark.parametrize(
    ("before", "added"),
    [
        (b"", b"TAG_SPACE_BATCH_SIZE=12\n"),
        (b"B=1\n", b"TAG_SPACE_BATCH_SIZE=12\n"),
        (b"B=1", b"\nTAG_SPACE_BATCH_SIZE=12\n"),
        (b"A=1\r\nB=1", b"\r\nTAG_SPACE_BATCH_SIZE=12\r\n"),
        (b"B=1\\\n", b"\nTAG_SPACE_BATCH_SIZE=12\n"),
        (b"# note\\", b"\n\nTAG_SPACE_BATCH_SIZE=12\n"),
        (b"# TAG_SPACE_BATCH_SIZE=5\n", b"TAG_SPACE_BATCH_SIZE=12\n"),
        (b"MY_TAG_SPACE_BATCH_SIZE=5\nTAG_SPACE_BATCH_SIZES=5\n", b"TAG_SPACE_BATCH_SIZE=12\n"),
        (b"NOTE='\nTAG_SPACE_BATCH_SIZE=5\n'\n", b"TAG_SPACE_BATCH_SIZE=12\n"),
        (b'SECRET="open\nB=1\n', b"TAG_SPACE_BATCH_SIZE=12\n"),
        (b"# x\n\n export A=1\n\texport B=1", b"\nexport TAG_SPACE_BATCH_SIZE=12\n"),
        (b"export A=1\nB=1\n", b"TAG_SPACE_BATCH_SIZE=12\n"),
        (b"exported=1\n", b"TAG_SPACE_BATCH_SIZE=12\n"),
    ],
)
def test_key_that_is_not_there_is_added_at_the_end(before: bytes, added: bytes) -> None:
    assert set_batch(before) == before + added


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"A=1\nTAG_SPACE_BATCH_SIZE='5\n", "line 2 holds TAG_SPACE_BATCH_SIZE and is not NAME=VALUE"),
        (b'TAG_SPACE_BATCH_SIZE="5"5\n', "line 1 holds TAG_SPACE_BATCH_SIZE and is not NAME=VALUE"),
        (b'\nA="\nTAG_SPACE_CACHE_SIZE=5\nB="x"\n', "line 3 holds TAG_SPACE_CACHE_SIZE and is not NAME=VALUE"),
        (b"A=1\n\ntag_space_batch_size=5\n", "line 3 holds tag_space_batch_size and is not NAME=VALUE in capitals"),
        ("TAG_SPACE_BATCH_SIZE=5".encode("utf-16"), "UTF-16; save it as UTF-8"),
    ],
)
def test_line_that_readers_would_not_agree_on_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        set_keys(content, VALUES)


_PIECES = st.sampled_from(
    [*FIVE_KEYS, *"\ufeff # = ' \" \\ \n \r\n \r \t export A API_KEY 5 true ä $HOME \x85 \udcff".split(" "), " ", "\n"]
)


@given(st.lists(_PIECES).map("".join))
@example("\ufeff\ufeffA=1")
@example(f"{BATCH}='5'#x\n{BATCH}=5#x")
@example(f"{BATCH}=5 {BATCH}=6")
def test_whatever_the_file_only_the_five_keys_change(text: str) -> None:
    before = text.encode("utf-8", "surrogateescape")
    try:
        after = set_keys(before, VALUES)
    except SettingsError:
        return
    old, new = values_in(before), values_in(after)
    assert VALUES.items() <= new.items()
    assert {name: new[name] for name in old if name not in VALUES} == {
        name: value for name, value in old.items() if name not in VALUES
    }
    assert set(new) == set(old) | set(VALUES)
    assert set_keys(after, VALUES) == after


_FOREIGN = st.from_regex(r"\A(# [^\r\n\x00]*|[B-Z]+=('[^'\\\r\n\x00]*'|[a-z0-9 $#]*)|)\Z")
_OURS = st.builds(
    lambda key, prefix, quote, value, tail: (f"{prefix}{key}=", f"{quote}{value}{quote}", tail),
    key=st.sampled_from(FIVE_KEYS),
    prefix=st.sampled_from(["", "export ", "  "]),
    quote=st.sampled_from(["", "'", '"']),
    value=st.integers(0, 99),
    tail=st.sampled_from(["", "  ", " # why"]),
)


@given(
    st.lists(st.tuples(_FOREIGN | _OURS, st.sampled_from(["\n", "\r\n"]))),
    st.booleans(),
)
def test_every_other_byte_is_kept(lines: list[tuple[str | tuple[str, str, str], str]], ends_open: bool) -> None:
    before = after = ""
    for line, end in lines:
        if isinstance(line, tuple):
            head, value, tail = line
            key = head.split()[-1].rstrip("=")
            before, after = before + head + value + tail + end, after + head + VALUES[key] + tail + end
        else:
            before, after = before + line + end, after + line + end
    if ends_open:
        before, after = before.removesuffix("\n").removesuffix("\r"), after.removesuffix("\n").removesuffix("\r")
    written = set_keys(before.encode(), VALUES)
    assert written.startswith(after.encode())
    assert re.fullmatch(rb"(\r?\n)*((export )?TAG_SPACE_\w+=\w+\r?\n)*", written.removeprefix(after.encode()))


def test_file_keeps_mode_and_a_copy_with_the_same_mode(target: Path) -> None:
    before = target.read_bytes()
    applied = apply_profile(TUNED, target)
    assert target.read_bytes() == applied.after
    assert values_in(applied.after) == {"API_KEY": "hunter2", **VALUES}
    assert applied.backup == target.with_name(".env.bak")
    assert applied.backup.read_bytes() == before
    assert {stat.S_IMODE(path.stat().st_mode) for path in target.parent.iterdir()} == {0o600}


def test_file_stays_with_its_owner(target: Path) -> None:
    owner = (65534, 65534) if os.geteuid() == 0 else (os.geteuid(), os.getegid())  # only root may give files away
    os.chown(target, *owner)
    apply_profile(TUNED, target)
    assert {(path.stat().st_uid, path.stat().st_gid) for path in target.parent.iterdir()} == {owner}


def test_no_copy_takes_the_place_of_an_older_one(target: Path) -> None:
    original = target.read_bytes()
    target.with_name(".env.bak3").symlink_to("nowhere")
    apply_profile(TUNED, target)
    second = apply_profile(Profile("default", Settings()), target)
    third = apply_profile(TUNED, target)
    assert [second.backup, third.backup] == [target.with_name(".env.bak2"), target.with_name(".env.bak4")]
    assert target.with_name(".env.bak").read_bytes() == original


def test_file_that_says_it_all_is_left_alone(target: Path) -> None:
    apply_profile(TUNED, target)
    status = target.stat()
    again = apply_profile(TUNED, target)
    assert (again.backup, again.diff(), target.stat()) == (None, "", status)


def test_dry_run_shows_the_changed_lines_alone_and_writes_nothing(target: Path) -> None:
    before = target.read_bytes()
    applied = apply_profile(TUNED, target, dry_run=True)
    assert target.read_bytes() == before
    assert list(target.parent.iterdir()) == [target]
    assert applied.diff().splitlines()[2:] == [
        "@@ -2 +2 @@",
        "-TAG_SPACE_BATCH_SIZE=5 # five",
        "+TAG_SPACE_BATCH_SIZE=12 # five",
        "@@ -3,0 +4,4 @@",
        "+TAG_SPACE_AI_CONCURRENCY=8",
        "+TAG_SPACE_MAX_AI_CONCURRENCY=14",
        "+TAG_SPACE_CACHE_ENABLED=true",
        "+TAG_SPACE_CACHE_SIZE=300",
    ]


def test_other_settings_are_named_and_not_touched(target: Path) -> None:
    target.write_text("TAG_SPACE_THROTTLE=fixed\nTAG_SPACE_GIVE_UP_S=600\nTAG_SPACE_STRANGE=1\n")
    tuned = Profile("tuned", Settings(tokens_per_min=500))
    applied = apply_profile(tuned, target)
    assert applied.after.startswith(applied.before)
    assert applied.left == (
        Change("TAG_SPACE_GIVE_UP_S", "600.0", "300.0"),
        Change("TAG_SPACE_THROTTLE", "fixed", "learned"),
        Change("TAG_SPACE_TOKENS_PER_MIN", None, "500"),
    )


def test_other_settings_that_mean_nothing_are_named_as_they_stand(target: Path) -> None:
    target.write_text("TAG_SPACE_THROTTLE='slow'\n")
    assert apply_profile(TUNED, target).left == (Change("TAG_SPACE_THROTTLE", "slow", "learned"),)


def test_file_without_other_settings_becomes_the_profile(target: Path) -> None:
    target.write_bytes(b"")
    assert apply_profile(TUNED, target).left == ()
    assert read_profile(target).settings == TUNED.settings


@pytest.mark.parametrize("kind", ["link", "dangling", "absent", "folder", "pipe", "twin"])
def test_anything_but_a_plain_file_of_one_name_is_refused(kind: str, target: Path) -> None:
    other = target.with_name("other.env")
    match kind:
        case "link":
            other.symlink_to(target)
        case "dangling":
            other.symlink_to("nowhere")
        case "folder":
            other.mkdir()
        case "pipe":
            os.mkfifo(other)
        case "twin":
            other.hardlink_to(target)
    names = sorted(target.parent.iterdir())
    with pytest.raises(InputError, match=r"other\.env (is|does not exist)"):
        apply_profile(TUNED, other)
    assert sorted(target.parent.iterdir()) == names


def test_full_disk_leaves_the_file_and_no_copy(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = target.read_bytes()
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(InputError, match="No space left on device"):
        apply_profile(TUNED, target)
    assert {path.name: path.read_bytes() for path in target.parent.iterdir()} == {".env": before}
