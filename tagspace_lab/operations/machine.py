"""What the machine has to give."""

from __future__ import annotations

import math
import re
from pathlib import Path

__all__ = ["available_bytes"]


def available_bytes(root: Path = Path("/")) -> float:
    """Memory that a process can still have here, as Linux and its container's limit tell; inf where neither does."""
    limit = _read(root / "sys/fs/cgroup/memory.max")
    used = _read(root / "sys/fs/cgroup/memory.current")
    told = re.search(r"^MemAvailable: +(\d+) kB", _read(root / "proc/meminfo"), re.MULTILINE)
    left = float(limit) - float(used or 0) if limit.isdecimal() and (used.isdecimal() or not used) else math.inf
    return max(0.0, min(left, float(told[1]) * 1024 if told else math.inf))


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
