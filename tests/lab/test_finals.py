"""The winner is chosen on seeds of its own, among settings that differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from tagspace_lab.lab.finals import choose, choose_front
from tagspace_lab.lab.goals import Goals
from tagspace_lab.lab.objective import Referee
from tagspace_lab.lab.report import RunSummary
from tagspace_lab.lab.search import Trial, spread
from tagspace_lab.lab.workers import Task, Workers
from tagspace_lab.settings import Settings

TODAY = Settings()
WIDE = TODAY.with_changes(ai_concurrency=50, max_ai_concurrency=50, cache_size=20)
FINAL = range(100, 107)


class Watched(Workers):
    """Remembers what was replayed."""

    tasks: list[Task]

    def measure(self, tasks: Sequence[Task], runs: int) -> Iterator[list[RunSummary]]:
        self.tasks = [*getattr(self, "tasks", []), *tasks]
        return super().measure(tasks, runs)


@pytest.fixture(scope="module")
def workers() -> Iterator[Watched]:
    with Watched("small", "openai-tier1") as workers:
        yield workers


def finish(workers: Watched, candidates: Sequence[Settings], goals: Goals = Goals()) -> tuple[Referee, list[Trial]]:  # noqa: B008 - immutable
    """The last referee, and trials of the candidates on one seed of a study."""
    study = Referee.prepare(workers, TODAY, goals, [1], 1)
    trials = [Trial(number, "search", verdict) for number, verdict in enumerate(study.judge(candidates))]
    final = Referee.prepare(workers, TODAY, goals, FINAL, 1)
    workers.tasks.clear()
    return final, trials


def test_winner_is_the_best_on_the_final_seeds(workers: Watched) -> None:
    candidates = [WIDE.with_changes(batch_size=size) for size in (2, 3, 5)]
    final, trials = finish(workers, [TODAY, *candidates])
    winner = choose(final, TODAY, trials, progress=False)
    everywhere = {verdict.settings: verdict.objective_s for verdict in final.judge(candidates)}
    assert winner == min(everywhere, key=everywhere.__getitem__)


def test_only_the_better_half_is_measured_on_every_seed(workers: Watched) -> None:
    final, trials = finish(workers, [WIDE.with_changes(batch_size=size) for size in (1, 2, 3, 5, 8)])
    choose(final, TODAY, trials, progress=False)
    counts = Counter(task.settings for task in workers.tasks)
    assert sorted(counts.values()) == [4, 7, 7]
    assert {task.seed for task in workers.tasks} == set(FINAL)


def test_finalists_are_of_several_batch_sizes(workers: Watched) -> None:
    """The ranking of the study's few seeds alone would send the same batch size three times."""
    alike = [WIDE.with_changes(batch_size=2, max_ai_concurrency=ceiling) for ceiling in range(50, 58)]
    others = [WIDE.with_changes(batch_size=size) for size in (5, 6, 7)]
    final, trials = finish(workers, [*alike, *others])
    choose(final, TODAY, trials, progress=False)
    sizes = Counter(settings.batch_size for settings in {task.settings for task in workers.tasks})
    assert (sizes[2], sizes.total()) == (2, 3)


def test_todays_settings_stay_where_nothing_is_better(workers: Watched) -> None:
    slow = [TODAY.with_changes(ai_concurrency=1, max_ai_concurrency=1, batch_size=size) for size in (1, 2)]
    final, trials = finish(workers, slow)
    assert choose(final, TODAY, trials, progress=False) == TODAY


def test_todays_settings_stay_where_no_trial_kept_the_goals(workers: Watched) -> None:
    final, trials = finish(workers, [WIDE, WIDE.with_changes(batch_size=2)], Goals(max_calls=0))
    assert choose(final, TODAY, trials, progress=False) == TODAY
    assert not workers.tasks
    assert choose_front(final, TODAY, trials, progress=False).knee == TODAY


def test_front_is_that_of_the_final_seeds(workers: Watched) -> None:
    final, trials = finish(workers, [TODAY, *(WIDE.with_changes(batch_size=size) for size in range(1, 13))])
    front = choose_front(final, TODAY, trials, progress=False)
    assert 1 < len(front.verdicts) <= 8
    assert front.knee in {verdict.settings for verdict in front.verdicts}
    assert all(task.seed in FINAL for task in workers.tasks)


def test_spread_fills_up_with_what_is_alike() -> None:
    ranking = [Settings(batch_size=size, cache_size=number + 1) for number, size in enumerate((4, 4, 4, 9, 4))]
    assert [settings.cache_size for settings in spread(ranking, 4, each=1)] == [1, 4, 2, 3]
    assert [settings.cache_size for settings in spread(ranking, 3, each=2)] == [1, 2, 4]
    assert spread(ranking[:2], 9, each=1) == ranking[:2]
