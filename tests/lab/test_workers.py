"""Processes are started once for one space and scenario, and replay in the order of the tasks."""

from __future__ import annotations

import signal

import pytest
from joblib.externals.loky import get_reusable_executor

from tagspace_lab.errors import InputError, ScenarioError, SnapshotError
from tagspace_lab.lab.workers import Task, Workers
from tagspace_lab.settings import Settings


def test_two_processes_measure_what_one_does() -> None:
    candidates, seeds = [Settings(batch_size=size) for size in (1, 3, 5)], (4, 2)
    with Workers("small", "openai-tier1") as alone, Workers("small", "openai-tier1", jobs=2) as pair:
        assert list(pair.measure_each(candidates, seeds, 2)) == list(alone.measure_each(candidates, seeds, 2))


def test_processes_stay_for_the_same_space_and_end_after_an_exception() -> None:
    executors = []
    for _ in range(2):
        with Workers("small", "openai-tier1", jobs=2) as workers:
            assert len(list(workers.measure([Task(Settings(), 0)], runs=1))) == 1
            executors.append(get_reusable_executor(reuse=True))
    assert executors[0] is executors[1]
    with pytest.raises(KeyboardInterrupt), Workers("small", "openai-tier1", jobs=2):
        raise KeyboardInterrupt
    assert executors[0]._flags.shutdown


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_waits_for_the_next_replay(jobs: int) -> None:
    written = []
    with pytest.raises(KeyboardInterrupt), Workers("small", "openai-tier1", jobs) as workers:  # noqa: PT012
        replays = workers.measure([Task(Settings(), seed) for seed in range(30)], runs=1)
        next(replays)
        signal.raise_signal(signal.SIGINT)
        written.append("whole")
        next(replays)
        written.append("never")
    assert written == ["whole"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_after_the_last_replay_comes_when_all_is_closed() -> None:
    closed = []
    with pytest.raises(KeyboardInterrupt), Workers("small", "openai-tier1") as workers:  # noqa: PT012
        list(workers.measure([Task(Settings(), 0)], runs=1))
        signal.raise_signal(signal.SIGINT)
        closed.append(True)
    assert closed


def test_second_ctrl_c_comes_at_once_and_a_third_does_not_tear_the_end() -> None:
    ended = []
    with pytest.raises(KeyboardInterrupt), Workers("small", "openai-tier1"):  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)
            ended.append(True)
    assert ended


def test_wrong_input_is_refused() -> None:
    with pytest.raises(InputError, match="jobs is 0; allowed: an integer from 1"):
        Workers("small", "openai-tier1", jobs=0)
    with pytest.raises(SnapshotError):
        Workers("smal", "openai-tier1")
    with pytest.raises(ScenarioError):
        Workers("small", "openai-tier0")
