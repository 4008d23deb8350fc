"""What a scenario file may say: a provider, its fallback and a Confluence, with their limits, latencies and faults.

A scenario is a TOML file with the tables `[provider]` (with `[provider.limits]`, `.latency`, `.output`,
`.faults`, `.prices` and `[[provider.events]]`), optionally `[fallback]` with the same keys,
`[confluence]`, `[quality]` and `[injection]`. The attributes below are the keys; an unknown key is an error. Times are
seconds since the first request of a run.
"""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "Confluence",
    "Event",
    "Faults",
    "Injection",
    "Latency",
    "LimitStep",
    "Limits",
    "Outage",
    "Output",
    "Prices",
    "Provider",
    "Quality",
    "Scenario",
    "Table",
    "Tenants",
]

Positive = Annotated[float, Field(gt=0)]
AtLeastZero = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Points = Annotated[tuple[tuple[Annotated[int, Field(ge=1)], Share], ...], Field(min_length=1)]


class Table(BaseModel):
    """A TOML table: unknown keys, wrong types, infinities and later changes are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Limits(Table):
    """What the provider admits. A limit that is left out does not exist."""

    requests_per_min: Positive | None = None
    tokens_per_min: Positive | None = None
    """Input and output tokens together."""
    input_tokens_per_min: Positive | None = None
    output_tokens_per_min: Positive | None = None
    concurrency_cap: Annotated[int, Field(ge=1)] | None = None
    """Calls in progress at once."""
    window: Literal["bucket", "fixed", "sliding"] = "bucket"
    """How the limits per minute are enforced: a token bucket, or a quota per fixed or sliding window."""
    window_s: Positive = 60.0
    """Length of a window; its quota is the limit per minute times window_s / 60."""
    aligned: bool = True
    """Fixed windows start with the clock's minutes (or whatever window_s is); false: with the first request."""
    burst_requests: Annotated[float, Field(ge=1)] | None = None
    """Capacity of the request bucket. Left out: what window_s allows."""
    burst_tokens: Positive | None = None
    """Capacity of each token bucket. Left out: what window_s allows."""
    rejected_count: bool = False
    """Rejected calls spend from the request limit too."""
    retry_after: Literal["exact", "late", "window", "wrong", "missing"] = "exact"
    """What a 429 says: the time until this call would be admitted, half as much again and a second more, always
    window_s, any number up to window_s, or nothing."""
    reserve_max_tokens: bool = False
    """Charge max(max_tokens, estimated input) on arrival; false: the input on arrival, the real output at the end."""


class Latency(Table):
    """How long an accepted call takes: (first token + output tokens / speed) * load."""

    first_token_s: AtLeastZero = 0.6
    """Median of a lognormal distribution."""
    first_token_sigma: AtLeastZero = 0.5
    """Standard deviation of the logarithm."""
    output_tokens_per_s: Positive = 100.0
    load_factor: AtLeastZero = 0.0
    """Load is 1 + load_factor * (other calls in progress) / load_reference, taken when the call arrives."""
    load_reference: Positive | None = None
    """Left out: the concurrency cap, which then must be given."""
    slot_sigma: AtLeastZero = 0.0
    """Sigma of a lognormal factor common to all calls that arrive in the same 10 s: the server's own weather."""
    reject_s: AtLeastZero = 0.02
    """Time to answer a refusal."""


class Output(Table):
    """How much the model writes; what it writes is the quality model's."""

    tokens_per_page: AtLeastZero = 25.0
    """Mean; a page's own number is keyed by its id and lies within half and one and a half times the mean."""
    tokens_per_call: AtLeastZero = 10.0


class Faults(Table):
    """Shares of accepted calls that end badly. They add up to at most 1 for a single page."""

    server_error_share: Share = 0.0
    timeout_share: Share = 0.0
    """Calls that are answered only after timeout_s, with a 504."""
    timeout_s: Positive = 600.0
    malformed_share: Share = 0.0
    """Answers that are not the JSON that was asked for."""
    malformed_growth: Share = 0.0
    """Added to malformed_share for every page beyond the first."""
    partial_share: Share = 0.0
    """Answers that end too early: the last pages of the batch are left out."""
    partial_growth: Share = 0.0
    """Added to partial_share for every page beyond the first."""

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        total = self.server_error_share + self.timeout_share + self.malformed_share + self.partial_share
        if total > 1:
            raise ValueError(f"the four shares add up to {total:g}, which is more than 1")
        return self


class Prices(Table):
    """US dollars for a million tokens; cached input is not cheaper here."""

    usd_per_million_input: AtLeastZero
    usd_per_million_output: AtLeastZero


class _Event(Table):
    at_s: AtLeastZero
    until_s: Positive | None = None
    """Left out: for good."""

    @model_validator(mode="after")
    def _ends_after_start(self) -> Self:
        if self.until_s is not None and self.until_s <= self.at_s:
            raise ValueError(f"until_s = {self.until_s:g} is not after at_s = {self.at_s:g}")
        return self


class LimitStep(_Event):
    """Every limit per minute is multiplied by `factor`; steps that overlap multiply."""

    kind: Literal["limits"]
    factor: Positive


class Outage(_Event):
    """Every call is refused with `status`, whatever the limits say."""

    kind: Literal["outage"]
    status: Literal[429, 503, 529] = 429
    retry_after_s: AtLeastZero | None = None
    """What the refusals claim. Left out: they claim nothing."""


class Tenants(_Event):
    """Others take `share` of the limits: on average, and between none and twice as much in any 10 s."""

    kind: Literal["tenants"]
    share: Annotated[float, Field(ge=0, lt=1)]


Event = Annotated[LimitStep | Outage | Tenants, Field(discriminator="kind")]


class Provider(Table):
    """One provider of a large language model."""

    headers: Literal["openai", "anthropic", "azure", "gateway", "none"] = "none"
    """The dialect of the rate-limit headers and of the refusals' wording."""
    chars_per_token: Positive = 4.0
    max_context_tokens: Annotated[int, Field(ge=1)] = 128_000
    """Prompts above it are answered with 400."""
    limits: Limits = Limits()
    latency: Latency = Latency()
    output: Output = Output()
    faults: Faults = Faults()
    prices: Prices | None = None
    events: tuple[Event, ...] = ()

    @model_validator(mode="after")
    def _load_has_a_reference(self) -> Self:
        if self.latency.load_factor and self.load_reference is None:
            raise ValueError("latency.load_factor needs latency.load_reference or limits.concurrency_cap")
        return self

    @property
    def load_reference(self) -> float | None:
        """Calls in progress at which latency has grown by load_factor."""
        return self.latency.load_reference or self.limits.concurrency_cap


class Confluence(Table):
    """The wiki's own limits and latency."""

    latency_s: AtLeastZero = 0.15
    page_limit: Annotated[int, Field(ge=1, le=250)] = 250
    """Most pages in one listing; a request for more, up to 250, gets so many."""
    requests_per_s: Positive | None = None
    burst: Annotated[float, Field(ge=1)] | None = None
    """Capacity of the bucket of requests. Left out: what one second allows, at least 1."""
    retry_after: bool = True
    """A 429 carries Retry-After."""
    anonymous: bool = False
    """Anybody may look: a wrong token or none gets a 200 and sees an empty wiki, not a 401."""


class Quality(Table):
    """How often the model is right. Points are [batch size, share]; between them lines, beyond them the nearest.

    The default curve is the mean of BoolQ, RTE and QQP relative to batch size 1 (GPT-4, one vote;
    Lin et al., BatchPrompt, ICLR 2024). `accuracy`, `position_tilt` and `missing` are assumptions.
    """

    accuracy: Share = 0.9
    """Share of pages answered with exactly the gold labels at batch size 1."""
    relative_accuracy: Points = ((1, 1.0), (16, 0.9905), (32, 0.9783), (64, 0.8859))
    """Accuracy at a batch size over that at 1; may only fall."""
    position_tilt: Share = 0.5
    """The loss of accuracy against batch size 1 is (1 - tilt) of its mean at the front and (1 + tilt) at the end."""
    missing: Points = ((1, 0.0), (5, 0.001), (16, 0.005), (32, 0.02), (64, 0.08))
    """Share of pages left out of the answer; may only rise."""

    @model_validator(mode="after")
    def _points_are_ordered(self) -> Self:
        for name, points, sign in (("relative_accuracy", self.relative_accuracy, -1), ("missing", self.missing, 1)):
            pairs = list(pairwise(points))
            if any(later[0] <= former[0] for former, later in pairs):
                raise ValueError(f"the batch sizes in {name} must rise from point to point")
            if any(sign * (later[1] - former[1]) < 0 for former, later in pairs):
                raise ValueError(f"the shares in {name} may only {'rise' if sign > 0 else 'fall'} with the batch size")
        return self


class Injection(Table):
    """Pages that tell the model to label the others, and how often it does (`injection.py`)."""

    planted_share: Share = 0.05
    """Share of the pages that begin with an instruction to give every page one of the space's labels."""
    obeyed_share: Share = 0.88
    """Share of the calls with such a page in which the model does what it is told."""


class Scenario(Table):
    """One world to replay a space against."""

    name: Annotated[str, Field(min_length=1)]
    description: Annotated[str, Field(min_length=1)]
    source: Annotated[str, Field(min_length=1)]
    """Where the numbers come from."""
    provider: Provider
    fallback: Provider | None = None
    confluence: Confluence = Confluence()
    quality: Quality = Quality()
    injection: Injection | None = None
    """Left out: pages hold no instructions."""

    @property
    def content_hash(self) -> str:
        """SHA-256 over the canonical JSON of all that acts: neither the name nor the words about it change the hash."""
        silent = {"name", "description", "source"} | ({"injection"} if self.injection is None else set())
        content = self.model_dump(mode="json", exclude=silent)
        if not self.confluence.anonymous:
            del content["confluence"]["anonymous"]  # younger than many a hash that was written down
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
