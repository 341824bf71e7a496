"""`stream-app demo`: start everything, send shoppers, show what comes out, account for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from stream_app.cli.produce import send
from stream_app.demo.stack import Outputs, first_prediction, peak_mib, stack
from stream_app.errors import DependencyError, SettingsError
from stream_app.producers.items import items
from stream_app.producers.publish import Encoded, Speed, encode
from stream_app.producers.replay import replay
from stream_app.producers.simulate import past_start_ms, simulate
from stream_app.records import RecordLike
from stream_app.settings import Settings, load
from stream_app.transport import admin

USERS = 500
DAY_MS = 86_400_000
PARTITIONS = 4
SHOWN = 6


async def run(
    *,
    events: int | None,
    source: str,
    data: Path | None,
    speed: str | None,
    port: int,
    seed: int,
    as_json: bool,
) -> bool:
    """The demo; True when the account balances (always for an endless one that was stopped)."""
    started_s = time.monotonic()
    console = Console(stderr=as_json, quiet=as_json)
    settings = load(
        web__port=port,
        log__format="json",
        pipeline__name="stream-app-demo",
        topics__partitions=PARTITIONS,
        insights__window_ms=DAY_MS,  # of the simulated time, which runs far ahead of ours
    )
    pace = Speed.parse(speed or ("200/s" if events is None else "max"))
    stream = _stream(settings, source, data, seed=seed, events=events)
    console.print("starting Apache Kafka and a worker on this machine …")
    async with stack(settings) as (broker, worker, running):
        await admin.create(running.broker, admin.plans(running.topics))
        outputs = Outputs(running)
        await outputs.start()
        selling = asyncio.create_task(send(running, items(source, data or settings.test_data, seed=seed), Speed()))
        feeding = asyncio.create_task(send(running, stream, pace))
        try:
            first_s, record = await first_prediction(outputs, worker, started_s)
            console.print(f"first prediction after {first_s:.1f} s; Kafka at {broker.url}; log {worker.log_file}")
            console.print(f"live page: http://127.0.0.1:{port}/" if port else "live page: see the log for its port")
            console.print(_table([record]))
            if events is None:
                await _watch(outputs, feeding, console)
                return True
            await feeding
            sent_s = time.monotonic()
            result = await outputs.settle(worker)
            figures: dict[str, Any] = {
                "first_prediction_s": round(first_s, 2),
                "settled_s": round(time.monotonic() - sent_s, 2),
                "peak_mib": {"broker": peak_mib(broker.pid or 0), "worker": peak_mib(*worker.children())},
                "simulated": source == "simulator",
            }
        finally:
            for sending in (selling, feeding):
                sending.cancel()
                with suppress(asyncio.CancelledError, DependencyError):
                    await sending
            await outputs.stop()
    if as_json:
        print(orjson.dumps({**asdict(result), **figures}).decode())  # noqa: T201 - the output of the command
    else:
        console.print(_account(result, figures))
    return result.balanced


def _stream(settings: Settings, source: str, data: Path | None, *, seed: int, events: int | None) -> Iterator[Encoded]:
    """Encoded records; simulated ones happened in the last weeks, so that windows open and close before one's eyes."""
    if source == "simulator":
        now_ms = time.time_ns() // 1_000_000
        start_ms = past_start_ms(now_ms, events)
        records = simulate(users=USERS, seed=seed, start_ms=start_ms, events=events)
    else:
        folder = data or settings.test_data
        if folder is None:
            raise SettingsError("no folder of data sets: give --data or set STREAM_APP_TEST_DATA")
        records = replay(source, folder, seed=seed, limit=events)
    return (encode(event_type, record) for event_type, record in records)


async def _watch(outputs: Outputs, feeding: asyncio.Task[int], console: Console) -> None:
    """Until Ctrl-C: a status line every second, some predictions every ten."""
    total, since_s, shown_s = 0, time.monotonic(), time.monotonic()
    with console.status("predicting; Ctrl-C ends") as status:
        while not feeding.done():
            fresh = [record for record in await outputs.fetch() if record.topic.endswith("predictions")]
            total += len(fresh)
            rate = total / (time.monotonic() - since_s)
            status.update(f"{total:,} predictions, {rate:,.0f}/s; Ctrl-C ends")
            if fresh and time.monotonic() - shown_s > 10:
                shown_s = time.monotonic()
                console.print(_table(fresh[-SHOWN:]))
    await feeding


def _table(records: list[RecordLike]) -> Table:
    table = Table(
        "user", "event time", "purchase", "churn", "next", "sentiment", "segment", "recommended", "modalities"
    )
    for record in records:
        prediction = orjson.loads(record.value or b"{}")
        made = prediction["outputs"]
        feeling = made.get("sentiment")
        table.add_row(
            prediction["user_id"][:10],
            prediction["event_time"][:19],
            f"{made['purchase']['score']:.2f}",
            f"{made['churn']['score']:.2f}",
            made["next_action"]["label"],
            f"{feeling['label']} {feeling['score']:+.2f}" if feeling else "–",
            made["segment"]["label"],
            ", ".join(each["product_id"] for each in made.get("recommendations", ())[:3]) or "–",
            " ".join(f"{name} {share:.0%}" for name, share in prediction["modalities"].items()),
        )
    return table


def _account(result: Any, figures: dict[str, Any]) -> Table:
    table = Table("account", "records")
    for name, value in asdict(result).items():
        table.add_row(name, f"{value:,}")
    table.caption = (
        f"first prediction {figures['first_prediction_s']} s; "
        f"peak memory broker {figures['peak_mib']['broker']:.0f} MiB, worker {figures['peak_mib']['worker']:.0f} MiB"
    )
    return table
