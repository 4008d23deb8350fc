"""What the service reads and answers, as OpenAPI shows it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

__all__ = ["Detail", "Health", "Problem", "TagRequest", "TagResponse", "TaskList", "TaskView"]

_Label = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class TagRequest(BaseModel):
    """What to do with a space. Without a body: a dry run, answered when it is done."""

    model_config = ConfigDict(extra="forbid", strict=True)

    dry_run: bool = Field(default=True, description="false writes labels")
    background: bool = Field(default=False, description="true answers at once, with the task's id")
    mode: Literal["add", "suggest"] = Field(
        default="add", description="suggest prefers `labels`, may go beyond them, and never writes"
    )
    labels: list[_Label] = Field(default_factory=list, max_length=2_000, description="the vocabulary; empty: any label")


class Detail(BaseModel):
    """How one page ended: `added` are the labels that it lacked, written unless it was a dry run."""

    page_id: str
    title: str
    status: str = Field(description="tagged, cached, skipped (no text), stopped or error")
    tags: list[str]
    existing: list[str]
    added: list[str]
    reason: str


class TagResponse(BaseModel):
    """What became of a task."""

    model_config = ConfigDict(extra="allow")

    task_id: str
    total: int
    processed: int
    success: int = Field(description="details whose status is not error")
    errors: int
    skipped_by_whitelist: int
    dry_run: bool
    mode: str
    whitelist_enabled: bool
    details: list[Detail]
    state: str = Field(default="done", description="done, stopped, failed (in part) or interrupted")


class TaskView(BaseModel):
    """Where a task stands."""

    task_id: str
    space: str
    status: str = Field(description="queued, running, done, stopped, failed or interrupted: its process is gone")
    is_stopping: bool
    dry_run: bool
    mode: str
    processed: int
    total: int = Field(description="pages known so far; 0 before the first listing")
    errors: int
    rate_limit_errors: int
    fallback_switches: int
    total_ai_calls: int
    started_s: float = Field(description="seconds since 1970")
    ended_s: float | None
    error: str = Field(description="what ended the whole task")
    result: dict[str, Any] | None = Field(
        default=None, description="as the answer of a finished task; null while it is open"
    )


class TaskList(BaseModel):
    """The latest tasks, the newest first."""

    tasks: list[TaskView]


class Health(BaseModel):
    status: Literal["ok", "stopping"]
    version: str


class Problem(BaseModel):
    """Any answer that is no success; `task_id` where a task was begun."""

    detail: Any
    task_id: str | None = None
