"""The service's numbers for Prometheus, in a registry of their own."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tagspace_lab.pipeline.journal import TaskState
from tagspace_lab.records import Attempt, Outcome, Status

__all__ = ["Metrics"]

_TASK_SECONDS = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200)


class Metrics:
    """Counters of this process, from its start. Labels take few values: none names a space, a task or a page."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self._tasks = Counter("tagspace_tasks", "Tasks that ended, by state.", ["state"], registry=registry)
        self._pages = Counter("tagspace_pages", "Pages of ended tasks, by status.", ["status"], registry=registry)
        self._looks = Counter(
            "tagspace_cache_lookups", "Look-ups of ended tasks in the cache, by result.", ["result"], registry=registry
        )
        self._labels = Counter(
            "tagspace_labels_added", "Labels that ended tasks added or would add.", registry=registry
        )
        self._attempts = Counter(
            "tagspace_ai_attempts",
            "Requests to a model's provider, by outcome.",
            ["provider", "outcome"],
            registry=registry,
        )
        self._refusals = Counter("tagspace_rate_limit_errors", "HTTP 429 from a provider.", registry=registry)
        self._tokens = Counter("tagspace_tokens", "Tokens, by kind.", ["kind"], registry=registry)
        self._seconds = Histogram("tagspace_task_seconds", "Time of a task.", buckets=_TASK_SECONDS, registry=registry)
        self.running = Gauge("tagspace_tasks_running", "Tasks that run now.", registry=registry)
        self.queued = Gauge("tagspace_tasks_queued", "Tasks that wait.", registry=registry)
        self._concurrency = Gauge(
            "tagspace_concurrency", "Calls in flight that the throttle allowed last.", registry=registry
        )
        for state in (TaskState.DONE, TaskState.STOPPED, TaskState.FAILED):
            self._tasks.labels(str(state))
        for status in Status:
            self._pages.labels(str(status))
        for result in ("hit", "miss"):
            self._looks.labels(result)

    def on_attempt(self, attempt: Attempt) -> None:
        self._attempts.labels(attempt.provider, str(attempt.outcome)).inc()
        self._refusals.inc(attempt.outcome is Outcome.RATE_LIMITED)
        self._tokens.labels("input").inc(attempt.input_tokens)
        self._tokens.labels("output").inc(attempt.output_tokens)
        self._concurrency.set(attempt.window)

    def on_end(
        self, state: TaskState, pages: Mapping[Status, int], looks: Mapping[str, int], labels_added: int, took_s: float
    ) -> None:
        """A task ended; `looks`: `hits` and `misses` in the cache."""
        self._tasks.labels(str(state)).inc()
        self._looks.labels("hit").inc(looks.get("hits", 0))
        self._looks.labels("miss").inc(looks.get("misses", 0))
        for status, number in pages.items():
            self._pages.labels(str(status)).inc(number)
        self._labels.inc(labels_added)
        self._seconds.observe(took_s)

    def write(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)
