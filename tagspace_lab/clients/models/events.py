"""A streamed chat completion as one document: some servers stream, asked or not."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["merge_events"]


def merge_events(content: bytes) -> Any:
    """The chat completion whose parts are the `data:` lines of `content`; None if there are none.

    An error among them is the document. Whatever else is in the lines is passed over.
    """
    if b"data:" not in content[:1_000]:
        return None
    parts: list[str] = []
    usage = reason = None
    is_event = False
    for line in content.splitlines():
        chunk = _load(line[5:]) if line.startswith(b"data:") else None
        if not isinstance(chunk, dict):
            continue
        is_event = True
        if isinstance(chunk.get("error"), dict):
            return {"error": chunk["error"]}
        usage = chunk.get("usage") or usage
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if isinstance(choice, dict):
            reason = choice.get("finish_reason") or reason
            delta = choice.get("delta")
            if isinstance(delta, dict) and isinstance(delta.get("content"), str):
                parts.append(delta["content"])
    if not is_event:
        return None
    message = {"role": "assistant", "content": "".join(parts)}
    return {"choices": [{"message": message, "finish_reason": reason}], "usage": usage}


def _load(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
