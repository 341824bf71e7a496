"""`stream-app audit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_app.cli.options import Broker, Config, Json, time_ms

if TYPE_CHECKING:
    from rich.console import Console


def audit(
    config: Config = None,
    broker: Broker = None,
    since: Annotated[str | None, typer.Option("--from", help="Only input from then on: RFC 3339 or epoch ms.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Only input before then: RFC 3339 or epoch ms.")] = None,
    parity: Annotated[bool, typer.Option("--parity", help="Make the features again and compare digests.")] = False,
    json: Json = False,
) -> None:
    """Explain every input offset from the topics alone, or name the ones that nothing explains; then exit with 1."""
    import asyncio

    import orjson
    from rich.console import Console

    from stream_app.audit import run
    from stream_app.errors import SettingsError
    from stream_app.settings import load

    settings = load(config, broker__url=broker)
    if parity and (since or until):
        raise SettingsError("--parity needs the whole log: no --from, no --to")
    from_ms, to_ms = time_ms(since, "--from"), time_ms(until, "--to")
    console = Console(stderr=True)
    with console.status("reading") as status:
        read = 0

        def told(topic: str, records: int) -> None:
            nonlocal read
            read += records
            status.update(f"{topic}: {read:,} records read")

        work = (
            run.parity(settings, told=told) if parity else run.audit(settings, from_ms=from_ms, to_ms=to_ms, told=told)
        )
        result = asyncio.run(work)
    wrong = [
        name for name in ("unexplained", "repeated", "unknown", "mismatch", "missing", "extra") if result.get(name)
    ]
    if json:
        typer.echo(orjson.dumps(result).decode())
    else:
        _show(Console(), result)
    if wrong:
        raise typer.Exit(1)


def _show(console: Console, result: dict[str, Any]) -> None:
    from rich.table import Table

    rows = result.pop("partitions", [])
    if rows:
        table = Table(*rows[0])
        for row in rows:
            table.add_row(*map(str, row.values()))
        console.print(table)
    named = result.pop("offsets", [])
    console.print("  ".join(f"{name} {value}" for name, value in result.items()))
    for one in named:
        console.print(f"unexplained: {one['topic']} {one['partition']} offset {one['offset']}: {one['why']}")
