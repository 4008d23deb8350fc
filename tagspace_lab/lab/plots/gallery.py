"""One page with every picture, made from bundled data: what there is to see, and how each was made."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from html import escape

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tagspace_lab.lab import plots
from tagspace_lab.lab.caches import hits_by_day
from tagspace_lab.lab.goals import Goals
from tagspace_lab.lab.places import quality_by_place
from tagspace_lab.lab.races import Score, race_all
from tagspace_lab.lab.replay import replay
from tagspace_lab.lab.report import Report, RunSummary
from tagspace_lab.lab.sweep import sweep, weigh_settings
from tagspace_lab.lab.tune import tune
from tagspace_lab.lab.tuned import Tuned
from tagspace_lab.settings import Settings
from tagspace_lab.twin.scenario import shipped_scenarios

__all__ = ["PICTURES", "Picture", "Samples", "draw", "render_gallery"]

_SPACE, _NARROW, _WIDE = "medium", "guide", "openai-tier1"
"""A provider whose limits bind, and one where the settings do."""
_GRID = {"batch_size": [1, 2, 5, 10, 20], "max_ai_concurrency": [1, 2, 5, 10, 20, 50]}
_REGIMES = 6
_TRIALS = 24
_GOALS = Goals(max_rate_limit_share=0.2)
_SEEDS = 5


class Samples:
    """The data of the pictures, each made when it is first asked for: the same bytes every time."""

    @cached_property
    def guide(self) -> Report:
        return replay(_SPACE, _NARROW, baseline=True, runs=1, progress=False)

    @cached_property
    def halving(self) -> Report:
        return replay("large", "halving", runs=1, progress=False)

    @cached_property
    def scenarios(self) -> dict[str, RunSummary]:
        return {name: self._replay(name).runs[0] for name in shipped_scenarios()}

    @cached_property
    def grid(self) -> pd.DataFrame:
        return sweep(_SPACE, _NARROW, _GRID, seeds=2, runs=1, progress=False)

    @cached_property
    def study(self) -> Tuned:
        return tune(_SPACE, _WIDE, trials=_TRIALS, seeds=1, progress=False)

    @cached_property
    def front(self) -> Tuned:
        return tune(_SPACE, _NARROW, trials=_TRIALS, seeds=1, runs=1, pareto=True, goals=_GOALS, progress=False)

    @cached_property
    def importance(self) -> pd.Series:
        return weigh_settings(self.grid.drop(columns="ai_concurrency"))  # it follows its ceiling

    @cached_property
    def ways(self) -> dict[str, list[RunSummary]]:
        ways = {"one page a call": (Settings(), True), "today's settings": (Settings(), False)}
        ways["tuned"] = self.study.settings, False
        return {
            name: [self._replay(_WIDE, settings, seed, baseline).runs[0] for seed in range(_SEEDS)]
            for name, (settings, baseline) in ways.items()
        }

    @cached_property
    def quality(self) -> pd.DataFrame:
        return quality_by_place(_SPACE, "openai-tier1", seeds=100)

    @cached_property
    def days(self) -> pd.DataFrame:
        return hits_by_day(_SPACE, [50, 100, 150], days=22)

    @cached_property
    def races(self) -> list[Score]:
        return race_all(range(_REGIMES))

    def _replay(self, scenario: str, settings: Settings | None = None, seed: int = 0, baseline: bool = False) -> Report:
        return replay(_SPACE, scenario, settings, runs=1, seed=seed, baseline=baseline, progress=False)


@dataclass(frozen=True, slots=True)
class Picture:
    """One entry: `draw` fills an Axes of a figure `height_in` inches high; `made` is how to have it."""

    name: str
    shows: str
    made: str
    draw: Callable[[Samples, Axes], Axes]
    height_in: float = 4.4


PICTURES = (
    Picture(
        "plot_run",
        "One run as it was in the days before: six calls in flight, one page each, whatever comes back. The crosses "
        "are the moments at which a 429 came; the dashed line is where the run could have ended.",
        'replay("medium", "guide", baseline=True, runs=1).plot()',
        lambda samples, ax: plots.plot_run(samples.guide, ax),
    ),
    Picture(
        "plot_throttle",
        "What the throttle does about a limit that it is not told, and that is halved on the way: slots, queue and "
        "pace, and the 429s from which it learned.",
        'replay("large", "halving", runs=1).plot_throttle()',
        lambda samples, ax: plots.plot_throttle(samples.halving, ax),
    ),
    Picture(
        "plot_efficiency",
        "Today's settings against every shipped scenario. From the circle to 100 % is what the throttle leaves, from "
        "the diamond to the circle what the settings leave.",
        'plot_efficiency({name: replay("medium", name, runs=1).runs[0] for name in scenarios})',
        lambda samples, ax: plots.plot_efficiency(samples.scenarios, ax),
        5.4,
    ),
    Picture(
        "plot_sweep",
        "A grid of settings as lines: means and ranges of two seeds, beside the best bound of any settings.",
        f'plot_sweep(sweep("medium", "{_NARROW}", grid, seeds=2, runs=1), hue="max_ai_concurrency")',
        lambda samples, ax: plots.plot_sweep(
            samples.grid.query("max_ai_concurrency in [1, 5, 20]"), hue="max_ai_concurrency", ax=ax
        ),
    ),
    Picture(
        "plot_map, makespan",
        "The same grid as a map, the lighter the faster. The dots are the trials of a study for a Pareto front.",
        "plot_map(frame, trials=tuned.trials)",
        lambda samples, ax: plots.plot_map(samples.grid, trials=samples.front.trials, ax=ax),
        4.8,
    ),
    Picture(
        "plot_map, 429s",
        "The price of it: where on the same map calls are refused.",
        'plot_map(frame, value="rate_limit_share")',
        lambda samples, ax: plots.plot_map(samples.grid, value="rate_limit_share", ax=ax),
        4.8,
    ),
    Picture(
        "plot_trials",
        "A study, trial by trial, on its own seeds.",
        f'tune("medium", "{_WIDE}", trials={_TRIALS}, seeds=1).plot()',
        lambda samples, ax: plots.plot_trials(samples.study, ax),
    ),
    Picture(
        "plot_front",
        "What a study of makespan, tokens and 429s could not better in one of them without losing in another, on "
        "fresh seeds. Up to a fifth of the requests may be refused here.",
        'plot_front(tuned.front.table, tuned.trials, y="rate_limit_share"), tuned being tune(..., pareto=True)',
        lambda samples, ax: _draw_front(samples.front, ax),
    ),
    Picture(
        "plot_importance",
        "Which setting the makespan depends on, over the grid above: the share of its variance that each "
        "explains alone.",
        "plot_importance(weigh_settings(grid))",
        lambda samples, ax: plots.plot_importance(samples.importance, ax),
        2.2,
    ),
    Picture(
        "plot_before_after",
        f"Three ways to do the same run, {_SEEDS} seeds each.",
        "plot_before_after({way: [replay(..., seed=seed).runs[0] for seed in seeds] for way in ways})",
        lambda samples, ax: plots.plot_before_after(samples.ways, ax),
        3.0,
    ),
    Picture(
        "plot_gain",
        "The study's best beside today's settings on ten seeds that the study never saw, pair by pair.",
        "plot_gain(tuned.verification)",
        lambda samples, ax: plots.plot_gain(samples.study.verification, ax),
        3.4,
    ),
    Picture(
        "plot_quality",
        "What larger batches cost, and where in the batch. Quality is modelled: the scenario states it.",
        'plot_quality(quality_by_place("medium", "openai-tier1", seeds=100))',
        lambda samples, ax: plots.plot_quality(samples.quality, ax),
    ),
    Picture(
        "plot_hits",
        "A run a day over a space of 150 pages that is edited meanwhile. A cache that is too small for the space still "
        "hits as much as it can hold.",
        'plot_hits(hits_by_day("medium", [50, 100, 150], days=22))',
        lambda samples, ax: plots.plot_hits(samples.days, ax),
    ),
    Picture(
        "plot_throttles",
        f"Every throttle in the same {_REGIMES} random regimes, beside an oracle that knows the limits; "
        "benchmarks/RESULTS.md has them over many more.",
        f"plot_throttles(race_all(range({_REGIMES})))",
        lambda samples, ax: plots.plot_throttles(samples.races, ax),
        4.8,
    ),
)


def render_gallery(samples: Samples, advance: Callable[[], object] = lambda: None) -> str:
    """The page as HTML, whole in itself; `advance` is called after each picture."""
    entries = []
    for picture in PICTURES:
        entries.append(_entry(picture, _as_png(draw(picture, samples))))
        advance()
    return _PAGE.format(entries="\n".join(entries))


def draw(picture: Picture, samples: Samples) -> Figure:
    """A figure of its own, which nobody else knows: pyplot's are left alone."""
    figure = Figure(figsize=(7.5, picture.height_in), layout="constrained", facecolor="white")
    picture.draw(samples, figure.subplots())
    return figure


def _entry(picture: Picture, png: bytes) -> str:
    encoded = base64.b64encode(png).decode()
    words = escape(picture.shows)
    return (
        f"<figure><h2>{escape(picture.name)}</h2>"
        f'<img alt="{words}" src="data:image/png;base64,{encoded}">'
        f"<figcaption>{words}<br><code>{escape(picture.made)}</code></figcaption></figure>"
    )


def _as_png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=144, metadata={"Software": None})
    return content.getvalue()


def _draw_front(study: Tuned, ax: Axes) -> Axes:
    assert study.front is not None  # noqa: S101 - it was asked for
    return plots.plot_front(study.front.table, study.trials, y="rate_limit_share", ax=ax)


_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>tagspace_lab: gallery</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }}
figure {{ margin: 0 0 3rem; break-inside: avoid; }}
h2 {{ font-size: 1.05rem; margin: 0 0 0.5rem; }}
img {{ display: block; width: 100%; height: auto; background: white; border-radius: 4px; }}
figcaption {{ margin-top: 0.5rem; }}
code {{ font-size: 0.85em; overflow-wrap: anywhere; }}
</style>
</head>
<body>
<h1>What tagspace_lab draws</h1>
<p>Every picture on this page is made from bundled data in virtual time, and comes out the same each time.
Each function takes and returns a matplotlib Axes.</p>
{entries}
</body>
</html>
"""
