"""Connections are read from variables that are passed in, and keys are shown nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagspace_lab.errors import SettingsError
from tagspace_lab.live.connections import CONNECTIONS, ModelName, load_connections
from tagspace_lab.settings import ELSEWHERE, PREFIX, load_settings

TOKEN = "planted-token-7f3a"


def test_nothing_set_means_the_local_model_and_a_state_folder_at_home() -> None:
    connections = load_connections({"HOME": "/home/me"})
    assert connections.model == "local"
    assert connections.state_dir == Path("/home/me/.local/state/tagspace-lab")
    assert load_connections({"XDG_STATE_HOME": "/state"}).state_dir == Path("/state/tagspace-lab")
    assert connections.secrets == ()


def test_environment_wins_over_the_file_and_empty_counts_as_not_set(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("CONFLUENCE_URL=https://file.example.com\nTAG_SPACE_MODEL=openai:a\nTAG_SPACE_BATCH_SIZE=7\n")
    connections = load_connections({"CONFLUENCE_URL": "https://shell.example.com/wiki/", "TAG_SPACE_MODEL": ""}, file)
    assert connections.confluence_url == "https://shell.example.com/wiki"
    assert connections.model == "local"
    assert load_settings({}, file).batch_size == 7


def test_both_kinds_of_variables_stand_in_one_environment() -> None:
    assert {name for name in CONNECTIONS if name.startswith(PREFIX)} == ELSEWHERE
    assert load_settings(dict.fromkeys(ELSEWHERE, "x")).batch_size == 5


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CONFLUENCE_URL", f"https://me:{TOKEN}@example.com"),
        ("CONFLUENCE_URL", f"ftp://{TOKEN}"),
        ("CONFLUENCE_URL", f"{TOKEN}"),
        ("CONFLUENCE_URL", f"https://\0{TOKEN}"),
        ("CONFLUENCE_KIND", TOKEN),
        ("TAG_SPACE_ALERT_429_SHARE", TOKEN),
        ("TAG_SPACE_ALERT_429_SHARE", "2"),
    ],
)
def test_a_wrong_value_is_refused_by_its_variable_and_not_shown(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{variable}") as caught:
        load_connections({variable: value})
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("text", ["gpt-4.1", "openai:", "local:x", "mistral:x", ":", "openai"])
def test_a_model_is_local_or_named_with_its_kind(text: str) -> None:
    with pytest.raises(SettingsError, match="allowed: local, openai:NAME or anthropic:NAME"):
        load_connections({"TAG_SPACE_MODEL": text})


def test_a_models_name_may_hold_colons() -> None:
    assert ModelName.parse("openai:llama3.2:3b") == ModelName("openai", "llama3.2:3b")
    assert str(ModelName.parse("local")) == "local"


def test_the_fallback_is_another_model() -> None:
    with pytest.raises(SettingsError, match="TAG_SPACE_FALLBACK_MODEL is the same"):
        load_connections({"TAG_SPACE_MODEL": "openai:a", "TAG_SPACE_FALLBACK_MODEL": "openai:a"})


def test_keys_are_known_as_secrets_and_never_shown() -> None:
    names = (
        "CONFLUENCE_API_TOKEN CONFLUENCE_PERSONAL_TOKEN OPENAI_API_KEY ANTHROPIC_API_KEY TAG_SPACE_CACHE_URL"
        " TAG_SPACE_SERVICE_TOKEN TAG_SPACE_ALERT_URL"
    ).split()
    connections = load_connections({name: f"{TOKEN}-{name}" for name in names})
    assert sorted(connections.secrets) == sorted(f"{TOKEN}-{name}" for name in names)
    assert TOKEN not in f"{connections!r} {connections} {connections.model_dump()}"
