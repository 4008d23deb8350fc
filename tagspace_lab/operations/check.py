"""The list before going live: one line for each thing that has to be in order, with what to do where it is not.

Provider and Confluence are tried for real, with one tiny call and one question. All the rest is tried in the simulated
world, where it costs nothing; a few pages of a live space are tagged only where one is named, and without a label
written. Every line ends within a bounded time.
"""

from __future__ import annotations

import asyncio
import random
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import httpx

from tagspace_lab.clients.http import open_http
from tagspace_lab.clients.models import send_adapted
from tagspace_lab.errors import SettingsError, TagspaceError
from tagspace_lab.lab.profiles import read_profile
from tagspace_lab.lab.replay import replay
from tagspace_lab.lab.report import Report
from tagspace_lab.live.connections import Connections, ModelName, load_connections
from tagspace_lab.live.logs import APP_LOG, ROUTER_LOG, configure_logs, printable
from tagspace_lab.live.opening import open_confluence, open_model
from tagspace_lab.live.redaction import find_secrets, redactor
from tagspace_lab.operations.rehearsal import Pass, rehearse_live, rehearse_simulated
from tagspace_lab.policy.prompts import LabelRules, build_prompt
from tagspace_lab.records import Batch, Outcome, Reply, Text
from tagspace_lab.settings import Settings, load_settings, read_env_file

__all__ = ["CHECKS", "Check", "Line", "is_ready", "run_checks", "to_dict"]

_MOST_SMALL_S = 30.0
_LEAST_HIT_RATE = 0.5
_MOST_LATE_REFUSALS = 0.05
_MOST_LIVE_S = 30.0
_MARKS = ("ROUTER", "429", "BACKOFF", "THROTTLE", "FALLBACK", "CACHE", "OPTIMIZATION_SUMMARY")
_NOISY = {"ai_concurrency": 10, "max_ai_concurrency": 10, "batch_size": 1, "fallback": "any-error"}
_SAFE = {"ai_concurrency": 1, "max_ai_concurrency": 1, "batch_size": 1}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the list: what was found, and what to do where it failed."""

    name: str
    state: Literal["ok", "failed", "skipped"]
    found: str
    cure: str = ""


class Check:
    """What the lines look at. `variables`: the environment; those of `env_file` count where it is silent.

    `scenario` is the simulated world that settings are tried in; `space` the key of a live space of which a few pages
    are tagged dry instead of the simulated ones. Offline, nothing outside is asked.
    """

    def __init__(
        self,
        variables: Mapping[str, str],
        env_file: Path | None = None,
        *,
        scenario: str | Path = "guide",
        space: str | None = None,
        is_offline: bool = False,
        live_s: float = _MOST_LIVE_S,
    ) -> None:
        self._variables = variables
        self._env_file = env_file
        self.scenario = scenario
        self.space = space
        self.is_offline = is_offline
        self.live_s = live_s

    @cached_property
    def settings(self) -> Settings:
        """Raises SettingsError."""
        return load_settings(self._variables, self._env_file)

    @cached_property
    def connections(self) -> Connections:
        """Raises SettingsError."""
        return load_connections(self._variables, self._env_file)

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """What no line may show."""
        with suppress(SettingsError):
            return find_secrets((read_env_file(self._env_file) if self._env_file else {}) | dict(self._variables))
        return find_secrets(self._variables)

    @cached_property
    def passes(self) -> list[Pass]:
        """A small space, tagged twice: the live one that was named, else the simulated one."""
        if self.space is None or self.is_offline:
            return rehearse_simulated(self.scenario, self.settings)
        return rehearse_live(self.space, self.connections, self.settings, 2 * self.live_s)

    @cached_property
    def medium(self) -> Report:
        """The medium space, tagged once."""
        return replay("medium", self.scenario, self.settings, runs=1, progress=False)


def run_checks(
    check: Check, on_line: Callable[[Line], None] = lambda line: None, *, only: Sequence[str] | None = None
) -> list[Line]:
    """Every line, or `only` some, in order; `on_line` gets each as it is known. Nothing raises for what it finds."""
    lines: list[Line] = []
    redact = redactor(check.secrets)
    for name, look in CHECKS.items():
        if only is not None and name not in only:
            continue
        if lines and lines[0].state == "failed" and look not in _WITHOUT_SETTINGS:
            line = Line(name, "skipped", "not tried: the settings cannot be read")
        else:
            line = _judge(name, look, check)
        lines.append(Line(name, line.state, redact(printable(line.found)), redact(printable(line.cure))))
        on_line(lines[-1])
    return lines


def is_ready(lines: list[Line]) -> bool:
    """Whether nothing failed."""
    return all(line.state != "failed" for line in lines)


def to_dict(check: Check, lines: list[Line]) -> dict[str, Any]:
    """The document that `check --json` prints."""
    return {
        "ready": is_ready(lines),
        "offline": check.is_offline,
        "space": check.space,
        "scenario": str(check.scenario),
        "lines": [asdict(line) for line in lines],
    }


class _Failed(Exception):  # noqa: N818 - a finding, not an error
    """What was found, and what to do."""


class _Skipped(Exception):  # noqa: N818 - a finding, not an error
    """Why a line was not tried."""


def _judge(name: str, look: Callable[[Check], str], check: Check) -> Line:
    try:
        return Line(name, "ok", look(check))
    except _Skipped as skipped:
        return Line(name, "skipped", *skipped.args)
    except _Failed as failed:
        return Line(name, "failed", *failed.args)
    except TagspaceError as error:
        found, _, cure = str(error).rpartition("; ")
        return Line(name, "failed", found or cure, cure if found else "")
    except Exception as error:  # a defect of one line must not hide the others
        return Line(name, "failed", f"{type(error).__name__} inside this check", "open an issue with the output")


def _settings(check: Check) -> str:
    settings, _ = check.settings, check.connections
    return (
        f"concurrency {settings.ai_concurrency} to {settings.max_ai_concurrency}, batch size {settings.batch_size}, "
        f"cache {settings.cache_size if settings.cache_enabled else 'off'}, throttle {settings.throttle}"
    )


def _provider(check: Check) -> str:
    return _try_model(check, check.connections.model)


def _fallback(check: Check) -> str:
    if not check.connections.fallback_model:
        raise _Skipped("TAG_SPACE_FALLBACK_MODEL is not set: the run has no second provider")
    return _try_model(check, check.connections.fallback_model)


def _try_model(check: Check, text: str) -> str:
    """One tiny call."""
    name = ModelName.parse(text)
    if check.is_offline and name.provider != "local":
        raise _Skipped("not tried: --offline")
    began_s = time.perf_counter()
    reply = asyncio.run(_ask(check, name))
    took = f"{name} answered in {time.perf_counter() - began_s:.1f} s"
    match reply.outcome:
        case Outcome.OK:
            return f"{took}, {reply.used.tokens} tokens"
        case Outcome.RATE_LIMITED:
            return f"{took}: it is rate limited now, and takes the key"
        case Outcome.TIMED_OUT | Outcome.UNREACHABLE:
            raise _Failed(f"{name}: {reply.message}", "check its base URL, the network and the proxy")
        case Outcome.EXHAUSTED:
            raise _Failed(f"{name}: {reply.message}", "its spend limit is reached: raise it, or name another key")
        case Outcome.OVERLOADED:
            raise _Failed(f"{name}: {reply.message}", "the provider has trouble: try again later")
        case _:
            raise _Failed(f"{name}: {reply.message}", "check its key, its name and its base URL")


async def _ask(check: Check, name: ModelName) -> Reply:
    text = Text("1", "Test", "A page about networks.", 8, "check")
    try:
        async with asyncio.timeout(check.live_s), open_http() as http:
            rules = LabelRules(("network", "other"), 1)
            model = open_model(name, check.connections, check.settings, rules, http, time.time)
            return await send_adapted(model, build_prompt(Batch((text,)), rules))
    except TimeoutError:
        return Reply(Outcome.TIMED_OUT, message=f"no answer within {check.live_s:g} s")


def _confluence(check: Check) -> str:
    url = check.connections.confluence_url
    if check.is_offline:
        raise _Skipped("not tried: --offline")
    if not url:
        raise _Skipped("CONFLUENCE_URL is not set: not tried")
    return f"{httpx.URL(url).host} knows this account as {asyncio.run(_who_am_i(check))}"


async def _who_am_i(check: Check) -> str:
    rng = random.Random(0)  # noqa: S311 - jitter
    try:
        async with asyncio.timeout(check.live_s), open_http() as http:
            return await open_confluence(check.connections, http, rng, time.time, give_up_s=check.live_s).who_am_i()
    except TimeoutError:
        raise _Failed(f"no answer within {check.live_s:g} s", "check its address and the network") from None


def _small_space(check: Check) -> str:
    first = check.passes[0]
    if first.failed:
        raise _Failed(f"{first.failed} of {first.pages} pages were not tagged: {first.reason}", _TRY_SAFE)
    found = f"{first.pages} pages in {first.makespan_s:.1f} s, {first.where}"
    if first.makespan_s >= _MOST_SMALL_S:
        raise _Failed(f"{found}: more than {_MOST_SMALL_S:g} s", "raise the concurrency or the batch size: see `tune`")
    return found


def _second_run(check: Check) -> str:
    if not check.settings.cache_enabled:
        raise _Failed("the cache is switched off", "set TAG_SPACE_CACHE_ENABLED=true")
    second = check.passes[1]
    found = f"{second.hit_rate:.0%} of the pages of the second run came from the cache, {second.where}"
    if second.hit_rate <= _LEAST_HIT_RATE:
        raise _Failed(found, f"set TAG_SPACE_CACHE_SIZE to more than the pages of the space ({second.pages} here)")
    return found


def _concurrency(check: Check) -> str:
    """Whether the second half of a run is calm."""
    run, attempts = check.medium.runs[0], check.medium.results[0].attempts
    late = [attempt.outcome is Outcome.RATE_LIMITED for attempt in attempts if attempt.started_s >= run.makespan_s / 2]
    share = sum(late) / len(late) if late else 0.0
    found = f"about {run.settled_concurrency:.1f} calls in flight, {share:.0%} of the later requests refused"
    if share > _MOST_LATE_REFUSALS:
        raise _Failed(found, "set TAG_SPACE_THROTTLE=learned, or lower TAG_SPACE_MAX_AI_CONCURRENCY")
    return f"{found}, simulated on {check.medium.scenario['name']}"


def _drop_in_names(check: Check) -> str:
    from tagspace_lab.integration import get_ai_cache, get_batch_processor, get_concurrency_manager, reset

    async def answer() -> str:
        return "answer"

    pages = [{"page_id": str(number), "content": f"Text {number}"} for number in range(15)]
    batches = get_batch_processor().create_batches(pages)
    prompt = get_batch_processor().format_batch_for_ai(batches[0])
    manager = get_concurrency_manager()
    told = asyncio.run(_bounded(manager.call_with_limit(answer()), check.live_s))
    stats, metrics = get_ai_cache().get_stats(), manager.get_metrics()
    reset()  # what is tried later is no news for the log of a host
    wrong = [
        *(name for name in ("hits", "misses", "hit_rate", "size") if name not in stats),
        *(name for name in ("total_ai_calls", "rate_limit_errors", "fallback_switches") if name not in metrics),
        *(page["page_id"] for page in batches[0] if page["page_id"] not in prompt),
        *(() if told == "answer" else ("call_with_limit",)),
    ]
    if wrong:
        raise _Failed(f"these are missing: {', '.join(wrong)}", "install the package again, and open an issue")
    return f"15 pages make {len(batches)} batches, {manager.current_concurrency} calls at once"


async def _bounded(awaitable: Any, seconds: float) -> Any:
    async with asyncio.timeout(seconds):
        return await awaitable


def _logs(check: Check) -> str:
    """A run that meets everything must leave every mark, and no secret; in the log folder, if one is set."""
    target = check.connections.log_dir
    with tempfile.TemporaryDirectory() as folder:
        with configure_logs(folder, secrets=check.secrets):
            replay("medium", "guide", Settings(**_NOISY), runs=1, progress=False)  # type: ignore[arg-type]
        text = "".join(
            path.read_text("utf-8") for name in (ROUTER_LOG, APP_LOG) if (path := Path(folder, name)).exists()
        )
    missing = [mark for mark in _MARKS if not re.search(rf"\[{mark}\]", text)]
    if missing:
        raise _Failed(f"these marks are missing: {', '.join(missing)}", "see that no logging level hides INFO")
    if target is None:
        return "every mark is there; no file is written, because TAG_SPACE_LOG_DIR is not set"
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target):
            pass
    except OSError as error:
        raise _Failed(f"{target}: {error.strerror}", "set TAG_SPACE_LOG_DIR to a folder that may be written") from None
    return f"every mark is there, and {target} can be written"


def _conservative_profile(check: Check) -> str:
    settings = read_profile("conservative").settings
    wrong = [name for name, value in _SAFE.items() if getattr(settings, name) != value]
    if wrong:
        raise _Failed(f"it sets {', '.join(wrong)} to more than 1", "install the package again")
    return "to go back: set -a; source conservative.env, or --profile conservative"


_WITHOUT_SETTINGS = (_conservative_profile,)
_TRY_SAFE = "look at `tagspace-lab replay small` with these settings, and at `diagnose`"

CHECKS: dict[str, Callable[[Check], str]] = {
    "settings are read": _settings,
    "provider answers": _provider,
    "fallback provider answers": _fallback,
    "Confluence answers": _confluence,
    "a small space takes less than 30 s": _small_space,
    "a second run finds more than half in the cache": _second_run,
    "concurrency settles": _concurrency,
    "the drop-in names answer": _drop_in_names,
    "the logs show the marks": _logs,
    "the conservative profile is at hand": _conservative_profile,
}
