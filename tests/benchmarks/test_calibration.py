"""A regime that is recorded, calibrated and replayed."""

from __future__ import annotations

from benchmarks.calibration import try_regime


def test_trial_tells_errors_and_what_was_recovered() -> None:
    trial = try_regime(10)  # a server of one's own that refuses beyond its cap
    assert trial is not None
    assert trial.is_close
    assert [(key, abs(error) < 0.05) for key, error in trial.recovered] == [("concurrency_cap", True)]


def test_regime_of_two_clients_is_left_out() -> None:
    assert try_regime(4) is None
