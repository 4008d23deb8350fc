"""Files that travel with the package: scenarios, profiles, sample data.

In a checkout they live in the top-level `data/`; a wheel carries them as `tagspace_lab/data`.
"""

from __future__ import annotations

from pathlib import Path

from tagspace_lab.errors import InputError

__all__ = ["shipped_dir", "shipped_file", "shipped_names"]

_PACKAGE = Path(__file__).resolve().parent


def shipped_dir() -> Path:
    """The folder of shipped files: `data/` beside the package in a checkout, inside it in an installed wheel."""
    inside = _PACKAGE / "data"
    return inside if inside.is_dir() else _PACKAGE.parent / "data"


def shipped_file(*parts: str) -> Path:
    """The path of a shipped file, as in `shipped_file("profiles", "default.env")`; InputError where there is none."""
    path = shipped_dir().joinpath(*parts)
    if not path.is_file():
        names = ", ".join(shipped_names(parts[0], path.suffix)) if len(parts) > 1 else ""
        raise InputError(f"no shipped file {'/'.join(parts)}; shipped: {names or 'nothing of that kind'}")
    return path


def shipped_names(folder: str, suffix: str) -> tuple[str, ...]:
    """The names, without suffix and sorted, of the shipped files in one folder."""
    return tuple(sorted(path.stem for path in (shipped_dir() / folder).glob(f"*{suffix}")))
