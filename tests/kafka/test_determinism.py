"""The same log gives the same predictions: whatever the batch limit, the number of workers and the restarts."""

import asyncio
from pathlib import Path

import orjson

from stream_app.audit.run import parity
from stream_app.audit.scores import TOLERANCE, Scores
from stream_app.broker import EmbeddedBroker
from stream_app.producers.publish import Encoded, encode
from stream_app.producers.simulate import simulate
from tests.kafka.workers import System, kill, settings_for

START_MS = 1_700_000_000_000
PARTITIONS = 2
KINDS = (("1", 2, False), ("7", 1, True), ("256", 1, False))
"""Batch limit, workers, and whether one is killed on the way."""


async def predicted(system: System, stream: list[Encoded], *, workers: int, killed: bool) -> dict[str, bytes]:
    """Event id → prediction, of a log that was there before the workers."""
    await system.create_topics()
    await system.send(stream)
    started = [system.start_worker() for _ in range(workers)]
    if killed:
        await kill(started[0])
    account = await system.account()
    await asyncio.to_thread(system.stop)
    assert account.balanced
    found = await parity(system.settings)
    assert found["compared"] == account.predictions
    assert [found[name] for name in ("mismatch", "missing", "extra")] == [0, 0, 0]
    return {orjson.loads(r.value or b"")["event_id"]: r.value or b"" for r in await system.read("predictions")}


async def test_digests_are_the_same_and_scores_agree_within_the_tolerance(
    broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path
) -> None:
    shoppers = simulate(users=25, seed=4, start_ms=START_MS, events=300, images=False, duplicates=0.03, disorder=0.1)
    stream = [encode(*one) for one in shoppers]
    runs: list[dict[str, bytes]] = []
    for limit, workers, killed in KINDS:
        folder = tmp_path / limit
        folder.mkdir()
        settings = settings_for(broker.url, f"{topic_prefix}{limit}.", folder, partitions=PARTITIONS)
        system = System(settings, folder, more={"PIPELINE__BATCH_EVENTS": limit})
        try:
            runs.append(await predicted(system, stream, workers=workers, killed=killed))
        finally:
            system.stop()

    first, *others = runs
    assert len(first) > 250
    for other in others:
        assert digests(other) == digests(first)
        scores = Scores()
        for event, value in other.items():
            scores.add(first[event], value)
        assert scores.compared == len(first)
        assert scores.largest_difference <= TOLERANCE


def digests(run: dict[str, bytes]) -> dict[str, str]:
    return {event: orjson.loads(value)["feature_digest"] for event, value in run.items()}
