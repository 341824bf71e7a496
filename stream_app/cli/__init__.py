"""The command line: one file per command, imported when called, so that `--help` is quick."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import typer

from stream_app.cli import (
    audit,
    broker,
    campaign,
    dead_letters,
    demo,
    doctor,
    evaluate,
    explain,
    model,
    replay,
    simulate,
    topics,
    train,
    worker,
)
from stream_app.errors import DependencyError, SettingsError, StreamAppError

EXIT_SETTINGS, EXIT_DEPENDENCY, EXIT_FAILURE = 2, 75, 1

app = typer.Typer(
    name="stream-app",
    help="Real-time behaviour analyzer for e-commerce: Kafka in, exactly-once predictions out. "
    "Start with `stream-app demo`.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo.demo,
    "broker": broker.broker,
    "worker": worker.worker,
    "simulate": simulate.simulate,
    "replay": replay.replay,
    "train": train.train,
    "evaluate": evaluate.evaluate,
    "explain": explain.explain,
    "audit": audit.audit,
    "doctor": doctor.doctor,
    "campaign": campaign.campaign,
}
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)
app.add_typer(topics.app, name="topics")
app.add_typer(model.app, name="model")
app.add_typer(dead_letters.app, name="dead-letters")


def main() -> None:
    """Run; an error that we foresaw is one line on standard error and a non-zero exit."""
    try:
        app()
    except StreamAppError as error:
        print(f"stream-app: {error}", file=sys.stderr, flush=True)  # noqa: T201
        os._exit(exit_code(error))  # a worker's threads would keep the process
    except KeyboardInterrupt:
        sys.exit(130)


def exit_code(error: StreamAppError) -> int:
    """2: mend the settings; 75: try again later; 1: anything else."""
    if isinstance(error, SettingsError):
        return EXIT_SETTINGS
    return EXIT_DEPENDENCY if isinstance(error, DependencyError) else EXIT_FAILURE
