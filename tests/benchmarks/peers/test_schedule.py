"""What runs beside what."""

from __future__ import annotations

from benchmarks.peers.challenges import CHALLENGES, LONG, find_challenge
from benchmarks.peers.clients import CLIENTS, OURS
from benchmarks.peers.schedule import plan


def test_storms_never_run_beside_calm_clients_in_fast_challenges() -> None:
    for stage in plan(list(CLIENTS.values()), CHALLENGES, LONG, 2):
        fast = {task.client.storms for task in stage.tasks if not task.challenge.is_slow}
        assert len(fast) <= 1, stage.name
        assert stage.at_once <= 2 or not any(fast)


def test_every_client_meets_every_challenge_as_often() -> None:
    clients = [client for client in CLIENTS.values() if not client.is_told]
    stages = plan(clients, CHALLENGES, (), 3)
    tasks = [(task.client.name, task.challenge.name, task.repeat) for stage in stages for task in stage.tasks]
    assert sorted(tasks) == sorted(
        (client.name, challenge.name, repeat) for client in clients for challenge in CHALLENGES for repeat in range(3)
    )


def test_client_that_must_be_told_a_rate_sits_out_where_there_is_none() -> None:
    assert not plan([CLIENTS["aiolimiter"]], [find_challenge("B")], (), 1)


def test_long_runs_are_ours_alone_and_made_once() -> None:
    (stage,) = plan([CLIENTS[OURS], CLIENTS["botocore"]], (), LONG, 3)
    assert [(task.client.name, task.challenge.name) for task in stage.tasks] == [(OURS, each.name) for each in LONG]
