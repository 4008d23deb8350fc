"""All that stands by while a live task runs: its logs and its alarm, without the keys that it works with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tagspace_lab.live.connections import Connections
from tagspace_lab.live.logs import configure_logs
from tagspace_lab.live.redaction import find_secrets
from tagspace_lab.operations.alerts import Alarm, open_alarm, read_alerts

__all__ = ["on_duty", "secrets_of"]


@contextmanager
def on_duty(
    connections: Connections, variables: Mapping[str, str], context: Mapping[str, str] | None = None
) -> Iterator[Alarm]:
    """Logs, where a folder is set, and an alarm: a listener that is to be told of every attempt.

    `variables`: the environment, whose secrets are kept out of the logs as those of `connections` are. `context` goes
    into every alert. SettingsError, before anything is opened, where an alert's target cannot be meant.
    """
    alerts = read_alerts(connections)
    secrets = secrets_of(connections, variables)
    with configure_logs(connections.log_dir, secrets=secrets), open_alarm(alerts, context) as alarm:
        yield alarm


def secrets_of(connections: Connections, variables: Mapping[str, str]) -> tuple[str, ...]:
    """What no line may hold, in every form: the keys of `connections`, wherever they were read, and of `variables`."""
    named = {f"SECRET_{number}": text for number, text in enumerate(connections.secrets)}
    told = {
        "CONFLUENCE_USERNAME": connections.confluence_username,
        "TAG_SPACE_ALERT_URL": connections.alert_url.get_secret_value(),
    }
    return find_secrets(dict(variables) | named | told)
