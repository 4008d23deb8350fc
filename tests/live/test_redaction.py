from __future__ import annotations

from base64 import b64encode

from hypothesis import given
from hypothesis import strategies as st

from tagspace_lab.live.redaction import BLOT, find_secrets, redactor
from tests.fakes import examples


def test_secrets_are_found_by_name_in_addresses_and_in_the_webhook() -> None:
    found = find_secrets(
        {
            "OPENAI_API_KEY": "sk-planted-1",
            "CONFLUENCE_PERSONAL_TOKEN": " pat-planted-2 ",
            "TAG_SPACE_CACHE_URL": "redis://:redis-planted-3@127.0.0.1:6379/0",
            "TAG_SPACE_ALERT_URL": "https://hooks.example.com/services/T0/B0/planted4?key=planted5",
        }
    )
    assert {"sk-planted-1", "pat-planted-2", "redis-planted-3", "services/T0/B0/planted4", "key=planted5"} <= set(found)


def test_secret_is_found_as_it_travels() -> None:
    found = find_secrets({"CONFLUENCE_USERNAME": "me@example.com", "CONFLUENCE_API_TOKEN": "a/b+c=d&e"})
    assert b64encode(b"me@example.com:a/b+c=d&e").decode() in found
    assert "a%2Fb%2Bc%3Dd%26e" in found


def test_settings_that_count_tokens_and_short_values_are_none() -> None:
    plain = {"TAG_SPACE_PAGE_TOKENS": "1000000", "TAG_SPACE_TOKENS_PER_MIN": "5000000", "KEY": "1", "HOME": "/home/me"}
    assert find_secrets(plain | {"TAG_SPACE_BATCH_TOKENS": "1000000", "X": "http://[broken"}) == ()


def test_longest_form_is_blotted_first() -> None:
    assert redactor(["planted", "planted-and-more"])("a planted-and-more planted") == f"a {BLOT} {BLOT}"
    assert redactor([])("nothing") == "nothing"


@given(st.dictionaries(st.sampled_from(["A_KEY", "CONFLUENCE_USERNAME", "TAG_SPACE_ALERT_URL", "URL"]), st.text()))
@examples(300)
def test_any_environment_is_taken_and_its_secrets_are_blotted_out(variables: dict[str, str]) -> None:
    key = variables.get("A_KEY", "").strip()
    if len(key) >= 6:
        assert key not in redactor(find_secrets(variables))(f"a line with {key} in it")


def test_environment_that_is_no_utf8_is_taken() -> None:
    assert "planted\udcff" in find_secrets({"A_KEY": "planted\udcff", "CONFLUENCE_USERNAME": "\udcfe"})
