"""Where a live job finds Confluence, its models and its files, with the keys to them.

Nothing here looks at the process environment: a caller that wants it passes `os.environ` to
:func:`load_connections`. Keys are `SecretStr`: no message, repr or file shows one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import httpx
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from tagspace_lab.errors import SettingsError
from tagspace_lab.settings import read_env_file

__all__ = ["CONNECTIONS", "Connections", "ModelName", "load_connections"]

_PROVIDERS = ("local", "openai", "anthropic")
_NO_SECRET = SecretStr("")


@dataclass(frozen=True, slots=True)
class ModelName:
    """Which model: `local`, or `openai:NAME` or `anthropic:NAME` for one behind that kind of endpoint."""

    provider: Literal["local", "openai", "anthropic"]
    name: str

    def __str__(self) -> str:
        return f"{self.provider}:{self.name}" if self.name else self.provider

    @classmethod
    def parse(cls, text: str) -> ModelName:
        """Raises ValueError for anything else."""
        provider, _, name = text.strip().partition(":")
        if provider not in _PROVIDERS or bool(name) == (provider == "local"):
            raise ValueError(f"{text!r}; allowed: local, openai:NAME or anthropic:NAME, as in openai:gpt-4.1-mini")
        return cls(provider, name)  # type: ignore[arg-type]  # it was looked up


def _check_url(text: str) -> str:
    """`text` without the slash at its end, if it is an address with neither user nor password in it."""
    if not text:
        return text
    wrong = PydanticCustomError("url", "allowed: an address such as https://example.com, without user or password")
    try:
        url = httpx.URL(text.strip())
    except httpx.InvalidURL as error:
        raise wrong from error
    if url.scheme not in ("http", "https") or not url.host or url.userinfo:
        raise wrong
    return text.strip().rstrip("/")


def _check_model(text: str) -> str:
    try:
        return str(ModelName.parse(text)) if text else text
    except ValueError as error:
        raise PydanticCustomError("model", "{why}", {"why": str(error)}) from error


_Url = Annotated[str, AfterValidator(_check_url)]
_Model = Annotated[str, AfterValidator(_check_model)]


class Connections(BaseModel):
    """The variables of a live job. Constructed by :func:`load_connections`, which raises SettingsError."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    confluence_url: _Url = Field("", alias="CONFLUENCE_URL", description="Confluence's address: Cloud or Data Center")
    confluence_kind: Literal["auto", "cloud", "data-center"] = Field(
        "auto",
        alias="CONFLUENCE_KIND",
        description="auto, cloud or data-center; auto tells by the address and the token",
    )
    confluence_username: str = Field("", alias="CONFLUENCE_USERNAME", description="e-mail address of the Cloud account")
    confluence_api_token: SecretStr = Field(
        _NO_SECRET, alias="CONFLUENCE_API_TOKEN", description="API token, for Cloud"
    )
    confluence_personal_token: SecretStr = Field(
        _NO_SECRET, alias="CONFLUENCE_PERSONAL_TOKEN", description="personal access token, for Data Center"
    )
    model: _Model = Field(
        "local", alias="TAG_SPACE_MODEL", description="local, openai:NAME or anthropic:NAME; local needs no network"
    )
    fallback_model: _Model = Field(
        "", alias="TAG_SPACE_FALLBACK_MODEL", description="the same, for when that cools down"
    )
    openai_base_url: _Url = Field(
        "https://api.openai.com/v1", alias="OPENAI_BASE_URL", description="any OpenAI-compatible endpoint"
    )
    openai_api_key: SecretStr = Field(
        _NO_SECRET, alias="OPENAI_API_KEY", description="its key; none for a keyless server"
    )
    anthropic_base_url: _Url = Field(
        "https://api.anthropic.com", alias="ANTHROPIC_BASE_URL", description="Anthropic's endpoint, or a gateway's"
    )
    anthropic_api_key: SecretStr = Field(_NO_SECRET, alias="ANTHROPIC_API_KEY", description="its key")
    cache_url: SecretStr = Field(
        _NO_SECRET,
        alias="TAG_SPACE_CACHE_URL",
        description="memory:, sqlite:///FILE or redis://...; not set: a SQLite file in the state folder",
    )
    state_dir: Path = Field(
        Path(".tagspace-lab"), alias="TAG_SPACE_STATE_DIR", description="folder of the journal and the cache"
    )
    log_dir: Path | None = Field(None, alias="TAG_SPACE_LOG_DIR", description="folder of the log files; not set: none")
    prices: Path | None = Field(None, alias="TAG_SPACE_PRICES", description="a price table of your own (TOML)")
    service_token: SecretStr = Field(
        _NO_SECRET, alias="TAG_SPACE_SERVICE_TOKEN", description="bearer token that the service asks for"
    )
    alert_url: SecretStr = Field(_NO_SECRET, alias="TAG_SPACE_ALERT_URL", description="webhook for alerts")
    alert_command: str = Field("", alias="TAG_SPACE_ALERT_COMMAND", description="command for alerts; gets JSON")
    alert_429_share: float = Field(
        0.1, alias="TAG_SPACE_ALERT_429_SHARE", ge=0, le=1, description="share of 429s that is worth an alert"
    )

    @property
    def secrets(self) -> tuple[str, ...]:
        """Whatever must never be shown."""
        values = (value for _, value in self)
        return tuple(text for value in values if isinstance(value, SecretStr) and (text := value.get_secret_value()))

    @model_validator(mode="after")
    def _fallback_differs(self) -> Self:
        if self.fallback_model and self.fallback_model == self.model:
            raise PydanticCustomError(
                "fallback", "TAG_SPACE_FALLBACK_MODEL is the same as TAG_SPACE_MODEL: name another"
            )
        return self


CONNECTIONS: dict[str, str] = {
    field.alias or "": field.description or "" for field in Connections.model_fields.values()
}
"""Variable -> what it means, in the order in which they are explained."""


def load_connections(environ: Mapping[str, str] | None = None, env_file: Path | None = None) -> Connections:
    """Connections from variables that are passed in; `environ` wins over `env_file`, and empty ones count as not set.

    Raises SettingsError, which names the variable and what is allowed, and never the value.
    """
    variables = (read_env_file(env_file) if env_file else {}) | dict(environ or {})
    values = {name: text for name in CONNECTIONS if (text := variables.get(name, ""))}
    values.setdefault("TAG_SPACE_STATE_DIR", str(_default_state_dir(variables)))
    try:
        return Connections.model_validate(values)
    except ValidationError as error:
        problems = (f"{problem['loc'][0] if problem['loc'] else ''} {problem['msg']}" for problem in error.errors())
        raise SettingsError("\n".join(problem.strip() for problem in problems)) from None


def _default_state_dir(variables: Mapping[str, str]) -> Path:
    """Where the XDG base directory specification puts a program's state."""
    if state_home := variables.get("XDG_STATE_HOME"):
        return Path(state_home) / "tagspace-lab"
    return Path(variables.get("HOME") or ".") / ".local/state/tagspace-lab"
