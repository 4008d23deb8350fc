"""`tagspace-lab serve`: the job as a service."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import time
from pathlib import Path
from typing import Annotated

import typer

from tagspace_lab.cli.options import EnvFile, examples, whole
from tagspace_lab.cli.screen import say

__all__ = ["commands"]

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "tagspace-lab serve",
        "tagspace-lab serve --port 8080 --labels vocabulary.txt --resume",
        "TAG_SPACE_SERVICE_TOKEN=... tagspace-lab serve --host 0.0.0.0",
    )
)
def serve(
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(parser=whole(0, 65535), metavar="P", help="Port; 0 takes a free one.")] = 8766,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="FILE", help="The vocabulary of tasks that bring none. [default: any label]"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what a former process left undone, a task a space.")
    ] = False,
    queue: Annotated[
        int, typer.Option(parser=whole(1, 1000), metavar="N", help="Tasks that wait at most; more are turned away.")
    ] = 8,
    grace: Annotated[
        int, typer.Option(parser=whole(1, 3600), metavar="S", help="Seconds for what is in flight at the end.")
    ] = 30,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Append every attempt (no text, no key): see `calibrate`.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(metavar="FILE.env|NAME", help="Settings. [default: TAG_SPACE_* variables]")
    ] = None,
    env_file: EnvFile = None,
) -> None:
    """Serve the bulk tagger over HTTP until Ctrl-C.

    One task runs at a time, the others wait. Connections and settings are those of `tag`, and so is
    the journal: a task that was interrupted can be resumed here or there. Beyond loopback, clients
    must send TAG_SPACE_SERVICE_TOKEN as a bearer token, and so they must here where it is set.
    Ctrl-C (or SIGTERM) finishes what is in flight: exit code 0.

    \b
      POST /bulk/tag-space/{space}   {"dry_run": true, "background": false, "mode": "add", "labels": []}
      GET  /bulk/tasks/{id}          progress, then the result; /events sends it as it comes
      POST /bulk/tasks/{id}/stop     or /resume
      GET  /metrics, /healthz, /docs
    """
    try:
        from tagspace_lab.service.app import create_app
        from tagspace_lab.service.server import Server, check_address, listen
        from tagspace_lab.service.tagger import LiveTagger
    except ModuleNotFoundError as error:
        from tagspace_lab.errors import InputError

        raise InputError(
            f"the service needs {error.name}; install it with: pip install 'tagspace-lab[serve]'"
        ) from error
    from tagspace_lab.cli.tagging import read_settings
    from tagspace_lab.live.connections import load_connections
    from tagspace_lab.live.logs import configure_logs
    from tagspace_lab.live.opening import open_journal
    from tagspace_lab.live.task import read_labels
    from tagspace_lab.operations.alerts import open_alarm, read_alerts
    from tagspace_lab.operations.duty import secrets_of

    connections = load_connections(os.environ, env_file)
    token = connections.service_token.get_secret_value()
    check_address(host, token)
    tagger = LiveTagger(
        connections,
        read_settings(profile, env_file),
        random.Random(secrets.randbits(64)),  # noqa: S311 - jitter, not a secret
        time.time,
        trace=trace,
        watch=lambda task_id, request: open_alarm(
            read_alerts(connections), {"task_id": task_id, "space": request.space}
        ),
    )
    with open_journal(connections) as journal:
        asyncio.run(tagger.check(journal))
    app = create_app(
        tagger,
        lambda: open_journal(connections),
        token=token,
        vocabulary=read_labels(labels) if labels else (),
        most_queued=queue,
        resume=resume,
        grace_s=grace,
    )
    unsaid = secrets_of(connections, os.environ)
    with listen(host, port) as listener, configure_logs(connections.log_dir, secrets=unsaid):
        address = f"[{host}]" if ":" in host else host
        typer.echo(f"http://{address}:{listener.getsockname()[1]}")
        say("Ctrl-C ends it; /docs shows what it does.")
        try:
            Server(app, grace).run([listener])
        except KeyboardInterrupt:
            say("\nThe service has stopped.")
