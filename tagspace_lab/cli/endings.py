"""How a command ends: its exit code, and what is said when it did not end well.

    0    done; also when the reader of a pipe went away, and when `twin` was stopped
    1    the job ran and something failed: a page, a check, a server, this program
    2    wrong input: an option, a name, a file, a folder or disk that cannot be written
    130  interrupted

A traceback is for developers: it is shown only where the environment sets TAGSPACE_DEBUG.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from typing import Any

import typer
from typer.core import TyperGroup

from tagspace_lab.cli.screen import say
from tagspace_lab.errors import InputError, TagspaceError

__all__ = ["FAILED", "INTERRUPTED", "WRONG_INPUT", "EndsWell", "report_defect"]

FAILED = 1
WRONG_INPUT = 2
INTERRUPTED = 130

DEBUG = "TAGSPACE_DEBUG"

_INTERRUPTED = "Interrupted: nothing was written; the same command starts again."
_NO_ROOM = "free some space, or write to another disk"
_NO_RIGHT = "name a file in a folder that you may write to"
_CURES = {
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
    errno.EFBIG: _NO_ROOM,
    errno.EACCES: _NO_RIGHT,
    errno.EPERM: _NO_RIGHT,
    errno.EROFS: _NO_RIGHT,
    errno.ENOENT: "name one that exists",
    errno.ENOTDIR: "a part of its path is a file: name another folder",
    errno.EISDIR: "name a file, not a folder",
    errno.ENAMETOOLONG: "choose a shorter name",
}


class EndsWell(TyperGroup):
    """A group of commands whose failures become a message on standard error and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return _flushed(lambda: super(EndsWell, self).invoke(ctx))
        except BrokenPipeError:
            _drop_output()
            raise typer.Exit(0) from None
        except KeyboardInterrupt as stop:
            say(f"\n{str(stop) or _INTERRUPTED}")
            raise typer.Exit(INTERRUPTED) from stop
        except (TagspaceError, OSError) as error:
            raise typer.Exit(_report(error)) from error


def report_defect(error: Exception) -> int:
    """Words an error that nobody foresaw; gives the exit code."""
    say(f"Error: something went wrong inside tagspace-lab: {type(error).__name__}: {error}")
    if not _show_traceback(error):
        say(
            f"This is a defect. Run the command again with {DEBUG}=1 in front of it, and open an issue with the output."
        )
    return FAILED


def _flushed(command: Any) -> Any:
    """Output that waits in a buffer may yet meet a full disk or a closed pipe: let that happen here."""
    try:
        return command()
    finally:
        sys.stdout.flush()


def _report(error: TagspaceError | OSError) -> int:
    """Words an error that has a cure; gives the exit code. Any other error of the system is a defect."""
    if isinstance(error, TagspaceError):
        say(f"Error: {error}")
        _show_traceback(error)
        return WRONG_INPUT if isinstance(error, InputError) else FAILED
    if error.errno not in _CURES:
        return report_defect(error)
    if error.filename is None:
        _drop_output()
    say(f"Error: {error.filename or 'standard output'}: {error.strerror}; {_CURES[error.errno]}")
    _show_traceback(error)
    return WRONG_INPUT


def _show_traceback(error: BaseException) -> bool:
    if not os.environ.get(DEBUG):
        return False
    traceback.print_exception(error)
    return True


def _drop_output() -> None:
    """Let the interpreter's last flush go nowhere: what it would say of it helps nobody."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
