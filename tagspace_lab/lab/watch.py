"""What somebody sees of work under way: one line that moves, and nothing at all where nobody looks.

In a notebook the line is a widget, in a terminal text. Nobody looks at a pipe, at a log, or at a notebook that a
program runs (nbval, nbconvert, papermill): there not a byte is written, and a saved notebook stays exact. No thread
is started and nothing is waited for, so that the work may run in virtual time.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Protocol

__all__ = ["FORM", "View", "is_interactive", "watch"]

FORM = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
"""tqdm's own, without the units a second: of virtual time they say nothing."""
_FACTS = {
    "best_s": "best {:.1f} s",
    "rate_limit_errors": "429s {}",
    "rate_limit_share": "429s {:.1%}",
    "concurrency": "concurrency {:.3g}",
    "calls": "calls {}",
    "usd": "{:.2f} USD",
}


class View(Protocol):
    """The line while the work goes on."""

    def advance(self, done: int = 1) -> None:
        """So many more units are done."""

    def reach(self, done: int, total: int) -> None:
        """So many units are done, of all that there are now; 0 where nobody knows."""

    def tell(
        self,
        *,
        best_s: float | None = None,
        rate_limit_errors: int | None = None,
        rate_limit_share: float | None = None,
        concurrency: float | None = None,
        calls: int | None = None,
        usd: float | None = None,
    ) -> None:
        """What else is known now: the best makespan, 429s (how many, or their share), calls in flight, calls, cost.

        What is left out is not shown. Cheap enough for every attempt: the line is drawn ten times a second at most.
        """


@contextmanager
def watch(total: int | None, unit: str, title: str, *, shown: bool = True) -> Iterator[View]:
    """A view of work of `total` units (None: nobody knows), for the time of the block.

    `shown=False` shows nothing anywhere; True does where :func:`is_interactive` says that somebody looks.
    """
    if not shown or not is_interactive():
        yield _Nothing()
        return
    bar = _make_bar(total=total, unit=unit, desc=title, miniters=0, bar_format=FORM if total else None)
    try:
        yield _Line(bar)
    finally:
        bar.close()


def is_interactive() -> bool:
    """Whether somebody looks: standard error is a terminal, or a cell was run by a person's hand.

    A frontend that a person types in lets a cell ask for input; programs that run notebooks do not.
    """
    shell = _notebook()
    if shell is None:
        return sys.stderr.isatty()
    return bool(shell.get_parent().get("content", {}).get("allow_stdin"))


class _Nothing:
    """The view that nobody sees."""

    def advance(self, done: int = 1) -> None:
        pass

    def reach(self, done: int, total: int) -> None:
        pass

    def tell(self, **facts: float | None) -> None:
        pass


class _Line:
    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def advance(self, done: int = 1) -> None:
        self._bar.update(done)

    def reach(self, done: int, total: int) -> None:
        self._bar.total = total or None
        self._bar.bar_format = FORM if total else None
        self._bar.update(done - self._bar.n)

    def tell(self, **facts: float | None) -> None:
        known = {name: value for name, value in facts.items() if value is not None}
        words = ", ".join(form.format(known[name]) for name, form in _FACTS.items() if name in known)
        self._bar.set_postfix_str(words, refresh=False)
        self._bar.update(0)  # draws, if it is time


def _notebook() -> Any:
    """The shell of the kernel that this runs in; None in a script, a terminal and a worker."""
    if "IPython" not in sys.modules:
        return None
    shell = sys.modules["IPython"].get_ipython()
    return shell if hasattr(shell, "get_parent") else None


def _make_bar(**options: Any) -> Any:
    """tqdm's, a widget where there is a notebook that can show one, without the thread that it keeps beside."""
    if _notebook() is not None and find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm
    else:
        from tqdm.std import tqdm  # type: ignore[assignment]

        options["dynamic_ncols"] = True

    class Bar(tqdm):  # type: ignore[type-arg]
        monitor_interval = 0

    return Bar(**options)
