"""What a call will take of each limit: estimated before it, corrected by what the calls before it really took."""

from __future__ import annotations

from tagspace_lab.records import Cost

__all__ = ["UNITS", "Sizes"]

UNITS = ("requests", "tokens", "input_tokens", "output_tokens")
"""What providers count a minute, by the names of :class:`~tagspace_lab.records.RateLimit`."""

_WEIGHT = 0.1
"""Of the latest call in the running means."""


class Sizes:
    """Estimates, scaled by the running mean of what was really used over what had been estimated."""

    def __init__(self) -> None:
        self._input, self._output = _Ratio(), _Ratio()

    def learn(self, estimated: Cost, used: Cost) -> None:
        """A call was answered; its answer counts what it used."""
        self._input.learn(estimated.input_tokens, used.input_tokens)
        self._output.learn(estimated.output_tokens, used.output_tokens)

    @staticmethod
    def count(used: Cost) -> dict[str, float]:
        """Units that a call really took of each limit."""
        read, written = float(used.input_tokens), float(used.output_tokens)
        return {"requests": 1.0, "tokens": read + written, "input_tokens": read, "output_tokens": written}

    def of(self, cost: Cost) -> dict[str, float]:
        """Units that a call of `cost` is expected to take of each limit."""
        read, written = cost.input_tokens * self._input.mean, cost.output_tokens * self._output.mean
        return {"requests": 1.0, "tokens": read + written, "input_tokens": read, "output_tokens": written}

    def later(self, cost: Cost) -> dict[str, float]:
        """The part of them that many providers charge only when the call ends: what it wrote."""
        written = cost.output_tokens * self._output.mean
        return {"requests": 0.0, "tokens": written, "input_tokens": 0.0, "output_tokens": written}


class _Ratio:
    def __init__(self) -> None:
        self.mean = 1.0
        self._is_known = False

    def learn(self, estimated: int, used: int) -> None:
        if estimated and used:
            ratio = used / estimated
            self.mean += (ratio - self.mean) * (_WEIGHT if self._is_known else 1.0)
            self._is_known = True
