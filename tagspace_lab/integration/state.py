"""The process-wide state, the only one of this package: made at first use from the process environment."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from typing import Any

from tagspace_lab.integration.batches import BatchProcessor
from tagspace_lab.integration.caches import AiCache, HostStore
from tagspace_lab.integration.concurrency import ConcurrencyManager
from tagspace_lab.live.logs import configure_logs
from tagspace_lab.live.redaction import find_secrets
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


class _Logs:
    """The log files, open in the folder that the environment named last."""

    def __init__(self) -> None:
        self._folder = ""
        self._files = ExitStack()

    def move_to(self, folder: str) -> None:
        """Write into `folder` from now on; "": into none."""
        if folder != self._folder:
            self._files.close()
            self._files.enter_context(configure_logs(folder, secrets=find_secrets(os.environ)))
            self._folder = folder


_logs = _Logs()
_shared: Shared | None = None
_lock = threading.Lock()


def shared() -> Shared:
    """The state as the environment's settings ask for it; made anew when one of them has changed since.

    Where `TAG_SPACE_LOG_DIR` names a folder, the two log files are written there from now on. Variables that are no
    settings of ours are passed over, whatever they are called. Raises SettingsError.
    """
    global _shared
    variables = {row.variable: os.environ[row.variable] for row in SETTINGS if row.variable in os.environ}
    with _lock:
        _logs.move_to(os.environ.get("TAG_SPACE_LOG_DIR", ""))
        if _shared is None or _shared.variables != variables:
            _shared = Shared(variables)
        return _shared


def reset() -> None:
    """Forget everything: what was learned, cached and counted, and the tasks; the log files are closed."""
    global _shared
    with _lock:
        _logs.move_to("")
        _shared = None
    TASK_PROGRESS.clear()
    ACTIVE_TASKS.clear()
