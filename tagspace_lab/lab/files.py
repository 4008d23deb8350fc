"""Output files: tried before time is spent on them, written whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tagspace_lab.errors import InputError

__all__ = ["check_writable", "replacing"]


def check_writable(path: Path, *, force: bool) -> None:
    """InputError where `path` could not be written later: it exists and `force` is not set, or its folder refuses.

    Leaves nothing behind, not even the folders on the way to `path`.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file in it")
    _require_regular(path)
    if path.exists() and not force:
        raise InputError(f"{path} exists; name another file, or overwrite it with --force")
    folder = next(parent for parent in path.resolve().parents if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(b"\0" * 4096)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}; name a file in a writable folder") from error


@contextmanager
def replacing(
    path: Path, error: type[InputError] = InputError, *, like: os.stat_result | None = None
) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` in one step when the block ends well, and is removed when it does not.

    Folders on the way are made, and a link is followed to its target. The file has the owner and the mode of `like`,
    or those of a new file. Raises `error` where that, or the writing, is refused, and InputError where `path` is no
    regular file.
    """
    _require_regular(path)
    try:
        path = path.resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        draft = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if like is not None:
                os.chown(draft, like.st_uid, like.st_gid)
            draft.chmod(stat.S_IMODE(like.st_mode) if like is not None else 0o666 & ~_umask())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    except OSError as refusal:
        raise error(f"{path} cannot be written: {refusal.strerror}; name a file in a writable folder") from refusal


def _require_regular(path: Path) -> None:
    """InputError for a pipe or a device: there is no file to replace."""
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is not a regular file; name another")


def _umask() -> int:
    """That of the process, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
