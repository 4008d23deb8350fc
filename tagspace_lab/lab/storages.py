"""Keeps what a study measured: in a journal file, or in a PostgreSQL database that several studies share.

Only finished trials are written, each at once: a study that was killed leaves nothing half-done of its own. What
another program or a torn write left is mended before it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import TrialState, create_trial
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from tagspace_lab.errors import InputError
from tagspace_lab.lab.objective import Replays, Verdict
from tagspace_lab.lab.report import RunSummary

__all__ = ["Storage", "name_storage"]

_REPLAYS = "replays"
_WANTED = "a file, or postgresql://user:password@host:port/database"


class Storage:
    """The trials of the study `name`, in a file that is made where there is none, or in a database.

    InputError where it cannot be used; no message holds a password.
    """

    def __init__(self, place: str | Path, name: str) -> None:
        self.name = name_storage(place)
        with self._errors_worded():
            self._kept = _open_database(str(place)) if _is_url(place) else _open_journal(Path(place))
            self._study = optuna.create_study(storage=self._kept, study_name=name, load_if_exists=True)
            for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
                self._study.tell(trial.number, state=TrialState.FAIL)  # nobody runs it: ours are written when done

    def read(self) -> Iterator[tuple[dict[str, Any], Replays]]:
        """Parameters and replays of each trial, in the order in which they were kept."""
        with self._errors_worded():
            finished = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            for trial in finished:
                replays = trial.user_attrs[_REPLAYS]
                yield trial.params, [[RunSummary(**run) for run in runs] for runs in replays]

    def add(
        self,
        params: dict[str, Any],
        distributions: Mapping[str, BaseDistribution],
        verdict: Verdict,
        replays: Replays,
    ) -> None:
        """Keep one finished trial."""
        trial = create_trial(
            value=verdict.objective_s,
            params=params,
            distributions=dict(distributions),
            constraints=verdict.excess,
            user_attrs=asdict(verdict.measured) | {_REPLAYS: [[asdict(run) for run in runs] for runs in replays]},
        )
        with self._errors_worded():
            self._study.add_trial(trial)

    def close(self) -> None:
        """Let go of the connections."""
        if isinstance(self._kept, RDBStorage):
            self._kept.remove_session()
            self._kept.engine.dispose()

    @contextmanager
    def _errors_worded(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"{self.name} cannot be used: {error.strerror}; name a file in a writable folder, or free space."
            ) from error
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            # Whatever the driver says may repeat parts of the address, so it travels as the cause alone.
            raise InputError(
                f"{self.name} cannot be used ({type(error).__name__}): see that the server runs, that the database is "
                "there, and that user and password are right."
            ) from None
        except (ValueError, KeyError, TypeError, AssertionError) as error:  # optuna asserts what it reads
            raise InputError(f"{self.name} is damaged ({error}); move it away, and the study starts again.") from error


def name_storage(place: str | Path) -> str:
    """What messages call it: without user, password and options. InputError for an address that cannot be read."""
    if not _is_url(place):
        return str(place)
    url = _read_url(str(place))
    return f"postgresql://{url.host}{f':{url.port}' if url.port else ''}/{url.database or ''}"


def _is_url(place: str | Path) -> bool:
    """Also one that lacks its slashes: it would become a folder whose name is a password."""
    return isinstance(place, str) and bool(re.match(r"postgres\w*:|.*://|[^/]*:[^/]*@", place))


def _read_url(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise InputError(f"storage: the address cannot be read; allowed: {_WANTED}.") from None
    if url.get_backend_name() != "postgresql":
        raise InputError(f"storage: {url.get_backend_name()} is not a database that studies use; allowed: {_WANTED}.")
    if not url.host or "@" in url.host or "/" in (url.database or ""):
        raise InputError(
            f"storage: the address cannot be read; allowed: {_WANTED}, where signs such as / # ? @ in user or password "
            "are written %2F %23 %3F %40."
        )
    return url


def _open_database(text: str) -> BaseStorage:
    try:
        import psycopg  # noqa: F401 - else the error would come from deep inside
    except ImportError as error:
        raise InputError("psycopg is not installed; install it with: pip install 'tagspace-lab[postgresql]'") from error
    url = _read_url(text).set(drivername="postgresql+psycopg")
    return RDBStorage(url.render_as_string(hide_password=False), engine_kwargs={"pool_pre_ping": True})


def _open_journal(path: Path) -> BaseStorage:
    path = path.absolute()  # optuna's lock is a link to it, and a relative one would dangle
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is not a file that a journal could be kept in; name another.")
    path.parent.mkdir(parents=True, exist_ok=True)
    _mend(path)
    return JournalStorage(JournalFileBackend(str(path)))


def _mend(path: Path) -> None:
    """Cuts off the line that a killed process left unfinished: optuna would write on behind it and spoil the file."""
    if not path.exists():
        return
    lock = JournalFileSymlinkLock(str(path))
    lock.acquire()
    try:
        with path.open("r+b") as file:
            content = file.read()
            if content and not content.startswith(b'{"op_code":'):
                raise InputError(f"{path} is not a study journal; name another file.")
            file.truncate(content.rfind(b"\n") + 1)
    finally:
        lock.release()
