"""One tuned profile for each class of spaces, in one go."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tagspace_lab.errors import InputError
from tagspace_lab.lab.files import check_writable
from tagspace_lab.lab.tune import tune
from tagspace_lab.lab.tuned import Tuned
from tagspace_lab.settings import Settings
from tagspace_lab.twin.scenario import Scenario

__all__ = ["CLASSES", "export_profiles"]

CLASSES = ("small", "medium", "large")
"""The shipped spaces, which stand for spaces of their size."""


def export_profiles(
    folder: str | Path,
    scenario: str | Path | Scenario = "openai-tier1",
    spaces: Sequence[str | Path] = CLASSES,
    settings: Settings | str | Path | None = None,
    *,
    trials: int = 40,
    seed: int = 0,
    jobs: int = 1,
    studies: str | Path | None = None,
    force: bool = False,
    progress: bool = True,
) -> dict[str, Tuned]:
    """Tune each space and write `folder`/NAME.env; gives what was found by name, in the order of `spaces`.

    NAME is the shipped space's, or that of the snapshot file without its endings. `studies` is a folder of journals,
    NAME.journal each: a study that is there already is taken up, and one that is whole is only measured again.
    The profiles are written when all studies are done. Raises InputError for two spaces of one name, for files that
    exist where `force` is not set, and for whatever :func:`tagspace_lab.tune` raises.
    """
    names = [re.sub(r"\.jsonl(\.gz)?$", "", Path(space).name) for space in spaces]
    if len(set(names)) < len(names):
        raise InputError(f"two of the spaces have one name ({', '.join(names)}); rename a snapshot file")
    paths = [Path(folder, f"{name}.env") for name in names]
    for path in paths:
        check_writable(path, force=force)
    found = {
        name: tune(
            space,
            scenario,
            settings,
            trials=trials,
            seed=seed,
            jobs=jobs,
            storage=Path(studies, f"{name}.journal") if studies else None,
            progress=progress,
        )
        for name, space in zip(names, spaces, strict=True)
    }
    for path, tuned in zip(paths, found.values(), strict=True):
        tuned.export(path, force=force)
    return found
