"""`stream-app explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_app.cli.options import Broker, Config, Json

if TYPE_CHECKING:
    from rich.console import Console

BAR = 30
"""Characters of a share of 1."""


def explain(
    user: Annotated[str, typer.Argument(help="User id, as in the records.")],
    config: Config = None,
    broker: Broker = None,
    events: Annotated[int, typer.Option("--events", "-n", min=1, help="Of the last so many, what each did.")] = 10,
    json: Json = False,
) -> None:
    """Why a user was answered so: the share of each modality, and the events that mattered, from the topics alone."""
    import asyncio

    import orjson
    from rich.console import Console

    from fusion.scorer import Scorer
    from stream_app.events import ACTIONS
    from stream_app.explain.explanation import explanation
    from stream_app.explain.past import past_of
    from stream_app.models.artefact import made_with
    from stream_app.settings import load
    from stream_app.state import StateSettings

    settings = load(config, broker__url=broker)
    with Console(stderr=True).status("reading") as status:
        read = 0

        def told(topic: str, records: int) -> None:
            nonlocal read
            read += records
            status.update(f"{topic}: {read:,} records read")

        past = asyncio.run(past_of(user, settings, told=told))
        scorer = Scorer.load(made_with(settings, past.prediction["model"]["digest"]), device="cpu", actions=ACTIONS)
        found = explanation(past, scorer, settings=StateSettings(**settings.state.model_dump()), most=events)
    if json:
        typer.echo(orjson.dumps(found).decode())
    else:
        _show(Console(), found)


def _show(console: Console, found: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    outputs = found["outputs"]
    said = f", feels {outputs['sentiment']['label']}" if outputs.get("sentiment") else ""
    console.print(
        f"[bold]{escape(found['user_id'])}[/] at {found['event_time']}: buys {outputs['purchase']['score']:.0%}, "
        f"stays away {outputs['churn']['score']:.0%}, next {outputs['next_action']['label']}{said}"
    )
    for name, share in found["modalities"].items():
        console.print(f"  {name:9}{'█' * round(share * BAR):{BAR}} {share:.0%}", highlight=False)
    console.print("\nbecause the user")
    for reason in found["reasons"]:
        console.print(f"  {escape(reason['words'])}: {_effect(reason)}", highlight=False)
    table = Table("when", "did", "product", "moved", "buying", "staying away")
    for event in found["events"]:
        table.add_row(
            event["event_time"],
            event["action"],
            escape(event["product_id"] or ""),
            f"{event['influence']:.3f}",
            f"{event['purchase']:+.3f}",
            f"{event['churn']:+.3f}",
        )
    console.print(table)
    if not found["reproduced"]:
        made, used = found["model"]["version"], found["explained_with"]["version"]
        console.print(
            f"model {used} does not give the recorded answer of model {made}; events missing: {found['missing']}"
        )


def _effect(reason: dict[str, Any]) -> str:
    """For people: which way it pushed."""
    parts = [
        f"{name} {'up' if reason[key] > 0 else 'down'} {abs(reason[key]):.1%}"
        for key, name in (("purchase", "buying"), ("churn", "staying away"))
        if abs(reason[key]) >= 0.0005
    ]
    return ", ".join(parts) if parts else "little changed"
