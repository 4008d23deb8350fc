"""One tree of errors, split by what the caller can do about them.

    TagspaceError
    ├── InputError            fix the input: a setting, a file, a name (exit code 2)
    │   ├── SettingsError     a TAG_SPACE_* variable or a profile
    │   ├── SnapshotError     a space that cannot be read
    │   ├── ScenarioError     a scenario that cannot be read
    │   ├── TraceError        a trace that cannot be read, or says too little
    │   └── JournalError      a task that cannot be resumed
    ├── ServiceError          the other side failed, and may recover (exit code 1)
    │   ├── ConfluenceError
    │   ├── ModelError        no answer to be had from a model's endpoint
    │   └── StoreError        a cache store that cannot be opened
    ├── NotebookError         a cell of a notebook failed (exit code 1)
    └── ClockError            virtual time was used for what it cannot do
        └── DeadlockError     everything waits and nothing is scheduled

Messages say what happened, the value seen, the value wanted and the next step, and never hold a
secret or a page's body.
"""

from __future__ import annotations

__all__ = [
    "ClockError",
    "ConfluenceError",
    "DeadlockError",
    "InputError",
    "JournalError",
    "ModelError",
    "NotebookError",
    "ScenarioError",
    "ServiceError",
    "SettingsError",
    "SnapshotError",
    "StoreError",
    "TagspaceError",
    "TraceError",
]


class TagspaceError(Exception):
    """Root of every error this package raises on purpose."""


class InputError(TagspaceError):
    """The caller's input is wrong: fix it and run again."""


class SettingsError(InputError):
    """A setting or a profile is wrong."""


class SnapshotError(InputError):
    """A snapshot cannot be read or written."""


class ScenarioError(InputError):
    """A scenario is unknown or malformed."""


class TraceError(InputError):
    """A trace of recorded attempts cannot be read, or says too little."""


class JournalError(InputError):
    """A task cannot be resumed as asked."""


class ServiceError(TagspaceError):
    """A server could not be used; the same run may work later."""


class ConfluenceError(ServiceError):
    """Confluence could not be read or written."""


class ModelError(ServiceError):
    """A model's endpoint gives no answer."""


class StoreError(ServiceError):
    """A cache store cannot be opened."""


class NotebookError(TagspaceError):
    """A cell of a notebook failed for a reason that is not this package's, or its kernel died."""


class ClockError(TagspaceError):
    """Virtual time was asked for something that only real time has."""


class DeadlockError(ClockError):
    """Everything waits for something else and nothing is scheduled: the program would hang for ever."""
