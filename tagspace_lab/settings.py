"""The `TAG_SPACE_*` settings: typed, bounded, immutable.

Nothing here looks at the process environment: a caller that wants it passes `os.environ` to
:func:`load_settings`. Reading is generous where the meaning is plain (`1` and `True` are booleans)
and strict where it is not (`yes`, `8.0` for an integer, a value that kept its quotes).
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from dotenv import dotenv_values
from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tagspace_lab.errors import SettingsError

__all__ = [
    "ELSEWHERE",
    "LARGEST_BATCH",
    "LARGEST_CONCURRENCY",
    "PREFIX",
    "SETTINGS",
    "Setting",
    "Settings",
    "load_settings",
    "read_env_file",
]

PREFIX = "TAG_SPACE_"

ELSEWHERE = frozenset(
    f"{PREFIX}{name}"
    for name in "MODEL FALLBACK_MODEL CACHE_URL STATE_DIR LOG_DIR PRICES SERVICE_TOKEN ALERT_URL ALERT_COMMAND"
    " ALERT_429_SHARE".split()
)
"""Variables with the same prefix that say where things are and not how a run is driven: see `live/connections.py`."""

LARGEST_CONCURRENCY = 100
LARGEST_BATCH = 50


def _text_reader(pattern: str, read: Callable[[str], Any]) -> BeforeValidator:
    """Reads text of one form; anything else is left to the strict check that follows."""
    form = re.compile(pattern, re.ASCII | re.IGNORECASE)
    return BeforeValidator(lambda value: read(value) if isinstance(value, str) and form.fullmatch(value) else value)


_integer = _text_reader(r"[+-]?\d+", int)
_number = _text_reader(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?", float)
_Integer = Annotated[int, _integer]
_Number = Annotated[float, _number]
_Switch = Annotated[bool, _text_reader("true|false|1|0", lambda text: text.lower() in {"true", "1"})]


class Settings(BaseSettings):
    """How one run is driven. Every construction checks all fields at once and raises SettingsError."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, strict=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True
    )

    ai_concurrency: _Integer = Field(
        default=3, ge=1, le=LARGEST_CONCURRENCY, description="calls in flight when a run starts"
    )
    max_ai_concurrency: _Integer = Field(
        default=10, ge=1, le=LARGEST_CONCURRENCY, description="calls in flight at most"
    )
    batch_size: _Integer = Field(default=5, ge=1, le=LARGEST_BATCH, description="pages in one prompt at most")
    cache_enabled: _Switch = Field(default=True, description="whether answers are kept and used again")
    cache_size: _Integer = Field(default=1000, ge=1, le=10_000_000, description="answers kept at most")
    throttle: Literal["fixed", "ladder", "aimd", "vegas", "gradient2", "cubic", "google-sre", "learned"] = Field(
        default="learned", description="policy of pacing"
    )
    batch_tokens: _Integer = Field(default=16_000, ge=100, le=1_000_000, description="tokens of the pages in a prompt")
    page_tokens: _Integer = Field(default=4_000, ge=50, le=1_000_000, description="tokens after which a page is cut")
    max_labels: _Integer = Field(default=5, ge=1, le=50, description="labels of one page at most")
    request_timeout_s: _Number = Field(default=60.0, ge=0.1, le=3_600, description="seconds until one call is given up")
    give_up_s: _Number = Field(default=300.0, ge=1, le=86_400, description="seconds without any success that end a run")
    max_attempts: _Integer = Field(default=4, ge=1, le=20, description="attempts of a batch, 429s not counted")
    retry_budget: _Number = Field(default=0.1, ge=0, le=1, description="retries as a share of successes")
    fallback: Literal["cooling", "any-error", "never"] = Field(
        default="cooling", description="when a batch goes to the fallback provider"
    )
    requests_per_min: Annotated[float | None, _number] = Field(
        default=None, ge=0.01, le=10_000_000, description="request rate learned earlier, where the throttle starts"
    )
    tokens_per_min: Annotated[int | None, _integer] = Field(
        default=None, ge=1, le=10_000_000_000, description="token rate learned earlier, where the throttle starts"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed in: a run must not depend on the shell that it was started from."""
        return (init_settings,)

    @field_validator("max_ai_concurrency")
    @classmethod
    def _not_below_the_start(cls, ceiling: int, info: ValidationInfo) -> int:
        start = info.data.get("ai_concurrency", ceiling)
        if start > ceiling:
            raise PydanticCustomError(
                "start_above_ceiling",
                "{prefix}AI_CONCURRENCY is {start}; allowed: at most {prefix}MAX_AI_CONCURRENCY, which is {ceiling}",
                {"prefix": PREFIX, "start": start, "ceiling": ceiling},
            )
        return ceiling

    @model_validator(mode="wrap")
    @classmethod
    def _translate_errors(cls, data: Any, handler: Callable[[Any], Self]) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            raise SettingsError("\n".join(_word(problem) for problem in error.errors())) from error

    def with_changes(self, **changes: object) -> Settings:
        """A copy with some fields changed, checked like a new one."""
        return type(self)(**(self.model_dump() | changes))

    def to_variables(self) -> dict[str, str]:
        """Variable name -> text, in the order of the table; optional settings that are not set are left out."""
        return {_variable(name): _spell(value) for name, value in self if value is not None}


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table of settings, worded for people."""

    name: str
    variable: str
    default: str
    allowed: str
    meaning: str


def load_settings(environ: Mapping[str, str] | None = None, env_file: Path | None = None) -> Settings:
    """Settings from variables that are passed in; `environ` wins over `env_file`, what neither names is default.

    Other variables of a shared file or environment are passed over; one that starts with
    `TAG_SPACE_` and is unknown is an error. A ceiling below the default start is where a run starts then.
    """
    variables = (read_env_file(env_file) if env_file else {}) | dict(environ or {})
    values: dict[str, Any] = {
        _field(name): text for name, text in variables.items() if _is_ours(name) and name not in ELSEWHERE
    }
    lower = [str(number) for number in range(1, Settings.model_fields["ai_concurrency"].default)]
    if "ai_concurrency" not in values and values.get("max_ai_concurrency") in lower:
        values["ai_concurrency"] = values["max_ai_concurrency"]
    return Settings(**values)


def read_env_file(path: Path) -> dict[str, str]:
    """The variables of a .env file, as they stand. Raises SettingsError where it cannot be read."""
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}; name a .env file that exists") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    # Interpolation would read the process environment.
    values = dotenv_values(stream=io.StringIO(text), interpolate=False)
    return {name: value or "" for name, value in values.items()}


def _is_ours(variable: str) -> bool:
    return variable.upper().startswith(PREFIX)


def _variable(name: str) -> str:
    return name if _is_ours(name) else PREFIX + name.upper()


def _field(variable: str) -> str:
    """The field of a variable; an unknown variable stays as it is, so that the model refuses it by its own name."""
    name = variable.removeprefix(PREFIX).lower()
    return name if variable == _variable(name) and name in Settings.model_fields else variable


def _spell(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _word(problem: ErrorDetails) -> str:
    """One line: the variable, the value seen, what is allowed. An unknown variable's value may be a secret."""
    if problem["type"] == "start_above_ceiling":
        return problem["msg"]
    name = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        return _word_unknown(name)
    seen = problem["input"]
    shown = repr(seen) if len(repr(seen)) <= 40 else f"{repr(seen)[:37]}..."
    return f"{_variable(name)} is {'empty' if seen == '' else shown}; allowed: {_allowed(Settings.model_fields[name])}"


def _word_unknown(name: str) -> str:
    near = get_close_matches(name.upper().removeprefix(PREFIX).lower(), Settings.model_fields, n=1)
    known = ", ".join(row.variable for row in SETTINGS)
    return f"{_variable(name)} is not a setting; {f'did you mean {_variable(near[0])}?' if near else f'known: {known}'}"


def _allowed(field: FieldInfo) -> str:
    """The range of a field in words, from the very bounds that are enforced."""
    kinds = get_args(field.annotation) or (field.annotation,)
    if isinstance(kinds[0], str):
        return f"{', '.join(kinds[:-1])} or {kinds[-1]}"
    if bool in kinds:
        return "true or false"
    low, high = (
        next(getattr(bound, side) for bound in field.metadata if hasattr(bound, side)) for side in ("ge", "le")
    )
    return f"{'an integer' if int in kinds else 'a number'} from {low} to {high}"


SETTINGS: tuple[Setting, ...] = tuple(
    Setting(
        name=name,
        variable=_variable(name),
        default="not set" if field.default is None else _spell(field.default),
        allowed=_allowed(field),
        meaning=field.description or "",
    )
    for name, field in Settings.model_fields.items()
)
"""The table of all settings, in the order in which a profile lists them."""
