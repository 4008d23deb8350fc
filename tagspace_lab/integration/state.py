"""The process-wide state, the only one of this package: made at first use from the process environment."""

from __future__ import annotations

import os
from typing import Any

from tagspace_lab.integration.batches import BatchProcessor
from tagspace_lab.integration.caches import AiCache, HostStore
from tagspace_lab.integration.concurrency import ConcurrencyManager
from tagspace_lab.settings import SETTINGS, load_settings

__all__ = ["ACTIVE_TASKS", "TASK_PROGRESS", "Shared", "reset", "shared"]

TASK_PROGRESS: dict[str, dict[str, Any]] = {}
"""Task id -> `processed`, `total`, `success`, `errors`, `status` (running, done, stopped, failed); the latest 200."""
ACTIVE_TASKS: dict[str, bool] = {}
"""Task id -> True while the task runs; set it to False to stop the task. A task that ended is not in it."""


class Shared:
    """Everything that lives as long as the process: settings, throttle, cache and batches."""

    def __init__(self, variables: dict[str, str]) -> None:
        self.variables = variables
        self.settings = load_settings(variables)
        self.manager = ConcurrencyManager(self.settings)
        self.store = HostStore(self.settings.cache_size) if self.settings.cache_enabled else None
        self.cache = AiCache(self.store)
        self.batches = BatchProcessor(self.settings)


_shared: Shared | None = None


def shared() -> Shared:
    """The state as the environment's settings ask for it; made anew when one of them has changed since.

    Variables that are no settings of ours are passed over, whatever they are called. Raises SettingsError.
    """
    global _shared
    variables = {row.variable: os.environ[row.variable] for row in SETTINGS if row.variable in os.environ}
    if _shared is None or _shared.variables != variables:
        _shared = Shared(variables)
    return _shared


def reset() -> None:
    """Forget everything: what was learned, cached and counted, and the tasks."""
    global _shared
    _shared = None
    TASK_PROGRESS.clear()
    ACTIVE_TASKS.clear()
