"""The commands in this process: what they print where, and how they end."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tagspace_lab import __version__
from tagspace_lab.cli.app import app, main
from tagspace_lab.errors import ServiceError

COMMANDS = (
    *("monitor", "check", "diagnose"),
    *("replay", "sweep", "tune", "verify", "calibrate", "quality", "twin", "scenarios", "gallery", "lab"),
    "notebook",
    *("snapshot folder", "snapshot confluence", "snapshot generate", "profile show", "profile diff", "profile check"),
    *("profile export", "profile apply"),
)
WRONG_INPUT: tuple[tuple[str, str], ...] = (
    ("replay nosuch", "no space 'nosuch'"),
    ("replay small --scenario nosuch", "no scenario 'nosuch'"),
    ("replay small --profile nosuch", "is shipped (conservative, default)"),
    ("replay small --profile nosuch.env", "nosuch.env cannot be read"),
    ("replay small --runs 0", "'--runs': '0'; allowed: an integer from 1"),
    ("replay small --runs -1", "'--runs': '-1'; allowed: an integer from 1"),
    ("replay small --seed 1.5", "'--seed': '1.5'; allowed: an integer from 0"),
    ("replay small --nosuch", "--nosuch"),
    ("replay", "SPACE"),
    ("repaly small", "replay"),
    ("sweep small", "--batch-size"),
    ("sweep small --batch-size 0,5", "--batch-size '0,5' holds '0'; allowed: an integer from 1 to 50"),
    ("sweep small --batch-size 5,,6", "holds ''"),
    ("sweep small --concurrency 2,x", "--concurrency '2,x' holds 'x'; allowed: an integer from 1 to 100"),
    ("sweep small --batch-size 5 --jobs 0", "'--jobs': '0'"),
    ("tune small", "--output"),
    ("tune small -o /proc/nosuch/tuned.env", "cannot be written"),
    ("tune small -o t.env --limit f1_loss<2", "limit 'f1_loss<2' is above 1; allowed: a share from 0 to 1"),
    ("tune small -o t.env --goal best", "'--goal': 'best'; allowed: fastest, cheapest, gentlest, balanced"),
    ("tune small -o t.env --vary speed", "vary is speed; allowed: one or more of concurrency, batch_size"),
    ("tune small -o t.env --backend dask", "--backend dask and --scheduler tcp://HOST:PORT go together"),
    ("tune small -o t.env --storage mysql://u:secret@h/d", "mysql is not a database that studies use"),
    ("tune small -o t.env --trials 0", "'--trials': '0'"),
    ("verify nosuch.env small", "nosuch.env cannot be read"),
    ("profile check nosuch.env", "nosuch.env cannot be read"),
    ("profile diff default nosuch.env", "nosuch.env cannot be read"),
    ("profile diff default conservative --space nosuch", "no space 'nosuch'"),
    ("profile diff default conservative --space small --seeds 1", "'--seeds': '1'; allowed: an integer from 2"),
    ("profile export", "--output"),
    ("profile export -o /proc/nosuch", "cannot be written"),
    ("profile export small x/small.jsonl.gz -o p", "have one name (small, small)"),
    ("profile apply default nosuch.env", "nosuch.env does not exist"),
    ("profile apply nosuch app.env", "is shipped (conservative, default)"),
    ("snapshot generate --pages 0 -o s.gz", "'--pages': '0'"),
    ("snapshot folder nosuch -o s.gz", "nosuch is not a folder"),
    ("snapshot confluence DOCS -o s.gz", "CONFLUENCE_URL is not set"),
    ("twin --port 70000", "'--port': '70000'; allowed: an integer from 0 to 65,535"),
    ("quality small --sizes 0,5", "--sizes '0,5' holds '0'"),
    ("quality small --model openai:x", "OPENAI_API_KEY is not set"),
    ("verify default small --live 2", "too small a budget"),
    ("calibrate nosuch.jsonl", "nosuch.jsonl: the trace cannot be read"),
    ("calibrate run.jsonl -o /proc/nosuch/mine.toml", "cannot be written"),
    ("scenarios nosuch", "no scenario 'nosuch'"),
    ("monitor --log nosuch.log", "nosuch.log is not there"),
    ("monitor one --log x.log", "name one of them"),
    ("gallery -o /proc/nosuch/gallery.html", "cannot be written"),
    ("diagnose nosuch.json", "nosuch.json cannot be read"),
    ("check --scenario nosuch", "no scenario 'nosuch'"),
    ("notebook 99 -o out.ipynb", "there is no notebook '99'; choose from: 01_replay_a_space"),
    ("notebook 02", "-o FILE.ipynb"),
    ("notebook 02 --space nosuch -o out.ipynb", "no space 'nosuch'"),
    ("notebook 02 --scenario nosuch -o out.ipynb", "no scenario 'nosuch'"),
    ("notebook 05 --set trials=many -o out.ipynb", "is 'many'; allowed: a value like 10"),
    ("notebook 05 --set days=3 -o out.ipynb", "has no parameter days; it has: space, scenario, trials"),
    ("notebook 05 --set trials -o out.ipynb", "--set 'trials'; allowed: NAME=VALUE"),
    ("notebook 05 -o /proc/nosuch/out.ipynb", "cannot be written"),
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def run(line: str) -> Result:
    return CliRunner().invoke(app, line.split())


def fail_with(monkeypatch: pytest.MonkeyPatch, target: str, error: BaseException) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(target, fail)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_examples_whose_options_exist(command: str) -> None:
    result = run(f"{command} --help")
    text, _, lines = result.stdout.partition("Examples:\n")
    assert result.exit_code == 0
    assert lines
    assert [line for line in text.splitlines() if len(line) > 80] == []
    for example in lines.splitlines():
        if f"tagspace-lab {command}" in example:
            assert set(re.findall(r" (--?[a-z-]+)", example)) - {"--no-browser", "--port"} <= set(
                re.findall(r"--?[a-z][a-z-]*", text)
            )
    assert f"tagspace-lab {command}" in lines


def test_version_is_shown() -> None:
    assert run("--version").stdout == f"tagspace-lab {__version__}\n"


@pytest.mark.parametrize(("line", "words"), WRONG_INPUT)
def test_wrong_input_is_told_and_ends_with_2(line: str, words: str, folder: Path) -> None:
    result = run(line)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(folder.iterdir())


def test_replay_prints_the_documented_object() -> None:
    result = run("replay small --json")
    document = json.loads(result.stdout)
    words = set(re.findall(r"\w+", run("replay --help").stdout))
    assert (result.exit_code, result.stderr.count("Traceback")) == (0, 0)
    assert set(document) | set(document["runs"][0]) <= words
    assert [run["pages"] for run in document["runs"]] == [15, 15]


def test_replay_shows_a_table_and_keeps_notes_off_standard_output() -> None:
    result = run("replay small --runs 1 --baseline")
    assert "makespan" in result.stdout
    assert "the way of before" in result.stdout
    assert "Note:" not in result.stdout
    assert "Note: " in result.stderr


def test_recorded_replay_is_calibrated_checked_and_replayed(folder: Path) -> None:
    assert run("replay medium --scenario blind-bucket --runs 1 --trace run.jsonl --json").exit_code == 0
    result = run("calibrate run.jsonl -o mine.toml --check --json")
    document = json.loads(result.stdout)
    words = set(re.findall(r"\w+", run("calibrate --help").stdout))
    assert set(document) | set(document["findings"][0]) | set(document["check"]) <= words
    assert document["check"]["is_close"]
    assert set(document["check"]["figures"]) <= words
    assert run("replay small --scenario mine.toml --runs 1 --json").exit_code == 0
    assert "name another file" in run("calibrate run.jsonl -o mine.toml").stderr


def test_calibration_is_shown_with_what_was_not_seen(folder: Path) -> None:
    run("replay small --runs 1 --trace run.jsonl")
    result = run("calibrate run.jsonl --check --space small")
    assert "requests_per_min" in result.stdout
    assert "The recorded run in the twin" in result.stdout
    assert "Not seen: provider.limits.concurrency_cap: never reached" in result.stderr
    assert "record a longer run" in result.stderr


def test_quality_of_the_embedded_model_is_measured_and_taken_into_a_scenario(folder: Path) -> None:
    result = run("quality small --sizes 1,5 --sample 8 -o quality.toml --json")
    document = json.loads(result.stdout)
    words = set(re.findall(r"\w+", run("quality --help").stdout))
    assert set(document) | {name for row in document["sizes"] for name in row} - {"agreement_high"} <= words
    assert [row["batch_size"] for row in document["sizes"]] == ["1", "1 again", "5"]
    run("replay small --runs 1 --trace run.jsonl")
    assert run("calibrate run.jsonl --quality quality.toml -o mine.toml").exit_code == 0
    assert "relative_accuracy = [[1, " in (folder / "mine.toml").read_text()
    assert "agreement with 1" in run("quality small --sizes 5 --sample 4").stdout


def test_verify_live_keeps_to_its_budget() -> None:
    document = json.loads(run("verify conservative small --seeds 2 --runs 1 --live 12 --json").stdout)
    words = set(re.findall(r"\w+", run("verify --help").stdout))
    assert document["live"]["calls"] <= 12
    assert set(document["live"]) | set(document["live"]["arms"][0]) <= words


def test_replay_with_failed_pages_ends_with_1(folder: Path) -> None:
    scenario = Path("broken.toml")
    scenario.write_text(
        'name = "broken"\ndescription = "x"\nsource = "x"\n[provider.faults]\nmalformed_share = 1.0\n', "utf-8"
    )
    result = run("replay small --scenario broken.toml --runs 1 --json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["runs"][0]["errors"] > 0


@pytest.mark.parametrize("line", ["scenarios", "replay small --runs 1", "sweep small --batch-size 5,10 --runs 1"])
def test_tables_fit_a_narrow_terminal(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    result = run(line)
    assert max(map(len, result.stdout.splitlines())) <= 60
    assert "\x1b" not in result.stdout


def test_sweep_writes_all_rows_and_shows_one_a_combination(folder: Path) -> None:
    result = run("sweep small --batch-size 5,10 --runs 1 --seeds 2 -o out/grid.csv")
    rows = (folder / "out/grid.csv").read_text().splitlines()
    assert result.exit_code == 0
    assert rows[0].startswith("batch_size,seed,run,pages")
    assert len(rows) == 5
    assert "Shortest over all runs: batch " in result.stderr
    assert len(re.findall(r"^ *(5|10) ", result.stdout, re.MULTILINE)) == 2


def test_sweep_prints_the_documented_object() -> None:
    document = json.loads(run("sweep small --cache-size 5 --runs 1 --json").stdout)
    words = set(re.findall(r"\w+", run("sweep --help").stdout))
    assert set(document) <= words
    assert document["rows"][0]["cache_size"] == 5


def test_existing_output_is_refused_before_any_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "kept").write_text("mine")
    fail_with(monkeypatch, "tagspace_lab.lab.tune.tune", AssertionError("time was spent"))
    fail_with(monkeypatch, "tagspace_lab.lab.sweep.sweep", AssertionError("time was spent"))
    for line in ("tune small -o kept", "sweep small --batch-size 5 -o kept", "snapshot generate --pages 3 -o kept"):
        result = run(line)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "kept exists" in result.stderr
        assert "--force" in result.stderr
    assert (folder / "kept").read_text() == "mine"


def test_tune_writes_a_profile_that_verify_and_profile_read(folder: Path) -> None:
    tuned = run("tune small -o t.env --trials 2 --seeds 1 --runs 1 --limit errors<=99 --json")
    words = set(re.findall(r"\w+", run("tune --help").stdout))
    assert tuned.exit_code == 0
    assert set(json.loads(tuned.stdout)) <= words
    assert (folder / "studies/t.journal").exists()
    assert "Wrote" not in tuned.stdout
    assert run("profile check t.env").exit_code == 0
    verified = run("verify t.env small --seeds 2 --runs 1 --json")
    document = json.loads(verified.stdout)
    assert verified.exit_code == (0 if document["holds"] else 1)
    assert set(document) | set(document["runs"][0]) <= set(re.findall(r"\w+", run("verify --help").stdout)) | {
        f"{side}_{name}" for side in ("before", "after") for name in ("rate_limit_share", "tokens", "f1", "errors")
    }


def test_profile_that_changes_nothing_does_not_hold() -> None:
    result = run("verify default small --seeds 2 --runs 1")
    assert result.exit_code == 1
    assert "does not hold" in result.stdout


def test_profile_check_lists_every_problem(folder: Path) -> None:
    (folder / "bad.env").write_text("TAG_SPACE_BATCH_SIZE='8'\nTAG_SPACE_CACHE_SIZE=\n")
    result = run("profile check default bad.env")
    assert result.exit_code == 2
    assert result.stdout.splitlines() == [
        "bad.env:1: has a quoted value; remove the quotes: docker keeps them in the value",
        "bad.env:2: has no value; give a value, or remove the line",
    ]


def test_profile_show_and_diff_name_the_variables() -> None:
    assert "TAG_SPACE_BATCH_SIZE" in run("profile show default conservative").stdout
    assert "TAG_SPACE_BATCH_SIZE" in run("profile diff default conservative").stdout
    same = run("profile diff default default")
    assert (same.exit_code, same.stdout) == (0, "")


def test_profile_diff_replays_both_and_prints_the_documented_object() -> None:
    line = "profile diff default conservative --space small --seeds 2 --runs 1"
    shown = run(line)
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "concurrency 3 -> 1" in shown.stdout
    document = json.loads(run(f"{line} --json").stdout)
    words = set(re.findall(r"\w+", run("profile diff --help").stdout))
    assert set(document) | set(document["effects"][0]) | set(document["changes"][0]) <= words


def test_profile_export_writes_what_check_finds_good(folder: Path) -> None:
    line = "profile export small -o out --trials 1 --jobs 1"
    shown = run(line)
    assert shown.exit_code == 0
    assert "today's are kept" in shown.stdout
    assert "Wrote out/small.env." in shown.stderr
    assert run("profile check out/small.env").exit_code == 0
    assert run(line).exit_code == 2
    document = json.loads(run(f"{line} --force --json").stdout)
    assert document["profiles"]["small"]["path"] == "out/small.env"


def test_profile_apply_shows_first_and_then_writes(folder: Path) -> None:
    target = folder / "app.env"
    target.write_text("API_KEY=hunter2\nTAG_SPACE_BATCH_SIZE=5\n")
    tried = run("profile apply conservative app.env --dry-run")
    assert target.read_text() == "API_KEY=hunter2\nTAG_SPACE_BATCH_SIZE=5\n"
    done = run("profile apply conservative app.env")
    assert tried.stdout == done.stdout
    assert "+TAG_SPACE_BATCH_SIZE=1\n" in done.stdout
    assert "hunter2" not in done.output
    assert "Note: TAG_SPACE_THROTTLE is learned in app.env and fixed in conservative: left as it is." in done.stderr
    assert "app.env.bak" in done.stderr
    again = run("profile apply conservative app.env --json")
    document = json.loads(again.stdout)
    assert document["changed"] is False
    assert set(document) | set(document["left"][0]) <= set(re.findall(r"\w+", run("profile apply --help").stdout))


def test_scenarios_lists_and_shows() -> None:
    listed = json.loads(run("scenarios --json").stdout)["scenarios"]
    assert "openai-tier1" in {scenario["name"] for scenario in listed}
    assert "[provider.limits]" in run("scenarios openai-tier1").stdout


def test_snapshots_are_made_and_replayed(folder: Path) -> None:
    (folder / "docs").mkdir()
    (folder / "docs/a.md").write_text("---\ntags: [cats]\n---\n# A\n\nAll about cats.\n")
    (folder / "docs/b.html").write_text("<h1>B</h1><p>Nothing of the kind.</p>")
    made = run("snapshot folder docs -o docs.gz")
    assert (made.exit_code, made.stdout) == (0, "")
    assert "2 pages, 1 of them with gold labels" in made.stderr
    assert run("snapshot generate --pages 3 --seed 2 -o g.gz").exit_code == 0
    assert json.loads(run("replay g.gz --runs 1 --json").stdout)["space"]["pages"] == 3


def test_truncated_snapshot_is_refused_with_the_line(folder: Path) -> None:
    run("snapshot generate --pages 30 -o g.gz")
    (folder / "g.gz").write_bytes((folder / "g.gz").read_bytes()[:-200])
    result = run("replay g.gz")
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.search(r"g\.gz: line \d+", result.stderr)


def test_service_that_fails_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, "tagspace_lab.lab.replay.replay", ServiceError("no provider answers"))
    result = run("replay small")
    assert (result.exit_code, result.stderr) == (1, "Error: no provider answers\n")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device", "f.csv"), "f.csv: No space left on device; free some space"),
        (PermissionError(13, "Permission denied", "f.csv"), "f.csv: Permission denied; name a file in a folder"),
    ],
)
def test_full_disk_and_forbidden_folder_are_told_with_the_cure(
    error: OSError, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(monkeypatch, "tagspace_lab.lab.replay.replay", error)
    result = run("replay small")
    assert result.exit_code == 2
    assert words in result.stderr


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyboardInterrupt(), "nothing was written"),
        (KeyboardInterrupt("Interrupted: 3 trials are kept."), "Interrupted: 3 trials are kept."),
    ],
)
def test_interrupt_says_what_was_kept_and_ends_with_130(
    error: KeyboardInterrupt, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(monkeypatch, "tagspace_lab.lab.tune.tune", error)
    result = run("tune small -o t.env")
    assert result.exit_code == 130
    assert words in result.stderr


@pytest.mark.parametrize("debug", [False, True])
def test_defect_shows_its_traceback_only_on_request(
    debug: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, "tagspace_lab.lab.replay.replay", ZeroDivisionError("oh"))
    monkeypatch.setenv("TAGSPACE_DEBUG", "1" if debug else "")
    monkeypatch.setattr(sys, "argv", ["tagspace-lab", "replay", "small"])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # which typer replaces
    with pytest.raises(SystemExit) as end:
        main()
    told = capsys.readouterr().err
    assert end.value.code == 1
    assert "ZeroDivisionError: oh" in told
    assert ("Traceback" in told) is debug


def test_gallery_is_one_page(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tagspace_lab.lab.plots import gallery

    monkeypatch.setattr(gallery, "PICTURES", gallery.PICTURES[:1])
    result = run("gallery -o out/gallery.html")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "Wrote 1 pictures to out/gallery.html.\n"
    assert "plot_run" in (folder / "out/gallery.html").read_text("utf-8")
    assert "gallery.html exists" in run("gallery -o out/gallery.html").stderr


def test_notebook_runs_on_a_space_of_ones_own(folder: Path) -> None:
    """Its pages have neither labels nor edits."""
    (folder / "pages").mkdir()
    for number in range(3):
        (folder / f"pages/{number}.md").write_text(f"# Page {number}\n\nAbout backups.\n")
    assert run("snapshot folder pages -o my.jsonl.gz").exit_code == 0
    result = run("notebook 2 --space my.jsonl.gz --set scenario=self-hosted -o out/mine.ipynb")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "Wrote out/mine.ipynb and out/mine.html.\n"
    for name in ("out/mine.ipynb", "out/mine.html"):
        assert "pages: 3 pages, scenario self-hosted" in (folder / name).read_text("utf-8")
    assert "mine.ipynb exists" in run("notebook 2 -o out/mine.ipynb").stderr


def test_notebooks_are_listed_with_their_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = run("notebook").stdout
    assert "Which settings should the nightly job of this wiki use, and how sure are we?" in shown
    assert "space, scenario, trials, seeds, other_scenario, profile" in shown


def test_lab_opens_the_notebooks_with_jupyters_own_options(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr("tagspace_lab.lab.notebooks.notebooks_dir", lambda: Path("books"))
    monkeypatch.setattr("tagspace_lab.cli.notebooks.find_spec", lambda name: object())
    monkeypatch.setattr("os.execv", lambda path, arguments: calls.append(arguments))
    assert run("lab --no-browser --port 9").exit_code == 0
    assert calls == [[sys.executable, "-m", "jupyterlab", "--no-browser", "--port", "9", "books"]]


def test_lab_without_jupyterlab_or_notebooks_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tagspace_lab.cli.notebooks.find_spec", lambda name: None)
    monkeypatch.setattr("tagspace_lab.lab.notebooks.shipped_dir", lambda: tmp_path / "data")
    absent = run("lab")
    assert absent.exit_code == 2
    assert "come with the repository" in absent.stderr
    (tmp_path / "notebooks").mkdir()
    missing = run("lab")
    assert missing.exit_code == 2
    assert "pip install 'tagspace-lab[lab]'" in missing.stderr
