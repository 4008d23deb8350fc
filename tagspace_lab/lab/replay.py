"""Replays a space against a scenario: the whole pipeline, a thousand times faster than life."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tagspace_lab.clients.stores import MemoryStore, Store
from tagspace_lab.errors import InputError
from tagspace_lab.lab.facts import scenario_facts
from tagspace_lab.lab.profiles import read_profile
from tagspace_lab.lab.report import STANDING_NOTES, Report, RunSummary, summarise_run
from tagspace_lab.lab.snapshots import load_space
from tagspace_lab.lab.watch import watch
from tagspace_lab.lab.world import TextMemo, World
from tagspace_lab.lab.yardstick import bound_run, micro_f1
from tagspace_lab.pipeline.pipeline import RunResult
from tagspace_lab.pipeline.traces import TraceWriter
from tagspace_lab.policy.prompts import LabelRules
from tagspace_lab.records import Attempt, Outcome, Space, Status, Tagging
from tagspace_lab.settings import Settings
from tagspace_lab.twin.scenario import Scenario, load_scenario

__all__ = ["as_settings", "as_space", "baseline_settings", "measure", "replay"]

_BASELINE_CONCURRENCY = 6
"""Calls in flight under `baseline`: what a team sets that has not measured."""

_TEXTS = TextMemo()  # texts of pages by the hash of their body: a pure function, remembered


def replay(
    space: str | Path | Space,
    scenario: str | Path | Scenario = "openai-tier1",
    settings: Settings | str | Path | None = None,
    *,
    runs: int = 2,
    seed: int = 0,
    baseline: bool = False,
    wall_clock: bool = False,
    progress: bool = True,
    check_stop: Callable[[], bool] | None = None,
    trace: TraceWriter | None = None,
) -> Report:
    """Tag `space` in the twin `runs` times, each run after one more day of its edits, with one cache for all.

    `space` is a shipped name, a snapshot file or a Space; `scenario` a shipped name, a TOML file or a
    Scenario; `settings` a profile by name or file (default: today's). `baseline` replays the way of
    before instead: one page a call, no cache, a fixed concurrency of 6, the fallback after any error.
    `wall_clock` runs over real sockets in real time; `trace` records every run. Raises InputError for what
    cannot be read.
    """
    if runs < 1:
        raise InputError(f"runs is {runs}: replay at least one run.")
    if seed < 0:
        raise InputError(f"seed is {seed}; allowed: an integer from 0.")
    space, scenario, chosen = as_space(space), _as_scenario(scenario), as_settings(settings)
    chosen = baseline_settings(chosen) if baseline else chosen
    title = f"{space.name} on {scenario.name}"
    with watch(len(space) * runs, "page", title, shown=progress) as view:
        refusals = 0

        def advance(done: int, total: int) -> None:
            view.advance()

        def tell(attempt: Attempt) -> None:
            nonlocal refusals
            refusals += attempt.outcome is Outcome.RATE_LIMITED
            view.tell(rate_limit_errors=refusals, concurrency=attempt.in_flight)

        passes = list(
            _passes(
                World(space, scenario, seed),
                chosen,
                runs,
                wall_clock=wall_clock,
                on_progress=advance,
                on_attempt=tell,
                check_stop=check_stop,
                trace=trace,
            )
        )
    return Report(
        source=space,
        scenario=scenario_facts(scenario),
        settings=chosen,
        seed=seed,
        baseline=baseline,
        wall_clock=wall_clock,
        runs=tuple(summary for summary, _ in passes),
        results=tuple(result for _, result in passes),
        notes=(*STANDING_NOTES, *_notes(space, runs, [result for _, result in passes])),
    )


def measure(
    space: Space, scenario: Scenario, settings: Settings, *, runs: int = 2, seed: int = 0, first_day: int = 0
) -> list[RunSummary]:
    """The numbers of a replay alone, without tables: what studies and sweeps call thousands of times.

    Run 1 finds the cache cold, on the space's `first_day`, and the later ones find it warm, a day of edits on each.
    """
    return [summary for summary, _ in _passes(World(space, scenario, seed), settings, runs, first_day=first_day)]


def baseline_settings(settings: Settings) -> Settings:
    """The way of before: no cache, no batches, no learning, and the other provider after any error."""
    return settings.with_changes(
        ai_concurrency=_BASELINE_CONCURRENCY,
        max_ai_concurrency=_BASELINE_CONCURRENCY,
        batch_size=1,
        cache_enabled=False,
        throttle="fixed",
        fallback="any-error",
    )


def as_space(space: str | Path | Space) -> Space:
    """A space by shipped name or snapshot file, or as it is."""
    return load_space(space) if isinstance(space, str | Path) else space


def as_settings(settings: Settings | str | Path | None) -> Settings:
    """Settings by profile name or file, as they are, or today's defaults."""
    if settings is None:
        return Settings()
    return settings if isinstance(settings, Settings) else read_profile(settings).settings


def _as_scenario(scenario: str | Path | Scenario) -> Scenario:
    return scenario if isinstance(scenario, Scenario) else load_scenario(scenario)


def _passes(
    world: World,
    settings: Settings,
    runs: int,
    *,
    first_day: int = 0,
    wall_clock: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
    on_attempt: Callable[[Attempt], None] | None = None,
    check_stop: Callable[[], bool] | None = None,
    trace: TraceWriter | None = None,
) -> Iterator[tuple[RunSummary, RunResult]]:
    store = MemoryStore(settings.cache_size)
    rules = LabelRules(world.space.vocabulary, settings.max_labels)
    was_filled = False
    for number in range(runs):
        epochs_s: list[float] = []
        _require_cache_state(store, is_warm=was_filled)
        result = world.run(
            settings,
            day=first_day + number,
            store=store,
            wall_clock=wall_clock,
            read_text=_TEXTS.read,
            on_progress=on_progress,
            on_attempt=on_attempt,
            check_stop=check_stop,
            on_epoch=epochs_s.append,
            trace=trace,
        )
        was_filled = was_filled or (settings.cache_enabled and any(_is_kept(tagging) for tagging in result.results))
        bounds = bound_run(result, world.scenario, settings, rules, epochs_s[0])
        yield summarise_run(number + 1, result, bounds, micro_f1(result, world.space)), result


def _is_kept(tagging: Tagging) -> bool:
    return tagging.status is Status.TAGGED


def _require_cache_state(store: Store, *, is_warm: bool) -> None:
    """A run that is declared cold finds no entry, one that is declared warm finds some: else its numbers would lie."""
    if bool(len(store)) is not is_warm:
        declared, found = "warm" if is_warm else "cold", len(store)
        raise RuntimeError(f"A run was declared to find its cache {declared}, and found {found} entries.")


def _notes(space: Space, runs: int, results: list[RunResult]) -> Iterator[str]:
    if runs - 1 > space.last_day:
        yield f"The space knows edits of {space.last_day} days: later runs see the same pages again."
    for number, result in enumerate(results, 1):
        if result.broke_off:
            yield f"Run {number}: the listing broke off: {result.broke_off}"
