"""Profiles mean the same to every reader; the readers themselves are asked in test_profile_readers.py."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab import __version__
from tagspace_lab.errors import InputError, SettingsError
from tagspace_lab.lab.profiles import (
    Change,
    Profile,
    Provenance,
    check_profile,
    diff_profiles,
    read_profile,
    render_profile,
    write_profile,
)
from tagspace_lab.policy.limits import LIMITERS
from tagspace_lab.settings import Settings, load_settings

PROVENANCE = Provenance(
    space="medium",
    space_hash="sha256:0a1b",
    scenario="openai-tier1",
    scenario_hash="sha256:2c3d",
    seeds=(11, 12, 13),
    trials=40,
    before_s=41.25,
    after_s=20.0,
    bound_s=17.96,
)

some_settings = st.builds(
    lambda start, room, **others: Settings(ai_concurrency=start, max_ai_concurrency=start + room, **others),
    start=st.integers(1, 50),
    room=st.integers(0, 50),
    batch_size=st.integers(1, 50),
    cache_enabled=st.booleans(),
    cache_size=st.integers(1, 10_000_000),
    throttle=st.sampled_from(list(LIMITERS)),
    retry_budget=st.floats(0, 1),
    requests_per_min=st.none() | st.floats(0.01, 1e7),
    tokens_per_min=st.none() | st.integers(1, 10_000_000_000),
)


def check_text(tmp_path: Path, text: str | bytes) -> list[str]:
    path = tmp_path / "some.env"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [str(problem) for problem in check_profile(path)]


def test_profile_is_written_as_documented(tmp_path: Path) -> None:
    path = tmp_path / "new" / "medium.env"
    write_profile(path, Settings(batch_size=9, cache_enabled=False, give_up_s=90), PROVENANCE)
    assert path.read_bytes().decode() == (
        f"# profile by tagspace_lab {__version__}, unverified\n"
        "# space: medium, sha256:0a1b\n"
        "# scenario: openai-tier1, sha256:2c3d\n"
        "# seeds: 11 12 13; trials: 40\n"
        "# makespan: 41.2 s before, 20.0 s after, bound 18.0 s\n"
        "TAG_SPACE_AI_CONCURRENCY=3\n"
        "TAG_SPACE_MAX_AI_CONCURRENCY=10\n"
        "TAG_SPACE_BATCH_SIZE=9\n"
        "TAG_SPACE_CACHE_ENABLED=false\n"
        "TAG_SPACE_CACHE_SIZE=1000\n"
        "TAG_SPACE_THROTTLE=learned\n"
        "TAG_SPACE_GIVE_UP_S=90.0\n"
    )
    assert check_profile(path) == []
    assert [file.name for file in path.parent.iterdir()] == ["medium.env"]


@given(some_settings, st.text(), st.text())
def test_profile_round_trips_whatever_the_space_is_called(settings: Settings, space: str, note: str) -> None:
    provenance = Provenance(space, "h", "s", "h", (1,), 1, 1.0, 1.0, 1.0, verified=True, notes=(note,))
    text = render_profile(settings, provenance)
    assert text.count("\n") == len(provenance.lines()) + len(
        settings.to_variables().items() & variables_in(text).items()
    )
    assert load_settings(variables_in(text)) == settings


def variables_in(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.split("\n") if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


@given(some_settings)
def test_file_reads_back_as_the_same_profile(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> None:
    path = tmp_path_factory.mktemp("profile") / "tuned.env"
    write_profile(path, settings, PROVENANCE)
    assert read_profile(path) == Profile("tuned", settings, PROVENANCE.lines())
    assert check_profile(path) == []


def test_profile_is_not_overwritten_without_force(tmp_path: Path) -> None:
    path = tmp_path / "a.env"
    path.write_text("precious")
    with pytest.raises(InputError, match=r"a\.env exists; .*--force"):
        write_profile(path, Settings(), PROVENANCE)
    assert path.read_text() == "precious"
    write_profile(path, Settings(), PROVENANCE, force=True)
    assert read_profile(path).settings == Settings()


def test_full_disk_leaves_the_old_profile_and_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "a.env"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(InputError, match="No space left on device"):
        write_profile(path, Settings(), PROVENANCE, force=True)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"a.env": "old"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("file/a.env", "cannot be written.*name a file in a writable folder"),
        ("/proc/a.env", "cannot be written.*name a file in a writable folder"),
        ("folder", "is a folder; name a file in it"),
    ],
)
def test_place_that_cannot_be_written_is_named(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=message):
        write_profile(tmp_path / name, Settings(), PROVENANCE, force=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("TAG_SPACE_BATCH_SIZE='5'", "has a quoted value"),
        ('OTHER="5"', "has a quoted value"),
        ("export TAG_SPACE_BATCH_SIZE=5", "starts with export"),
        ("TAG_SPACE_BATCH_SIZE = 5", "has a blank beside the equals sign"),
        ("TAG_SPACE_BATCH_SIZE= 5", "has a blank beside the equals sign"),
        ("TAG_SPACE_BATCH_SIZE=5 # five", "has a comment after the value"),
        ("TAG_SPACE_BATCH_SIZE=5 ", "has trailing blanks"),
        ("TAG_SPACE_BATCH_SIZE=5\t", "has trailing blanks"),
        ("TAG_SPACE_BATCH_SIZE=5\r", "holds a carriage return"),
        ("TAG_SPACE_BATCH_SIZE=", "has no value"),
        ("TAG_SPACE_BATCH_SIZE", "is not NAME=VALUE"),
        (" TAG_SPACE_BATCH_SIZE=5", "starts with a blank"),
        ("tag_space_batch_size=5", "has a name that is not portable"),
        ("=5", "has a name that is not portable"),
        ("\ufeffTAG_SPACE_BATCH_SIZE=5", "starts with a byte order mark"),
        ("A=a b", "has characters that some reader changes"),
        ("A=$HOME", "has characters that some reader changes"),
        (" # note", "is an indented comment"),
        ("# note\\", "is a comment that ends in a backslash"),
        ("# no\tte", "is a comment with a character that cannot be printed"),
        ("TAG_SPACE_BATCH_SIZE=5.0", "is wrong: TAG_SPACE_BATCH_SIZE is '5.0'; allowed: an integer from 1 to 50"),
        ("TAG_SPACE_BATCHSIZE=5", "is wrong: TAG_SPACE_BATCHSIZE is not a setting; did you mean TAG_SPACE_BATCH_SIZE?"),
        ("TAG_SPACE_CACHE_ENABLED=yes", "is wrong: TAG_SPACE_CACHE_ENABLED is 'yes'; allowed: true or false"),
        ("TAG_SPACE_CACHE_ENABLED=1", "spells TAG_SPACE_CACHE_ENABLED as 1; write TAG_SPACE_CACHE_ENABLED=true"),
        ("TAG_SPACE_BATCH_SIZE=+5", "spells TAG_SPACE_BATCH_SIZE as +5; write TAG_SPACE_BATCH_SIZE=5"),
        ("TAG_SPACE_AI_CONCURRENCY=20", "is wrong: TAG_SPACE_AI_CONCURRENCY is 20; allowed: at most "),
    ],
)
def test_check_names_line_fault_and_cure(tmp_path: Path, line: str, what: str) -> None:
    problems = check_text(tmp_path, f"# header\n\n{line}\n" if "\ufeff" not in line else f"\n\n{line}\n")
    assert len(problems) == 1
    assert problems[0].startswith(f"line 3 {what}")
    assert "; " in problems[0]


def test_check_shows_no_value_of_a_foreign_variable(tmp_path: Path) -> None:
    assert "hunter2" not in "".join(check_text(tmp_path, "API_KEY='hunter2'\nA_KEY = hunter2\nexport B=hunter2"))


def test_check_finds_repeats_and_a_missing_last_line_feed(tmp_path: Path) -> None:
    assert check_text(tmp_path, "#\nA=1\nA=2") == [
        "line 3 does not end in a line feed; end the last line with one",
        "line 3 sets A again (first: line 2); keep one of the two lines",
    ]


def test_check_takes_foreign_variables_blank_lines_and_any_spelling_of_a_number(tmp_path: Path) -> None:
    assert check_text(tmp_path, "#\n# Prüfung\n\nURL=https://x.example/a,b@c%20+d\nTAG_SPACE_GIVE_UP_S=90\n") == []


@given(st.text(alphabet="TAG_SPACE_BATCH_SIZE=5#'\" \\\r\n\t$\ufeffä\x00"))
def test_check_never_fails_on_any_text(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    check_text(tmp_path_factory.mktemp("check"), text)


def test_reading_refuses_a_faulty_setting_and_passes_over_foreign_lines(tmp_path: Path) -> None:
    path = tmp_path / "shared.env"
    path.write_text("NAME='My wiki'\nTAG_SPACE_BATCH_SIZE=7\n")
    assert read_profile(path).settings == Settings(batch_size=7)
    path.write_text("NAME='My wiki'\nTAG_SPACE_BATCH_SIZE='7'\nTAG_SPACE_CACHE_SIZE=\n")
    with pytest.raises(SettingsError) as caught:
        read_profile(path)
    assert [line.split("shared.env: ")[1] for line in str(caught.value).splitlines()] == [
        "line 2 has a quoted value; remove the quotes: docker keeps them in the value",
        "line 3 has no value; give a value, or remove the line",
    ]


@pytest.mark.parametrize("content", [None, b"A=\xff\n"])
def test_profile_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.env"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"x\.env (cannot be read|is not UTF-8)"):
        read_profile(path)


def test_shipped_profiles_are_clean_and_mean_what_they_say() -> None:
    assert [check_profile(name) for name in ("default", "conservative")] == [[], []]
    assert read_profile("default").settings == Settings()
    conservative = read_profile("conservative").settings
    assert (conservative.ai_concurrency, conservative.max_ai_concurrency, conservative.batch_size) == (1, 1, 1)
    assert (conservative.cache_enabled, conservative.throttle) == (False, "fixed")


def test_unknown_name_lists_the_shipped_profiles() -> None:
    with pytest.raises(
        InputError, match=r"no profile 'fast' is shipped \(conservative, default\); name a file as fast\.env"
    ):
        read_profile("fast")


def test_diff_lists_what_differs() -> None:
    before, after = Profile("a", Settings()), Profile("b", Settings(batch_size=7, tokens_per_min=500))
    assert diff_profiles(before, before) == ()
    assert diff_profiles(before, after) == (
        Change("TAG_SPACE_BATCH_SIZE", "5", "7"),
        Change("TAG_SPACE_TOKENS_PER_MIN", None, "500"),
    )
