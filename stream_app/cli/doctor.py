"""`stream-app doctor`."""

import asyncio

import orjson
import typer
from rich.console import Console
from rich.table import Table

from stream_app.cli.options import Broker, Config, Json

MARKS = {"ok": "[green]well[/]", "warn": "[yellow]look[/]", "fail": "[red]mend[/]", "skip": "[dim]–[/]"}


def doctor(config: Config = None, broker: Broker = None, as_json: Json = False) -> None:
    """Look at the set-up, from the installation to the running worker, and say what to mend. Changes nothing.

    Exits with 1 when something must be mended before a worker can run.
    """
    from stream_app.doctor import examine
    from stream_app.settings import load

    findings = asyncio.run(examine(load(config, broker__url=broker)))
    failed = any(finding.status == "fail" for finding in findings)
    if as_json:
        print(orjson.dumps({"ok": not failed, "findings": [f.document() for f in findings]}).decode())  # noqa: T201
    else:
        shown = Table("", "check", "what", "what to do", box=None)
        for finding in findings:
            shown.add_row(MARKS[finding.status], finding.check, finding.says, finding.remedy)
        Console().print(shown)
    if failed:
        raise typer.Exit(1)
