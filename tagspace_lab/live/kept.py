"""The cache of a task: answers go to the journal before they go anywhere else, and are found there first."""

from __future__ import annotations

from tagspace_lab.clients.stores import Entry, Store
from tagspace_lab.pipeline.journal import Journal

__all__ = ["KeptAnswers"]


class KeptAnswers:
    """A store in front of `store` (None: of nothing) that forgets nothing which this task has paid for.

    Whatever becomes of the cache (full, disabled, gone), a task that is resumed finds its answers.
    """

    def __init__(self, store: Store | None, journal: Journal, task_id: str) -> None:
        self._store = store
        self._journal = journal
        self._task_id = task_id
        self._kept = journal.answers(task_id)

    def get(self, key: str, space: str, run: str) -> tuple[str, ...] | None:
        found = self._store.get(key, space, run) if self._store is not None else None
        return self._kept.get(key) if found is None else found

    def look(self, key: str) -> Entry | None:
        return self._store.look(key) if self._store is not None else None

    def put(self, key: str, labels: tuple[str, ...], space: str, run: str, version: int = 0) -> bool:
        self._journal.keep_answer(self._task_id, key, labels)
        self._kept[key] = labels
        if self._store is not None:
            self._store.put(key, labels, space, run, version)
        return True

    def end_run(self, space: str, run: str) -> int:
        return self._store.end_run(space, run) if self._store is not None else 0

    def close(self) -> None:
        """The store behind is its owner's to close."""

    def __len__(self) -> int:
        return len(self._store) if self._store is not None else len(self._kept)
