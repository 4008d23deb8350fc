"""What calls write and how they fail: tokens a page and a call, errors, time-outs, and pages that were asked again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tagspace_lab.lab.calibration.findings import NOT_SEEN, TOKENS, Finding, quantile, share_range
from tagspace_lab.lab.traces import TraceRun
from tagspace_lab.records import Attempt, Outcome, Status
from tagspace_lab.twin.schema import Output

__all__ = ["Broken", "count_broken", "fault_findings", "first_calls", "output_findings"]

_GATEWAY_TIMEOUT = 504


def output_findings(attempts: Sequence[Attempt]) -> Iterator[Finding]:
    """`tokens_per_page` and `tokens_per_call`, by regression over the pages of a call where there are several sizes."""
    answered = [each for each in attempts if each.outcome is Outcome.OK and each.output_tokens and each.pages]
    if not answered:
        yield Finding("tokens_per_page", None, NOT_SEEN, note="no answer says how many tokens were written")
        return
    pages = np.array([each.pages for each in answered], float)
    written = np.array([each.output_tokens for each in answered], float)
    usual = Output().tokens_per_call
    if np.ptp(pages) and len(answered) >= 6:
        centred = pages - pages.mean()
        slope = float((centred * written).sum() / (centred**2).sum())
        rest = written - written.mean() - slope * centred
        error = float(np.sqrt((rest**2).sum() / max(1, len(pages) - 2) / (centred**2).sum()))
        around = float(written.mean() - slope * pages.mean())
        off = error * pages.mean()
        if error < 0.2 * abs(slope) and around >= -2 * off:
            around = max(0.0, around)
            slope = max(0.0, float((written.mean() - around) / pages.mean()))
            yield Finding("tokens_per_page", slope, TOKENS, slope - 2 * error, slope + 2 * error)
            yield Finding("tokens_per_call", around, TOKENS, max(0.0, around - 2 * off), around + 2 * off)
            return
    around = min(usual, float(written.mean()))
    per_page = max(0.0, float((written.mean() - around) / pages.mean()))
    note = "hardly more than one batch size: what belongs to a page and what to a call cannot be told apart"
    yield Finding("tokens_per_page", per_page, TOKENS)
    yield Finding("tokens_per_call", around, NOT_SEEN, note=note)


def fault_findings(attempts: Sequence[Attempt], broken: Broken | None) -> Iterator[Finding]:
    """The keys of `[provider.faults]`."""
    outcomes = [each for each in attempts if each.outcome is not Outcome.RATE_LIMITED]
    let_in = [each for each in outcomes if each.outcome in (Outcome.OK, Outcome.OVERLOADED, Outcome.TIMED_OUT)]
    late = [each for each in let_in if each.status == _GATEWAY_TIMEOUT or each.outcome is Outcome.TIMED_OUT]
    failed = sum(each.outcome is Outcome.OVERLOADED and each.status != _GATEWAY_TIMEOUT for each in let_in)
    yield _share("server_error_share", failed, len(let_in))
    yield _share("timeout_share", len(late), len(let_in))
    answered_late = [each.ended_s - each.started_s for each in late if each.status == _GATEWAY_TIMEOUT]
    if answered_late:
        yield Finding("timeout_s", quantile(answered_late, 0.5), TOKENS, note="the median time of a 504")
    elif late:
        yield Finding("timeout_s", None, NOT_SEEN, note="the client gave up first")
    if broken is None:
        note = "a trace does not hold answers, and without a run's end not how many pages were tagged"
        yield Finding("partial_share", None, NOT_SEEN, note=note)
    else:
        again = f"{broken.pages} pages were asked again, in {broken.calls} calls"
        note = f"{again}: answers that were malformed or cut, which a trace does not tell apart"
        share = broken.partial / max(1, broken.answers)
        yield Finding("partial_share", share, TOKENS, *share_range(round(broken.partial), broken.answers), note)


def _share(key: str, hits: int, count: int) -> Finding:
    low, high = share_range(hits, count)
    return Finding(key, hits / count if count else 0.0, TOKENS, low, high, f"{hits} of {count} calls")


@dataclass(frozen=True, slots=True)
class Broken:
    """Pages that had to be asked again, and the calls that did so.

    `partial`: answers of `answers` that must have ended early; `missing`: single pages of `tagged` left out.
    """

    pages: int
    calls: int
    answers: int
    tagged: int
    batch_size: int

    @property
    def partial(self) -> float:
        """An answer that ends early leaves out (b + 1) / 2 pages on average, and is asked again in 2 - 1/b calls."""
        size = self.batch_size
        if size < 3:  # what is left out of so few cannot be told from what was cut
            return min(self.answers, self.pages / ((size + 1) / 2))
        more = (size + 1) / 2 - (2 - 1 / size)
        return min(max(0.0, (self.pages - self.calls) / more), self.pages / ((size + 1) / 2), self.answers)

    @property
    def missing(self) -> float:
        return max(0.0, self.pages - self.partial * (self.batch_size + 1) / 2)


def count_broken(runs: Sequence[TraceRun]) -> Broken | None:
    """Over all runs that have an end; None if none has."""
    whole = [run for run in runs if run.is_whole]
    if not whole:
        return None
    pages = calls = answers = tagged = 0
    for run in whole:
        answered = [each for each in run.attempts if each.outcome is Outcome.OK]
        first = first_calls(run)
        again = {each.call for each in answered} - first.keys()
        pages += sum(each.pages for each in answered) - run.statuses[Status.TAGGED]
        calls += len(again)
        answers += len(answered)
        tagged += run.statuses[Status.TAGGED]
    return Broken(max(0, pages), calls, answers, tagged, max(run.settings.batch_size for run in whole))


def first_calls(run: TraceRun) -> dict[int, Attempt]:
    """The calls that a run began with, by number: without those that asked again for what was left out or split.

    A trace does not say which these are. Halves and remainders are smaller than what they come from: of the small
    calls the latest are left out until no page is asked twice.
    """
    calls: dict[int, Attempt] = {}
    for attempt in run.attempts:
        calls.setdefault(attempt.call, attempt)
    tagged = run.statuses.get(Status.TAGGED, 0) + run.statuses.get(Status.ERROR, 0)
    excess = sum(call.pages for call in calls.values()) - tagged if run.is_whole and tagged else 0
    for number in sorted(calls, key=lambda number: (calls[number].pages, -number)):
        if excess <= 0:
            break
        if calls[number].pages <= excess:
            excess -= calls.pop(number).pages
    return dict(sorted(calls.items()))
