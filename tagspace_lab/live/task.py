"""What a task is to do, and the words in which its result is told everywhere: command line, service, drop-in names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from tagspace_lab.errors import InputError
from tagspace_lab.pipeline.journal import PageEnd
from tagspace_lab.policy.prompts import LabelRules
from tagspace_lab.records import Status
from tagspace_lab.settings import Settings

__all__ = ["MODES", "Mode", "Request", "read_labels", "read_names", "result_dict"]

Mode = Literal["add", "suggest"]
MODES: tuple[str, ...] = get_args(Mode)


@dataclass(frozen=True, slots=True)
class Request:
    """Tag the pages of `space`: all of them, or those whose ids are in `pages`.

    `labels` is the vocabulary; empty: any label. Mode `add` gives labels of the vocabulary alone, and writes what
    a page lacks if `apply` is set; mode `suggest` prefers the vocabulary, may go beyond it, and never writes.
    """

    space: str
    apply: bool = False
    mode: Mode = "add"
    pages: frozenset[str] | None = None
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise InputError(f"mode is {self.mode!r}; allowed: {' or '.join(MODES)}")
        if self.apply and self.mode == "suggest":
            raise InputError("mode 'suggest' never writes labels: leave --apply out, or use mode 'add'")

    def rules(self, settings: Settings) -> LabelRules:
        """Which labels may be given."""
        return LabelRules(self.labels, settings.max_labels, closed=self.mode == "add")

    def to_dict(self) -> dict[str, Any]:
        """For the journal: everything that a resumed task needs."""
        pages = None if self.pages is None else sorted(self.pages)
        return asdict(self) | {"pages": pages, "labels": list(self.labels)}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Request:
        pages = document["pages"]
        return cls(
            space=document["space"],
            apply=document["apply"],
            mode=document["mode"],
            pages=None if pages is None else frozenset(pages),
            labels=tuple(document["labels"]),
        )


def read_names(path: Path) -> tuple[str, ...]:
    """The names in a file, one a line, each once; empty lines and those that begin with # do not count.

    Raises InputError where the file cannot be read or names nothing.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; name a file with one name a line") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    stripped = (line.strip() for line in lines)
    names = tuple(dict.fromkeys(name for name in stripped if name and not name.startswith("#")))
    if not names:
        raise InputError(f"{path} names nothing; write one name a line, or leave the option out")
    return names


def read_labels(path: Path) -> tuple[str, ...]:
    """The vocabulary in a file. InputError as in :func:`read_names`, and where Confluence would take no such label."""
    labels = read_names(path)
    rules = LabelRules(labels, 1)
    useless = [label for label in labels if not rules.clean([label])]
    if useless:
        shown = ", ".join(repr(label[:40]) for label in useless[:5])
        raise InputError(
            f"{path}: {shown} cannot be a label in Confluence, which takes 255 characters at most, and no : ; . , ? & "
            "[ ] ( ) # ^ * @ ! or quotes; write other names, or leave them out"
        )
    return labels


def result_dict(
    task_id: str, ends: Iterable[PageEnd], *, request: Request, total: int, skipped_by_whitelist: int = 0
) -> dict[str, Any]:
    """What became of a task: `success` counts the details that are not errors, `details` has one dict a page."""
    details = [_detail(end) for end in ends]
    errors = sum(end["status"] == Status.ERROR for end in details)
    return {
        "task_id": task_id,
        "space": request.space,
        "total": total,
        "processed": len(details),
        "success": len(details) - errors,
        "errors": errors,
        "skipped_by_whitelist": skipped_by_whitelist,
        "dry_run": not request.apply,
        "mode": request.mode,
        "whitelist_enabled": request.pages is not None,
        "details": details,
    }


def _detail(end: PageEnd) -> dict[str, Any]:
    return {
        "page_id": end.page_id,
        "title": end.title,
        "status": str(end.status),
        "tags": list(end.tags),
        "existing": list(end.existing),
        "added": list(end.added),
        "reason": end.reason,
    }
